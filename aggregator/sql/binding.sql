-- Whether the rows of a window `parts`, which together are a whole, would bind it if all were shown. A whole is shown
-- rounded down, and keeps its k possible values as long as its n parts, each at most k - 1 larger than shown, can add up
-- to every one of them.
arrayExists(
    (is_open, sum, steps) -> NOT is_open AND (count() OVER parts - 1) * (step - 1) < (intDiv(sum, step) - steps) * step,
    maxForEach(hidden) OVER parts,
    sumForEach(components) OVER parts,
    sumForEach(arrayMap(component -> intDiv(component, step), components)) OVER parts
) AS binds
