-- Who may seal: of two rows for one epoch the earliest is the one. Kept for a day, by the time of insertion.
CREATE TABLE IF NOT EXISTS leases
(
    name LowCardinality(String),
    epoch UInt64,
    holder UInt64,
    acquired_at DateTime64(3, 'UTC'),
    inserted DateTime('UTC') DEFAULT now()
)
ENGINE = MergeTree
ORDER BY (name, epoch)
TTL inserted + INTERVAL 1 DAY
SETTINGS non_replicated_deduplication_window = 1000
