-- The cells of two dimensions of a day while it is sealed, as counted, each of k networks: in memory alone, as numbers not
-- rounded yet must be. `code_a` and `code_b` are the numbers of values in sql/crossed_values.sql.
CREATE TABLE IF NOT EXISTS counted_crosses
(
    day Date,
    timezone LowCardinality(String),
    seal UInt64,
    gathered DateTime('UTC') DEFAULT now(),
    site LowCardinality(String),
    dimension_a LowCardinality(String),
    code_a UInt16,
    dimension_b LowCardinality(String),
    code_b UInt16,
    k UInt16,
    cell_networks UInt64,
    all_visitors UInt64,
    all_visits UInt64
)
ENGINE = Memory
