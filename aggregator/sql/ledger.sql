-- Where the events are that were drained, each batch in one place: sealed once a committed seal read it, else set aside
-- as late or expired, else open. Batches in `doubtful` still wait in a spool and count there.
WITH
    decided AS
    (
        SELECT
            batch, max(events) AS size,
            countIf(outcome = 'sealed') > 0 AS is_sealed,
            NOT is_sealed AND countIf(outcome = 'late') > 0 AS is_late
        FROM batches
        WHERE outcome IN ('late', 'expired') OR (outcome = 'sealed' AND seal IN (SELECT seal FROM committed_seals))
        GROUP BY batch
    )
SELECT
    (SELECT count() FROM open_events
        WHERE batch NOT IN (SELECT batch FROM decided) AND batch NOT IN {doubtful:Array(UInt64)}),
    (SELECT sum(events) FROM seals WHERE seal IN (SELECT seal FROM committed_seals))
        - (SELECT sumIf(size, is_sealed) FROM decided WHERE batch IN {doubtful:Array(UInt64)}),
    (SELECT sumIf(size, is_late) FROM decided WHERE batch NOT IN {doubtful:Array(UInt64)}),
    (SELECT sumIf(size, NOT is_sealed AND NOT is_late) FROM decided WHERE batch NOT IN {doubtful:Array(UInt64)})
