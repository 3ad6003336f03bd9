"""`footfall demo`: a whole installation with a shop that people visit, to look at before installing anything real.

Nothing here is part of a real installation, and nothing goes around one: the visits are sent to `/api/events` of the
running collector like any server's, and the ordinary sealer turns them into trends.

The map: `options` (its command line), `folder` (its own data folder), `catalogue` (what the shop sells, and so which
pages there are), `audience` (who comes: countries, networks, browsers), `traffic` (a day of visits), `sending` (to the
collector), `progress` (what one sees meanwhile), `visitors` (the process that does all this and goes on live), `shop`
with `pages/` (the shop itself). `build_user_agents` made `user_agents.tsv`.
"""
