-- Of each step of a funnel the visits that came to it, and those that took the first step on the days on which it shows:
-- (visits, rows) of both.
SELECT value, sum(came.visits), sum(came.of_rows), sum(began.visits), sum(began.of_rows)
FROM
(
    SELECT day, parent, value, sum(visits) AS visits, count() AS of_rows
    FROM breakdown
    WHERE site = {site:String} AND dimension = 'funnel' AND value != '(other)' AND day BETWEEN {first:Date} AND {last:Date}
    GROUP BY day, parent, value
) AS came
INNER JOIN
(
    SELECT day, parent, sum(visits) AS visits, count() AS of_rows
    FROM breakdown
    WHERE site = {site:String} AND dimension = 'funnel' AND endsWith(value, '/1') AND day BETWEEN {first:Date} AND {last:Date}
    GROUP BY day, parent
) AS began USING (day, parent)
GROUP BY value
