-- Batches noted as open longer ago than the fail-safe, of which nothing is in an open day and nothing was decided. Of a
-- batch with withdrawn rows the last note tells how many it has left, which is the fewest.
SELECT batch, day, timezone, min(events) AS events_left
FROM batches
WHERE outcome = 'open' AND at < now() - toIntervalDay(if(endsWith(timezone, '/week'), 10, 3))
    AND batch NOT IN
    (
        SELECT batch FROM batches
        WHERE outcome IN ('late', 'expired') OR (outcome = 'sealed' AND seal IN (SELECT seal FROM committed_seals))
    )
    AND batch NOT IN (SELECT batch FROM open_events)
GROUP BY batch, day, timezone
