"""Sealing waits while clocks disagree, and goes on when they have agreed for long enough."""

from __future__ import annotations

from aggregator.guard import ClockGuard, newest_event
from aggregator.store import Store
from tests.aggregator.simulate import insert
from tests.aggregator.test_rollup import START_MS, person
from tests.clock import SetClock

NOON = 1_900_000_000.0


def guard(clock: SetClock, *, store_ahead_s: float = 0.0, newest: float | None = None) -> ClockGuard:
    return ClockGuard(clock, lambda: clock.wall() + store_ahead_s, lambda: newest)


def test_clocks_that_run_together_agree() -> None:
    clock = SetClock(NOON)
    watch = guard(clock)
    clock.move_to(NOON + 30 * 86_400)
    assert watch.disagreement() is None


def test_a_wall_clock_that_was_set_stops_sealing_for_an_hour() -> None:
    clock = SetClock(NOON)
    watch = guard(clock)
    clock.wall_s += 86_400
    assert "was set" in (watch.disagreement() or "")
    clock.move_to(clock.wall() + 3_599)
    assert watch.disagreement() is not None
    clock.move_to(clock.wall() + 1)
    assert watch.disagreement() is None


def test_a_clock_set_twice_within_the_hour_waits_an_hour_from_the_second_time() -> None:
    clock = SetClock(NOON)
    watch = guard(clock)
    clock.wall_s += 86_400
    assert watch.disagreement() is not None
    clock.move_to(clock.wall() + 3_000)
    clock.wall_s -= 86_400
    assert watch.disagreement() is not None
    clock.move_to(clock.wall() + 3_599)
    assert watch.disagreement() is not None


def test_a_step_of_5_seconds_passes_and_a_longer_one_does_not() -> None:
    for step_s, agrees in ((5.0, True), (-5.0, True), (5.1, False), (-5.1, False)):
        clock = SetClock(NOON)
        watch = guard(clock)
        clock.wall_s += step_s
        assert (watch.disagreement() is None) is agrees


def test_a_store_more_than_60_seconds_apart_stops_sealing_either_way() -> None:
    for ahead_s, agrees in ((60.0, True), (-60.0, True), (61.0, False), (-61.0, False)):
        told = guard(SetClock(NOON), store_ahead_s=ahead_s).disagreement()
        assert (told is None) is agrees


def test_an_event_more_than_60_seconds_ahead_stops_sealing() -> None:
    for newest, agrees in ((NOON + 60, True), (NOON + 61, False), (NOON - 86_400, True)):
        assert (guard(SetClock(NOON), newest=newest).disagreement() is None) is agrees


def test_the_newest_event_is_read_from_the_open_days(store: Store) -> None:
    assert newest_event(store) is None
    insert(store, [person(0), person(5), person(3)])
    assert newest_event(store) == START_MS / 1000 + 5
