"""Conservation: whatever state an event is in, it is counted in exactly one place, and a wrong sum is told."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from aggregator.ledger import read_ledger
from aggregator.store import Store, StoreRefused, StoreUnavailable
from tests.aggregator.spooling import BERLIN, Place, WatchedStore, noon, place_in

TODAY = date(2031, 5, 14)
SEALS = ("day", "timezone", "origin", "seal", "events", "bounded", "k", "level", "days")
BATCHES = ("batch", "day", "timezone", "events", "outcome", "seal")


@pytest.fixture
def place(tmp_path: Path, store: Store) -> Iterator[Place]:
    key_dir = Path(tempfile.mkdtemp(prefix="footfall-test-", dir="/dev/shm"))
    place = place_in(tmp_path / "place", key_dir, store, noon(TODAY))
    yield place
    place.close()
    shutil.rmtree(key_dir, ignore_errors=True)


def drained(place: Place, events: int = 6) -> int:
    """One drained batch; returns its identity."""
    place.worker().take(TODAY, events)
    place.drainer().round()
    return int(place.store.query("SELECT DISTINCT batch FROM open_events")[0][0])


def note(store: Store, batch: int, outcome: str, seal: int = 0, events: int = 6) -> None:
    store.insert_rows("batches", BATCHES, [(batch, TODAY, BERLIN, events, outcome, seal)])


def commit(store: Store, seal: int, events: int = 6) -> None:
    store.insert_rows("seals", SEALS, [(TODAY, BERLIN, "open day", seal, events, 0, 5, "rounded", 1)])


def drop(store: Store) -> None:
    store.command(f"ALTER TABLE open_events DROP PARTITION ('{TODAY}', '{BERLIN}')")


def assert_all_are(place: Place, state: str, events: int = 6) -> None:
    ledger = place.ledger()
    assert ledger.imbalances == ()
    states = ("waiting", "open", "sealed", "late", "expired", "quarantined")
    assert {name: getattr(ledger, name) for name in states} == {name: events * (name == state) for name in states}
    assert ledger.accounted == ledger.accepted == events


def test_an_empty_installation_balances(place: Place) -> None:
    assert_all_are(place, "waiting", 0)


def test_every_request_is_received_and_is_accepted_dropped_or_invalid(place: Place) -> None:
    worker = place.worker()
    worker.take(TODAY, 3)
    worker.refuse(TODAY, "bot", 2)
    ledger = place.ledger()
    assert (ledger.received, ledger.accepted, ledger.dropped, ledger.invalid) == (5, 3, 2, 0)


def test_events_in_a_spool_are_waiting(place: Place) -> None:
    place.worker().take(TODAY, 6)
    assert_all_are(place, "waiting")


@pytest.mark.parametrize("call", ["insert_lines", "insert_rows batches"])
def test_events_in_the_store_whose_rows_are_in_the_spool_too_are_waiting(place: Place, call: str) -> None:
    def fail(_: int, name: str) -> None:
        if name == call:
            raise StoreUnavailable("no answer")

    place.worker().take(TODAY, 6)
    with pytest.raises(StoreUnavailable):
        place.drainer(WatchedStore(place.store, after=fail)).round()
    assert_all_are(place, "waiting")
    batch = int(place.store.query("SELECT DISTINCT batch FROM open_events")[0][0])
    note(place.store, batch, "sealed", seal=1)
    commit(place.store, 1)
    assert_all_are(place, "waiting")
    drop(place.store)
    assert_all_are(place, "waiting")
    place.drainers[0].round()
    assert_all_are(place, "sealed")


def test_drained_events_are_open(place: Place) -> None:
    drained(place)
    assert_all_are(place, "open")


def test_events_are_sealed_with_the_commit_record_and_not_with_the_note_of_their_batch(place: Place) -> None:
    batch = drained(place)
    note(place.store, batch, "sealed", seal=1)
    assert_all_are(place, "open")
    commit(place.store, 1)
    assert_all_are(place, "sealed")
    drop(place.store)
    assert_all_are(place, "sealed")


def test_of_two_seals_the_earliest_counts(place: Place) -> None:
    batch = drained(place)
    for seal in (1, 2):
        note(place.store, batch, "sealed", seal)
        commit(place.store, seal)
    assert_all_are(place, "sealed")


def test_what_a_seal_did_not_read_is_late_before_and_after_it_is_dropped(place: Place) -> None:
    batch = drained(place)
    commit(place.store, 1, events=0)
    assert_all_are(place, "open")
    for _ in range(2):
        note(place.store, batch, "late")
        assert_all_are(place, "late")
    drop(place.store)
    assert_all_are(place, "late")


def test_an_expired_day_is_expired_unless_it_was_sealed_after_all(place: Place) -> None:
    batch = drained(place)
    note(place.store, batch, "expired")
    assert_all_are(place, "expired")
    note(place.store, batch, "sealed", seal=1)
    commit(place.store, 1)
    assert_all_are(place, "sealed")


def test_events_of_a_closed_day_are_late_in_the_spool_already(place: Place) -> None:
    place.store.insert_rows("closings", ("day", "timezone"), [(TODAY, BERLIN)])
    place.worker().take(TODAY, 6)
    place.drainer().round()
    assert_all_are(place, "late")


def test_rows_past_the_fail_safe_are_expired(place: Place) -> None:
    worker = place.worker()
    worker.take(TODAY, 6)
    worker.spool.expire(place.clock.wall() + 1)
    assert_all_are(place, "expired")


def test_refused_lines_are_quarantined(place: Place) -> None:
    def refuse(_: int, name: str) -> None:
        if name == "insert_lines":
            raise StoreRefused(27, "the rows were refused")

    place.worker().take(TODAY, 6)
    drainer = place.drainer(WatchedStore(place.store, before=refuse))
    for _ in range(40):
        drainer.round()
    assert_all_are(place, "quarantined")


def test_a_ledger_read_while_events_are_drained_says_so_and_is_exact_once_they_pause(place: Place) -> None:
    worker, drainer = place.worker(), place.drainer()
    drained_meanwhile: list[int] = []

    def drain(_: int, name: str) -> None:
        if len(drained_meanwhile) < 4:
            worker.take(TODAY, 6)
            drained_meanwhile.append(drainer.round())

    watched = WatchedStore(place.store, before=drain)
    moving = read_ledger(place.spool_dir, watched)
    assert moving.is_moving
    assert moving.imbalances
    assert moving.spools[0].accepted == moving.spools[0].accounted
    still = read_ledger(place.spool_dir, watched, patience_s=60.0)
    assert drained_meanwhile == [6, 6, 6, 6]
    assert (still.is_moving, still.imbalances, still.open) == (False, (), 24)


def test_a_spool_that_fills_meanwhile_disturbs_no_ledger(place: Place) -> None:
    drained(place)
    worker = place.worker()
    watched = WatchedStore(place.store, before=lambda *_: worker.take(TODAY, 5))
    ledger = read_ledger(place.spool_dir, watched)
    assert (ledger.is_moving, ledger.imbalances, ledger.open, ledger.waiting) == (False, (), 6, 5)


def test_a_lost_event_and_a_doubled_one_are_told(place: Place) -> None:
    drained(place)
    place.store.command("ALTER TABLE open_events DELETE WHERE position = 0", settings={"mutations_sync": 2})
    assert "drained 6, found 5" in place.ledger().imbalances[0]
    place.store.command("INSERT INTO open_events SELECT * FROM open_events WHERE position < 3")
    assert "drained 6, found 7" in place.ledger().imbalances[0]


def test_a_spool_that_lost_a_row_is_told_by_name(place: Place) -> None:
    worker = place.worker()
    worker.take(TODAY, 6)
    worker.spool._connection.execute("DELETE FROM rows")
    assert place.ledger().imbalances == ("spool-0.sqlite: accepted 6, accounted for 0",)
