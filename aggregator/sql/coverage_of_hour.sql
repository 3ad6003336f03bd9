-- The numbers of requests that changed since they were taken last, as of the hour {as_of:UInt32} (Unix seconds), and the
-- row that says that it was taken.
INSERT INTO coverage_rows (day, site, outcome, reason, before, requests, as_of)
SELECT day, site, outcome, reason, shown, total, toDateTime({as_of:UInt32}, 'UTC')
FROM
(
    SELECT day, site, outcome, reason, sum(largest) AS total
    FROM
    (
        SELECT day, site, outcome, reason, spool, max(requests) AS largest
        FROM coverage_totals
        WHERE day >= toDate(toDateTime({as_of:UInt32}, 'UTC')) - 2 AND site != 'localhost' AND NOT endsWith(site, '.test')
        GROUP BY day, site, outcome, reason, spool
    )
    GROUP BY day, site, outcome, reason
) AS counted
LEFT JOIN
(
    SELECT day, site, outcome, reason, argMax(requests, as_of) AS shown
    FROM coverage_rows
    GROUP BY day, site, outcome, reason
) AS known USING (day, site, outcome, reason)
WHERE total > shown
UNION ALL
SELECT toDate(toDateTime({as_of:UInt32}, 'UTC')), '', '', '', 0, 0, toDateTime({as_of:UInt32}, 'UTC')
