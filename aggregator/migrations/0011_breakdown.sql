CREATE VIEW IF NOT EXISTS breakdown AS
SELECT day, site, dimension, parent, value, visitors, visits, views, events, bounces, engaged_s
FROM breakdown_rows
WHERE seal IN (SELECT seal FROM committed_seals)
