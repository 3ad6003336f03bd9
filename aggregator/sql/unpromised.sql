-- Drainers seen lately that have not promised to leave a day alone; one that never spoke of the time zone has not.
SELECT drainer, toUnixTimestamp64Milli(max(seen_at))
FROM drains FINAL
GROUP BY drainer
HAVING max(seen_at) >= fromUnixTimestamp64Milli({since_ms:Int64})
    AND countIf(timezone = {timezone:String} AND closed_through >= {day:Date} AND NOT has(reopened, {day:Date})) = 0
