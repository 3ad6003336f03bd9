-- The union of several cells, as measure_merges, of the rests alone: what is shown is one cell, of which its numbers are
-- known, and to unite its sets with nothing would take as much memory again.
uniqExactMergeStateIf(networks, NOT shown) AS networks,
groupUniqArrayMergeStateIf({largest_k:UInt16})(viewing, NOT shown) AS viewing,
groupUniqArrayMergeStateIf({largest_k:UInt16})(acting, NOT shown) AS acting,
groupUniqArrayMergeStateIf({largest_k:UInt16})(engaging, NOT shown) AS engaging,
groupUniqArrayMergeStateIf({largest_k:UInt16})(bouncing, NOT shown) AS bouncing,
groupUniqArrayMergeStateIf({largest_k:UInt16})(staying, NOT shown) AS staying,
uniqExactMergeStateIf(visitor_set, NOT shown) AS visitor_set,
uniqExactMergeStateIf(visit_set, NOT shown) AS visit_set,
sum(view_count) AS view_count,
sum(event_count) AS event_count,
sum(bounce_count) AS bounce_count,
sum(engaged_sum) AS engaged_sum,
any(known) AS known
