-- Of each goal the visits that reached it, and all visits of the days on which that shows: (visits, rows) of both.
SELECT value, sum(reached.visits), sum(reached.of_rows), sum(everybody.visits), sum(everybody.of_rows)
FROM
(
    SELECT day, value, sum(visits) AS visits, count() AS of_rows
    FROM breakdown
    WHERE site = {site:String} AND dimension = 'goal' AND value != '(other)' AND day BETWEEN {first:Date} AND {last:Date}
    GROUP BY day, value
) AS reached
INNER JOIN
(
    SELECT day, sum(visits) AS visits, count() AS of_rows
    FROM trend
    WHERE site = {site:String} AND hour = 24 AND day BETWEEN {first:Date} AND {last:Date}
    GROUP BY day
) AS everybody USING (day)
GROUP BY value
