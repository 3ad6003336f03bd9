-- One sealed day by every dimension: each cell that k networks reached, and the rest of each parent under the same rule,
-- as far as sums with it tell nobody apart. The dimension '' is the day's total, written by trend_cells.
INSERT INTO breakdown_rows
    (day, timezone, seal, keep_until, site, dimension, parent, value, visitors, visits, views, events, bounces, engaged_s)
WITH
cells AS
(
    SELECT site, generation, cell.1 AS dimension, cell.2 AS parent, cell.3 AS value,
        -- include: measure_states
    FROM
    (
        SELECT *, never_grown AS bounced
        FROM
        (
            -- include: counted_rows
        )
        WHERE used
    )
    ARRAY JOIN [
        -- include: cells
    ] AS cell
    WHERE cell.3 != ''
    GROUP BY site, generation, dimension, parent, value
),
sized AS
(
    SELECT *,
        transform(site, {sites:Array(String)}, {ks:Array(UInt16)}, toUInt16(65535)) AS k,
        max(finalizeAggregation(networks)) OVER (PARTITION BY site, dimension, parent, value) AS size
    FROM cells
),
-- At most 2,000 values of a dimension, the largest by networks.
ranked AS
(
    SELECT *, dense_rank() OVER (PARTITION BY site, dimension ORDER BY size DESC, parent, value) AS place
    FROM sized
),
-- What is not shown joins the rest of its parent ...
folded AS
(
    SELECT site, k, dimension, parent, shown, if(shown, value, '(other)') AS rest, generation,
        -- include: measure_merges
    FROM (SELECT *, size >= k AND place <= 2000 AND value != '(other)' AS shown FROM ranked)
    GROUP BY site, k, dimension, parent, shown, rest, generation
),
-- ... and a rest that is too small joins that of the whole dimension.
refolded AS
(
    SELECT site, k, dimension, if(kept, parent, '') AS upper, if(kept, rest, '(other)') AS value, generation,
        -- include: measure_merges
    FROM
    (
        SELECT *,
            shown OR (parent != '' AND max(finalizeAggregation(networks)) OVER (PARTITION BY site, dimension, parent, rest) >= k) AS kept
        FROM folded
    )
    GROUP BY site, k, dimension, upper, value, generation
),
totals AS
(
    SELECT site, k, dimension, upper, value,
        -- include: measure_totals
    FROM refolded
    GROUP BY site, k, dimension, upper, value
    HAVING cell_networks >= k
),
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
            FROM (SELECT *, has({overlapping:Array(String)}, dimension) AS overlaps FROM totals)
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
