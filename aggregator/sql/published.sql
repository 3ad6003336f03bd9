-- No exact number leaves: each is the nearest multiple of k (`step` is 1 where a site shows numbers as counted).
intDiv(2 * all_visitors + step, 2 * step) * step AS visitors,
intDiv(2 * all_visits + step, 2 * step) * step AS visits,
intDiv(2 * all_views + step, 2 * step) * step AS views,
intDiv(2 * all_events + step, 2 * step) * step AS events,
intDiv(2 * all_bounces + step, 2 * step) * step AS bounces,
intDiv(2 * all_engaged_s + step, 2 * step) * step AS engaged_s
