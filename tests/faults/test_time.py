"""Seeded random timelines: events, days that pass, clocks that are set by an hour or a day, zones changed, restarts.

Whatever the order: each event has one end, no (day, site) is in two seals, no sealed day is opened again, nothing is
kept past its fail-safe.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from pathlib import Path

import pytest

from aggregator.store import Store
from tests.aggregator.spooling import empty
from tests.faults.figures import Figures
from tests.faults.own_clock import IS_POSSIBLE, OwnClock
from tests.faults.timeline import DAY_S, SITES, Schedule, World

pytestmark = pytest.mark.skipif(not IS_POSSIBLE, reason="clocks of its own are for Linux on x86-64 alone")


async def timeline(figures: Figures, world: World, seed: int, steps: int) -> Counter[str]:
    """One random timeline, settled and counted; returns how often each thing happened."""
    schedule = Schedule(world, seed)
    await world.start()
    try:
        await schedule.run(steps)
        await world.settle()
    finally:
        await world.stop()
    ledger, accepted = world.ledger(), len(world.accepted)
    accounted = ledger.waiting + ledger.open + ledger.sealed + ledger.late + ledger.expired + ledger.quarantined
    row = figures.row("a random timeline: clocks set, zones changed, days passed, restarts")
    row.rounds += steps
    row.acknowledged += accepted
    row.lost += max(0, accepted - accounted)
    row.doubled += max(0, accounted - accepted) + world.doubled() + len(world.days_in_two_zones())
    row.kept += len(world.kept)
    assert not ledger.imbalances, (seed, ledger)
    assert not world.days_in_two_zones(), (seed, world.days_in_two_zones())
    assert not world.days_that_go_back(), (seed, world.days_that_go_back())
    return schedule.steps + Counter(
        {"sealed": ledger.sealed, "counted as late": ledger.late, "counted as expired": ledger.expired}
    )


def run(figures: Figures, world: World, seed: int, steps: int) -> Counter[str]:
    return asyncio.run(timeline(figures, world, seed, steps))


def new_world(folder: Path, key_dir: Path, clock: OwnClock, store: Store) -> World:
    return World(folder, key_dir, clock, store, dict.fromkeys(SITES, "Europe/Berlin"))


def test_random_timelines_lose_double_and_keep_nothing(
    tmp_path: Path, key_dir: Path, own_clock: OwnClock, clocked_store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = Figures("time")
    run(figures, new_world(tmp_path / "world", key_dir, own_clock, clocked_store), 1, 80)
    with capsys.disabled():
        figures.tell()
    assert figures.faults == 0


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.skipif("FOOTFALL_SOAK" not in os.environ, reason="an hour of timelines; run by make soak")
def test_many_random_timelines_lose_double_and_keep_nothing(
    tmp_path: Path, key_dir: Path, own_clock: OwnClock, clocked_store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    figures, happened = Figures("time"), Counter[str]()
    for seed in range(int(os.environ.get("FOOTFALL_TIMELINES", "40"))):
        empty(clocked_store)
        happened += run(figures, new_world(tmp_path / f"world-{seed}", key_dir, own_clock, clocked_store), seed, 300)
        own_clock.pass_time(3 * DAY_S)
    figures.remarks.append(", ".join(f"{what}: {times:,}" for what, times in happened.items()) + ".")
    with capsys.disabled():
        figures.tell()
    assert figures.faults == 0
