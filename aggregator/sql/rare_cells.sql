-- A value that fewer than k rows have is of fewer than k networks: it goes to the rest of its parent at once, without sets of
-- its own, which a million rare pages would fill the memory with.
sipHash64(site, cell) NOT IN
(
    SELECT sipHash64(site, cell)
    FROM
    (
        -- include: rows
    )
    GROUP BY sipHash64(site, cell)
    HAVING countIf(present AND network != 0) >= {least_k:UInt16}
) AS is_rare
