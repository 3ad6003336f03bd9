-- About how many values the visitors of a day have made up, of all its sites and in all dimensions together.
SELECT uniqArray(arrayMap(deed -> sipHash64(site, deed.path), deeds))
    + uniqArray(arrayMap(deed -> sipHash64(site, deed.came_from, deed.path), deeds))
    + uniqArray(arrayMap(deed -> sipHash64(site, deed.name), deeds))
    + uniqArray(arrayFlatten(arrayMap(deed -> arrayMap(told -> sipHash64(site, deed.name, told), mapValues(deed.properties)), deeds)))
    + uniq(site, source) + uniq(site, campaign)
FROM gathered_visits
WHERE seal = {seal:UInt64}
