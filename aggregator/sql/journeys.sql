-- The counted rows, with what came before each of them within its visitor's day. `reached`: of each funnel the step that its
-- visit had come to. Every step is a row of its own, the first one that matches after the row of the step before. `met`:
-- the variants that its visitor had been shown, in that order; of each experiment the first one counts all day.
-- Rows that count are 35 a visitor at most (30 views and 5 events), so the arrays hold all of them.
SELECT *,
    arrayMap(
        funnel -> arrayFold(
            (step, bits) -> toUInt8(step + bitTest(bits[funnel], step)),
            arrayMap(one -> one.2, arrayFilter(one -> one.1 = visit, steps)),
            toUInt8(0)),
        arrayEnumerate(matching)) AS reached
FROM
(
    SELECT *,
        groupArrayIf(35)((visit, matching), takes_part AND arrayExists(bits -> bits > 0, matching)) OVER so_far AS steps,
        splitByChar(',', arrayStringConcat(groupArrayIf(35)(variant, takes_part AND variant != '') OVER so_far, ',')) AS met
    FROM
    (
        SELECT *,
            used AND visitor != 0 AND kind IN ('view', 'event') AS takes_part,
            -- include: matching
            AS matching
        FROM
        (
            -- include: counted_rows
        )
    )
    WINDOW so_far AS (
        PARTITION BY site, generation, visitor
        ORDER BY at, arrival.2, arrival.3
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
)
