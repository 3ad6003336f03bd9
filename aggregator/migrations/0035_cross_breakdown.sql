CREATE VIEW IF NOT EXISTS cross_breakdown AS
SELECT day, site, dimension_a, parent_a, value_a, dimension_b, parent_b, value_b, visitors, visits
FROM cross_rows
WHERE seal IN (SELECT seal FROM committed_seals)
