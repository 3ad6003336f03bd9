-- The commit records: a day's rows count once its seal is here; of two for one key the earliest is the one.
CREATE TABLE IF NOT EXISTS seals
(
    day Date,
    timezone LowCardinality(String),
    origin LowCardinality(String),
    seal UInt64,
    committed_at DateTime64(3, 'UTC') DEFAULT now64(3),
    events UInt64,
    bounded UInt64,
    k UInt16,
    level LowCardinality(String),
    days UInt16
)
ENGINE = MergeTree
ORDER BY (timezone, day, origin, seal)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1,
    non_replicated_deduplication_window = 1000
