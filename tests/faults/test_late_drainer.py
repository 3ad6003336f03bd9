"""Drainers and sealers whose clocks differ, that sleep for 30 hours, or that come back when they were given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from aggregator.drain import Drainer
from aggregator.guard import ClockGuard, newest_event
from aggregator.seal import Sealer, Surroundings
from aggregator.store import Store
from tests.aggregator.spooling import WatchedStore
from tests.faults.figures import Figures
from tests.faults.own_clock import IS_POSSIBLE, OwnClock
from tests.faults.timeline import DAY_S, HOUR_S, World

pytestmark = [
    pytest.mark.skipif(not IS_POSSIBLE, reason="clocks of its own are for Linux on x86-64 alone"),
    pytest.mark.timeout(120),
]

SITE, ZONE = "one.example", "Europe/Berlin"


@dataclass
class Skewed(OwnClock):
    """The same clock, wrong by `skew_s`: another machine's."""

    inner: OwnClock
    skew_s: float

    def wall(self) -> float:
        return self.inner.wall() + self.skew_s

    def boot(self) -> float:
        return self.inner.boot()

    def pass_time(self, seconds: float) -> None:
        self.inner.pass_time(seconds)


@asynccontextmanager
async def machines(*worlds: World) -> AsyncIterator[None]:
    for world in worlds:
        await world.start()
    try:
        yield
    finally:
        for world in worlds:
            await world.stop()


