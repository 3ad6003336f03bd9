-- Batches of an open day of which an event is there more than once. Most batches are cleared by a look that costs a tenth
-- of the exact one: they have no more rows than positions, and in the exclusive or of what is there twice nothing is left.
SELECT batch
FROM open_events
WHERE day = {day:Date} AND timezone = {timezone:String} AND batch IN
(
    SELECT batch
    FROM open_events
    WHERE day = {day:Date} AND timezone = {timezone:String}
    GROUP BY batch
    HAVING count() > max(position) + 1 OR groupBitXor(intHash64(position + 1)) = 0
)
GROUP BY batch
HAVING count() > groupBitmap(position)
ORDER BY batch
