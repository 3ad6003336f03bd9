-- A site's values of some dimensions, the most visited first; sums over days are of visitor-days.
SELECT dimension, parent, value, sum(visitors) AS all_visitors, sum(visits), sum(views) AS all_views, sum(events), sum(bounces), sum(engaged_s)
FROM breakdown
WHERE site = {site:String} AND dimension IN {dimensions:Array(String)} AND day BETWEEN {first:Date} AND {last:Date}
GROUP BY dimension, parent, value
ORDER BY dimension, all_visitors DESC, all_views DESC, parent, value
LIMIT {limit:UInt16} BY dimension
