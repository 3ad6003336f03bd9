"""One finished open day by two dimensions at a time: the rows of `cross_breakdown` for all sites of a (day, time zone).

It comes after `rollup`, because only values take part that the day's lists show: each gets a number, the visits are
written anew with these numbers in place of texts (sql/crossed_visits.sql), pairs of dimensions are counted from them
(crossed_cells), and what is rounded is written in both directions (cross_cells).

Invariants: as for `rollup`, nobody sees these rows before `seal` commits the seal they name; and what is written with
tokens is in the store's memory alone (see `gathering`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations

from aggregator.dimensions import DIMENSIONS, OF_VISITS, Dimension
from aggregator.rollup import (
    EVENTS_AT_ONCE,
    SITES_AT_ONCE,
    Insert,
    Period,
    Reading,
    SiteRules,
    assembled,
    inserted,
    showing,
)
from aggregator.store import Store

# From so many events on it pays to look for rare cells first: each cell's sets take about a kilobyte.
MANY_EVENTS = 200_000
BY_NAME: Mapping[str, Dimension] = {each.name: each for each in DIMENSIONS}
# What shares no visitor, and what shares no visit, as sql/cross_cells.sql knows them; all else overlaps.
UNITS = {"visitor": 2, "visit": 1}
SHOWN = """SELECT site, groupUniqArray(dimension)
FROM breakdown_rows
WHERE day = {day:Date} AND timezone = {timezone:String} AND seal = {seal:UInt64} AND value != '(other)'
GROUP BY site"""
Pair = tuple[str, str]


def write(
    store: Store,
    period: Period,
    seal: int,
    reading: Reading,
    rules: Callable[[str], SiteRules],
    many_events: int = MANY_EVENTS,
) -> None:
    """Insert what may be shown of two dimensions at a time, under `seal`, whose lists `rollup.write` has written.

    Of more than `many_events` rare cells are looked for first, which changes nothing but the memory that it takes.
    Raises StoreUnavailable where the cells are not there afterwards.
    """
    of_seal = {**period.key, "seal": seal}
    shown = dict(store.query(SHOWN, of_seal))
    at_once, are_many = max(1, EVENTS_AT_ONCE // max(1, reading.events)), reading.events > many_events
    visits: list[Insert] = []
    cells: list[Insert] = []
    rows: list[Insert] = []
    for crossed, of_sites in _alike(shown, {site: rules(site) for site in reading.spans}):
        parameters = {**of_seal, **showing(of_sites), **_lists(crossed)}
        of_visits = [name for name in crossed if BY_NAME[name].kinds == OF_VISITS]
        visits.append(Insert(assembled("crossed_visits", hashes=_hashes(of_visits)), parameters))
        # The statement itself takes 5 ms a pair, which is most of what a small day costs.
        values_of = {name for site in of_sites for name in shown[site]}
        cells += [
            Insert(
                _counting(pairs, of_visits, are_many=are_many),
                parameters | {"pairs": pairs},
                is_large=at_once == 1 and any(BY_NAME[name].has_many for pair in pairs for name in pair),
            )
            for pairs in _some([pair for pair in pairs_of(crossed) if values_of.issuperset(pair)], at_once)
        ]
        rows.append(Insert(assembled("cross_cells"), parameters))
    for table, inserts in (("crossed_visits", visits), ("counted_crosses", cells), ("cross_rows", rows)):
        if inserts:
            inserted(store, table, inserts, of_seal)


def pairs_of(crossed: Sequence[str]) -> list[Pair]:
    """Every two of these dimensions, but one within the other: the list of that says it already."""
    return [
        (one, other)
        for one, other in combinations(crossed, 2)
        if BY_NAME[one].within != other and BY_NAME[other].within != one
    ]


def _alike(
    shown: Mapping[str, Sequence[str]], of_all: Mapping[str, SiteRules]
) -> Iterator[tuple[tuple[str, ...], Mapping[str, SiteRules]]]:
    """Sites that cross the same dimensions, some at a time; of those that a day has values of two at least."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for site, of_site in of_all.items():
        if len(set(of_site.crosses).intersection(shown.get(site, ()))) > 1:
            alike.setdefault(of_site.crosses, []).append(site)
    for crossed, sites in alike.items():
        for place in range(0, len(sites), SITES_AT_ONCE):
            yield crossed, {site: of_all[site] for site in sites[place : place + SITES_AT_ONCE]}


def _lists(crossed: Sequence[str]) -> dict[str, object]:
    return {
        "crossed": list(crossed),
        "units": [UNITS.get(BY_NAME[name].one_of, 0) for name in crossed],
        "nested": [name for name in crossed if BY_NAME[name].within],
    }


def _some(pairs: Sequence[Pair], at_once: int) -> Iterator[list[Pair]]:
    for place in range(0, len(pairs), at_once):
        yield list(pairs[place : place + at_once])


def _hashes(names: Sequence[str]) -> str:
    """By which each value of a visit is found among those that are shown."""
    of = [(each, each.parent if each.within else "''") for each in map(BY_NAME.__getitem__, names)]
    return ",\n".join(f"sipHash64(site, '{each.name}', {parent}, toString({each.value}))" for each, parent in of)


def _counting(pairs: Sequence[Pair], of_visits: Sequence[str], *, are_many: bool) -> str:
    cells = ",\n".join(_cells(place, pair, of_visits) for place, pair in enumerate(pairs, 1))
    look_first = are_many and any(BY_NAME[name].is_open for pair in pairs for name in pair)
    return assembled("crossed_cells", cells=cells, not_rare=assembled("not_rare") if look_first else "")


def _cells(place: int, pair: Pair, of_visits: Sequence[str]) -> str:
    """The ClickHouse array of tuples (place, code, code): the cells of a pair that a row of `crossed_visits` is in."""
    column = {"page": "pages", "event": "names"}
    one, other = (f"codes[{of_visits.index(name) + 1}]" if name in of_visits else "deed" for name in pair)
    deeds = [column[name] for name in pair if name not in of_visits]
    if not deeds:
        return f"[({place}, {one}, {other})]"
    if len(deeds) == 1:
        return f"arrayMap(deed -> ({place}, {one}, {other}), {deeds[0]})"
    page, event = ("deed.1", "deed.2") if pair[0] == "page" else ("deed.2", "deed.1")
    return f"arrayMap(deed -> ({place}, {page}, {event}), on_page)"
