-- The union of several cells, within one generation: sets are united, so that who is in two of them counts once.
uniqExactMergeState(networks) AS networks,
groupUniqArrayMergeState({largest_k:UInt16})(viewing) AS viewing,
groupUniqArrayMergeState({largest_k:UInt16})(acting) AS acting,
groupUniqArrayMergeState({largest_k:UInt16})(engaging) AS engaging,
groupUniqArrayMergeState({largest_k:UInt16})(bouncing) AS bouncing,
groupUniqArrayMergeState({largest_k:UInt16})(staying) AS staying,
uniqExactMergeState(visitor_set) AS visitor_set,
uniqExactMergeState(visit_set) AS visit_set,
sum(view_count) AS view_count,
sum(event_count) AS event_count,
sum(bounce_count) AS bounce_count,
sum(engaged_sum) AS engaged_sum
