-- The sealer's mark on a day that it is about to seal: from here on a drainer counts that day's events as late.
CREATE TABLE IF NOT EXISTS closings
(
    day Date,
    timezone LowCardinality(String),
    closed_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree
ORDER BY (timezone, day)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
