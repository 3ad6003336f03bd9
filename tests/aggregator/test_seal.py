"""Sealing: when a day is due, once whatever happens, and nothing left of it afterwards."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aggregator.guard import ClockGuard, newest_event
from aggregator.rollup import Period
from aggregator.seal import OpenDayChangedError, Sealed, Sealer, Surroundings
from aggregator.store import Store, StoreRefused
from collector import days
from collector.settings import Settings, load
from tests.aggregator.simulate import Crowd, Row, counted, insert, truth
from tests.clock import SetClock

BERLIN, KOLKATA, LOS_ANGELES = "Europe/Berlin", "Asia/Kolkata", "America/Los_Angeles"
GRACE_S = 900
STEPS = ("closed", "gathered", "read", "written", "noted", "committed", "cleaned", "dropped", "destroyed")
CONFIGURATION = """
[privacy]
k = 5
[[site]]
domain = "example.com"
timezone = "Europe/Berlin"
[[site]]
domain = "localhost"
timezone = "Europe/Berlin"
"""


def next_change(timezone: str, hours: int) -> date:
    """The next day in `timezone` that has so many hours; always ahead, so that no fail-safe takes its rows."""
    day = datetime.now(UTC).date() + timedelta(days=3)
    while days.ends_at(day, timezone) - days.starts_at(day, timezone) != hours * 3600:
        day += timedelta(days=1)
    return day


DAY = next_change(BERLIN, 24)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    file = tmp_path / "footfall.toml"
    file.write_text(CONFIGURATION)
    return load(file, tmp_path, {})


class Crash(Exception):
    """The end of a process."""


@dataclass
class CrashAfter:
    """Hears of steps, and ends the process after the given one."""

    last: str | None
    done: list[str] = field(default_factory=list)

    def __call__(self, step: str) -> None:
        self.done.append(step)
        if step == self.last:
            raise Crash


def sealer(store: Store, settings: Settings, clock: SetClock, surroundings: Surroundings | None = None) -> Sealer:
    guard = ClockGuard(clock, clock.wall, lambda: newest_event(store))
    return Sealer(store, settings, clock, guard, surroundings or Surroundings())


def after(day: date, timezone: str = BERLIN, seconds: float = GRACE_S) -> SetClock:
    return SetClock(days.ends_at(day, timezone) + seconds)


def crowd(day: date = DAY, timezone: str = BERLIN, people: int = 60, site: str = "example.com") -> list[Row]:
    return Crowd(day, timezone, site, people).rows()


def trends(store: Store) -> list[tuple[Any, ...]]:
    """Everything that readers see."""
    views = ("trend", "breakdown", "cross_breakdown")
    return [row for view in views for row in store.query(f"SELECT * FROM {view} ORDER BY ALL")]


def open_events(store: Store) -> int:
    return int(store.query("SELECT count() FROM open_events")[0][0])


def outcomes(store: Store) -> set[tuple[int, str, int]]:
    return set(store.query("SELECT batch, toString(outcome), events FROM batches FINAL"))


def promise(
    store: Store,
    clock: SetClock,
    through: date,
    *,
    drainer: int = 1,
    reopened: tuple[date, ...] = (),
    zone: str = BERLIN,
) -> None:
    seen_at = f"{clock.wall():.3f}"
    row = (drainer, zone, through, list(reopened), seen_at)
    store.insert_rows("drains", ("drainer", "timezone", "closed_through", "reopened", "seen_at"), [row])


@pytest.mark.parametrize(
    ("timezone", "day"),
    [
        (BERLIN, DAY),
        (BERLIN, next_change(BERLIN, 23)),
        (BERLIN, next_change(BERLIN, 25)),
        (KOLKATA, DAY),
        (LOS_ANGELES, next_change(LOS_ANGELES, 23)),
        (LOS_ANGELES, next_change(LOS_ANGELES, 25)),
    ],
)
def test_a_day_is_sealed_one_grace_after_its_own_midnight_and_not_a_second_sooner(
    store: Store, settings: Settings, timezone: str, day: date
) -> None:
    rows = crowd(day, timezone)
    insert(store, rows)
    local_midnight = datetime(day.year, day.month, day.day, tzinfo=days.zone(timezone)) + timedelta(days=1)
    clock = SetClock(local_midnight.timestamp() + GRACE_S - 1)
    sealing = sealer(store, settings, clock)
    assert sealing.seal_due() == []
    assert sealing.waiting == {Period(day, timezone): "it is not over yet"}
    clock.move_to(clock.wall() + 1)
    (sealed,) = sealing.seal_due()
    assert (sealed.period, sealed.outcome, sealed.events, sealed.remains) == (
        Period(day, timezone),
        "sealed",
        len(rows),
        (),
    )
    assert open_events(store) == 0
    assert store.query("SELECT day, events FROM seals") == [(day, len(rows))]


def test_a_week_is_sealed_once_when_it_is_over_beside_the_days_of_others(store: Store, settings: Settings) -> None:
    calendar = f"{BERLIN}/week"
    monday = DAY + timedelta(days=7 - DAY.weekday())
    of_days = [crowd(monday + timedelta(days=after), people=2, site=f"{after}.example") for after in range(7)]
    rows = [replace(row, day=monday, timezone=calendar, site="example.com") for day in of_days for row in day]
    clock = after(monday, BERLIN)
    so_far = [row for row in rows if row.at_ms < clock.wall() * 1000]
    insert(store, so_far)
    insert(store, crowd(monday), 2)
    sealing = sealer(store, settings, clock)
    assert [sealed.period for sealed in sealing.seal_due()] == [Period(monday, BERLIN)]
    assert sealing.waiting == {Period(monday, calendar): "it is not over yet"}
    insert(store, [row for row in rows if row not in so_far], 3)
    clock.move_to(days.starts_at(monday + timedelta(days=7), BERLIN) + GRACE_S)
    (sealed,) = sealing.seal_due()
    assert (sealed.outcome, sealed.events, sealed.remains) == ("sealed", len(rows), ())
    assert store.query(f"SELECT day, days, events FROM seals WHERE timezone = '{calendar}'") == [(monday, 7, len(rows))]
    # No day of it has k networks.
    shown = "SELECT visitors FROM trend_rows WHERE hour = 24 AND day = {day:Date} AND timezone = {calendar:String}"
    ((visitors,),) = store.query(shown, {"day": monday, "calendar": calendar})
    assert visitors == truth(counted(rows)[0]).visitors // 5 * 5 > 0


def test_events_of_a_week_live_through_it_and_not_much_longer(store: Store, settings: Settings) -> None:
    monday = datetime.fromtimestamp(store.now(), UTC).date() - timedelta(days=30)
    rows = [replace(row, timezone=f"{BERLIN}/week") for row in crowd(monday)]
    insert(store, [replace(row, inserted=at_store(store, 9 * 86_400)) for row in rows])
    insert(store, [replace(row, inserted=at_store(store, 11 * 86_400)) for row in rows[:20]], batch=2)
    store.command("OPTIMIZE TABLE open_events FINAL")
    assert open_events(store) == len(rows)
    assert [sealed.outcome for sealed in sealer(store, settings, SetClock(store.now())).seal_due()] == ["sealed"]


def test_time_zones_close_one_after_the_other(store: Store, settings: Settings) -> None:
    clock = after(DAY, KOLKATA)
    for number, timezone in enumerate((LOS_ANGELES, BERLIN, KOLKATA), 1):
        rows = crowd(timezone=timezone, site=f"{number}.example")
        insert(store, [row for row in rows if row.at_ms < clock.wall() * 1000], number)
    sealing = sealer(store, settings, clock)
    order: list[str] = []
    while len(order) < 3:
        order += [sealed.period.timezone for sealed in sealing.seal_due()]
        clock.move_to(clock.wall() + 1_800)
    assert order == [KOLKATA, BERLIN, LOS_ANGELES]
    assert {row[1] for row in trends(store)} == {"1.example", "2.example", "3.example"}


def test_the_commit_record_states_what_was_read_and_the_weakest_rules(store: Store, settings: Settings) -> None:
    rows = [*crowd(), *crowd(people=3, site="localhost")]
    insert(store, rows)
    sealer(store, settings, after(DAY)).seal_due()
    record = store.query("SELECT day, timezone, origin, events, k, level, days FROM seals")
    assert record == [(DAY, BERLIN, "open day", len(rows), 1, "exact", 1)]


def test_development_sites_keep_seven_days_and_others_their_months(store: Store, settings: Settings) -> None:
    insert(store, [*crowd(), *crowd(people=3, site="localhost")])
    sealer(store, settings, after(DAY)).seal_due()
    kept = dict(store.query("SELECT site, keep_until FROM trend_rows WHERE hour = 24"))
    assert kept["localhost"] == DAY + timedelta(days=7)
    months = (kept["example.com"].year - DAY.year) * 12 + kept["example.com"].month - DAY.month
    assert months == 25


def test_sealing_twice_changes_nothing(store: Store, settings: Settings) -> None:
    insert(store, crowd())
    sealing = sealer(store, settings, after(DAY))
    sealing.seal_due()
    seen = trends(store)
    assert sealing.seal_due() == []
    assert trends(store) == seen != []


@pytest.fixture(scope="module")
def undisturbed(session_store: Store, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    """What a seal without any crash shows of the crowd's day."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "footfall.toml").write_text(CONFIGURATION)
    for table in ("open_events", "trend_rows", "breakdown_rows", "cross_rows", "seals"):
        session_store.command(f"TRUNCATE TABLE {table}")
    insert(session_store, crowd())
    sealer(session_store, load(folder / "footfall.toml", folder, {}), after(DAY)).seal_due()
    return trends(session_store)


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_after_any_step_and_a_rerun_give_the_same_trends_once(
    undisturbed: list[tuple[Any, ...]], store: Store, settings: Settings, step: str
) -> None:
    rows = crowd()
    insert(store, rows)
    crash = CrashAfter(step)
    with pytest.raises(Crash):
        sealer(store, settings, after(DAY), Surroundings(step=crash)).seal_due()
    assert crash.done[-1] == step
    committed = STEPS.index(step) >= STEPS.index("committed")
    assert trends(store) == (undisturbed if committed else [])

    sealer(store, settings, after(DAY)).seal_due()
    assert trends(store) == undisturbed
    assert open_events(store) == 0
    (seal,) = store.query("SELECT seal FROM committed_seals")
    for table in ("trend_rows", "breakdown_rows", "cross_rows"):
        assert store.query(f"SELECT DISTINCT seal FROM {table}") == [seal]
    assert store.query("SELECT sum(events) FROM seals") == [(len(rows),)]
    sealed = "outcome = 'sealed' AND seal IN (SELECT seal FROM committed_seals)"
    assert store.query(f"SELECT batch, events FROM batches FINAL WHERE {sealed}") == [(1, len(rows))]


