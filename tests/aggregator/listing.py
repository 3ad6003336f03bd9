"""Which lines a sealed day's lists have, in plain Python: the k rule, folding, and what may not be added up.

An oracle beside `simulate`; of the product it reads only the table of dimensions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from aggregator.dimensions import DIMENSIONS, Dimension
from tests.aggregator.simulate import MEASURES, OTHER, Counted, Truth, allowed, as_shown, components, truth

Key = tuple[str, str, str]
# By what a dimension has one value of: in which measures its lines add up to their whole.
ADDS_UP = {
    "visitor": MEASURES,
    "visit": ("visits", "views", "events", "bounces", "engaged_s"),
    "view": ("views", "bounces", "engaged_s"),
    "event": ("events",),
    # Groups that overlap show visitors and visits alone.
    "none": (),
}


def lines(true: Mapping[Key, list[Counted]], everybody: list[Counted], k: int) -> dict[Key, Truth]:
    """Every line that a site's day shows, with the truth about it; `true` are the rows of each cell."""
    found: dict[Key, Truth] = {}
    wholes = {("", "", ""): truth(everybody)} | {key: truth(rows) for key, rows in true.items()}
    for dimension in DIMENSIONS:
        folded = _folded({key: rows for key, rows in true.items() if key[0] == dimension.name}, k)
        lists: dict[str, dict[Key, Truth]] = defaultdict(dict)
        for key, group in folded.items():
            if not dimension.within:
                lists[""][key] = group
            elif key[1]:
                lists[key[1]][key] = group
        for of_value, its_lines in lists.items():
            rest = (dimension.name, of_value, OTHER)
            found |= _listed(dimension, its_lines, rest, wholes[dimension.within, "", of_value], k)
    return found


def _folded(cells: Mapping[Key, list[Counted]], k: int) -> dict[Key, Truth]:
    """Cells of k networks, and the rests of the others: of their parent where k networks share it, else of all."""
    own = {key: truth(rows) for key, rows in cells.items()}
    shown = {key: group for key, group in own.items() if group.networks >= k and key[2] != OTHER}
    rests: dict[Key, list[Counted]] = defaultdict(list)
    for (dimension, parent, value), rows in cells.items():
        if (dimension, parent, value) not in shown:
            rests[dimension, parent, OTHER] += rows
    last: list[Counted] = []
    for key, rows in rests.items():
        if key[1] and truth(rows).networks >= k:
            shown[key] = truth(rows)
        else:
            last += rows
    if last and truth(last).networks >= k:
        shown[next(iter(rests))[0], "", OTHER] = truth(last)
    return shown


def _listed(dimension: Dimension, of_list: Mapping[Key, Truth], rest: Key, whole: Truth, k: int) -> dict[Key, Truth]:
    order = sorted(of_list, key=lambda key: (key == rest, -of_list[key].networks, key))
    adds = {key: _adds(dimension, of_list[key], k) for key in order}
    of_whole = _adds(dimension, whole, k)
    shown, so_far = {}, dict.fromkeys(of_whole, 0)
    for key in order:
        so_far = {measure: so_far[measure] + (adds[key][measure] or 0) for measure in so_far}
        exceeds = any(most is not None and so_far[measure] > most for measure, most in of_whole.items())
        if dimension.one_of == "none":
            shown[key] = replace(of_list[key], views=0, events=0, bounces=0, engaged_s=0)
        elif not exceeds and not (key == rest and not dimension.is_partial and binds(list(adds.values()), of_whole, k)):
            shown[key] = of_list[key]
    return shown


def binds(parts: Sequence[Mapping[str, int | None]], whole: Mapping[str, int | None], k: int) -> bool:
    """Whether parts that cover a whole, each at most k - 1 more than shown, cannot add up to each of its k values."""
    for measure, least in whole.items():
        of_parts = [part[measure] for part in parts]
        if None not in of_parts and sum(each + k - 1 for each in of_parts if each is not None) < (least or 0) + k - 1:
            return True
    return False


def _adds(dimension: Dimension, group: Truth, k: int) -> dict[str, int | None]:
    """What of a group is added up, as shown; None where a measure is not shown."""
    hidden = {measure for measure, number in allowed(group, k).items() if number == 0 and measure not in MEASURES[:2]}
    if dimension.one_of == "visitor":
        numbers = dict(zip(MEASURES, (number // k * k for number in components(group, k)), strict=True))
    else:
        numbers = as_shown(group, k, k)
    return {measure: None if measure in hidden else numbers[measure] for measure in ADDS_UP[dimension.one_of]}


def spans_add_up(spans: Sequence[Truth], whole: Truth, k: int) -> bool:
    """Whether all spans of hours may be shown: their sums neither exceed nor bind the day."""
    parts, most = [as_shown(span, k, k) for span in spans], as_shown(whole, k, k)
    known = [{measure: number or None for measure, number in part.items()} for part in parts]
    sums = {measure: sum(part[measure] for part in parts) for measure in MEASURES[2:]}
    exceeds = any(most[measure] and sums[measure] > most[measure] for measure in sums)
    return not exceeds and not binds(known, most, k)
