"""Rows that wait for a drainer go after three days, also where the wall clock was set, and not before."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from collector.clock import Ages
from collector.expiry import MARK_EVERY_S, Expiry
from collector.group import Group
from collector.keys import FAIL_SAFE_S
from collector.spool import Spool, open_spool
from tests.clock import SetClock

HOUR_S, DAY_S = 3_600.0, 86_400.0


@pytest.fixture
def clock() -> SetClock:
    return SetClock(1_800_000_000.0)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    opened = open_spool(tmp_path, 1 << 30)
    yield opened
    opened.close()


class Worker:
    """Beats as the committer does."""

    def __init__(self, spool: Spool, clock: SetClock) -> None:
        self.spool, self.clock, self.ages = spool, clock, Ages(clock, FAIL_SAFE_S)
        self.expiry = Expiry(clock, self.ages)

    def take(self) -> None:
        group = Group()
        group.add(date(2027, 1, 15), "UTC", b"{}\n")
        self.spool.commit(group, self.clock.wall())

    def beat(self) -> int:
        self.ages.look()
        return self.expiry.expire(self.spool)

    def live(self, seconds: float) -> int:
        """Beats every few minutes for so long."""
        expired = 0
        for _ in range(round(seconds / 300.0)):
            self.clock.pass_time(300.0)
            expired += self.beat()
        return expired


def test_a_row_goes_after_three_days_and_not_before(spool: Spool, clock: SetClock) -> None:
    worker = Worker(spool, clock)
    worker.take()
    assert worker.live(FAIL_SAFE_S) == 0
    assert worker.live(MARK_EVERY_S) == 1


@pytest.mark.parametrize("step_s", [HOUR_S, DAY_S, 30 * DAY_S])
def test_a_clock_set_forward_takes_no_row_early(spool: Spool, clock: SetClock, step_s: float) -> None:
    worker = Worker(spool, clock)
    worker.take()
    assert worker.live(HOUR_S) == 0
    clock.set_wall(clock.wall() + step_s)
    worker.take()
    assert worker.live(FAIL_SAFE_S - HOUR_S) == 0
    assert worker.live(MARK_EVERY_S) == 1
    assert worker.live(HOUR_S) == 1


@pytest.mark.parametrize("step_s", [HOUR_S, DAY_S, 30 * DAY_S])
def test_a_clock_set_back_keeps_no_row_longer(spool: Spool, clock: SetClock, step_s: float) -> None:
    worker = Worker(spool, clock)
    worker.take()
    assert worker.live(HOUR_S) == 0
    clock.set_wall(clock.wall() - step_s)
    worker.take()
    assert worker.live(FAIL_SAFE_S) == 1
    assert worker.live(2 * MARK_EVERY_S) == 1


def test_a_row_behind_one_of_the_future_is_found_by_a_worker_that_starts(spool: Spool, clock: SetClock) -> None:
    worker = Worker(spool, clock)
    clock.set_wall(clock.wall() + DAY_S)
    worker.take()
    clock.set_wall(clock.wall() - DAY_S)
    worker.take()
    clock.pass_time(FAIL_SAFE_S + 60.0)
    assert Worker(spool, clock).beat() == 1
