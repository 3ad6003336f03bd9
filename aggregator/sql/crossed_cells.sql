-- The cells of some pairs of dimensions that k networks reached, as counted: at most 1,000 of a pair, the largest by networks.
INSERT INTO counted_crosses
    (day, timezone, seal, site, dimension_a, code_a, dimension_b, code_b, k, cell_networks, all_visitors, all_visits)
WITH
in_cells AS
(
    SELECT site, generation, visitor, network, visit, cell.1 AS pair, cell.2 AS code_a, cell.3 AS code_b
    FROM crossed_visits
    ARRAY JOIN arrayFilter(one -> one.2 > 0 AND one.3 > 0, arrayConcat(
        -- include: cells
    )) AS cell
    WHERE seal = {seal:UInt64} AND site IN {sites:Array(String)}
),
of_generations AS
(
    SELECT site, pair, code_a, code_b, generation,
        uniqExactIf(network, network != 0) AS networks, uniqExact(visitor) AS visitors, uniqExact(visit) AS visits
    FROM in_cells
    -- include: not_rare
    GROUP BY site, pair, code_a, code_b, generation
)
SELECT {day:Date}, {timezone:String}, {seal:UInt64}, site,
    {pairs:Array(Tuple(String, String))}[pair].1, code_a, {pairs:Array(Tuple(String, String))}[pair].2, code_b,
    transform(site, {sites:Array(String)}, {ks:Array(UInt16)}, toUInt16(65535)) AS k,
    max(networks) AS cell_networks, sum(visitors), sum(visits)
FROM of_generations
GROUP BY site, pair, code_a, code_b
HAVING cell_networks >= k
ORDER BY cell_networks DESC, code_a, code_b
LIMIT 1000 BY site, pair
