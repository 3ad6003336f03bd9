-- What became of each batch, by its identity: the drainer writes 'open' when a batch is in, the sealer the rest.
CREATE TABLE IF NOT EXISTS batches
(
    batch UInt64,
    day Date,
    timezone LowCardinality(String),
    events UInt32,
    outcome Enum8('open' = 1, 'sealed' = 2, 'late' = 3, 'expired' = 4),
    seal UInt64,
    at DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree
ORDER BY (batch, outcome, seal)
TTL at + INTERVAL 30 DAY WHERE outcome IN ('open', 'sealed')
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
