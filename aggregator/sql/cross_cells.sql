-- One sealed day by two dimensions at a time: the cells that were counted, rounded, as far as sums tell nobody apart
-- (docs/subtraction.md, "Two dimensions at a time"). `adds` has of each cell, value and whole what is added up: visitors, their
-- further visits, visits. A cell is here once in each direction: as one of the cells along dimension a within the line of
-- its value b.
INSERT INTO cross_rows
    (day, timezone, seal, keep_until, site, dimension_a, parent_a, value_a, dimension_b, parent_b, value_b, visitors, visits)
WITH
shown_values AS
(
    SELECT site, dimension, code, parent, value,
        [visitors, visits - visitors, visits]::Array(Int64) AS adds,
        {units:Array(UInt8)}[indexOf({crossed:Array(String)}, dimension)] AS unit
    FROM
    (
        -- include: crossed_values
    )
),
cells AS
(
    SELECT site, cell_networks, step, visitors, visits, adds,
        direction.1 AS dimension_a, direction.2 AS code_a, direction.3 AS dimension_b, direction.4 AS code_b
    FROM
    (
        SELECT site, cell_networks, if(has({exact:Array(String)}, site), 1, k) AS step,
            intDiv(all_visitors, step) * step AS visitors,
            visitors + intDiv(all_visits - all_visitors, step) * step AS visits,
            [visitors, visits - visitors, visits]::Array(Int64) AS adds,
            [
                (dimension_a, code_a, dimension_b, code_b),
                (dimension_b, code_b, dimension_a, code_a)
            ] AS directions
        FROM counted_crosses
        WHERE seal = {seal:UInt64} AND site IN {sites:Array(String)}
    )
    ARRAY JOIN directions AS direction
),
named AS
(
    SELECT cells.site AS site, dimension_a, code_a, dimension_b, code_b, cell_networks, step, visitors, visits, cells.adds AS adds,
        total.adds AS whole,
        if(dimension_a < dimension_b, (dimension_a, code_a, dimension_b, code_b), (dimension_b, code_b, dimension_a, code_a)) AS cell,
        a.parent AS parent_a, a.value AS value_a, a.adds AS own, a.unit AS unit_a,
        b.parent AS parent_b, b.value AS value_b, b.adds AS line, b.unit AS unit_b
    FROM cells
    INNER JOIN shown_values AS a ON a.site = cells.site AND a.dimension = dimension_a AND a.code = code_a
    INNER JOIN shown_values AS b ON b.site = cells.site AND b.dimension = dimension_b AND b.code = code_b
    INNER JOIN
    (
        SELECT site, [visitors, visits - visitors, visits]::Array(Int64) AS adds
        FROM trend_rows
        WHERE day = {day:Date} AND timezone = {timezone:String} AND seal = {seal:UInt64} AND hour = 24
    ) AS total ON total.site = cells.site
),
-- Cells of a line that share no visit are together never more than the line.
within_lines AS
(
    SELECT * EXCEPT exceeds_line
    FROM
    (
        SELECT *,
            unit_a > 0 AND sum(visits) OVER so_far > line[3] AS exceeds_line
        FROM named
        WINDOW so_far AS (
            PARTITION BY site, dimension_a, dimension_b, code_b
            ORDER BY cell_networks DESC, code_a
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    )
    QUALIFY max(exceeds_line) OVER (PARTITION BY site, cell) = 0
),
-- What a value has beside the line that it crosses, at least, and what other lines hold for sure. Values, and lines, can be
-- added up where each visitor, or each visit, is in one of them.
beside_lines AS
(
    SELECT *,
        [unit_a = 2, unit_a = 2 OR unit_a + unit_b = 3, unit_a > 0] AS add_up,
        [unit_a + unit_b = 4, unit_a + unit_b >= 3, unit_a > 0 AND unit_b > 0] AS cells_add_up,
        arrayMap((of_value, of_cell, of_cells, may_be_more, is_apart) -> greatest(of_value - if(is_apart, of_cells, of_cell) - may_be_more, 0),
            own, adds, sumForEach(adds) OVER (PARTITION BY site, dimension_a, dimension_b, code_a),
            [step - 1, step - 1, 2 * (step - 1)]::Array(Int64), cells_add_up) AS beside,
        arrayMap((of_all, of_line, is_apart) -> if(is_apart, of_all - of_line, 0),
            sumForEach(adds) OVER (PARTITION BY site, dimension_a, dimension_b),
            sumForEach(adds) OVER (PARTITION BY site, dimension_a, dimension_b, code_b), cells_add_up) AS elsewhere
    FROM within_lines
),
-- A line and the values that it crosses are together never more than the whole.
within_whole AS
(
    SELECT *
    FROM
    (
        SELECT *,
            arrayExists((adds_up, one, so_far, of_line, in_others, of_all) -> one > 0 AND of_line + in_others + if(adds_up, so_far, one) > of_all,
                add_up, beside, sumForEach(beside) OVER so_far, line, elsewhere, whole) AS exceeds_whole
        FROM beside_lines
        WINDOW so_far AS (
            PARTITION BY site, dimension_a, dimension_b, code_b
            ORDER BY cell_networks DESC, code_a
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    )
    QUALIFY max(exceeds_whole) OVER (PARTITION BY site, cell) = 0
)
SELECT {day:Date}, {timezone:String}, {seal:UInt64}, transform(site, {sites:Array(String)}, {kept_until:Array(Date)}, {day:Date}),
    site, dimension_a, parent_a, value_a, dimension_b, parent_b, value_b, visitors, visits
FROM within_whole
