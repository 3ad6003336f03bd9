-- Of some of a day's visitors each visit, by clock hour: who, from where, with what, and what counts of it (`deeds`). Rows that
-- do not count are in `rows_read` and `rows_bounded` alone. What a visitor changes within a visit makes a further row.
-- What a day has of before its own midnight (a site that went over to this time zone) is of its first hour.
-- Visits are found with a hash in place of a visitor's look and a visit's origin, and these are looked up afterwards: to sort
-- 13 columns of text along takes as long as all the rest.
INSERT INTO gathered_visits
    (day, timezone, seal, site, generation, visitor, network, visit, clock_hour, bounced, entry_page, exit_page, deepest,
    present, views, events, engaged_ms, rows_read, rows_bounded, deeds,
    source, channel, campaign,
    country, browser, browser_version, os, os_version, device, screen, language, network_operator)
SELECT {day:Date}, {timezone:String}, {seal:UInt64}, site, generation, visitor, network, visit, clock_hour, bounced,
    entry_page, exit_page, deepest, present, view_count, event_count, engaged_sum, rows_read, rows_bounded, deeds,
    source, channel, campaign,
    country, browser, browser_version, os, os_version, device, screen, language, network_operator
FROM
(
    SELECT site, generation, visitor, network, visit,
        {hours:Array(UInt8)}[greatest(intDiv(toUnixTimestamp(at) - {starts_at:Int64}, 900), 0) + 1] AS clock_hour,
        never_grown AS bounced, entry_page, exit_page, deepest, entry_origin AS origin, look,
        countIf(used AND kind IN ('view', 'event')) > 0 AS present,
        countIf(used AND kind = 'view') AS view_count,
        countIf(used AND kind = 'event') AS event_count,
        sumIf(engaged_ms, used) AS engaged_sum,
        count() AS rows_read,
        countIf(bounded) AS rows_bounded,
        groupArrayIf((kind, name, path, properties, loyalty, engaged_ms, variant,
            -- include: journey
            , came_from), used) AS deeds
    FROM
    (
        -- include: counted_rows
    )
    GROUP BY site, generation, visitor, network, visit, clock_hour, bounced, entry_page, exit_page, deepest, origin, look
) AS visits
INNER JOIN
(
    SELECT look,
        any(country) AS country, any(browser) AS browser, any(browser_version) AS browser_version, any(os) AS os,
        any(os_version) AS os_version, any(device) AS device, any(screen) AS screen, any(language) AS language,
        any(network_operator) AS network_operator
    FROM
    (
        SELECT *,
            -- include: look
        FROM open_events
        WHERE day = {day:Date} AND timezone = {timezone:String}
            -- include: which
    )
    GROUP BY look
) AS looks USING look
-- A row of before the first visit has no origin.
LEFT JOIN
(
    SELECT origin,
        any(source) AS source, any(channel) AS channel, any(campaign) AS campaign
    FROM
    (
        SELECT *,
            -- include: origin
        FROM open_events
        WHERE day = {day:Date} AND timezone = {timezone:String}
            -- include: which
    )
    GROUP BY origin
) AS origins USING origin
