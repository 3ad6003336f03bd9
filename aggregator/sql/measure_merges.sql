-- The union of several cells, within one generation: sets are united, so that who is in two of them counts once.
uniqExactMergeState(networks) AS networks,
uniqExactMergeState(viewing) AS viewing,
uniqExactMergeState(acting) AS acting,
uniqExactMergeState(engaging) AS engaging,
uniqExactMergeState(bouncing) AS bouncing,
uniqExactMergeState(staying) AS staying,
uniqExactMergeState(visitor_set) AS visitor_set,
uniqExactMergeState(visit_set) AS visit_set,
sum(view_count) AS view_count,
sum(event_count) AS event_count,
sum(bounce_count) AS bounce_count,
sum(engaged_sum) AS engaged_sum
