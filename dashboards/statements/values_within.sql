-- A site's values of some dimensions within one value of another, the most visited first; sums over days are of visitor-days.
SELECT dimension_b, parent_b, value_b, sum(visitors) AS all_visitors, sum(visits) AS all_visits
FROM cross_breakdown
WHERE site = {site:String} AND dimension_a = {of:String} AND value_a = {value:String}
    AND dimension_b IN {dimensions:Array(String)} AND day BETWEEN {first:Date} AND {last:Date}
GROUP BY dimension_b, parent_b, value_b
ORDER BY dimension_b, all_visitors DESC, all_visits DESC, parent_b, value_b
LIMIT {limit:UInt16} BY dimension_b
