-- One sealed day by every dimension: each cell that k networks reached, and the rest of each parent under the same rule.
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
        -- include: dimensions
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
-- A shown rest makes a sum complete. Where that would bind the whole (sql/binding), the rest is not shown. A dimension
-- within another has no rest of its own: each value of the other is a whole, with a rest.
summed AS
(
    SELECT *,
        value = '(other)' AND upper = whole AS is_rest,
        -- include: binding
    FROM
    (
        SELECT *,
            if(has({exact:Array(String)}, site), 1, k) AS step,
            if(dimension IN {nested:Array(String)}, upper, '') AS whole,
            -- include: components
        FROM totals
        WHERE NOT (dimension IN {nested:Array(String)} AND upper = '')
    )
    WINDOW parts AS (PARTITION BY site, dimension, whole)
)
SELECT {day:Date}, {timezone:String}, {seal:UInt64}, transform(site, {sites:Array(String)}, {kept_until:Array(Date)}, {day:Date}),
    site, dimension, upper, value,
    -- include: published
FROM summed
WHERE NOT (is_rest AND binds)
