-- The gathered visits of a day while it is crossed, with a number in place of each value that its lists show: `codes` in the
-- order of the dimensions that a whole visit has, `pages` and `names` of what was viewed and done, `on_page` of what was done
-- on a page that was viewed. In memory alone, as gathered visits are.
CREATE TABLE IF NOT EXISTS crossed_visits
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
    codes Array(UInt16),
    pages Array(UInt16),
    names Array(UInt16),
    on_page Array(Tuple(page UInt16, name UInt16))
)
ENGINE = Memory
SETTINGS compress = 1
