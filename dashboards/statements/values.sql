-- A site's values of one dimension, the most visited first; sums over days are of visitor-days.
SELECT parent, value, sum(visitors) AS all_visitors, sum(visits), sum(views) AS all_views, sum(events), sum(bounces), sum(engaged_s)
FROM breakdown
WHERE site = {site:String} AND dimension = {dimension:String} AND day BETWEEN {first:Date} AND {last:Date}
GROUP BY parent, value
ORDER BY all_visitors DESC, all_views DESC, parent, value
LIMIT {limit:UInt16}
