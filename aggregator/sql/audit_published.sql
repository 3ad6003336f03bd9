-- What sealed rows look like, by site and seal: the greatest common divisor of all their numbers (0: all are 0), the
-- fewest visitors of a row that has any, the fewest visits of a row that shows bounces (each 0: there is none), and how many
-- rows level dp does not publish.
SELECT
    site, day, seal_k, seal_level, seal_epsilon, rows,
    if(empty(numbers), 0, arrayFold((divisor, number) -> gcd(divisor, number), numbers, if(empty(numbers), 1, numbers[1]))),
    fewest_visitors, fewest_visits_with_bounces, rows_without_noise
FROM
(
    SELECT
        site, day, any(k) AS seal_k, any(level) AS seal_level, any(epsilon) AS seal_epsilon, count() AS rows,
        -- gcd refuses 0.
        arrayFilter(number -> number > 0,
            groupUniqArrayArray([visitors, visits, views, events, bounces, engaged_s]::Array(UInt64))) AS numbers,
        minIf(visitors, visitors > 0) AS fewest_visitors,
        minIf(visits, bounces > 0) AS fewest_visits_with_bounces,
        countIf(NOT is_noisy OR events + bounces + engaged_s > 0) AS rows_without_noise
    FROM
    (
        SELECT site, day, seal, visitors, visits, views, events, bounces, engaged_s, hour = 24 AS is_noisy
        FROM trend_rows
        UNION ALL
        SELECT site, day, seal, visitors, visits, views, events, bounces, engaged_s,
            visits + views = 0 AND value != '(other)' AS is_noisy
        FROM breakdown_rows
        UNION ALL
        SELECT site, day, seal, visitors, visits, 0, 0, 0, 0, false FROM cross_rows
    ) AS sealed
    INNER JOIN (SELECT seal, k, level, epsilon FROM seals) AS records USING (seal)
    WHERE seal IN (SELECT seal FROM committed_seals)
    GROUP BY site, day, seal
)
ORDER BY day, site
