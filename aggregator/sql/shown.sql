-- No exact number leaves: each component is rounded down to a multiple of k (`step` is 1 where a site shows numbers as
-- counted), and the measures are put together from these. Rounded down, parts never add up to more than their whole, so
-- that what is not shown may always be k - 1 more than it is; to the nearest multiple they would, and pin it.
arrayMap(component -> intDiv(component, step) * step, components) AS floors,
floors[1] AS visitors,
visitors + floors[2] AS visits,
multiIf(
    all_views = 0, 0,
    all_views < all_visits, least(floors[3], visits - least(visits, step)),
    visits + floors[3]) AS views,
multiIf(all_events = 0, 0, all_views > 0 OR all_events < all_visits, floors[4], visits + floors[4]) AS events,
floors[5] AS bounces,
floors[6] AS engaged_s,
arrayMap(measure -> toUInt64(measure), [visitors, visits, views, events, bounces, engaged_s]) AS measures
