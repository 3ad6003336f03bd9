-- Which rows of an open day a drainer is deleting, by batch and position: no token, and nothing of a mutation's text tells one.
CREATE TABLE IF NOT EXISTS withdrawn_rows
(
    drainer UInt64,
    deletion UInt64,
    batch UInt64,
    position UInt32
)
ENGINE = Memory
