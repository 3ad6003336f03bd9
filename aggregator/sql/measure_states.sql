-- What is gathered of a cell within one generation: sets of networks, visitors and visits, and plain counts. Of the networks
-- that share one measure only whether they are k is asked: sets of at most k say that, also of their union.
uniqExactStateIf(network, network != 0 AND present) AS networks,
groupUniqArrayStateIf({largest_k:UInt16})(network, network != 0 AND views > 0) AS viewing,
groupUniqArrayStateIf({largest_k:UInt16})(network, network != 0 AND events > 0) AS acting,
groupUniqArrayStateIf({largest_k:UInt16})(network, network != 0 AND engaged_ms > 0) AS engaging,
groupUniqArrayStateIf({largest_k:UInt16})(network, network != 0 AND present AND bounced) AS bouncing,
groupUniqArrayStateIf({largest_k:UInt16})(network, network != 0 AND present AND NOT bounced) AS staying,
uniqExactStateIf(visitor, visitor != 0 AND present) AS visitor_set,
uniqExactStateIf(visit, visitor != 0 AND present) AS visit_set,
sum(views) AS view_count,
sum(events) AS event_count,
sumIf(views, bounced AND visitor != 0) AS bounce_count,
sum(engaged_ms) AS engaged_sum
