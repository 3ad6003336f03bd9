-- One sealed day by every dimension: the cells that were counted, rounded, as far as sums tell nobody apart. The dimension
-- '' is the day's total, written by trend_cells.
INSERT INTO breakdown_rows
    (day, timezone, seal, keep_until, site, dimension, parent, value, visitors, visits, views, events, bounces, engaged_s)
WITH
shown AS
(
    SELECT *,
        -- include: shown
    FROM
    (
        SELECT *, if(has({exact:Array(String)}, site), 1, k) AS step,
            -- include: components
        FROM
        (
            -- Of groups that overlap, only visitors and visits are nested in a way that rounding keeps.
            SELECT * REPLACE (
                if(overlaps, 0, all_views) AS all_views, if(overlaps, 0, all_events) AS all_events,
                if(overlaps, 0, all_bounces) AS all_bounces, if(overlaps, 0, all_engaged_s) AS all_engaged_s)
            FROM (SELECT *, has({overlapping:Array(String)}, dimension) AS overlaps FROM counted_cells)
            WHERE seal = {seal:UInt64} AND site IN {sites:Array(String)}
        )
    )
),
-- Each cell as a line of its list, and as the whole of the lists that divide it. A dimension within another has one list
-- for each value of that, with a rest, and no rest of them all.
listed AS
(
    SELECT *,
        indexOf({dimensions:Array(String)}, part.1) AS place,
        {divided:Array(Array(UInt8))}[place] AS divided,
        {covered:Array(Array(UInt8))}[place] AS covered,
        if({of_visitors:Array(UInt8)}[place], floors, measures) AS adds,
        part.1 AS dimension_listed, part.2 AS of_value, part.3 AS is_whole,
        value = '(other)' AND upper = of_value AS is_rest
    FROM shown
    ARRAY JOIN arrayConcat(
        [(dimension, if({within:Array(String)}[indexOf({dimensions:Array(String)}, dimension)] = '', '', upper), false)],
        arrayMap(
            name -> (name, if(dimension = '', '', value), true),
            arrayFilter((name, within) -> within = dimension, {dimensions:Array(String)}, {within:Array(String)}))
    ) AS part
    WHERE is_whole OR (dimension != '' AND (of_value != '' OR {within:Array(String)}[place] = ''))
),
summed AS
(
    SELECT *,
        -- include: sums
    FROM listed
    WINDOW list AS (PARTITION BY site, dimension_listed, of_value),
        so_far AS (
            PARTITION BY site, dimension_listed, of_value
            ORDER BY is_whole DESC, is_rest, cell_networks DESC, upper, value
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
)
SELECT {day:Date}, {timezone:String}, {seal:UInt64}, transform(site, {sites:Array(String)}, {kept_until:Array(Date)}, {day:Date}),
    site, dimension, upper, value, visitors, visits, views, events, bounces, engaged_s
FROM summed
WHERE NOT is_whole AND NOT exceeds AND NOT (is_rest AND binds)
