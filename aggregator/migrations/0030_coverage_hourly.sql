-- Requests rounded to 10; what is below 10 joins `(other)` of its outcome. Of days that may not be over somewhere as of the last
-- full hour, so that filling a step of ten tells of an hour and not of a moment; development sites show single visitors anyway.
CREATE OR REPLACE VIEW coverage AS
SELECT day, site, outcome, if(total < 10, '(other)', reason) AS reason, intDiv(sum(total) + 5, 10) * 10 AS requests
FROM
(
    SELECT day, site, outcome, reason, argMax(if(now() >= as_of + INTERVAL 1 MINUTE, requests, before), as_of) AS total
    FROM coverage_rows
    WHERE outcome != '' AND day >= toDate(now('UTC')) - 1
    GROUP BY day, site, outcome, reason
    UNION ALL
    SELECT day, site, outcome, reason, sum(largest) AS total
    FROM
    (
        SELECT day, site, outcome, reason, spool, max(requests) AS largest
        FROM coverage_totals
        WHERE day < toDate(now('UTC')) - 1 OR site = 'localhost' OR endsWith(site, '.test')
        GROUP BY day, site, outcome, reason, spool
    )
    GROUP BY day, site, outcome, reason
)
GROUP BY day, site, outcome, reason
HAVING requests > 0
