-- What may be told of requests of days that are not over everywhere: their numbers as of a full hour (UTC), from a minute after it
-- on, and the numbers before. A row without an outcome says that the hour was taken.
CREATE TABLE IF NOT EXISTS coverage_rows
(
    day Date,
    site LowCardinality(String),
    outcome LowCardinality(String),
    reason LowCardinality(String),
    before UInt64,
    requests UInt64,
    as_of DateTime('UTC')
)
ENGINE = ReplacingMergeTree(as_of)
ORDER BY (site, day, outcome, reason)
TTL day + INTERVAL 4 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1,
    old_parts_lifetime = 1, cleanup_delay_period = 1, max_cleanup_delay_period = 1, cleanup_delay_period_random_add = 0,
    non_replicated_deduplication_window = 100
