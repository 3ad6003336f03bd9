-- How many rows a batch has in its open day, and how many different ones: by position, which names an event in its batch.
-- Of the last `within_s` seconds alone, by the store's clock, unless that is 0.
SELECT count(), groupBitmap(position)
FROM open_events
WHERE day = {day:Date} AND timezone = {timezone:String} AND batch = {batch:UInt64}
    AND ({within_s:UInt32} = 0 OR inserted >= now() - toIntervalSecond({within_s:UInt32}))
