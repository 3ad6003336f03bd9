-- Whether a site has a sealed day: one with numbers, or one whose accepted requests were too few for any.
SELECT 1
FROM
(
    SELECT day FROM trend WHERE site = {site:String}
    UNION ALL
    SELECT day FROM coverage_totals
    WHERE site = {site:String} AND outcome = 'accepted' AND requests > 0
        AND day IN (SELECT day FROM committed_seals WHERE timezone IN {timezones:Array(String)})
)
LIMIT 1
