"""A drainer that stays away: nothing waits for it for more than three days, and when it comes back the ledger adds up.

What nobody drains goes from each spool: from that of a living worker, from one that no worker has, from one that was
left after a failed write, and from a batch that the drainer had begun.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Literal

import pytest

from aggregator.store import Store, StoreUnavailable
from collector.clock import Ages
from collector.damage import is_left, set_aside
from collector.expiry import THOROUGHLY_EVERY_S, Expiry
from collector.failed_write import note_failed_write
from collector.keys import FAIL_SAFE_S
from tests.aggregator.spooling import Place, WatchedStore, Worker, names_in, noon, place_in

TODAY = date(2031, 5, 14)
HOUR_S, DAY_S = 3_600.0, 86_400.0
STEP_S = 1_800.0


@pytest.fixture
def place(tmp_path: Path, key_dir: Path, store: Store) -> Iterator[Place]:
    made = place_in(tmp_path, key_dir, store, noon(TODAY))
    yield made
    made.close()


class House:
    """What a worker does in its spool's folder while time passes."""

    def __init__(self, place: Place, worker: Worker) -> None:
        self.place, self.worker = place, worker
        self.ages = Ages(place.clock, FAIL_SAFE_S)
        self.expiry = Expiry(place.clock, self.ages)

    def keep(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.place.clock.pass_time(STEP_S)
            self.ages.look()
            self.worker.beat()
            self.expiry.expire(self.worker.spool)
            self.expiry.expire_unheld(self.place.spool_dir, self.worker.spool.file)


def names_left(place: Place, *workers: Worker) -> set[str]:
    """The names of events that any byte of the spool's folder still tells."""
    content = b"".join(file.read_bytes() for file in place.spool_dir.iterdir() if file.is_file())
    return {name for worker in workers for name in worker.names if b'"name":"%b"' % name.encode() in content}


def begun(place: Place, moment: Literal["before", "after"]) -> None:
    """A drainer records a batch and dies, before its insert or after it."""

    def die(_: int, call: str) -> None:
        if call == "insert_lines":
            raise StoreUnavailable("for a test")

    store = WatchedStore(place.store, **{moment: die})
    with pytest.raises(StoreUnavailable):
        place.drainer(store).round()
    place.bury()


@pytest.mark.parametrize(("moment", "ends"), [("before", (0, 5)), ("after", (5, 0))])
def test_a_batch_that_was_begun_waits_for_three_days_and_is_told_when_a_drainer_comes(
    place: Place, moment: Literal["before", "after"], ends: tuple[int, int]
) -> None:
    worker = place.worker()
    worker.take(TODAY, 3)
    worker.take(TODAY, 2)
    begun(place, moment)
    house = House(place, worker)
    house.keep(FAIL_SAFE_S - HOUR_S)
    assert names_left(place, worker) == set(worker.names)
    house.keep(2 * HOUR_S)
    assert not names_left(place, worker)
    ledger = place.ledger()
    assert (ledger.waiting, ledger.imbalances) == (5, ())
    drainer = place.drainer()
    for _ in range(3):
        drainer.round()
    ledger = place.ledger()
    assert (ledger.open, ledger.expired) == ends
    assert (ledger.waiting, ledger.imbalances) == (0, ())


def test_of_a_batch_that_was_begun_what_is_younger_is_drained(place: Place) -> None:
    worker = place.worker()
    house = House(place, worker)
    worker.take(TODAY, 3)
    house.keep(2 * DAY_S)
    worker.take(TODAY, 2)
    begun(place, "before")
    house.keep(1.2 * DAY_S)
    assert names_left(place, worker) == set(worker.names[3:])
    drainer = place.drainer()
    for _ in range(3):
        drainer.round()
    assert set(names_in(place.store)) == set(worker.names[3:])
    ledger = place.ledger()
    assert (ledger.open, ledger.expired, ledger.waiting, ledger.imbalances) == (2, 3, 0, ())


@pytest.mark.parametrize("has_failed", [False, True], ids=["no worker has it", "a write into it failed"])
def test_a_file_that_no_worker_has_is_empty_after_three_days(place: Place, *, has_failed: bool) -> None:
    worker, gone = place.worker(), place.worker()
    gone.take(TODAY, 3)
    begun(place, "before")
    gone.take(TODAY, 2)
    place.workers.remove(gone)
    gone.close()
    if has_failed:
        note_failed_write(gone.spool.file)
    house = House(place, worker)
    house.keep(FAIL_SAFE_S - HOUR_S)
    assert names_left(place, gone) == set(gone.names)
    house.keep(2 * HOUR_S + THOROUGHLY_EVERY_S)
    assert not names_left(place, gone)
    assert not set_aside(place.spool_dir)
    assert is_left(gone.spool.file) is has_failed, "it is still to be compared with the store"
    drainer = place.drainer()
    for _ in range(3):
        drainer.round()
    assert not is_left(gone.spool.file)
    ledger = place.ledger()
    assert (ledger.accepted, ledger.expired, ledger.waiting, ledger.imbalances) == (5, 5, 0, ())
