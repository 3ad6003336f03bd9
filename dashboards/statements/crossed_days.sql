-- The days on which a site has anything by one dimension and another.
SELECT DISTINCT day
FROM cross_breakdown
WHERE site = {site:String} AND dimension_a = {of:String} AND day BETWEEN {first:Date} AND {last:Date}
