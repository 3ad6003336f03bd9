"""One finished open day into anonymous cells: the rows of `trend` and `breakdown` for all sites of a (day, time zone).

The counting is ClickHouse's, in sql/: counted_rows (visits, bounds), which `gathering` has put into the store's memory
visit by visit; measure_* (what a cell counts, and which measures k networks share), counted_cells and trend_cells (the
k rule and folding), breakdown_cells, components and shown (rounding), sums (what may not be added up). A line
`-- include: NAME` there stands for sql/NAME.sql, or for a text given here. Tokens leave the store in one place, `read`,
in memory only: at most k networks of each hour, to join hours into spans.

Invariant: rows written here are seen by nobody before `seal` commits the seal they name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from aggregator import abreast, dimensions
from aggregator.declared_dimensions import dimensions_of, matching
from aggregator.dimensions import DIMENSIONS, OF_VISITS, Dimension
from aggregator.store import Store, StoreUnavailable, statement
from collector import days
from collector.settings import CNIL_MONTHS, CROSSES, Settings, is_development

# Every zone's offset since 1972 is a multiple of 15 minutes, so a quarter of an hour never straddles two clock hours.
QUARTER_S = 900
WHOLE_PERIOD = 24
DEVELOPMENT_DAYS = 7
# The visits, bounces and bounds of a sealed day follow the order in which things happened.
BY_TIME = "ORDER BY at, batch, position"
# Parameters travel in the query's address: a site takes about 250 bytes there, and servers take 64 KiB at least.
SITES_AT_ONCE = 100
# How many dimensions, or pairs of them, one statement counts: all of a small day, where the statement itself is what
# takes time; one of a large day, whose sets of visitors are what takes memory (10,000,000 events of 1,000,000 visitors:
# 1 GiB, the pages' and another one's beside it).
EVENTS_AT_ONCE = 5_000_000
# From so many values on rare ones are looked for first: each value's sets take about a kilobyte.
MANY_VALUES = 50_000
COUNT = (
    "SELECT count() FROM {table} WHERE day = {{day:Date}} AND timezone = {{timezone:String}} AND seal = {{seal:UInt64}}"
)
INCLUDE = re.compile(r"^[ \t]*-- include: (\w+)$", re.MULTILINE)

Span = tuple[int, int]


class Insert(NamedTuple):
    """A statement that inserts what it selects, and its parameters; `is_large` where its sets may fill memory."""

    sql: str
    parameters: Mapping[str, object]
    is_large: bool = False


@dataclass(frozen=True)
class Period:
    """A day as the sites of one time zone live it."""

    day: date
    timezone: str

    @property
    def key(self) -> dict[str, object]:
        """The parameters of a statement about this day."""
        return {"day": self.day, "timezone": self.timezone}


@dataclass(frozen=True)
class SiteRules:
    """How a site's cells are shown: at least `k` networks each, rounded to `k` unless `exact`, until `keep_until`, by
    which dimensions. `matching` is what is looked for in the rows of a visit (`declared_dimensions`), or "". `crosses`
    are the dimensions that are shown two at a time (`crosses`). A site that `is_noisy` is none of all this, but for `k`
    and `keep_until` (see `noisy_trends`)."""

    k: int
    exact: bool
    keep_until: date
    dimensions: tuple[Dimension, ...] = DIMENSIONS
    matching: str = ""
    crosses: tuple[str, ...] = CROSSES
    is_noisy: bool = False


@dataclass(frozen=True)
class Reading:
    """What a first look at an open day gives: rows read, rows over a contribution bound, each site's spans of hours."""

    events: int
    bounded: int
    spans: Mapping[str, tuple[Span, ...]]

    def without(self, sites: Collection[str]) -> Reading:
        """The same, as if these had no rows to be shown."""
        return replace(self, spans={site: spans for site, spans in self.spans.items() if site not in sites})


@dataclass(frozen=True)
class HourNetworks:
    """At most k networks that came to a site within one hour, of one generation."""

    hour: int
    generation: int
    networks: frozenset[int]


