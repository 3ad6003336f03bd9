-- A site's values of some dimensions, the most visited first, and what they had in the days that are compared with;
-- sums over days are of visitor-days.
WITH day BETWEEN {first:Date} AND {last:Date} AS is_asked, day BETWEEN {first_before:Date} AND {last_before:Date} AS is_before
SELECT
    dimension, parent, value,
    sumIf(visitors, is_asked) AS all_visitors, sumIf(visits, is_asked), sumIf(views, is_asked) AS all_views,
    sumIf(events, is_asked), sumIf(bounces, is_asked), sumIf(engaged_s, is_asked),
    sumIf(visitors, is_before), sumIf(visits, is_before), sumIf(views, is_before),
    sumIf(events, is_before), sumIf(bounces, is_before), sumIf(engaged_s, is_before)
FROM breakdown
WHERE site = {site:String} AND dimension IN {dimensions:Array(String)} AND (is_asked OR is_before)
GROUP BY dimension, parent, value
HAVING countIf(is_asked) > 0
ORDER BY dimension, all_visitors DESC, all_views DESC, parent, value
LIMIT {limit:UInt16} BY dimension
