"""Today, so far, of one site: grouped and floored, so that watching it does not show one person arrive.

A cell has its numbers as they stood when its last full group of k networks was complete, floored to multiples of k.
Networks are those of the cell's largest generation, in the order in which they were received, so that a network that
comes again, or many visitors of one, change nothing. What is said of rows already received never depends on rows after
them (sql/counted_rows.sql in the order of arrival), and a published cell keeps its numbers until a further group is
complete: between two changes at least k networks came that it had not seen. When they change, and by how much, is
decided for all cells together (`release`), so that the moments of their changes tell nothing either.

There is one result for all readers. It is computed by one query at a time, and not sooner than 20 times its own cost
after the last, so that watching takes at most a twentieth of the store. With k = 1, on development sites, numbers are
as counted.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from aggregator import dimensions
from aggregator.declared_dimensions import dimensions_of
from aggregator.dimensions import TOTAL, Dimension
from aggregator.release import ALL, Key, Releases, Standing
from aggregator.rollup import assembled
from aggregator.store import Store
from collector.clock import Clock
from collector.settings import Site
from collector.zones import Zones

REST_PER_COST = 20
# So many values of a list are followed, as one that enters the longest later could only grow from nothing.
LONGEST_FOLLOWED = 1_000
# A developer looks for the event just sent; a development site has few rows and nobody to protect.
DEVELOPMENT_REST_PER_COST = 1
LONGEST_LIST = 100
# Counting 2 million rows takes some 20 s of two cores. Above that lists are counted from a sample of networks; totals
# never are.
MOST_ROWS = 2_000_000
# In the order of receipt a row, once here, keeps its place.
BY_ARRIVAL = "ORDER BY inserted, batch, position"
# What is told of a row, as it is: sealing, which has more rows, sorts numbers in place of these texts.
READ = "(source, channel, campaign) AS origin,"
KNOWN = """entry_origin.1 AS source, entry_origin.2 AS channel, entry_origin.3 AS campaign, country, browser,
    browser_version, os, os_version, device, screen, language, network_operator,"""
# On a small site ClickHouse takes longer to rewrite the query than to run it (0.35 s in all; without these 0.24 s).
PLAINLY = {
    "optimize_and_compare_chain": 0,
    "optimize_aggregators_of_group_by_keys": 0,
    "optimize_redundant_functions_in_order_by": 0,
}


@dataclass(frozen=True)
class Measures:
    """What a cell counts; engaged time in seconds."""

    visitors: int
    visits: int
    views: int
    events: int
    bounces: int
    engaged_s: int


@dataclass(frozen=True)
class Cell:
    """One line of a list: `value` within `parent` ('' where there is none)."""

    parent: str
    value: str
    measures: Measures


@dataclass(frozen=True)
class Live:
    """A site's day so far. `totals` is None below k networks; lists are by dimension, the largest cells first.

    `computed_at` is Unix seconds, `cost_s` what computing took. Lists were counted from one network in `sample`.
    """

    day: date
    k: int
    totals: Measures | None
    lists: Mapping[str, tuple[Cell, ...]]
    sample: int
    computed_at: float
    cost_s: float


@dataclass
class _Watched:
    """One site: the last result, what its cells show, and the lock under which both change."""

    releases: Releases
    lock: threading.Lock = field(default_factory=threading.Lock)
    live: Live | None = None
    next_at: float = 0.0


class LiveView:
    """The one result for each site, shared by all readers; may be asked from several threads."""

    def __init__(self, store: Store, clock: Clock, most_rows: int = MOST_ROWS, zones: Zones | None = None) -> None:
        self._store, self._clock, self._most_rows, self._zones = store, clock, most_rows, zones or Zones()
        self._sites: dict[str, _Watched] = {}
        self._lock = threading.Lock()

    def of(self, site: Site) -> Live:
        """The site's current day. Raises StoreUnavailable; whoever comes while it is computed waits for that result."""
        with self._lock:
            watched = self._sites.setdefault(site.domain, _Watched(Releases(site.k)))
        with watched.lock:
            day, _, timezone, _ = self._zones.day(site, self._clock.wall())
            known = watched.live
            if known is not None and known.day == day and self._clock.boot() < watched.next_at:
                return known
            if known is not None and (known.day != day or known.k != site.k):
                watched.releases = Releases(site.k)
            watched.live = self._compute(site, day, timezone, watched.releases)
            rest = DEVELOPMENT_REST_PER_COST if site.is_development else REST_PER_COST
            watched.next_at = self._clock.boot() + rest * watched.live.cost_s
            return watched.live

    def _compute(self, site: Site, day: date, timezone: str, releases: Releases) -> Live:
        started = self._clock.boot()
        key: dict[str, object] = {"day": day, "timezone": timezone, "site": site.domain}
        rows = self._store.query(
            "SELECT count() FROM open_events"
            " WHERE day = {day:Date} AND timezone = {timezone:String} AND site = {site:String}",
            key,
        )
        sample = -(-int(rows[0][0]) // self._most_rows) or 1
        by = tuple(each for each in dimensions_of(site) if each.is_live)
        if sample == 1:
            cells = self._cells(key, site.k, 1, (TOTAL, *by))
        else:
            cells = self._cells(key, site.k, 1, (TOTAL,)) | self._cells(key, site.k, sample, by)
        if site.k == 1:
            releases.shown = cells
        else:
            # A withdrawal takes rows away, and a cell with them: its going and its coming again would show one person,
            # so what was shown stays.
            releases.take(cells, by, site.declared.goals)
        totals = releases.shown.get(ALL)
        return Live(
            day=day,
            k=site.k,
            totals=Measures(*totals.numbers) if totals else None,
            lists=_lists(releases.shown, {each.name for each in by}),
            sample=sample,
            computed_at=self._clock.wall(),
            cost_s=self._clock.boot() - started,
        )

    def _cells(self, key: Mapping[str, object], k: int, sample: int, of: tuple[Dimension, ...]) -> dict[Key, Standing]:
        which = "AND site = {site:String} AND if(network = 0, position, network) % {sample:UInt32} = 0"
        rows = self._store.query(
            assembled(
                "live_counted" if k == 1 else "live_cells",
                which=which,
                order=BY_ARRIVAL,
                read=READ,
                known=KNOWN,
                cells=dimensions.cells(of),
            ),
            {**key, "k": k, "largest_k": k, "sample": sample, "longest": LONGEST_FOLLOWED},
            PLAINLY,
        )
        overlapping = {each.name for each in of if each.one_of == "none"}
        return {
            (row[0], row[1], row[2]): Standing(sample, row[3], row[4], _numbers(row[5:], sample, row[0] in overlapping))
            for row in rows
        }


def _numbers(numbers: Sequence[int], sample: int, is_overlapping: bool) -> tuple[int, ...]:
    """Of groups that overlap, visitors and visits alone, as a seal shows them."""
    shown = (*numbers[:2], 0, 0, 0, 0) if is_overlapping else numbers
    return tuple(sample * number for number in shown)


def _lists(published: Mapping[Key, Standing], names: Iterable[str]) -> Mapping[str, tuple[Cell, ...]]:
    """By dimension; what was declared no more is shown no more."""
    lists: dict[str, list[Cell]] = {name: [] for name in names}
    for (dimension, parent, value), cell in published.items():
        if dimension in lists:
            lists[dimension].append(Cell(parent, value, Measures(*cell.numbers)))
    return {dimension: tuple(sorted(cells, key=_place)[:LONGEST_LIST]) for dimension, cells in lists.items()}


def _place(cell: Cell) -> tuple[int, int, str]:
    """By what is published, so that the order tells no more than the numbers do."""
    return -cell.measures.visitors, -cell.measures.views, cell.value
