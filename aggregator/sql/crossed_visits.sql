-- The gathered visits of some sites, by clock hour, with the numbers of the values that they have (0: one that is not shown).
INSERT INTO crossed_visits (day, timezone, seal, site, generation, visitor, network, visit, codes, pages, names, on_page)
WITH
(
    -- A value says what its parent is, but where it lies within values of another dimension.
    SELECT (groupArray(sipHash64(site, dimension, if(dimension IN {nested:Array(String)}, parent, ''), value)), groupArray(toUInt16(code)))
    FROM
    (
        -- include: crossed_values
    )
) AS known
SELECT {day:Date}, {timezone:String}, {seal:UInt64}, site, generation, visitor, network, visit,
    arrayMap(hash -> transform(hash, known.1, known.2, toUInt16(0)), [
        -- include: hashes
    ]::Array(UInt64)) AS codes,
    arrayDistinct(arrayFilter(code -> code > 0, arrayMap(
        deed -> transform(sipHash64(site, 'page', '', deed.path), known.1, known.2, toUInt16(0)),
        arrayFilter(deed -> deed.kind = 'view', deeds)))) AS pages,
    arrayDistinct(arrayFilter(code -> code > 0, arrayMap(one -> one.2, done))) AS names,
    arrayDistinct(arrayFilter(one -> one.2 > 0 AND has(pages, one.1), done)) AS on_page
FROM
(
    SELECT *,
        arrayMap(
            deed -> (
                transform(sipHash64(site, 'page', '', deed.path), known.1, known.2, toUInt16(0)),
                transform(sipHash64(site, 'event', '', deed.name), known.1, known.2, toUInt16(0))),
            arrayFilter(deed -> deed.kind = 'event', deeds)) AS done
    FROM gathered_visits
    WHERE seal = {seal:UInt64} AND site IN {sites:Array(String)} AND visitor != 0 AND present
)
