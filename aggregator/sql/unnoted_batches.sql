-- Batches of an open day of which it is not noted that they became what they should.
SELECT DISTINCT batch
FROM open_events
WHERE day = {day:Date} AND timezone = {timezone:String}
    AND batch NOT IN (SELECT batch FROM batches WHERE outcome = {outcome:String} AND seal = {seal:UInt64})
