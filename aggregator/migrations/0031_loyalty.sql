-- Whether somebody is new, by the device's own memory: '' where nothing was said, else first, month, week or day.
ALTER TABLE open_events ADD COLUMN IF NOT EXISTS loyalty LowCardinality(String) AFTER variant
