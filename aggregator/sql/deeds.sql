-- Each deed of the given kinds of a gathered visit as a row of its own, with all that is known of the visit.
SELECT * EXCEPT (deeds, present, views, events, engaged_ms),
    deed.kind AS kind, deed.name AS name, deed.path AS path, deed.properties AS properties, deed.loyalty AS loyalty,
    deed.engaged_ms AS engaged_ms, deed.variant AS variant, deed.reached AS reached, deed.met AS met,
    deed.came_from AS came_from,
    -- include: row_measures
FROM gathered_visits
ARRAY JOIN arrayFilter(
    one -> one.kind IN (
        -- include: kinds
    ), deeds) AS deed
WHERE seal = {seal:UInt64}
