"""The protocol of drainers and sealer: no event goes into a day after its seal has read it.

Every interleaving of a drainer's calls to the store with a sealer's steps is tried, in the situations in which the two
can meet: a late event, a new drainer, one that was given up while it slept, and one that was restarted.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import combinations_with_replacement
from pathlib import Path

import pytest

from aggregator.drain import Drainer
from aggregator.seal import DRAINER_GIVEN_UP_S
from aggregator.store import Store, StoreUnavailable, statement
from aggregator.watermark import SILENCE_S, Watermark
from collector.days import ends_at
from tests.aggregator.spooling import (
    BERLIN,
    GRACE_S,
    Place,
    WatchedStore,
    empty,
    failing_store,
    names_in,
    noon,
    place_in,
    promises,
)
from tests.clock import SetClock

TODAY = date(2031, 5, 14)
YESTERDAY = TODAY - timedelta(days=1)
DRAINER = 7
SEALER_STEPS = 3
# A drainer makes no more calls than this up to its insert, and one more schedule has the sealer after it.
CALLS = 6


@pytest.fixture
def key_dir() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="footfall-test-", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@dataclass
class HandSealer:
    """The sealer's side of the protocol, one step at a time, in the order of `aggregator.seal`."""

    store: Store
    clock: SetClock
    day: date
    read: int | None = None
    gave_up: bool = False
    done: int = 0

    def step(self) -> None:
        (self._close, self._ask_again, self._read_and_commit)[self.done]()
        self.done += 1

    def _close(self) -> None:
        """It asked once before, or it would not have begun."""
        self.gave_up = not self._is_promised()
        if not self.gave_up:
            self.store.insert_rows("closings", ("day", "timezone"), [(self.day, BERLIN)])

    def _ask_again(self) -> None:
        self.gave_up = self.gave_up or not self._is_promised()

    def _read_and_commit(self) -> None:
        if self.gave_up:
            return
        rows = self.store.query(
            "SELECT batch, count() FROM open_events WHERE day = {d:Date} GROUP BY 1", {"d": self.day}
        )
        self.read = sum(events for _, events in rows)
        noted = [(batch, self.day, BERLIN, events, "sealed", 9) for batch, events in rows]
        if noted:
            self.store.insert_rows("batches", ("batch", "day", "timezone", "events", "outcome", "seal"), noted)
        columns = ("day", "timezone", "origin", "seal", "events", "bounded", "k", "level", "days")
        record = (self.day, BERLIN, "open day", 9, self.read, 0, 5, "rounded", 1)
        self.store.insert_rows("seals", columns, [record])

    def _is_promised(self) -> bool:
        since_ms = int((self.clock.wall() - DRAINER_GIVEN_UP_S) * 1000)
        asked = {"day": self.day, "timezone": BERLIN, "since_ms": since_ms}
        return not self.store.query(statement("unpromised"), asked)


def a_late_event(place: Place, store: WatchedStore) -> Drainer:
    """Yesterday is promised, and more events of it come."""
    worker, drainer = place.worker(), place.drainer(store)
    worker.beat()
    drainer.round()
    assert promises(place.store) == [(YESTERDAY, [])]
    worker.take(YESTERDAY)
    return drainer


def a_new_drainer(place: Place, store: WatchedStore) -> Drainer:
    """Nobody has heard of it when it finds events of yesterday."""
    place.worker().take(YESTERDAY)
    return place.drainer(store)


def a_sleeper(place: Place, store: WatchedStore) -> Drainer:
    """It had yesterday reopened and slept for 30 hours; nobody waits for it any more."""
    worker, drainer = place.worker(), place.drainer(store)
    worker.beat()
    worker.take(YESTERDAY)
    drainer.round()
    assert promises(place.store) == [(YESTERDAY, [YESTERDAY])]
    place.clock.pass_time(30 * 3600)
    worker.take(YESTERDAY)
    return drainer


