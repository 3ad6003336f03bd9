-- How large the sets of a cell are, of one generation.
(finalizeAggregation(networks), length(finalizeAggregation(viewing)), length(finalizeAggregation(acting)),
    length(finalizeAggregation(engaging)), length(finalizeAggregation(bouncing)), length(finalizeAggregation(staying)),
    finalizeAggregation(visitor_set), finalizeAggregation(visit_set))::Tuple(
        networks UInt64, viewing UInt64, acting UInt64, engaging UInt64, bouncing UInt64, staying UInt64,
        visitors UInt64, visits UInt64)