def told(figures: Figures, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        figures.tell()
    assert figures.faults == 0


def count(figures: Figures, fault: str, store: Store, *worlds: World) -> tuple[int, int]:
    """Adds up what became of the events of all machines over one store; returns how many were sealed, and late."""
    ledgers = [world.ledger() for world in worlds]
    of_spools = [spool for ledger in ledgers for spool in ledger.spools]
    stored_late = ledgers[0].late - sum(spool.late for spool in ledgers[0].spools)
    stored_expired = ledgers[0].expired - sum(spool.expired for spool in ledgers[0].spools)
    late = stored_late + sum(spool.late for spool in of_spools)
    expired = stored_expired + sum(spool.expired for spool in of_spools)
    waiting = sum(spool.waiting for spool in of_spools)
    ended = ledgers[0].sealed + ledgers[0].open + late + expired + waiting
    accepted = sum(len(world.accepted) for world in worlds)
    row = figures.row(fault)
    row.rounds += 1
    row.acknowledged += accepted
    row.lost += max(0, accepted - ended)
    row.doubled += max(0, ended - accepted) + worlds[0].doubled()
    row.kept += sum(len(world.kept) for world in worlds)
    return ledgers[0].sealed, late


def world(folder: Path, key_dir: Path, clock: OwnClock, store: Store, patience_s: float = 0.0) -> World:
    return World(folder, key_dir, clock, store, {SITE: ZONE}, patience_s)


def test_a_drainer_that_comes_back_after_30_hours_counts_as_late_and_one_after_20_is_waited_for(
    tmp_path: Path, key_dir: Path, own_clock: OwnClock, clocked_store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    async def away_for(hours: float) -> tuple[int, int]:
        own_clock.move_to(own_clock.wall() // 86_400.0 * 86_400.0 + 86_400.0 + 17 * HOUR_S)
        here, there = (world(tmp_path / f"{hours} {place}", key_dir, own_clock, clocked_store) for place in ("a", "b"))
        async with machines(here, there):
            for _ in range(4):
                await here.send(SITE)
                await there.send(SITE)
            here.drain()
            there.drain()
            await there.send(SITE)  # In its spool as it falls asleep.
            for _ in range(round(hours / 10)):
                own_clock.pass_time(10 * HOUR_S)
                await here.beat()
                here.drain()
                await here.seal()
            sealed_meanwhile = here.ledger().sealed
            await there.beat()
            there.drain()
            await there.send(SITE)
            there.drain()
            while clocked_store.query("SELECT 1 FROM open_events LIMIT 1"):
                own_clock.pass_time(6 * HOUR_S)
                await there.beat()
                there.drain()
                await here.beat()
                here.drain()
                await here.seal()
            count(figures, f"a drainer away for {hours:.0f} hours", clocked_store, here, there)
            late = sum(spool.late for spool in there.ledger().spools)
        return sealed_meanwhile, late

    figures = Figures("time_drainers")
    assert asyncio.run(away_for(20)) == (0, 0)
    for table in ("seals", "closings", "batches", "drains", "trend_rows", "breakdown_rows", "cross_rows"):
        clocked_store.command(f"TRUNCATE TABLE {table}")
    assert asyncio.run(away_for(30)) == (8, 1)
    told(figures, capsys)


def test_a_machine_that_was_suspended_for_30_hours_drains_before_it_seals(
    tmp_path: Path, key_dir: Path, own_clock: OwnClock, clocked_store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    async def suspended() -> tuple[int, int]:
        machine = world(tmp_path / "machine", key_dir, own_clock, clocked_store, patience_s=60.0)
        async with machines(machine):
            await machine.send(SITE)
            machine.drain()
            await machine.seal()
            await machine.send(SITE)
            own_clock.pass_time(50 * HOUR_S)
            await machine.seal()  # The sealer happens to be the first that is awake.
            assert machine.ledger().sealed == 0
            await machine.settle()
        return count(figures, "a machine suspended for 50 hours", clocked_store, machine)

    figures = Figures("time_suspended")
    assert asyncio.run(suspended()) == (2, 0)
    told(figures, capsys)


def test_a_drainer_that_stops_between_its_question_and_its_insert_for_30_hours_opens_no_sealed_day(
    tmp_path: Path, key_dir: Path, own_clock: OwnClock, clocked_store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    async def stopped() -> tuple[int, int]:
        here, there = (world(tmp_path / place, key_dir, own_clock, clocked_store) for place in ("here", "there"))
        slept = False

        def sleep(_: int, call: str) -> None:
            nonlocal slept
            if call != "insert_lines" or slept:
                return
            slept = True
            for _ in range(5):
                own_clock.pass_time(10 * HOUR_S)
                here.drain()
                here.sealer.seal_due()
            assert here.ledger().sealed == 1

        async with machines(here, there):
            await here.send(SITE)
            await here.beat()
            here.drain()
            await there.send(SITE)
            there.drainer.close()
            asleep = WatchedStore(clocked_store, before=sleep)
            there.drainer = Drainer(there.settings, asleep, there.keys, own_clock)
            task = asyncio.create_task(_beating(here))
            await asyncio.to_thread(there.drainer.round)
            task.cancel()
            await here.settle()
            assert slept
        return count(figures, "a drainer stopped for 50 hours before its insert", clocked_store, here, there)

    figures = Figures("time_stopped")
    assert asyncio.run(stopped()) == (1, 1)
    told(figures, capsys)


async def _beating(here: World) -> None:
    """The other machine's worker keeps house while time passes."""
    while True:
        await here.beat()
        await asyncio.sleep(0.01)


def test_a_drainer_that_is_gone_and_whose_clock_was_a_month_ahead_is_waited_for_a_day_and_no_longer(
    tmp_path: Path, key_dir: Path, own_clock: OwnClock, clocked_store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    async def sealed_after(hours: int) -> int:
        for _ in range(hours):
            own_clock.pass_time(HOUR_S)
            await here.beat()
            here.drain()
            await here.seal()
        return here.ledger().sealed

    async def waited() -> tuple[int, int]:
        async with machines(here):
            there.drain()
            there.drainer.close()
            await here.send(SITE)
            here.drain()
            assert await sealed_after(20) == 0
            assert await sealed_after(26) == 1
        return count(figures, "a drainer that is gone, seen a month ahead", clocked_store, here)

    figures = Figures("time_ahead")
    own_clock.move_to(own_clock.wall() // DAY_S * DAY_S + DAY_S + 17 * HOUR_S)
    here = World(tmp_path / "here", key_dir, own_clock, clocked_store, {SITE: "Asia/Kolkata"})
    # It has spoken of another time zone alone.
    there = world(tmp_path / "there", key_dir, Skewed(own_clock, 30 * DAY_S), clocked_store)
    assert asyncio.run(waited()) == (1, 0)
    told(figures, capsys)


@pytest.mark.parametrize("skew_s", [-50.0, 50.0])
def test_two_sealers_whose_clocks_differ_make_one_seal_of_each_day(
    skew_s: float,
    tmp_path: Path,
    key_dir: Path,
    own_clock: OwnClock,
    clocked_store: Store,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def sealed() -> None:
        machine = world(tmp_path / "machine", key_dir, own_clock, clocked_store)
        other = Skewed(own_clock, skew_s)
        guard = ClockGuard(other, clocked_store.now, partial(newest_event, clocked_store))
        second = Sealer(clocked_store, machine.settings, other, guard, Surroundings())
        async with machines(machine):
            for _ in range(7):
                await machine.send(SITE)
                await machine.beat()
                machine.drain()
                await asyncio.gather(asyncio.to_thread(second.seal_due), machine.seal())
                own_clock.pass_time(4 * HOUR_S)
            await machine.settle()
        count(figures, "two sealers whose clocks differ by 50 seconds", clocked_store, machine)

    figures = Figures("time_sealers")
    asyncio.run(sealed())
    told(figures, capsys)
