"""How long ago something was, whatever was done to the wall clock since."""

from __future__ import annotations

from collector.clock import Ages
from tests.clock import SetClock

DAY_S = 86_400.0


def test_a_clock_set_forward_makes_nothing_older() -> None:
    clock = SetClock(1_000_000.0)
    ages = Ages(clock, 3 * DAY_S)
    clock.set_wall(1_000_000.0 + DAY_S)
    ages.look()
    assert ages.earliest(DAY_S) == 1_000_000.0
    clock.pass_time(DAY_S + 1.0)
    ages.look()
    # Whatever was noted before the step is a day old by now, and what was noted after it is believed.
    assert ages.earliest(DAY_S) == clock.wall()
    assert ages.earliest(3 * DAY_S) == clock.wall() - DAY_S


def test_a_clock_set_back_is_believed_at_once() -> None:
    clock = SetClock(1_000_000.0)
    ages = Ages(clock, DAY_S)
    clock.set_wall(1_000_000.0 - 3_600.0)
    ages.look()
    assert ages.earliest(DAY_S) == clock.wall()


def test_without_a_look_for_long_the_last_one_counts() -> None:
    clock = SetClock(1_000_000.0)
    ages = Ages(clock, DAY_S)
    clock.pass_time(5 * DAY_S)
    assert ages.earliest(DAY_S) == clock.wall()
