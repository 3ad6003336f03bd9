"""One finished open day into anonymous cells: the rows of `trend` and `breakdown` for all sites of a (day, time zone).

The counting is ClickHouse's, in sql/: counted_rows (visits, bounds), measure_* (what a cell counts, and which measures
k networks share), breakdown_cells and trend_cells (the k rule and folding), components and shown (rounding), sums (what
may not be added up). A line `-- include: NAME` there stands for sql/NAME.sql, or for a text given here. Tokens leave
the store in one place, `read`, in memory only: at most k networks of each hour, to join hours into spans.

Invariant: rows written here are seen by nobody before `seal` commits the seal they name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from aggregator import dimensions
from aggregator.declared_dimensions import dimensions_of, matching
from aggregator.dimensions import DIMENSIONS, TOTAL, Dimension
from aggregator.store import Store, StoreUnavailable, statement
from collector import days
from collector.settings import CNIL_MONTHS, Settings, is_development

# Every zone's offset since 1972 is a multiple of 15 minutes, so a quarter of an hour never straddles two clock hours.
QUARTER_S = 900
WHOLE_PERIOD = 24
DEVELOPMENT_DAYS = 7
# The visits, bounces and bounds of a sealed day follow the order in which things happened.
BY_TIME = "ORDER BY at, batch, position"
# Parameters travel in the query's address: a site takes about 250 bytes there, and servers take 64 KiB at least.
SITES_AT_ONCE = 100
COUNT = (
    "SELECT count() FROM {table} WHERE day = {{day:Date}} AND timezone = {{timezone:String}} AND seal = {{seal:UInt64}}"
)
INCLUDE = re.compile(r"^[ \t]*-- include: (\w+)$", re.MULTILINE)

Span = tuple[int, int]


@dataclass(frozen=True)
class Period:
    """A day as the sites of one time zone live it."""

    day: date
    timezone: str


@dataclass(frozen=True)
class SiteRules:
    """How a site's cells are shown: at least `k` networks each, rounded to `k` unless `exact`, until `keep_until`, by
    which dimensions. `matching` is what is looked for in the rows of a visit (`declared_dimensions`), or ""."""

    k: int
    exact: bool
    keep_until: date
    dimensions: tuple[Dimension, ...] = DIMENSIONS
    matching: str = ""


@dataclass(frozen=True)
class Reading:
    """What a first look at an open day gives: rows read, rows over a contribution bound, each site's spans of hours."""

    events: int
    bounded: int
    spans: Mapping[str, tuple[Span, ...]]


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
    by = (dimensions_of(known), matching(known.declared)) if known else (DIMENSIONS, "")
    if is_development(site):
        return SiteRules(k, level == "exact", day + timedelta(days=DEVELOPMENT_DAYS), *by)
    months = known.retention_months if known else CNIL_MONTHS
    return SiteRules(k, level == "exact", months_after(day, months), *by)


def read(store: Store, period: Period, rules: Callable[[str], SiteRules], largest_k: int) -> Reading:
    """Look at an open day before anything is written; `largest_k` is at least the k of every site in it."""
    rows = store.query(
        assembled("hour_networks", which="", order=BY_TIME), {**_clock(period), "largest_k": largest_k, **_key(period)}
    )
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


def write(store: Store, period: Period, seal: int, reading: Reading, rules: Callable[[str], SiteRules]) -> None:
    """Insert every cell that may be shown, under `seal`. StoreUnavailable where they are not there afterwards."""
    of_all = {site: rules(site) for site in reading.spans}
    groups = list(_alike(of_all))
    for cells, table in (("breakdown_cells", "breakdown_rows"), ("trend_cells", "trend_rows")):
        inserts = [_insert(cells, period, seal, reading, of_sites) for of_sites in groups]
        told = sum(store.command(sql, parameters) for sql, parameters in inserts)
        held = int(store.query(COUNT.format(table=table), {**_key(period), "seal": seal})[0][0])
        # That there are none, or how many there are, may be untrue: then the cells themselves are counted.
        if (held == 0 or held != told) and held != sum(_count_of(store, *insert) for insert in inserts):
            raise StoreUnavailable(f"{told} rows were inserted into {table}, and {held} are there")


def _alike(of_all: Mapping[str, SiteRules]) -> Iterator[Mapping[str, SiteRules]]:
    """Sites that are counted by the same dimensions, some at a time: what one site declares costs no other anything."""
    alike: dict[tuple[tuple[Dimension, ...], str], list[str]] = {}
    for site, of_site in of_all.items():
        alike.setdefault((of_site.dimensions, of_site.matching), []).append(site)
    for sites in alike.values():
        for place in range(0, len(sites), SITES_AT_ONCE):
            yield {site: of_all[site] for site in sites[place : place + SITES_AT_ONCE]}


def _insert(
    cells: str, period: Period, seal: int, reading: Reading, of_sites: Mapping[str, SiteRules]
) -> tuple[str, dict[str, object]]:
    alike = next(iter(of_sites.values()))
    texts = {
        "which": "AND site IN {sites:Array(String)}",
        "order": BY_TIME,
        "cells": dimensions.cells((TOTAL, *alike.dimensions)),
    }
    if alike.matching and cells == "breakdown_cells":
        texts["counted_rows"] = assembled("journeys", **texts, matching=alike.matching)
    starts = [[first for first, _ in reading.spans[site]] for site in of_sites]
    parameters = {**_key(period), "seal": seal, **_showing(of_sites), **_clock(period), "starts": starts}
    return assembled(cells, **texts), parameters | dimensions.sums(alike.dimensions)


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


def _key(period: Period) -> dict[str, object]:
    return {"day": period.day, "timezone": period.timezone}


def _clock(period: Period) -> dict[str, object]:
    return {"hours": clock_hours(period), "starts_at": int(days.starts_at(period.day, period.timezone))}


def _showing(of_sites: Mapping[str, SiteRules]) -> dict[str, object]:
    return {
        "sites": list(of_sites),
        "ks": [rules.k for rules in of_sites.values()],
        "exact": [site for site, rules in of_sites.items() if rules.exact],
        "kept_until": [rules.keep_until for rules in of_sites.values()],
    }


def months_after(day: date, months: int) -> date:
    """`day` so many months later, counted from the first of the month, which every month has: at most three days longer
    than a calendar says."""
    years, month = divmod(day.month - 1 + months, 12)
    return date(day.year + years, month + 1, 1) + timedelta(days=day.day - 1)
