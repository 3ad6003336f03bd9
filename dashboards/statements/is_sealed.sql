-- Whether a site has a sealed day: one with numbers, or one whose accepted requests were too few for any.
SELECT 1
FROM
(
    SELECT day FROM trend WHERE site = {site:String}
    UNION ALL
    SELECT day FROM coverage_totals
    WHERE site = {site:String} AND outcome = 'accepted' AND requests > 0
        AND day IN
        (
            -- The days of a week that begins on a Monday, or later where the site went over to weeks within one.
            SELECT day + arrayJoin(range(if(endsWith(timezone, '/week'), 8 - toDayOfWeek(day), 1)))
            FROM committed_seals
            WHERE timezone IN {timezones:Array(String)}
        )
)
LIMIT 1