def rules_of(settings: Settings, site: str, day: date) -> SiteRules:
    """The rules for a site's `day`; a site that vanished from the configuration is held to the installation's own."""
    known = settings.sites.get(site)
    k, level = (known.k, known.level) if known else (settings.privacy.k, settings.privacy.level)
    by = (dimensions_of(known), matching(known.declared), known.crosses) if known else (DIMENSIONS, "", CROSSES)
    if is_development(site):
        return SiteRules(k, level == "exact", day + timedelta(days=DEVELOPMENT_DAYS), *by, level == "dp")
    months = known.retention_months if known else CNIL_MONTHS
    return SiteRules(k, level == "exact", months_after(day, months), *by, level == "dp")


def read(store: Store, seal: int, rules: Callable[[str], SiteRules], largest_k: int) -> Reading:
    """Look at what was gathered before anything is written; `largest_k` is at least the k of every site in it."""
    rows = store.query(statement("hour_networks"), {"seal": seal, "largest_k": largest_k})
    hours: dict[str, list[HourNetworks]] = {}
    for site, hour, generation, _read, _bounded, networks in rows:
        hours.setdefault(site, []).append(HourNetworks(hour, generation, frozenset(networks)))
    joined = {site: spans(of_site, rules(site).k) for site, of_site in sorted(hours.items())}
    return Reading(sum(row[3] for row in rows), sum(row[4] for row in rows), joined)


def spans(hours: Iterable[HourNetworks], k: int) -> tuple[Span, ...]:
    """Tile the 24 hours into (first hour, number of hours), each with k networks of one generation, where that can be.

    Hours are joined forward until k networks came; a rest at the end joins the span before it. An hour without anybody
    is joined like any hour below k, so that no span tells an empty hour from an almost empty one.
    """
    found: list[Span] = []
    first, together = 0, dict[int, set[int]]()
    for hour in range(WHOLE_PERIOD):
        for one in hours:
            if one.hour == hour:
                together.setdefault(one.generation, set()).update(one.networks)
        if max(map(len, together.values()), default=0) >= k:
            found.append((first, hour + 1 - first))
            first, together = hour + 1, {}
    last = found.pop()[0] if found else 0
    return (*found, (last, WHOLE_PERIOD - last))