def test_every_step_is_crashed_at(store: Store, settings: Settings) -> None:
    steps = CrashAfter(None)
    insert(store, crowd())
    sealer(store, settings, after(DAY), Surroundings(step=steps)).seal_due()
    assert tuple(steps.done) == STEPS


def test_two_sealers_at_once_make_one_seal(
    undisturbed: list[tuple[Any, ...]], store: Store, settings: Settings
) -> None:
    rows = crowd()
    insert(store, rows)
    together = threading.Barrier(2)

    def meet(step: str) -> None:
        if step in ("read", "noted"):
            together.wait(timeout=60)

    results: list[Sealed] = []

    def work() -> None:
        results.extend(sealer(store, settings, after(DAY), Surroundings(step=meet)).seal_due())

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.outcome for result in results) == ["finished", "sealed"]
    assert trends(store) == undisturbed
    (seal,) = store.query("SELECT seal FROM committed_seals")
    assert store.query(
        "SELECT DISTINCT seal FROM trend_rows UNION DISTINCT SELECT DISTINCT seal FROM breakdown_rows"
        " UNION DISTINCT SELECT DISTINCT seal FROM cross_rows"
    ) == [seal]


def test_a_sealer_that_stopped_before_its_commit_and_wakes_after_another_sealed_changes_nothing(
    undisturbed: list[tuple[Any, ...]], store: Store, settings: Settings
) -> None:
    insert(store, crowd())

    def overtaken(step: str) -> None:
        if step == "noted":
            sealer(store, settings, after(DAY)).seal_due()

    slow = sealer(store, settings, after(DAY), Surroundings(step=overtaken)).seal_due()
    assert [result.outcome for result in slow] == ["finished"]
    assert trends(store) == undisturbed
    assert store.query("SELECT uniqExact(seal) FROM trend_rows") == [(1,)]


