-- A cell over all generations, of each one's `numbers`: people add up, but networks are those of the largest generation
-- alone, because a lost key makes one network look like two. Each measure needs k networks of its own, or is 0. Bounces
-- split a cell's visits in two, so both halves need k networks (or the other half none), and few visits show none.
max(numbers.networks) AS cell_networks,
max(numbers.staying) AS staying_networks,
sum(numbers.visitors) AS all_visitors,
sum(numbers.visits) AS all_visits,
if(max(numbers.viewing) >= k, sum(view_count), 0) AS all_views,
if(max(numbers.acting) >= k, sum(event_count), 0) AS all_events,
if(max(numbers.bouncing) >= k AND (staying_networks = 0 OR staying_networks >= k) AND all_visits >= 4 * k,
    sum(bounce_count), 0) AS all_bounces,
if(max(numbers.engaging) >= k, intDiv(sum(engaged_sum), 1000), 0) AS all_engaged_s
