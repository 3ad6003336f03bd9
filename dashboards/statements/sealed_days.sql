-- The days of a time zone that are sealed: one of them without a row in `trend` had fewer than k networks.
SELECT DISTINCT day
FROM committed_seals
WHERE timezone = {timezone:String} AND day BETWEEN {first:Date} AND {last:Date}
