-- A site's open day as it stood, cell by cell, when the last full group of k networks was complete: networks of the
-- cell's largest generation, in the order in which they were received.
WITH
cells AS
(
    SELECT *, cell.1 AS dimension, cell.2 AS parent, cell.3 AS value
    FROM
    (
        -- include: counted_rows
    )
    ARRAY JOIN [
        -- include: cells
    ] AS cell
    WHERE used AND value != ''
),
arrivals AS
(
    SELECT dimension, parent, value, generation, arraySort(groupArray(first_arrival)) AS in_order
    FROM
    (
        SELECT dimension, parent, value, generation, network, min(arrival) AS first_arrival
        FROM cells
        WHERE network != 0 AND kind != 'leave'
        GROUP BY dimension, parent, value, generation, network
    )
    GROUP BY dimension, parent, value, generation
),
groups AS
(
    SELECT dimension, parent, value,
        argMax(in_order, (length(in_order), generation)) AS largest,
        length(largest) AS all_networks,
        intDiv(length(largest), {k:UInt16}) AS complete,
        largest[complete * {k:UInt16}] AS completed_at
    FROM arrivals
    GROUP BY dimension, parent, value
    HAVING complete > 0
),
standing AS
(
    SELECT dimension, parent, value, generation, all_networks, complete,
        -- include: measure_states
    FROM
    (
        SELECT cells.*, all_networks, complete, grown_at > completed_at AS bounced,
            -- include: row_measures
        FROM cells
        INNER JOIN groups USING (dimension, parent, value)
        WHERE arrival <= completed_at
    )
    GROUP BY dimension, parent, value, generation, all_networks, complete
),
totals AS
(
    SELECT dimension, parent, value, all_networks, complete, toUInt16({k:UInt16}) AS k,
        -- include: measure_totals
    FROM
    (
        SELECT *,
            -- include: measure_numbers
            AS numbers
        FROM standing
    )
    GROUP BY dimension, parent, value, all_networks, complete
    HAVING cell_networks >= k
)
SELECT dimension, parent, value, all_networks, complete,
    intDiv(all_visitors, k) * k, intDiv(all_visits, k) * k, intDiv(all_views, k) * k, intDiv(all_events, k) * k,
    intDiv(all_bounces, k) * k, intDiv(all_engaged_s, k) * k
FROM totals
ORDER BY dimension, all_visitors DESC, all_views DESC, value
LIMIT {longest:UInt32} BY dimension
