-- One day of a site by spans of hours, each with k networks of its own.
SELECT hour, span, sum(visitors), sum(visits), sum(views), sum(events), sum(bounces), sum(engaged_s)
FROM trend
WHERE site = {site:String} AND day = {day:Date} AND hour < 24
GROUP BY hour, span
ORDER BY hour, span
