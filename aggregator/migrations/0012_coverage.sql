-- Requests rounded to 10; what is below 10 joins `(other)` of its outcome.
CREATE VIEW IF NOT EXISTS coverage AS
SELECT day, site, outcome, if(total < 10, '(other)', reason) AS reason, intDiv(sum(total) + 5, 10) * 10 AS requests
FROM
(
    SELECT day, site, outcome, reason, sum(largest) AS total
    FROM (SELECT day, site, outcome, reason, spool, max(requests) AS largest FROM coverage_totals GROUP BY day, site, outcome, reason, spool)
    GROUP BY day, site, outcome, reason
)
GROUP BY day, site, outcome, reason
HAVING requests > 0
