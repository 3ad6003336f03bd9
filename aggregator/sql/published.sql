-- No exact number leaves: each component is rounded down to a multiple of k (`step` is 1 where a site shows numbers as
-- counted), and the measures are put together from these. Rounded down, parts never add up to more than their whole, so
-- that what is not shown may always be k - 1 more than it is; to the nearest multiple they would, and pin it.
intDiv(components[1], step) * step AS visitors,
visitors + intDiv(components[2], step) * step AS visits,
multiIf(
    all_views = 0, 0,
    all_views < all_visits, least(intDiv(all_views, step) * step, visits - least(visits, step)),
    visits + intDiv(components[3], step) * step) AS views,
multiIf(
    all_events = 0, 0,
    all_views > 0 OR all_events < all_visits, intDiv(components[4], step) * step,
    visits + intDiv(components[4], step) * step) AS events,
intDiv(components[5], step) * step AS bounces,
intDiv(components[6], step) * step AS engaged_s