def test_rows_that_come_while_sealing_stop_it_before_the_commit(store: Store, settings: Settings) -> None:
    insert(store, crowd())

    def intrude(step: str) -> None:
        if step == "written":
            insert(store, crowd(people=10), batch=2)

    with pytest.raises(OpenDayChangedError):
        sealer(store, settings, after(DAY), Surroundings(step=intrude)).seal_due()
    assert trends(store) == []
    assert store.query("SELECT count() FROM trend_rows") == [(0,)]
    (sealed,) = sealer(store, settings, after(DAY)).seal_due()
    assert (sealed.outcome, len(trends(store)) > 0) == ("sealed", True)


def test_what_comes_after_the_seal_is_counted_as_late_and_dropped(
    undisturbed: list[tuple[Any, ...]], store: Store, settings: Settings
) -> None:
    rows = crowd()
    insert(store, rows)
    sealer(store, settings, after(DAY)).seal_due()
    insert(store, crowd(people=10)[:9], batch=2)
    (finished,) = sealer(store, settings, after(DAY)).seal_due()
    assert (finished.outcome, finished.late) == ("finished", 9)
    assert outcomes(store) == {(1, "sealed", len(rows)), (2, "late", 9)}
    assert trends(store) == undisturbed


def test_sealing_waits_for_every_drainer_seen_within_a_day(store: Store, settings: Settings) -> None:
    insert(store, crowd())
    clock = after(DAY)
    sealing = sealer(store, settings, clock)

    def waits() -> bool:
        assert sealing.seal_due() == []
        return "drainers" in sealing.waiting[Period(DAY, BERLIN)]

    promise(store, clock, DAY - timedelta(days=1))
    assert waits()
    promise(store, clock, DAY, drainer=2)
    assert waits(), "one of two has promised"
    clock.move_to(clock.wall() + 1)
    promise(store, clock, DAY, reopened=(DAY,))
    assert waits(), "promised, but for this day"
    promise(store, clock, DAY, drainer=3, zone=KOLKATA)
    clock.move_to(clock.wall() + 1)
    promise(store, clock, DAY)
    assert waits(), "the third never spoke of this time zone"
    clock.move_to(clock.wall() + 1)
    promise(store, clock, DAY, drainer=3)
    assert [sealed.outcome for sealed in sealing.seal_due()] == ["sealed"]


