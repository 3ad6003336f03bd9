"""Two drainers of one store: on two machines whose clocks differ, and on one spool folder, which is one too many."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from aggregator.store import Store
from tests.collector.collecting import environment, spooled_lines, until
from tests.faults.draining import Draining
from tests.faults.figures import Figures
from tests.faults.own_clock import IS_POSSIBLE, OwnClock
from tests.faults.test_late_drainer import SITE, ZONE, Skewed, count, machines, told
from tests.faults.timeline import DAY_S, HOUR_S, World

DAYS, STEP_HOURS = 2, 8


@pytest.mark.skipif(not IS_POSSIBLE, reason="clocks of its own are for Linux on x86-64 alone")
@pytest.mark.timeout(180)
def test_drainers_whose_clocks_are_an_hour_behind_and_ahead_seal_each_day_once_and_with_all_its_events(
    tmp_path: Path, key_dir: Path, own_clock: OwnClock, clocked_store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    def machine(name: str, clock: OwnClock) -> World:
        keys = key_dir / name  # Its own, as these live by its clock.
        keys.mkdir(mode=0o700)
        return World(tmp_path / name, keys, clock, clocked_store, {SITE: ZONE})

    here = machine("here", own_clock)
    worlds = [here, *(machine(f"{skew:+}", Skewed(own_clock, skew)) for skew in (-HOUR_S, HOUR_S))]

    async def work(*, with_events: bool) -> None:
        """Who seals goes by the clock between; a machine behind it still has events of a day that is over there."""
        own_clock.pass_time(STEP_HOURS * HOUR_S)
        for each in worlds:
            await each.beat()
            if with_events:
                await each.send(SITE)
        here.drain()
        await here.seal()
        for each in worlds:
            each.drain()
        await here.seal()

    def is_open() -> bool:
        is_waiting = any(spooled_lines(each.spool_dir) for each in worlds)
        return is_waiting or bool(clocked_store.query("SELECT 1 FROM open_events LIMIT 1"))

    async def days_pass() -> list[int]:
        """How much was sealed after each step."""
        sealed = []
        async with machines(*worlds):
            for _ in range(DAYS * 24 // STEP_HOURS):
                await work(with_events=True)
                sealed.append(here.ledger().sealed)
            while is_open():
                await work(with_events=False)
        return sealed

    own_clock.move_to(own_clock.wall() // DAY_S * DAY_S + DAY_S + 7.5 * HOUR_S)
    figures = Figures("time_two_drainers")
    sealed = asyncio.run(days_pass())
    assert sealed[-1] > 0, "the first day is sealed while the next one goes on"
    ends = count(figures, "drainers an hour behind and ahead", clocked_store, *worlds)
    assert ends == (sum(len(each.accepted) for each in worlds), 0)
    told(figures, capsys)


def test_a_second_drainer_process_on_one_spool_folder_is_refused_and_takes_over_when_the_first_is_gone(
    tmp_path: Path, key_dir: Path
) -> None:
    draining = Draining(tmp_path / "place", key_dir)
    try:
        draining.start()
        assert draining.process is not None
        first = draining.process
        second = subprocess.run(
            draining.command,
            cwd=draining.folder,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert second.returncode == 2
        assert "another drainer has" in second.stderr
        draining.take(3)
        until(draining.is_drained, "the first goes on", 60)
        draining.take(3)
        first.kill()
        draining.start_drainer()
        until(draining.is_drained, "the second has the folder", 60)
        assert draining.lost_and_doubled() == (0, 0)
    finally:
        draining.stop()
