-- What sealing must know before it writes: rows read, rows over a bound, and of each hour enough networks to see whether
-- k of them came, which a set of at most k says exactly, also for the union of several hours.
SELECT site, clock_hour, generation, sum(rows_read), sum(rows_bounded),
    groupUniqArrayIf({largest_k:UInt16})(network, present AND network != 0) AS networks
FROM gathered_visits
WHERE seal = {seal:UInt64}
GROUP BY site, clock_hour, generation
