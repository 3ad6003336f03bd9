-- Each drainer's promise for a time zone: "I shall insert no event of `closed_through` or an earlier day, but for the days in `reopened`."
CREATE TABLE IF NOT EXISTS drains
(
    drainer UInt64,
    timezone LowCardinality(String),
    closed_through Date,
    reopened Array(Date),
    seen_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(seen_at)
ORDER BY (drainer, timezone)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
