-- The open rows of a day with what counting needs to know of each: its visit, that visit's entry, and whether it counts.
-- Visits: 30 minutes of silence end one; views and events open one. Bounds per visitor: 30 views, 10 pages, 5 events,
-- 10 errors, 2 sources; 30 minutes of engagement a visit. A row over a bound is `bounded`; what is not `used` is read, no more.
-- `came_from`, of a view: the page of the view before that counts, where that is of the same visit and another page, else ''.
-- `arrival` is the order in which rows were received; at `grown_at` the visit ceased to be a bounce (one view, no event).
-- Every window but the last looks back only, so that what is said of a row does not change with the rows after it; but
-- `exit_page` and `deepest` do: the deepest quarter of a page that the visit scrolled to, 1 to 4, or 0 where none was told.
-- All windows have one partition and one order, hence one sort, which is what this costs: a visit is told by what was so
-- far less what was when it opened. `actor`, a number, comes first, and sets are of hashes: 1,000,000 rows of 100,000
-- visitors take 3.2 s of processor time; with windows of a visit's own they took 4.9 s. What is sorted along is computed in a
-- query of its own (`read`: what the caller wants to know of a row, with its `origin`): otherwise the engine sorts what it is
-- computed from.
SELECT
    day, site, at, arrival, generation, visitor, network, kind, name, path, properties, loyalty, variant, entry_page,
    -- include: known
    if(kind = 'view' AND seen_before.1 = visit_number AND seen_before.2 != path, seen_before.2, '') AS came_from,
    -- The last page of a visit is known when the next one opens, or at the end of the day.
    if(visit_number <= length(exits), exits[visit_number], last_page) AS exit_page,
    arrayMax(arrayPushBack(arrayMap(one -> one.2, arrayFilter(one -> one.1 = visit_number, quarters)), 0)) AS deepest,
    visitor + visit_number AS visit,
    -- The visit's own growth: the last so far, or, of a visit that has not grown yet, the one after.
    growths_so_far + if(grown, 0, 1) AS growth,
    grown_visits[growth] != visit_number AS never_grown,
    if(never_grown, (toDateTime('2106-02-07 06:28:15', 'UTC'), toUInt64(-1), toUInt32(-1)), growths[growth]) AS grown_at,
    least(engaged_in_visit, 1800000) - least(engaged_in_visit - engagement, 1800000) AS engaged_ms,
    over_bound OR (visit_number > 0 AND NOT has(first_origins, sipHash64(entry_origin))) AS bounded,
    multiIf(visitor = 0, kind = 'view', visit_number > 0 AND NOT bounded) AS used
FROM
(
    SELECT *,
        countIf(grows) OVER so_far AS growths_so_far,
        anyLastIf((visit_number, path), kind = 'view' AND NOT over_bound) OVER before AS seen_before,
        -- A week has room for 338 visits, one in 30 minutes.
        groupArrayIf(338)(visit_number, grows) OVER always AS grown_visits,
        groupArrayIf(338)(arrival, grows) OVER always AS growths,
        groupArrayIf(338)(page_before, opens AND visit_number > 1) OVER always AS exits,
        anyLast(page_so_far) OVER always AS last_page,
        groupUniqArrayIf(200)((visit_number, intDiv(scroll + 24, 25)), scroll > 0 AND NOT over_bound) OVER always AS quarters
    FROM
    (
        SELECT *,
            sum(opens) OVER so_far AS visit_number,
            anyLastIf(origin, opens) OVER so_far AS entry_origin,
            anyLastIf(path, opens) OVER so_far AS entry_page,
            lagInFrame(page_so_far) OVER so_far AS page_before,
            groupUniqArrayIf(2)(sipHash64(origin), opens) OVER so_far AS first_origins,
            engaged - maxIf(engaged, opens) OVER so_far AS engaged_in_visit,
            views - maxIf(views - (kind = 'view'), opens) OVER so_far AS views_in_visit,
            events - maxIf(events - (kind = 'event'), opens) OVER so_far AS events_in_visit,
            views_in_visit > 1 OR events_in_visit > 0 AS grown,
            multiIf(
                kind = 'view', views_in_visit = 2 AND events_in_visit = 0,
                kind = 'event', events_in_visit = 1 AND views_in_visit < 2,
                false) AS grows
        FROM
        (
            SELECT *,
                if(kind = 'leave', engaged_ms, 0) AS engagement,
                countIf(kind = 'view') OVER so_far AS views,
                countIf(kind = 'event') OVER so_far AS events,
                countIf(kind = 'error') OVER so_far AS errors,
                sum(engagement) OVER so_far AS engaged,
                anyLastIf(path, kind IN ('view', 'event')) OVER so_far AS page_so_far,
                at - lagInFrame(at) OVER so_far AS silence_s,
                kind IN ('view', 'event') AND (views + events = 1 OR silence_s > 1800) AS opens,
                groupUniqArrayIf(10)(page, kind = 'view') OVER so_far AS first_pages,
                multiIf(
                    kind = 'view', views > 30 OR NOT has(first_pages, page),
                    kind = 'event', events > 5,
                    kind = 'error', errors > 10,
                    kind = 'leave', NOT has(first_pages, page),
                    false) AS over_bound
            FROM
            (
                SELECT *,
                    -- include: read
                    (inserted, batch, position) AS arrival,
                    -- A row without a visitor stands alone.
                    if(visitor = 0, sipHash64(batch, position), visitor) AS actor,
                    sipHash64(path) AS page
                FROM open_events
                WHERE day = {day:Date} AND timezone = {timezone:String}
                    -- include: which
            )
            WINDOW so_far AS (
                PARTITION BY actor, site, generation
                -- include: order
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
        )
        WINDOW so_far AS (
            PARTITION BY actor, site, generation
            -- include: order
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    )
    WINDOW so_far AS (
            PARTITION BY actor, site, generation
            -- include: order
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW),
        before AS (
            PARTITION BY actor, site, generation
            -- include: order
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
        always AS (
            PARTITION BY actor, site, generation
            -- include: order
            ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
)
