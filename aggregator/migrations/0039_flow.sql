-- From page to page: in how many visits, of how many visitors, `to_path` was seen right after `from_path`. `(other)`: the pages
-- that are not told. Visitors and visits of several rows are not to be added up: a visit makes several moves.
CREATE VIEW IF NOT EXISTS flow AS
SELECT day, site, parent AS from_path, value AS to_path, visitors, visits
FROM breakdown
WHERE dimension = 'flow'
