"""One finished open day into numbers with noise, for its sites of level `dp`: rows of `trend` and `breakdown`, few of
them, drawn once.

A day's totals (hour 24; visitors, visits, views) and the visitors of each value of the chosen dimensions are counted
from what was gathered, each visitor bounded (`collector.noise`), given noise (`noise`), kept (`draw`) and written. Not
published, and 0 or absent: hours, two dimensions at a time, visits and views of values, events, bounces and engaged
time. Rows without a visitor, as servers may report them, are not counted: no bound holds for who is behind them.

Which rows appear rests on noisy counts alone. Every configured site has totals, whether anybody came or not; a value
appears above its threshold. What is done with the noisy counts costs nothing further: none is below 0 or k, a
day whose noisy visitors are below k has no rows at all, and a dimension has its 2,000 largest values.

Invariant: exact counts are in this process and in the store's memory, and nowhere else.

As `noise`, this is imported where a site has level `dp`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date

from aggregator import dimensions, noise
from aggregator.dimensions import DIMENSIONS, OF_VISITS, Dimension
from aggregator.draw import Draw, Draws, Terms, Total, Value
from aggregator.rollup import SITES_AT_ONCE, WHOLE_PERIOD, Period, assembled
from aggregator.store import Store, StoreUnavailable, statement
from collector.noise import VALUES, VIEWS, VISITS

MOST_VALUES = 2_000
ROWS_AT_ONCE = 100_000
OF_DAY = ("day", "timezone", "seal", "keep_until", "site")
BY_NAME: Mapping[str, Dimension] = {each.name: each for each in DIMENSIONS}


def published(store: Store, period: Period, seal: int, terms: Terms, draws: Draws) -> Draw:
    """What is published of these sites: the draw that is kept, or a new one of what was gathered for `seal`."""
    return draws.kept(period, terms) or draws.keep(period, _drawn(store, seal, terms))


def write(store: Store, period: Period, seal: int, draw: Draw, kept_until: Mapping[str, date]) -> None:
    """Insert the rows of a draw under `seal`. Raises StoreUnavailable where they are not there afterwards."""
    of_site = {site: (period.day, period.timezone, seal, until, site) for site, until in kept_until.items()}
    totals = [(*of_site[site], WHOLE_PERIOD, WHOLE_PERIOD, *numbers) for site, *numbers in draw.totals]
    _insert(store, "trend_rows", (*OF_DAY, "hour", "span", *noise.OF_TOTALS), totals)
    values = [(*of_site[site], *said) for site, *said in draw.values]
    _insert(store, "breakdown_rows", (*OF_DAY, "dimension", "parent", "value", "visitors"), values)


def _insert(store: Store, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    if not rows:
        return
    held = f"SELECT count() FROM {table} WHERE day = {{day:Date}} AND seal = {{seal:UInt64}}"
    of_seal = {"day": rows[0][0], "seal": rows[0][2]}
    before = int(store.query(held, of_seal)[0][0])
    for place in range(0, len(rows), ROWS_AT_ONCE):
        store.insert_rows(table, columns, rows[place : place + ROWS_AT_ONCE])
    there = int(store.query(held, of_seal)[0][0]) - before
    if there != len(rows):
        raise StoreUnavailable(f"{len(rows)} rows were inserted into {table}, and {there} are there")


def _drawn(store: Store, seal: int, terms: Terms) -> Draw:
    plan = noise.plan_of(terms.promised)
    ks = dict(terms.ks)
    totals = _noisy_totals(plan, list(ks), _totals(store, seal, list(ks)))
    shown = [total for total in totals if total[1] >= ks[total[0]]]
    have_totals = {site for site, *_ in shown}
    values: list[Value] = []
    for name in terms.promised.dimensions:
        counted = _values(store, seal, list(ks), BY_NAME[name])
        noisy = noise.noisy_values(plan, name, [count for *_, count in counted])
        found = [(counted[place][0], name, *counted[place][1:3], count) for place, count in noisy.items()]
        values += _largest(row for row in found if row[0] in have_totals and row[-1] >= ks[row[0]])
    return Draw(terms, *plan.loss, tuple(shown), tuple(values))


def _noisy_totals(plan: noise.Plan, sites: Sequence[str], counted: Mapping[str, tuple[int, ...]]) -> list[Total]:
    """Of every site, also one that nobody came to; a number below 0 is 0."""
    exact = [counted.get(site, (0, 0, 0)) for site in sites]
    of_measures = [
        noise.noisy_totals(plan, measure, [numbers[place] for numbers in exact])
        for place, measure in enumerate(noise.OF_TOTALS)
    ]
    return [(site, max(a, 0), max(b, 0), max(c, 0)) for site, a, b, c in zip(sites, *of_measures, strict=True)]


def _totals(store: Store, seal: int, sites: Sequence[str]) -> dict[str, tuple[int, ...]]:
    bounds = {"seal": seal, "visits": VISITS, "views": VIEWS}
    rows = [row for some in _some(sites) for row in store.query(statement("noisy_totals"), {**bounds, "sites": some})]
    return {site: tuple(numbers) for site, *numbers in rows}


def _values(store: Store, seal: int, sites: Sequence[str], of: Dimension) -> list[tuple[str, str, str, int]]:
    """Each value's site, parent, value and visitors."""
    cells = dimensions.cells([of])
    if of.kinds == OF_VISITS:
        rows = assembled("rows_of_visits", cells_of_visits=cells)
    else:
        rows = assembled("rows_of_deeds", cells_of_deeds=cells, kinds=dimensions.kinds([of]))
    sql = assembled("noisy_values", rows=rows)
    bounds = {"seal": seal, "most": VALUES[of.name]}
    found = [row for some in _some(sites) for row in store.query(sql, {**bounds, "sites": some})]
    return [(str(site), str(parent), str(value), int(count)) for site, parent, value, count in found]


def _some(sites: Sequence[str]) -> Iterator[list[str]]:
    for place in range(0, len(sites), SITES_AT_ONCE):
        yield list(sites[place : place + SITES_AT_ONCE])


def _largest(rows: Iterable[Value]) -> Iterator[Value]:
    """Of each site the values that stand first by their noisy counts, which say nothing that is not published."""
    by_site: dict[str, list[Value]] = {}
    for row in rows:
        by_site.setdefault(row[0], []).append(row)
    for of_site in by_site.values():
        yield from sorted(of_site, key=lambda row: (-row[-1], row))[:MOST_VALUES]
