-- The totals of a day by site, as counted for noise: of each visitor so many visits and views, and none without a visitor.
SELECT site, count(), sum(least(all_visits, {visits:UInt32})), sum(least(all_views, {views:UInt32}))
FROM
(
    SELECT site, uniqExactIf(visit, present) AS all_visits, sum(views) AS all_views
    FROM gathered_visits
    WHERE seal = {seal:UInt64} AND visitor != 0 AND site IN {sites:Array(String)}
    GROUP BY site, generation, visitor
    HAVING all_visits > 0
)
GROUP BY site
