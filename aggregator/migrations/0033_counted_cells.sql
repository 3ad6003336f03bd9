-- The cells of a day while it is sealed, as counted, each of k networks: in memory alone, as numbers not rounded yet must be.
CREATE TABLE IF NOT EXISTS counted_cells
(
    day Date,
    timezone LowCardinality(String),
    seal UInt64,
    gathered DateTime('UTC') DEFAULT now(),
    site LowCardinality(String),
    dimension LowCardinality(String),
    upper String,
    value String,
    k UInt16,
    cell_networks UInt64,
    all_visitors UInt64,
    all_visits UInt64,
    all_views UInt64,
    all_events UInt64,
    all_bounces UInt64,
    all_engaged_s UInt64
)
ENGINE = Memory
