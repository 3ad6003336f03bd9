-- An open day while it is sealed: of each visitor's visit and clock hour one row, with what was done in it. In memory alone, and
-- gone before the seal is committed: a token in a file would have to be destroyed again.
CREATE TABLE IF NOT EXISTS gathered_visits
(
    day Date,
    timezone LowCardinality(String),
    seal UInt64,
    gathered DateTime('UTC') DEFAULT now(),
    site LowCardinality(String),
    generation UInt64,
    visitor UInt64,
    network UInt64,
    visit UInt64,
    clock_hour UInt8,
    bounced Bool,
    source LowCardinality(String),
    channel LowCardinality(String),
    campaign LowCardinality(String),
    entry_page String,
    exit_page String,
    deepest UInt8,
    country LowCardinality(String),
    browser LowCardinality(String),
    browser_version LowCardinality(String),
    os LowCardinality(String),
    os_version LowCardinality(String),
    device LowCardinality(String),
    screen LowCardinality(String),
    language LowCardinality(String),
    network_operator LowCardinality(String),
    present Bool,
    views UInt32,
    events UInt32,
    engaged_ms UInt64,
    rows_read UInt64,
    rows_bounded UInt64,
    deeds Array(Tuple(
        kind Enum8('view' = 1, 'event' = 2, 'leave' = 3, 'error' = 4),
        name String,
        path String,
        properties Map(String, String),
        loyalty String,
        engaged_ms UInt64,
        variant String,
        reached Array(UInt8),
        met Array(String)))
)
ENGINE = Memory
SETTINGS compress = 1
