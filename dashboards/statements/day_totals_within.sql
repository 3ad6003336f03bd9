-- One value of a site by day; what was imported into a day adds to it. The last column is the number of rows.
SELECT day, sum(visitors), sum(visits), sum(views), sum(events), sum(bounces), sum(engaged_s), count()
FROM breakdown
WHERE site = {site:String} AND dimension = {of:String} AND value = {value:String} AND day BETWEEN {first:Date} AND {last:Date}
GROUP BY day
ORDER BY day