def test_a_drainer_not_seen_for_a_day_is_given_up(store: Store, settings: Settings) -> None:
    insert(store, crowd())
    clock = after(DAY)
    promise(store, SetClock(clock.wall() - 24 * 3600), DAY - timedelta(days=1))
    sealing = sealer(store, settings, clock)
    assert sealing.seal_due() == []
    clock.move_to(clock.wall() + 1)
    assert [sealed.outcome for sealed in sealing.seal_due()] == ["sealed"]


def test_a_drainer_that_reopens_the_day_after_it_was_asked_is_seen(store: Store, settings: Settings) -> None:
    insert(store, crowd())
    clock = after(DAY)
    promise(store, clock, DAY)

    def reopen(step: str) -> None:
        if step == "closed":
            promise(store, SetClock(clock.wall() + 1), DAY, reopened=(DAY,))

    assert sealer(store, settings, clock, Surroundings(step=reopen)).seal_due() == []
    assert store.query("SELECT day, timezone FROM closings") == [(DAY, BERLIN)]
    assert (store.query("SELECT count() FROM seals"), open_events(store) > 0) == ([(0,)], True)


def test_sealing_waits_while_clocks_disagree(store: Store, settings: Settings) -> None:
    insert(store, crowd())
    clock = after(DAY, seconds=-3600)
    sealing = sealer(store, settings, clock)
    clock.wall_s += 7200
    assert sealing.seal_due() == []
    assert "was set" in sealing.waiting[Period(DAY, BERLIN)]
    clock.move_to(clock.wall() + 3600)
    assert [sealed.outcome for sealed in sealing.seal_due()] == ["sealed"]


def test_a_sealer_without_the_lease_does_nothing(store: Store, settings: Settings) -> None:
    insert(store, crowd())
    assert sealer(store, settings, after(DAY), Surroundings(may_work=lambda: False)).seal_due() == []
    assert open_events(store) > 0


def test_the_caller_is_told_each_day_whose_keys_may_go(store: Store, settings: Settings) -> None:
    insert(store, crowd())
    told: list[tuple[date, str]] = []

    def hear(day: date, timezone: str) -> None:
        assert open_events(store) == 0
        told.append((day, timezone))

    sealer(store, settings, after(DAY), Surroundings(sealed=hear)).seal_due()
    assert told == [(DAY, BERLIN)]


def at_store(store: Store, ago_s: float) -> int:
    return int(store.now() - ago_s)


def test_a_day_of_30_days_ago_is_sealed_one_grace_after_its_last_batch_and_not_eaten_by_the_fail_safe(
    store: Store, settings: Settings
) -> None:
    day = datetime.fromtimestamp(store.now(), UTC).date() - timedelta(days=30)
    inserted = at_store(store, 0)
    rows = [replace(row, inserted=inserted) for row in crowd(day)]
    insert(store, rows)
    store.command("OPTIMIZE TABLE open_events FINAL")
    clock = SetClock(inserted + GRACE_S - 1)
    sealing = sealer(store, settings, clock)
    assert sealing.seal_due() == []
    clock.move_to(inserted + GRACE_S)
    (sealed,) = sealing.seal_due()
    assert (sealed.outcome, sealed.events) == ("sealed", len(rows))
    assert len(trends(store)) > 0


