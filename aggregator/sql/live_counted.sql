-- A development site's open day as counted: every row at once, with a group of one network.
SELECT dimension, parent, value, 0 AS all_networks, 0 AS complete, all_visitors, all_visits, all_views, all_events, all_bounces, all_engaged_s
FROM
(
    SELECT dimension, parent, value, toUInt16({k:UInt16}) AS k,
        -- include: measure_totals
    FROM
    (
        SELECT *,
            -- include: measure_numbers
            AS numbers
        FROM
        (
            SELECT generation, cell.1 AS dimension, cell.2 AS parent, cell.3 AS value,
                -- include: measure_states
            FROM
            (
                SELECT *, never_grown AS bounced,
                    -- include: row_measures
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
            GROUP BY generation, dimension, parent, value
        )
    )
    GROUP BY dimension, parent, value
    HAVING cell_networks >= k
)
ORDER BY dimension, all_visitors DESC, all_views DESC, value
LIMIT {longest:UInt32} BY dimension
