-- The values that a sealed day's lists show of the dimensions that are crossed, each with a number within its list. Others
-- take part in no cross.
SELECT site, dimension, parent, value, visitors, visits,
    row_number() OVER (PARTITION BY site, dimension ORDER BY parent, value) AS code
FROM breakdown_rows
WHERE day = {day:Date} AND timezone = {timezone:String} AND seal = {seal:UInt64} AND site IN {sites:Array(String)}
    AND dimension IN {crossed:Array(String)} AND value != '(other)'
