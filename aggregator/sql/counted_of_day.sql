-- Of each batch of a day: how many events are counted as something else than removed (see still_counted), and how many of
-- its open rows are of a site.
SELECT batch, if(max(is_decided), maxIf(events, is_decided), maxIf(events, NOT is_decided)), max(of_site)
FROM
(
    SELECT batch, count() AS events, countIf(site = {site:String}) AS of_site, false AS is_decided
    FROM open_events
    WHERE day = {day:Date} AND timezone = {timezone:String}
    GROUP BY batch
    UNION ALL
    SELECT batch, max(events) AS events, 0 AS of_site, true AS is_decided
    FROM batches
    WHERE day = {day:Date} AND timezone = {timezone:String}
        AND (outcome IN ('late', 'expired') OR (outcome = 'sealed' AND seal IN (SELECT seal FROM committed_seals)))
    GROUP BY batch
)
GROUP BY batch
