-- Of each variant and goal the visitors who met the variant, and of these who reached the goal: (visitors, rows) of both,
-- added up over the days on which every variant of the experiment shows the goal. Days on which only some do would be
-- the good days of those.
SELECT variant, goal, sum(met.visitors), sum(met.of_rows), sum(reached.visitors), sum(reached.of_rows)
FROM
(
    SELECT *, count() OVER (PARTITION BY day, experiment, goal) AS variants
    FROM
    (
        SELECT day, parent AS variant, splitByChar('/', parent)[1] AS experiment, value AS goal,
            sum(visitors) AS visitors, count() AS of_rows
        FROM breakdown
        WHERE site = {site:String} AND dimension = 'variant_goal' AND parent IN {variants:Array(String)} AND value != '(other)'
            AND day BETWEEN {first:Date} AND {last:Date}
        GROUP BY day, variant, goal
    )
) AS reached
INNER JOIN
(
    SELECT day, value AS variant, sum(visitors) AS visitors, count() AS of_rows
    FROM breakdown
    WHERE site = {site:String} AND dimension = 'variant' AND day BETWEEN {first:Date} AND {last:Date}
    GROUP BY day, variant
) AS met USING (day, variant)
WHERE variants = countEqual(arrayMap(each -> splitByChar('/', each)[1], {variants:Array(String)}), experiment)
GROUP BY variant, goal
