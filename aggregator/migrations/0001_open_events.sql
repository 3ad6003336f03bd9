-- The events of days not sealed yet: pseudonymous and short-lived. The TTL is a fail-safe on the time of
-- insertion, never on `day`: with `day` the engine would throw away rows of past days as they arrive.
CREATE TABLE IF NOT EXISTS open_events
(
    day Date,
    timezone LowCardinality(String),
    site LowCardinality(String),
    at DateTime64(3, 'UTC'),
    inserted DateTime('UTC') DEFAULT now(),
    batch UInt64,
    position UInt32,
    generation UInt64,
    visitor UInt64,
    network UInt64,
    kind Enum8('view' = 1, 'event' = 2, 'leave' = 3, 'error' = 4),
    name LowCardinality(String),
    hostname LowCardinality(String),
    path String,
    source LowCardinality(String),
    channel LowCardinality(String),
    campaign LowCardinality(String),
    country LowCardinality(String),
    browser LowCardinality(String),
    browser_version LowCardinality(String),
    os LowCardinality(String),
    os_version LowCardinality(String),
    device LowCardinality(String),
    screen LowCardinality(String),
    language LowCardinality(String),
    network_operator LowCardinality(String),
    variant LowCardinality(String),
    properties Map(LowCardinality(String), String),
    engaged_ms UInt32,
    scroll UInt8
)
ENGINE = MergeTree
PARTITION BY (day, timezone)
ORDER BY (site, visitor, at)
TTL inserted + INTERVAL 3 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1,
    old_parts_lifetime = 1, cleanup_delay_period = 1, max_cleanup_delay_period = 1, cleanup_delay_period_random_add = 0,
    non_replicated_deduplication_window = 1000
