-- How many events of each batch are counted as something else than withdrawn: in an open day, or as read by a seal or set
-- aside. What was decided about a batch comes before its rows, which may not be dropped yet.
SELECT batch, if(max(is_decided), maxIf(events, is_decided), maxIf(events, NOT is_decided))
FROM
(
    SELECT batch, count() AS events, false AS is_decided
    FROM open_events
    WHERE day = {day:Date} AND timezone = {timezone:String} AND batch IN {batches:Array(UInt64)}
    GROUP BY batch
    UNION ALL
    SELECT batch, max(events) AS events, true AS is_decided
    FROM batches
    WHERE batch IN {batches:Array(UInt64)}
        AND (outcome IN ('late', 'expired') OR (outcome = 'sealed' AND seal IN (SELECT seal FROM committed_seals)))
    GROUP BY batch
)
GROUP BY batch
