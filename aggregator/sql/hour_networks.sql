-- What sealing must know before it writes: rows read, rows over a bound, and of each hour enough networks to see whether
-- k of them came, which a set of at most k says exactly, also for the union of several hours. What a day has of before
-- its own midnight (a site that went over to this time zone) is of its first hour.
SELECT site, clock_hour, generation, count() AS read, countIf(bounded) AS over_bounds,
    groupUniqArrayIf({largest_k:UInt16})(network, used AND network != 0 AND kind IN ('view', 'event')) AS networks
FROM
(
    SELECT *, {hours:Array(UInt8)}[greatest(intDiv(toUnixTimestamp(at) - {starts_at:Int64}, 900), 0) + 1] AS clock_hour
    FROM
    (
        -- include: counted_rows
    )
)
GROUP BY site, clock_hour, generation