@pytest.mark.parametrize("situation", [a_late_event, a_new_drainer, a_sleeper])
def test_no_event_goes_into_a_day_after_its_seal_read_it_in_any_interleaving(
    tmp_path: Path, key_dir: Path, store: Store, situation: Callable[[Place, WatchedStore], Drainer]
) -> None:
    """The sealer takes its step i just before the drainer's call number `schedule[i]`."""
    sealed: Counter[bool] = Counter()
    for number, schedule in enumerate(combinations_with_replacement(range(1, CALLS + 2), SEALER_STEPS)):
        empty(store)
        place = place_in(tmp_path / str(number), key_dir, store, noon(TODAY))
        watched = WatchedStore(store)
        drainer = situation(place, watched)
        sealer = HandSealer(store, place.clock, YESTERDAY)
        take_turns(watched, sealer, schedule)
        drainer.round()
        while sealer.done < SEALER_STEPS:
            sealer.step()
        sealed[sealer.read is not None] += 1
        assert_nothing_follows_the_seal(place, sealer, schedule)
        place.close()
    assert sealed[True] > 0
    assert sealed[False] > 0


def take_turns(watched: WatchedStore, sealer: HandSealer, schedule: tuple[int, ...]) -> None:
    made = len(watched.calls)

    def before(number: int, name: str) -> None:
        if name == "insert_lines":
            assert number - made <= CALLS
        while sealer.done < SEALER_STEPS and schedule[sealer.done] <= number - made:
            sealer.step()

    watched.before = before


def assert_nothing_follows_the_seal(place: Place, sealer: HandSealer, schedule: tuple[int, ...]) -> None:
    open_events = names_in(place.store).total()
    if sealer.read is not None:
        assert open_events == sealer.read, f"{schedule}: events that the seal did not read"
    ledger = place.ledger()
    assert ledger.imbalances == (), schedule
    assert ledger.accounted == ledger.accepted, schedule
    assert ledger.waiting == 0, schedule


def test_a_day_reopened_by_a_drainer_that_died_is_not_sealed_before_its_next_life_gives_it_back(
    tmp_path: Path, key_dir: Path, store: Store
) -> None:
    place = place_in(tmp_path, key_dir, store, noon(TODAY))
    worker = place.worker()
    worker.beat()
    worker.take(YESTERDAY)

    def die(_: int, name: str) -> None:
        if name == "insert_lines":
            raise StoreUnavailable("killed")

    with pytest.raises(StoreUnavailable):
        place.drainer(WatchedStore(store, before=die)).round()
    place.bury()
    sealer = HandSealer(store, place.clock, YESTERDAY)
    sealer.step()
    assert sealer.gave_up
    drainer = place.drainer()
    drainer.round()
    assert names_in(store) == Counter(worker.names)
    place.clock.pass_time(GRACE_S)
    worker.beat()
    drainer.round()
    sealer = HandSealer(store, place.clock, YESTERDAY)
    for _ in range(SEALER_STEPS):
        sealer.step()
    assert sealer.read == 3
    place.close()


@pytest.fixture
def clock() -> SetClock:
    return SetClock(noon(TODAY))


def test_a_running_day_takes_events_and_the_store_is_asked_about_it_once(store: Store, clock: SetClock) -> None:
    watched = WatchedStore(store)
    watermark = Watermark(watched, DRAINER, GRACE_S, clock)
    assert watermark.may_insert(TODAY, BERLIN)
    calls = len(watched.calls)
    assert watermark.may_insert(TODAY, BERLIN)
    assert len(watched.calls) == calls


def test_a_drainer_is_known_to_the_sealer_before_its_first_event_of_a_time_zone(store: Store, clock: SetClock) -> None:
    assert promises(store) == []
    assert Watermark(store, DRAINER, GRACE_S, clock).may_insert(TODAY, BERLIN)
    assert promises(store) == [(date(1970, 1, 1), [])]


def test_a_promised_day_is_entered_by_reopening_it_and_a_closed_one_not_at_all(store: Store, clock: SetClock) -> None:
    watermark = Watermark(store, DRAINER, GRACE_S, clock)
    watermark.advance(BERLIN, YESTERDAY)
    assert watermark.may_insert(YESTERDAY, BERLIN)
    assert promises(store) == [(YESTERDAY, [YESTERDAY])]
    before = YESTERDAY - timedelta(days=1)
    store.insert_rows("closings", ("day", "timezone"), [(before, BERLIN)])
    assert not watermark.may_insert(before, BERLIN)
    assert promises(store) == [(YESTERDAY, [YESTERDAY])]


