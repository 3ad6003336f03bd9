-- Rows whose seal is not committed, by day, and when that day was closed for sealing (Unix seconds; 0: it never was).
SELECT table, day, timezone, count(), any(toUnixTimestamp(closed_at))
FROM
(
    SELECT 'trend_rows' AS table, day, timezone, seal FROM trend_rows
    UNION ALL
    SELECT 'breakdown_rows' AS table, day, timezone, seal FROM breakdown_rows
    UNION ALL
    SELECT 'cross_rows' AS table, day, timezone, seal FROM cross_rows
) AS sealed
LEFT JOIN (SELECT day, timezone, max(closed_at) AS closed_at FROM closings GROUP BY day, timezone) AS closed USING (day, timezone)
WHERE seal NOT IN (SELECT seal FROM committed_seals)
GROUP BY table, day, timezone
ORDER BY table, day, timezone
