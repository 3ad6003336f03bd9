"""Days that computers get wrong: after 2038-01-19T03:14:07Z, leap days, and days of 23, 25, 23.5 and 24.5 hours.

They are drained and sealed by the real store, whose own clock says that it is then.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from datetime import date, datetime
from pathlib import Path

import pytest

from aggregator.store import Store
from collector.days import day_of, ends_at, starts_at
from tests.faults.clocked_store import clocked_front
from tests.faults.figures import Figures
from tests.faults.own_clock import IS_POSSIBLE, OwnClock
from tests.faults.timeline import HOUR_S, World

pytestmark = [
    pytest.mark.skipif(not IS_POSSIBLE, reason="clocks of its own are for Linux on x86-64 alone"),
    pytest.mark.timeout(180),
]

SITE = "one.example"
# Clocks go forward and back by an hour or half of one, at midnight or not; 45 minutes; a day that is not there.
DAYS = (
    ("UTC", "2038-01-18"),
    ("UTC", "2040-02-28"),
    ("Europe/Berlin", "2027-03-27"),
    ("Europe/Berlin", "2027-10-30"),
    ("Australia/Lord_Howe", "2027-04-03"),
    ("Australia/Lord_Howe", "2027-10-02"),
    ("America/Havana", "2024-03-09"),
    ("America/Havana", "2024-11-02"),
    ("Asia/Beirut", "2027-03-27"),
    ("Asia/Kathmandu", "2027-06-01"),
    ("Pacific/Chatham", "2027-09-25"),
    ("Pacific/Apia", "2011-12-29"),
    ("Pacific/Kwajalein", "2027-06-01"),
)


async def two_days(folder: Path, key_dir: Path, clock: OwnClock, store: Store, timezone: str, first: date) -> World:
    """Seven visitors every six hours from the noon of `first` on, for two days, drained and sealed all along."""
    world = World(folder, key_dir, clock, store, {SITE: timezone})
    await world.start()
    for _ in range(8):
        for _ in range(7):
            await world.send(SITE, ago_s=1.0)
        world.drain()
        await world.seal()
        clock.pass_time(6 * HOUR_S)
    await world.settle()
    await world.stop()
    return world


def check(figures: Figures, world: World, store: Store, timezone: str) -> None:
    ledger, accepted = world.ledger(), len(world.accepted)
    row = figures.row("days of 23 to 25 hours, a day that is not there, leap days, 2038")
    row.rounds += 1
    row.acknowledged += accepted
    row.lost += accepted - ledger.sealed
    row.doubled += world.doubled()
    row.kept += len(world.kept)
    assert not ledger.imbalances
    assert {name: day for name, (day, _) in world.counted_on.items()} == {
        name: day_of(at, timezone) for name, (_, at) in world.accepted.items()
    }
    for table in ("trend_rows", "breakdown_rows", "cross_rows"):
        before = store.query(f"SELECT count() FROM {table}")
        store.command(f"OPTIMIZE TABLE {table} FINAL")
        assert store.query(f"SELECT count() FROM {table}") == before != [(0,)]


def run(folder: Path, key_dir: Path, clock: OwnClock, figures: Figures, timezone: str, first: date) -> None:
    clock.set_wall(starts_at(first, timezone) + 12 * HOUR_S)
    with clocked_front(folder / "data", clock) as front, contextlib.closing(front.store()) as store:
        world = asyncio.run(two_days(folder / "world", key_dir, clock, store, timezone, first))
        check(figures, world, store, timezone)


def test_the_night_in_which_32_bits_end_is_sealed_like_any_other(
    tmp_path: Path, key_dir: Path, own_clock: OwnClock, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = Figures("time_far")
    run(tmp_path, key_dir, own_clock, figures, "UTC", date(2038, 1, 18))
    with capsys.disabled():
        figures.tell()
    assert figures.faults == 0


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.skipif("FOOTFALL_SOAK" not in os.environ, reason="some minutes; run by make soak")
def test_every_odd_day_is_sealed_like_any_other(
    tmp_path: Path, key_dir: Path, own_clock: OwnClock, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = Figures("time_far")
    for number, (timezone, first) in enumerate(DAYS):
        run(tmp_path / str(number), key_dir, own_clock, figures, timezone, date.fromisoformat(first))
    with capsys.disabled():
        figures.tell()
    assert figures.faults == 0


@pytest.mark.parametrize(
    ("timezone", "day", "hours"),
    [
        ("Europe/Berlin", "2027-03-28", 23.0),
        ("Europe/Berlin", "2027-10-31", 25.0),
        ("Australia/Lord_Howe", "2027-04-04", 24.5),
        ("Australia/Lord_Howe", "2027-10-03", 23.5),
        ("America/Havana", "2024-03-10", 23.0),
        ("America/Havana", "2024-11-03", 25.0),
        ("Asia/Beirut", "2027-03-28", 23.0),
        ("Pacific/Apia", "2011-12-30", 0.0),
        ("Pacific/Apia", "2011-12-31", 24.0),
        ("Pacific/Chatham", "2027-09-26", 23.0),
        ("Europe/Berlin", "2040-03-25", 23.0),
    ],
)
def test_a_day_is_as_long_as_its_zone_says(timezone: str, day: str, hours: float) -> None:
    of = date.fromisoformat(day)
    assert (ends_at(of, timezone) - starts_at(of, timezone)) / HOUR_S == hours


def test_beyond_32_bits_an_instant_has_its_day() -> None:
    last = datetime.fromisoformat("2038-01-19T03:14:07+00:00").timestamp()
    assert last == 2**31 - 1
    assert day_of(last + 1, "Pacific/Kiritimati") == day_of(last, "Pacific/Kiritimati") == date(2038, 1, 19)
    assert day_of(last + 1, "America/Los_Angeles") == date(2038, 1, 18)