def test_events_that_keep_coming_into_an_old_day_put_its_seal_off_for_two_days_at_most(
    store: Store, settings: Settings
) -> None:
    day = datetime.fromtimestamp(store.now(), UTC).date() - timedelta(days=30)
    rows = crowd(day)
    inserted = at_store(store, 49 * 3600)
    insert(store, [replace(row, inserted=inserted) for row in rows])
    insert(store, [replace(row, inserted=at_store(store, 0)) for row in rows], batch=2)
    assert [sealed.outcome for sealed in sealer(store, settings, SetClock(store.now())).seal_due()] == ["sealed"]


def test_a_day_that_no_drainer_promises_is_counted_as_expired_before_the_fail_safe_takes_it(
    store: Store, settings: Settings
) -> None:
    day = datetime.fromtimestamp(store.now(), UTC).date() - timedelta(days=4)
    clock = SetClock(store.now())
    promise(store, clock, day - timedelta(days=1))
    rows = crowd(day)
    insert(store, [replace(row, inserted=at_store(store, 65 * 3600)) for row in rows])
    sealing = sealer(store, settings, clock)
    assert sealing.seal_due() == []
    insert(store, [replace(row, inserted=at_store(store, 67 * 3600)) for row in rows[:20]], batch=2)
    (expired,) = sealing.seal_due()
    assert (expired.outcome, expired.events, expired.remains) == ("expired", len(rows) + 20, ())
    assert outcomes(store) == {(1, "expired", len(rows)), (2, "expired", 20)}
    assert (open_events(store), trends(store)) == (0, [])


@dataclass
class RefusedWhen:
    """A store that refuses what is asked next when the `number`th of two days was closed, while that is set."""

    number: int | None
    closed: int = 0

    def __call__(self, step: str) -> None:
        self.closed += step == "closed"
        if self.number is not None and step == "closed" and self.closed % 2 == self.number % 2:
            raise StoreRefused(241, "memory limit exceeded")


def test_a_day_that_the_store_refuses_keeps_no_other_from_its_seal_and_none_is_left_untold(
    store: Store, settings: Settings
) -> None:
    """Kolkata's day is sealed first, then Berlin's is refused."""
    insert(store, crowd(DAY, KOLKATA), 1)
    insert(store, crowd(DAY, BERLIN), 2)
    refused = RefusedWhen(2)
    clock = after(DAY, BERLIN)
    sealing = sealer(store, settings, clock, Surroundings(step=refused))
    with pytest.raises(StoreRefused):
        sealing.seal_due()
    assert store.query("SELECT timezone FROM committed_seals") == [(KOLKATA,)]
    refused.number = None
    assert [(done.period.timezone, done.outcome) for done in sealing.seal_due()] == [
        (KOLKATA, "sealed"),
        (BERLIN, "sealed"),
    ]


def test_a_day_that_the_store_always_refuses_is_counted_as_expired_before_the_fail_safe_takes_it(
    store: Store, settings: Settings
) -> None:
    old = int(store.now()) - 68 * 3_600
    events = len(insert(store, [replace(row, inserted=old) for row in crowd()], 1))
    sealing = sealer(store, settings, after(DAY), Surroundings(step=RefusedWhen(1)))
    with pytest.raises(StoreRefused):
        sealing.seal_due()
    assert outcomes(store) == {(1, "expired", events)}
    assert open_events(store) == 0


def test_a_day_that_can_be_sealed_is_sealed_at_any_age(store: Store, settings: Settings) -> None:
    day = datetime.fromtimestamp(store.now(), UTC).date() - timedelta(days=4)
    insert(store, [replace(row, inserted=at_store(store, 70 * 3600)) for row in crowd(day)])
    assert [sealed.outcome for sealed in sealer(store, settings, SetClock(store.now())).seal_due()] == ["sealed"]


def test_a_site_that_vanished_from_the_configuration_is_held_to_the_installations_rules(
    store: Store, settings: Settings
) -> None:
    insert(store, crowd(site="gone.example"))
    sealer(store, settings, after(DAY)).seal_due()
    numbers = [number for row in trends(store) for number in row[-6:] if isinstance(number, int)]
    assert numbers
    assert all(number % 5 == 0 for number in numbers)