def test_a_day_within_its_grace_needs_no_reopening_and_one_second_later_it_does(store: Store) -> None:
    clock = SetClock(ends_at(TODAY, BERLIN) + GRACE_S - 1)
    watermark = Watermark(store, DRAINER, GRACE_S, clock)
    assert watermark.may_insert(TODAY, BERLIN)
    assert promises(store)[0][1] == []
    clock.pass_time(1)
    assert watermark.may_insert(TODAY, BERLIN)
    assert promises(store)[0][1] == [TODAY]


def test_a_day_is_not_entered_while_reopening_it_gets_no_answer(store: Store, clock: SetClock) -> None:
    watermark = Watermark(store, DRAINER, GRACE_S, clock)
    watermark.advance(BERLIN, YESTERDAY)
    faulty = Watermark(failing_store(store, 2, "before"), DRAINER, GRACE_S, clock)
    with pytest.raises(StoreUnavailable):
        faulty.may_insert(YESTERDAY, BERLIN)
    assert not faulty.is_reopened(BERLIN, YESTERDAY)


def test_what_was_known_is_asked_again_after_an_hour_of_silence_and_not_before(store: Store, clock: SetClock) -> None:
    watermark = Watermark(store, DRAINER, GRACE_S, clock)
    assert watermark.may_insert(TODAY, BERLIN)
    store.insert_rows("closings", ("day", "timezone"), [(TODAY, BERLIN)])
    clock.pass_time(SILENCE_S)
    assert watermark.may_insert(TODAY, BERLIN)
    clock.pass_time(1)
    assert not watermark.may_insert(TODAY, BERLIN)


def test_a_promise_is_never_taken_back_and_survives_a_restart(store: Store, clock: SetClock) -> None:
    watermark = Watermark(store, DRAINER, GRACE_S, clock)
    watermark.advance(BERLIN, YESTERDAY)
    watermark.advance(BERLIN, YESTERDAY - timedelta(days=5))
    assert promises(store) == [(YESTERDAY, [])]
    assert Watermark(store, DRAINER, GRACE_S, clock).is_promised(BERLIN, YESTERDAY)


def test_what_is_published_last_counts_though_the_wall_clock_was_set_back(store: Store, clock: SetClock) -> None:
    Watermark(store, DRAINER, GRACE_S, clock).advance(BERLIN, YESTERDAY)
    clock.set_wall(clock.wall() - 3_600)
    watermark = Watermark(store, DRAINER, GRACE_S, clock)
    assert watermark.may_insert(YESTERDAY, BERLIN)
    assert promises(store) == [(YESTERDAY, [YESTERDAY])]


def test_promises_are_renewed_every_few_seconds_and_not_in_every_round(store: Store, clock: SetClock) -> None:
    watched = WatchedStore(store)
    watermark = Watermark(watched, DRAINER, GRACE_S, clock)
    watermark.renew([BERLIN])
    calls = len(watched.calls)
    clock.pass_time(4.9)
    watermark.renew([BERLIN])
    assert len(watched.calls) == calls
    clock.pass_time(0.1)
    watermark.renew([BERLIN])
    assert watched.calls[calls:] == ["insert_rows drains", "query"]  # Written, and looked for.


def test_the_last_day_that_can_be_promised_follows_the_zone_and_the_grace(store: Store) -> None:
    clock = SetClock(ends_at(TODAY, BERLIN) + GRACE_S - 1)
    watermark = Watermark(store, DRAINER, GRACE_S, clock)
    assert watermark.closable(BERLIN) == YESTERDAY
    assert watermark.closable("America/Los_Angeles") == YESTERDAY
    clock.pass_time(1)
    assert watermark.closable(BERLIN) == TODAY
    assert watermark.closable("Asia/Kolkata") == TODAY
    assert watermark.closable("America/Los_Angeles") == YESTERDAY
