-- The visitors of some sites by day, for the curves on the page of all sites.
SELECT site, day, sum(visitors)
FROM trend
WHERE site IN {sites:Array(String)} AND day BETWEEN {first:Date} AND {last:Date} AND hour = 24
GROUP BY site, day
ORDER BY site, day
