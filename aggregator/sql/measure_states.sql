-- What is gathered of a cell within one generation: sets of networks, visitors and visits, and plain counts. No cell has
-- both events and errors.
uniqExactStateIf(network, network != 0 AND kind != 'leave') AS networks,
uniqExactStateIf(network, network != 0 AND kind = 'view') AS viewing,
uniqExactStateIf(network, network != 0 AND kind IN ('event', 'error')) AS acting,
uniqExactStateIf(network, network != 0 AND engaged_ms > 0) AS engaging,
uniqExactStateIf(network, network != 0 AND kind != 'leave' AND bounced) AS bouncing,
uniqExactStateIf(network, network != 0 AND kind != 'leave' AND NOT bounced) AS staying,
uniqExactStateIf(visitor, visitor != 0 AND kind != 'leave') AS visitor_set,
uniqExactStateIf(visit, visitor != 0 AND kind != 'leave') AS visit_set,
countIf(kind = 'view') AS view_count,
countIf(kind IN ('event', 'error')) AS event_count,
countIf(kind = 'view' AND bounced AND visitor != 0) AS bounce_count,
sum(engaged_ms) AS engaged_sum
