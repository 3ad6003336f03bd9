-- A cell in which fewer than k rows are is of fewer than k networks: it takes no sets of its own.
WHERE (site, pair, code_a, code_b) IN
(
    SELECT site, pair, code_a, code_b
    FROM in_cells
    WHERE network != 0
    GROUP BY site, pair, code_a, code_b
    HAVING count() >= {least_k:UInt16}
)
