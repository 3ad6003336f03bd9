"""Sealed days to ask about, written as the sealer writes them, in a real store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from aggregator.store import Store, StoreUnavailable
from collector.days import starts_at
from tests.aggregator.conftest import bare_store, endpoint, session_store, store
from tests.dashboards.asking import Installation

__all__ = ["bare_store", "endpoint", "session_store", "store"]

MEASURES = ("visitors", "visits", "views", "events", "bounces", "engaged_s")
KEPT = date(2100, 1, 1)
Key = tuple[str, str, str]


@dataclass
class StillClock:
    """Both clocks, moved by hand."""

    now: float

    def wall(self) -> float:
        return self.now

    def boot(self) -> float:
        return self.now


@pytest.fixture
def noon() -> StillClock:
    """Noon of 31 March 2026 in Berlin."""
    return StillClock(starts_at(date(2026, 3, 31), "Europe/Berlin") + 12 * 3_600)


@dataclass
class Sealer:
    """Writes seals of one time zone: rows first, the commit record last."""

    store: Store
    timezone: str = "Europe/Berlin"
    number: int = field(default=0)

    def seal(
        self,
        day: date,
        spans: Sequence[tuple[str, int, int, int]] = (),
        values: Sequence[tuple[str, str, str, str, int]] = (),
        *,
        crosses: Sequence[tuple[str, Key, Key, int]] = (),
        commit: bool = True,
        origin: str = "open",
    ) -> None:
        """`spans`: (site, hour, span, number); `values`: (site, dimension, parent, value, number); `crosses`: (site,
        one, other, number), each written in both directions."""
        self.number += 1
        key = (day, self.timezone, self.number, KEPT)
        columns = ("day", "timezone", "seal", "keep_until", "site")
        rows = [(*key, site, hour, span, *[number] * 6) for site, hour, span, number in spans]
        self.store.insert_rows("trend_rows", (*columns, "hour", "span", *MEASURES), rows)
        cells = [(*key, *cell[:4], *[cell[4]] * 6) for cell in values]
        self.store.insert_rows("breakdown_rows", (*columns, "dimension", "parent", "value", *MEASURES), cells)
        both = [(site, *one, *other, number, number) for site, one, other, number in crosses]
        both += [(site, *other, *one, number, number) for site, one, other, number in crosses]
        named = [f"{column}_{side}" for side in "ab" for column in ("dimension", "parent", "value")]
        self.store.insert_rows("cross_rows", (*columns, *named, "visitors", "visits"), [(*key, *row) for row in both])
        if commit:
            record = (day, self.timezone, origin, self.number, datetime.now(UTC), 1, 0, 5, "rounded", 1)
            names = ("day", "timezone", "origin", "seal", "committed_at", "events", "bounded", "k", "level", "days")
            self.store.insert_rows("seals", names, [record])


@pytest.fixture
def sealer(store: Store) -> Sealer:
    """A sealer over the empty store."""
    return Sealer(store)


@pytest.fixture
def request_counts(store: Store) -> Callable[[date, str, str, str, int], None]:
    """Writes one running total of requests, as a drainer does."""

    def write(day: date, site: str, outcome: str, reason: str, requests: int) -> None:
        names = ("day", "site", "outcome", "reason", "spool", "requests")
        store.insert_rows("coverage_totals", names, [(day, site, outcome, reason, 1, requests)])

    return write


@pytest.fixture
def installation(tmp_path: Path, store: Store, noon: StillClock) -> Installation:
    return Installation(tmp_path, lambda: store, noon)


@pytest.fixture
def unopened(tmp_path: Path, noon: StillClock) -> Installation:
    """An installation whose store is away."""

    def away() -> Store:
        raise StoreUnavailable("nobody listens")

    return Installation(tmp_path, away, noon)
