-- A sealed day by two dimensions at a time: who is in both values. Each pair is here in both directions, so that all lists
-- beside one value lie side by side. No rests: what is not shown of a value is what its other cells leave.
CREATE TABLE IF NOT EXISTS cross_rows
(
    day Date,
    timezone LowCardinality(String),
    seal UInt64,
    keep_until Date,
    site LowCardinality(String),
    dimension_a LowCardinality(String),
    parent_a String CODEC(ZSTD),
    value_a String CODEC(ZSTD),
    dimension_b LowCardinality(String),
    parent_b String CODEC(ZSTD),
    value_b String CODEC(ZSTD),
    visitors UInt32 CODEC(T64, ZSTD),
    visits UInt32 CODEC(T64, ZSTD)
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (site, dimension_a, value_a, dimension_b, day, value_b)
TTL keep_until
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1,
    old_parts_lifetime = 1, cleanup_delay_period = 1, max_cleanup_delay_period = 1, cleanup_delay_period_random_add = 0
