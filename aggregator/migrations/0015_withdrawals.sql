-- Whose open rows a drainer is looking for. In memory alone: a token in a file would have to be destroyed again.
CREATE TABLE IF NOT EXISTS withdrawals
(
    drainer UInt64,
    site String,
    generation UInt64,
    visitor UInt64,
    at DateTime64(3, 'UTC')
)
ENGINE = Memory
