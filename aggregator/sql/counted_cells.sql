-- The cells of some dimensions that k networks reached, and the rest of each parent under the same rule, as counted.
INSERT INTO counted_cells
    (day, timezone, seal, site, dimension, upper, value, k,
    cell_networks, all_visitors, all_visits, all_views, all_events, all_bounces, all_engaged_s)
WITH
cells AS
(
    SELECT site, generation, is_rare, cell.1 AS dimension, cell.2 AS parent, if(is_rare, '(other)', cell.3) AS value,
        -- include: measure_states
    FROM
    (
        SELECT *,
            -- include: rare
        FROM
        (
            -- include: rows
        )
        WHERE cell.3 != '' AND site IN {sites:Array(String)}
    )
    GROUP BY site, generation, is_rare, dimension, parent, value
),
sized AS
(
    SELECT *,
        transform(site, {sites:Array(String)}, {ks:Array(UInt16)}, toUInt16(65535)) AS k,
        max(finalizeAggregation(networks)) OVER (PARTITION BY site, is_rare, dimension, parent, value) AS size
    FROM cells
),
-- At most 2,000 values of a dimension, the largest by networks.
ranked AS
(
    SELECT *, dense_rank() OVER (PARTITION BY site, dimension ORDER BY is_rare, size DESC, parent, value) AS place
    FROM sized
),
-- What is not shown joins the rest of its parent ...
folded AS
(
    SELECT site, k, dimension, parent, shown, if(shown, value, '(other)') AS rest, generation,
        -- include: rest_merges
    FROM
    (
        SELECT *, size >= k AND place <= 2000 AND value != '(other)' AS shown,
            -- include: measure_numbers
            AS known
        FROM ranked
    )
    GROUP BY site, k, dimension, parent, shown, rest, generation
),
-- ... and a rest that is too small joins that of the whole dimension.
refolded AS
(
    SELECT site, k, dimension, shown, if(kept, parent, '') AS upper, if(kept, rest, '(other)') AS value, generation,
        -- include: rest_merges
    FROM
    (
        SELECT *,
            shown OR (parent != '' AND max(finalizeAggregation(networks)) OVER (PARTITION BY site, dimension, parent, rest) >= k) AS kept
        FROM folded
    )
    GROUP BY site, k, dimension, shown, upper, value, generation
),
totals AS
(
    SELECT site, k, dimension, upper, value,
        -- include: measure_totals
    FROM
    (
        SELECT *,
            if(shown, known,
                -- include: measure_numbers
            ) AS numbers
        FROM refolded
    )
    GROUP BY site, k, dimension, upper, value
    HAVING cell_networks >= k
)
SELECT {day:Date}, {timezone:String}, {seal:UInt64}, site, dimension, upper, value, k,
    cell_networks, all_visitors, all_visits, all_views, all_events, all_bounces, all_engaged_s
FROM totals
