-- What one row of an open day counts for. No cell has both events and errors.
toBool(kind != 'leave') AS present,
toUInt32(kind = 'view') AS views,
toUInt32(kind IN ('event', 'error')) AS events
