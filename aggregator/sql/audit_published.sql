-- What sealed rows look like, by site and seal: the greatest common divisor of all their numbers (0: all are 0), the
-- fewest visitors of a row that has any, the fewest visits of a row that shows bounces (each 0: there is none).
SELECT
    site, day, seal_k, rows,
    if(empty(numbers), 0, arrayFold((divisor, number) -> gcd(divisor, number), numbers, if(empty(numbers), 1, numbers[1]))),
    fewest_visitors, fewest_visits_with_bounces
FROM
(
    SELECT
        site, day, any(k) AS seal_k, count() AS rows,
        -- gcd refuses 0.
        arrayFilter(number -> number > 0,
            groupUniqArrayArray([visitors, visits, views, events, bounces, engaged_s]::Array(UInt64))) AS numbers,
        minIf(visitors, visitors > 0) AS fewest_visitors,
        minIf(visits, bounces > 0) AS fewest_visits_with_bounces
    FROM
    (
        SELECT site, day, seal, visitors, visits, views, events, bounces, engaged_s FROM trend_rows
        UNION ALL
        SELECT site, day, seal, visitors, visits, views, events, bounces, engaged_s FROM breakdown_rows
        UNION ALL
        SELECT site, day, seal, visitors, visits, 0, 0, 0, 0 FROM cross_rows
    ) AS sealed
    INNER JOIN (SELECT seal, k FROM seals) AS records USING (seal)
    WHERE seal IN (SELECT seal FROM committed_seals)
    GROUP BY site, day, seal
)
ORDER BY day, site
