-- A site's values of some dimensions within one value of another, the most visited first, and what they had in the days
-- that are compared with; sums over days are of visitor-days.
WITH day BETWEEN {first:Date} AND {last:Date} AS is_asked, day BETWEEN {first_before:Date} AND {last_before:Date} AS is_before
SELECT
    dimension_b, parent_b, value_b,
    sumIf(visitors, is_asked) AS all_visitors, sumIf(visits, is_asked) AS all_visits,
    sumIf(visitors, is_before), sumIf(visits, is_before)
FROM cross_breakdown
WHERE site = {site:String} AND dimension_a = {of:String} AND value_a = {value:String}
    AND dimension_b IN {dimensions:Array(String)} AND (is_asked OR is_before)
GROUP BY dimension_b, parent_b, value_b
HAVING countIf(is_asked) > 0
ORDER BY dimension_b, all_visitors DESC, all_visits DESC, parent_b, value_b
LIMIT {limit:UInt16} BY dimension_b
