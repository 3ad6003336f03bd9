-- How many requests of a site had which outcome, each day's in tens.
SELECT outcome, reason, sum(requests) AS all_requests
FROM coverage
WHERE site = {site:String} AND day BETWEEN {first:Date} AND {last:Date}
GROUP BY outcome, reason
ORDER BY all_requests DESC, outcome, reason
