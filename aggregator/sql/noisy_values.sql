-- The visitors of each value of one dimension by site, as counted for noise: each visitor in so many values at most.
SELECT site, counted.1, counted.2, count()
FROM
(
    SELECT site, arraySlice(arraySort(groupUniqArray((cell.2, cell.3))), 1, {most:UInt8}) AS cells
    FROM
    (
        -- include: rows
    )
    WHERE present AND visitor != 0 AND cell.3 NOT IN ('', '(other)') AND site IN {sites:Array(String)}
    GROUP BY site, generation, visitor
)
ARRAY JOIN cells AS counted
GROUP BY site, counted
