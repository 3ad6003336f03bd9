-- Batches in the open partition of a day that their seal did not read.
SELECT batch, groupBitmap(position)
FROM open_events
WHERE day = {day:Date} AND timezone = {timezone:String}
    AND batch NOT IN (SELECT batch FROM batches WHERE outcome = 'sealed' AND seal = {seal:UInt64})
GROUP BY batch
