-- Which rows of the trends a deletion is about, by site and day: in memory alone, so that a mutation's text, which stays in the
-- store's files, names no site.
CREATE TABLE IF NOT EXISTS doomed_rows
(
    deletion UInt64,
    site String,
    day Date
)
ENGINE = Memory
