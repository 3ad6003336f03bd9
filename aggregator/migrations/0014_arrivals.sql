-- What became of each site's last request, for the page that waits for a first event: one row per spool, a day at most.
-- Neither an address nor anything that was sent is in it.
CREATE TABLE IF NOT EXISTS arrivals
(
    site LowCardinality(String),
    spool UInt64,
    at DateTime64(3, 'UTC'),
    outcome LowCardinality(String),
    reason LowCardinality(String),
    behind_one_network Bool
)
ENGINE = ReplacingMergeTree(at)
ORDER BY (site, spool)
TTL toDateTime(at) + INTERVAL 1 DAY
SETTINGS old_parts_lifetime = 1, merge_with_ttl_timeout = 3600
