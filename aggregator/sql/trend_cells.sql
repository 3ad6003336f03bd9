-- One sealed day of each site in total (hour 24) and by span of hours, each of which k networks reached.
INSERT INTO trend_rows
    (day, timezone, seal, keep_until, site, hour, span, visitors, visits, views, events, bounces, engaged_s)
WITH
cells AS
(
    SELECT site, generation, clock_hour,
        -- include: measure_states
    FROM gathered_visits
    WHERE seal = {seal:UInt64} AND site IN {sites:Array(String)}
    GROUP BY site, generation, clock_hour
),
placed AS
(
    SELECT *,
        transform(site, {sites:Array(String)}, {ks:Array(UInt16)}, toUInt16(65535)) AS k,
        {starts:Array(Array(UInt8))}[indexOf({sites:Array(String)}, site)] AS starts,
        arrayMax(arrayFilter(start -> start <= clock_hour, starts)) AS first_hour,
        arrayMin(arrayPushBack(arrayFilter(start -> start > clock_hour, starts), 24)) AS next_hour
    FROM cells
),
spans AS
(
    SELECT site, k, part.1 AS hour, part.2 AS span, generation,
        -- include: measure_merges
    FROM placed
    ARRAY JOIN [(toUInt8(24), toUInt8(24)), (toUInt8(first_hour), toUInt8(next_hour - first_hour))] AS part
    GROUP BY site, k, hour, span, generation
),
totals AS
(
    SELECT site, k, hour, span,
        -- include: measure_totals
    FROM
    (
        SELECT *,
            -- include: measure_numbers
            AS numbers
        FROM spans
    )
    GROUP BY site, k, hour, span
    HAVING cell_networks >= k
),
-- The spans divide the day's views, events, bounces and engaged time; its visitors and visits are in one of them at least.
summed AS
(
    SELECT *,
        -- include: sums
    FROM
    (
        SELECT *,
            measures AS adds,
            hour = 24 AS is_whole,
            [0, 0, 1, 1, 1, 1] AS divided,
            [1, 1, 1, 1, 1, 1] AS covered,
            -- include: shown
        FROM
        (
            SELECT *, if(has({exact:Array(String)}, site), 1, k) AS step,
                -- include: components
            FROM totals
        )
    )
    WINDOW list AS (PARTITION BY site),
        so_far AS (
            PARTITION BY site
            ORDER BY is_whole DESC, cell_networks DESC, hour
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
)
SELECT {day:Date}, {timezone:String}, {seal:UInt64},
    least(
        transform(site, {sites:Array(String)}, {kept_until:Array(Date)}, {day:Date}),
        if(hour = 24, toDate('2149-06-06'), addMonths({day:Date}, 13))),
    site, hour, span, visitors, visits, views, events, bounces, engaged_s
FROM
(
    SELECT *, NOT is_whole AND row_number() OVER (PARTITION BY site, is_whole ORDER BY cell_networks, hour) = 1 AS is_least
    FROM summed
)
WHERE is_whole OR NOT (exceeds OR (is_least AND binds))
