-- Totals of a sealed day, by span of hours; hour 24 is the whole period. Rows count once their seal is committed.
CREATE TABLE IF NOT EXISTS trend_rows
(
    day Date,
    timezone LowCardinality(String),
    seal UInt64,
    keep_until Date,
    site LowCardinality(String),
    hour UInt8,
    span UInt8,
    visitors UInt32 CODEC(T64, ZSTD),
    visits UInt32 CODEC(T64, ZSTD),
    views UInt32 CODEC(T64, ZSTD),
    events UInt32 CODEC(T64, ZSTD),
    bounces UInt32 CODEC(T64, ZSTD),
    engaged_s UInt32 CODEC(T64, ZSTD)
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (site, day, hour)
TTL keep_until
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1
