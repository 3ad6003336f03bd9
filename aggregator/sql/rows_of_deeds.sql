-- What the deeds of a day count for, in each dimension that only some kinds of event have.
SELECT site, generation, visitor, network, visit, bounced, present, views, events, engaged_ms, cell
FROM
(
    -- include: deeds
)
ARRAY JOIN [
    -- include: cells_of_deeds
] AS cell
