-- The open rows of a day with what counting needs to know of each: its visit, that visit's entry, and whether it counts.
-- Visits: 30 minutes of silence end one; views and events open one. Bounds per visitor: 30 views, 10 pages, 5 events,
-- 2 sources; 30 minutes of engagement a visit. A row over a bound is `bounded`; what is not `used` is read, no more.
-- `arrival` is the order in which rows were received; at `grown_at` the visit ceased to be a bounce (one view, no event).
-- Every window but the last looks back only, so that what is said of a row does not change with the rows after it.
SELECT
    day, site, at, arrival, generation, visitor, network, kind, name, path,
    entry.1 AS source, entry.2 AS channel, entry.3 AS campaign,
    country, browser, browser_version, os, os_version, device, screen, language,
    visitor + visit_number AS visit,
    grown_at,
    least(engaged_so_far, 1800000) - least(engaged_so_far - engagement, 1800000) AS engaged_ms,
    over_bound OR (visit_number > 0 AND NOT has(first_entries, entry)) AS bounded,
    multiIf(kind = 'error', false, visitor = 0, kind = 'view', visit_number > 0 AND NOT bounded) AS used
FROM
(
    SELECT *,
        groupUniqArrayIf(2)(entry, visit_number > 0) OVER so_far AS first_entries,
        countIf(grown) OVER visit = 0 AS never_grown,
        if(never_grown, (toDateTime('2106-02-07 06:28:15', 'UTC'), toUInt64(-1), toUInt32(-1)), minIf(arrival, grown) OVER visit) AS grown_at
    FROM
    (
        SELECT *,
            first_value((source, channel, campaign)) OVER visit_so_far AS entry,
            sum(engagement) OVER visit_so_far AS engaged_so_far,
            countIf(kind = 'view') OVER visit_so_far > 1 OR countIf(kind = 'event') OVER visit_so_far > 0 AS grown
        FROM
        (
            SELECT *, sum(opens) OVER so_far AS visit_number
            FROM
            (
                SELECT *,
                    (inserted, batch, position) AS arrival,
                    -- A row without a visitor stands alone.
                    if(visitor = 0, sipHash64(batch, position), visitor) AS actor,
                    if(kind = 'leave', engaged_ms, 0) AS engagement,
                    countIf(kind IN ('view', 'event')) OVER so_far AS opening_rows,
                    at - lagInFrame(at) OVER so_far AS silence_s,
                    kind IN ('view', 'event') AND (opening_rows = 1 OR silence_s > 1800) AS opens,
                    groupUniqArrayIf(10)(path, kind = 'view') OVER so_far AS first_pages,
                    multiIf(
                        kind = 'view', countIf(kind = 'view') OVER so_far > 30 OR NOT has(first_pages, path),
                        kind = 'event', countIf(kind = 'event') OVER so_far > 5,
                        kind = 'leave', NOT has(first_pages, path),
                        false) AS over_bound
                FROM open_events
                WHERE day = {day:Date} AND timezone = {timezone:String}
                    -- include: which
                WINDOW so_far AS (
                    PARTITION BY site, generation, actor
                    -- include: order
                    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
            )
            WINDOW so_far AS (
                PARTITION BY site, generation, actor
                -- include: order
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
        )
        WINDOW visit_so_far AS (
            PARTITION BY site, generation, actor, visit_number
            -- include: order
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    )
    WINDOW so_far AS (
            PARTITION BY site, generation, actor
            -- include: order
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW),
        visit AS (PARTITION BY site, generation, actor, visit_number)
)