def write(
    store: Store,
    period: Period,
    seal: int,
    reading: Reading,
    rules: Callable[[str], SiteRules],
    many_values: int = MANY_VALUES,
) -> None:
    """Insert every cell that may be shown of what was gathered for `seal`, under it.

    Of more than `many_values` rare ones are looked for first, which changes nothing but the memory that it takes.
    Raises StoreUnavailable where the cells are not there afterwards.
    """
    of_seal = {**period.key, "seal": seal}
    groups = [
        (by, {**of_seal, **showing(of_sites), **_spans(reading, of_sites)})
        for by, of_sites in _alike({site: rules(site) for site in reading.spans})
    ]
    at_once = max(1, EVENTS_AT_ONCE // max(1, reading.events))
    are_many = reading.events > many_values and _values(store, seal) > many_values
    counting = [
        Insert(_counting(of, are_many=are_many), group, is_large=at_once == 1 and any(each.is_open for each in of))
        for by, group in groups
        for of in dimensions.groups(by, at_once)
    ]
    for table, inserts in (
        ("counted_cells", counting),
        ("breakdown_rows", [Insert(assembled("breakdown_cells"), group | dimensions.sums(by)) for by, group in groups]),
        ("trend_rows", [Insert(assembled("trend_cells"), group) for _, group in groups]),
    ):
        inserted(store, table, inserts, of_seal)


def _values(store: Store, seal: int) -> int:
    return int(store.query(statement("open_values"), {"seal": seal})[0][0])


def _alike(of_all: Mapping[str, SiteRules]) -> Iterator[tuple[tuple[Dimension, ...], Mapping[str, SiteRules]]]:
    """Sites that are counted by the same dimensions, some at a time: what one site declares costs no other anything."""
    alike: dict[tuple[Dimension, ...], list[str]] = {}
    for site, of_site in of_all.items():
        alike.setdefault(of_site.dimensions, []).append(site)
    for by, sites in alike.items():
        for place in range(0, len(sites), SITES_AT_ONCE):
            yield by, {site: of_all[site] for site in sites[place : place + SITES_AT_ONCE]}


def _counting(of: tuple[Dimension, ...], *, are_many: bool) -> str:
    """The cells of some dimensions: of those that every event of a visit has from visits, of the others from deeds."""
    of_visits = [each for each in of if each.kinds == OF_VISITS]
    of_deeds = [each for each in of if each.kinds != OF_VISITS]
    texts = []
    if of_visits:
        texts.append(assembled("rows_of_visits", cells_of_visits=dimensions.cells(of_visits)))
    if of_deeds:
        kinds = dimensions.kinds(of_deeds)
        texts.append(assembled("rows_of_deeds", cells_of_deeds=dimensions.cells(of_deeds), kinds=kinds))
    rows = "\nUNION ALL\n".join(texts)
    look_first = are_many and any(each.is_open for each in of)
    rare = assembled("rare_cells", rows=rows) if look_first else "false AS is_rare"
    return assembled("counted_cells", rows=rows, rare=rare)


def inserted(store: Store, table: str, inserts: Sequence[Insert], of_seal: Mapping[str, object]) -> None:
    """Run these inserts into a table; raises StoreUnavailable where their rows are not there afterwards."""
    statements: dict[bool, list[abreast.Statement]] = {False: [], True: []}
    for each in inserts:
        statements[each.is_large].append((each.sql, each.parameters, {}))
    told = abreast.run(store, statements[False], statements[True])
    held = int(store.query(COUNT.format(table=table), of_seal)[0][0])
    # That there are none, or how many there are, may be untrue: then the cells themselves are counted.
    if (held == 0 or held != told) and held != sum(_count_of(store, *insert[:2]) for insert in inserts):
        raise StoreUnavailable(f"{told} rows were inserted into {table}, and {held} are there")


def _count_of(store: Store, insert: str, parameters: Mapping[str, object]) -> int:
    """How many rows an INSERT ... WITH ... SELECT has to insert."""
    _, cells = insert.split("\nWITH\n", 1)
    return int(store.query(f"SELECT count() FROM (WITH\n{cells}\n)", parameters)[0][0])


def assembled(name: str, **texts: str) -> str:
    """The statement sql/`name`.sql with each `-- include: NAME` replaced by `texts[NAME]` or by sql/NAME.sql."""

    def included(mark: re.Match[str]) -> str:
        part = mark.group(1)
        return texts[part] if part in texts else assembled(part, **texts)

    return INCLUDE.sub(included, statement(name))


def clock_hours(period: Period) -> list[int]:
    """What the clocks of the time zone show, as hour, in each quarter of an hour of the day (23, 24 or 25 hours)."""
    zone = days.zone(period.timezone)
    start, end = days.starts_at(period.day, period.timezone), days.ends_at(period.day, period.timezone)
    quarters = range(int(start), int(end), QUARTER_S)
    return [datetime.fromtimestamp(at, UTC).astimezone(zone).hour for at in quarters]


def showing(of_sites: Mapping[str, SiteRules]) -> dict[str, object]:
    """The parameters that say how the cells of these sites are shown."""
    return {
        "sites": list(of_sites),
        "ks": [rules.k for rules in of_sites.values()],
        "least_k": min(rules.k for rules in of_sites.values()),
        "largest_k": max(rules.k for rules in of_sites.values()),
        "exact": [site for site, rules in of_sites.items() if rules.exact],
        "kept_until": [rules.keep_until for rules in of_sites.values()],
    }


def _spans(reading: Reading, sites: Iterable[str]) -> dict[str, object]:
    return {"starts": [[first for first, _ in reading.spans[site]] for site in sites]}


def months_after(day: date, months: int) -> date:
    """`day` so many months later, counted from the first of the month, which every month has: at most three days longer
    than a calendar says."""
    years, month = divmod(day.month - 1 + months, 12)
    return date(day.year + years, month + 1, 1) + timedelta(days=day.day - 1)
