-- How many requests had which outcome: running totals per spool, of which the largest counts, so that repeating one is harmless.
CREATE TABLE IF NOT EXISTS coverage_totals
(
    day Date,
    site LowCardinality(String),
    outcome LowCardinality(String),
    reason LowCardinality(String),
    spool UInt64,
    requests SimpleAggregateFunction(max, UInt64)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (site, day, outcome, reason, spool)
TTL day + INTERVAL 25 MONTH
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
