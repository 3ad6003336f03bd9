CREATE VIEW IF NOT EXISTS trend AS
SELECT day, site, hour, span, visitors, visits, views, events, bounces, engaged_s
FROM trend_rows
WHERE seal IN (SELECT seal FROM committed_seals)
