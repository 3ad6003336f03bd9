-- A site's days in total; what was imported into a day adds to it. The last column is the number of rows.
SELECT day, sum(visitors), sum(visits), sum(views), sum(events), sum(bounces), sum(engaged_s), count()
FROM trend
WHERE site = {site:String} AND day BETWEEN {first:Date} AND {last:Date} AND hour = 24
GROUP BY day
ORDER BY day
