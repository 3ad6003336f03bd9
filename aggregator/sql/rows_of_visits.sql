-- What the visits of a day count for, in each dimension that an event of any kind has.
SELECT site, generation, visitor, network, visit, bounced, present, views, events, engaged_ms, cell
FROM (SELECT *, 'view' AS kind FROM gathered_visits WHERE seal = {seal:UInt64})
ARRAY JOIN [
    -- include: cells_of_visits
] AS cell
