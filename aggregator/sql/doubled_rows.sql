-- The rows of some batches that are there once already, by the part and the place in it that holds them.
SELECT _part AS part, _part_offset AS place, _partition_id AS partition_id
FROM
(
    SELECT _part, _part_offset, _partition_id,
        row_number() OVER (PARTITION BY batch, position ORDER BY _part, _part_offset) AS copy
    FROM open_events
    WHERE day = {day:Date} AND timezone = {timezone:String} AND batch IN {batches:Array(UInt64)}
)
WHERE copy > 1
