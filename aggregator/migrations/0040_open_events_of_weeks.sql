-- A week (`collector.days`) is open for seven days and some, so its fail-safe is ten; that of a day stays three.
ALTER TABLE open_events MODIFY TTL inserted + toIntervalDay(if(endsWith(timezone, '/week'), 10, 3))
SETTINGS materialize_ttl_after_modify = 0
