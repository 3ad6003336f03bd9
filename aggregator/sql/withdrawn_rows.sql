-- The rows of an open day whose visitors have withdrawn their consent since, oldest batches first.
SELECT batch, position
FROM open_events
INNER JOIN
(
    SELECT site, generation, visitor, max(at) AS until
    FROM withdrawals
    WHERE drainer = {drainer:UInt64}
    GROUP BY site, generation, visitor
) AS asked USING (site, generation, visitor)
WHERE day = {day:Date} AND timezone = {timezone:String} AND open_events.at <= until
    AND (site, visitor) IN (SELECT site, visitor FROM withdrawals WHERE drainer = {drainer:UInt64})
ORDER BY batch, position
LIMIT {most:UInt32}
