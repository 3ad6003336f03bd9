-- A row's numbers as components that say nothing of each other: visitors, their further visits, those visits' further
-- views, and so on. Rounded one by one, visitors and visits would together say more than each alone, because a visitor
-- makes at least one visit and a visit has at least one view (or, where only events count, one event).
arrayMap(number -> toUInt64(number), [
    all_visitors,
    all_visits - all_visitors,
    if(all_views < all_visits, all_views, all_views - all_visits),
    if(all_views > 0 OR all_events < all_visits, all_events, all_events - all_visits),
    all_bounces,
    all_engaged_s]) AS components,
-- Of a measure that is not shown nothing is known.
[0, 0, all_views = 0, all_events = 0, all_bounces = 0, all_engaged_s = 0] AS hidden
