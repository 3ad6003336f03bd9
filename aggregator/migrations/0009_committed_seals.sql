-- Of several seals for one key the earliest counts.
CREATE VIEW IF NOT EXISTS committed_seals AS
SELECT day, timezone, origin, argMin(seal, (committed_at, seal)) AS seal
FROM seals
GROUP BY day, timezone, origin
