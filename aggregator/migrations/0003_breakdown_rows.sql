-- A sealed day by one dimension. `parent` is the value one step up (a page's directory, a version's browser);
-- `(other)` is what was folded within that parent, or, with an empty parent, within the whole dimension.
CREATE TABLE IF NOT EXISTS breakdown_rows
(
    day Date,
    timezone LowCardinality(String),
    seal UInt64,
    keep_until Date,
    site LowCardinality(String),
    dimension LowCardinality(String),
    parent String,
    value String,
    visitors UInt32 CODEC(T64, ZSTD),
    visits UInt32 CODEC(T64, ZSTD),
    views UInt32 CODEC(T64, ZSTD),
    events UInt32 CODEC(T64, ZSTD),
    bounces UInt32 CODEC(T64, ZSTD),
    engaged_s UInt32 CODEC(T64, ZSTD)
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (site, dimension, day, parent, value)
TTL keep_until
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1
