"""The aggregator's loops, over a store that comes late, goes away and comes back."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from aggregator.drain import Drainer, DrainerBusyError
from aggregator.migrate import migrate
from aggregator.process import run_jobs, seal_now
from aggregator.store import Store, StoreRefused, StoreUnavailable
from collector.clock import SystemClock
from collector.days import day_of
from collector.fault import Fault
from tests.aggregator.front_process import FrontProcess
from tests.aggregator.spooling import BERLIN, CONFIGURATION, Place, Worker, names_in, place_in
from tests.collector.collecting import until

SECONDS_OF_GRACE = CONFIGURATION.replace("grace_minutes = 15.0", "grace_minutes = 0.01")


@dataclass
class Jobs:
    """`run_jobs` in a thread, as its process runs it."""

    place: Place
    names: tuple[str, ...]
    stopping: threading.Event = field(default_factory=threading.Event)
    faults: list[Fault] = field(default_factory=list)

    def __enter__(self) -> Jobs:
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        return self

    def _run(self) -> None:
        try:
            run_jobs(self.place.settings, self.names, self.stopping, SystemClock())
        except Fault as fault:
            self.faults.append(fault)

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.thread.join(60)
        assert not self.thread.is_alive()


@pytest.fixture
def key_dir() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="footfall-test-", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def front(tmp_path: Path) -> Iterator[FrontProcess]:
    """A front of our own that is not started; its data folder is the place's."""
    front = FrontProcess(tmp_path / "data")
    yield front
    if front.process is not None and front.process.poll() is None:
        front.kill()


@pytest.fixture
def client(front: FrontProcess) -> Iterator[Store]:
    store = front.store()
    yield store
    store.close()


@pytest.fixture
def place(tmp_path: Path, key_dir: Path, front: FrontProcess, client: Store) -> Iterator[Place]:
    place = place_in(tmp_path, key_dir, client, SystemClock().wall(), SECONDS_OF_GRACE)
    (tmp_path / "data").mkdir(exist_ok=True)
    yield place
    place.close()


def today_of(worker: Worker, days_ago: int = 0, events: int = 3) -> None:
    now = worker.clock.wall()
    worker.take(day_of(now, BERLIN) - timedelta(days=days_ago), events, at=now - days_ago * 86_400)
    worker.beat()


def arrived(store: Store) -> Counter[str]:
    try:
        return names_in(store)
    except (StoreUnavailable, StoreRefused):  # It is away, or not migrated yet.
        return Counter()


def is_sealed(store: Store, names: list[str]) -> bool:
    return bool(store.query("SELECT sum(events) FROM seals") == [(len(names),)])


def test_draining_waits_for_the_store_and_goes_on_when_it_was_killed_and_came_back(
    place: Place, front: FrontProcess, client: Store, caplog: pytest.LogCaptureFixture
) -> None:
    worker = place.worker()
    today_of(worker)
    with Jobs(place, ("drain",)) as jobs:
        until(lambda: "waiting for the store" in caplog.text, "it says that it waits")
        front.start()
        until(lambda: arrived(client) == Counter(worker.names), "the first events are in")
        front.kill()
        today_of(worker)
        until(lambda: "the store is away" in caplog.text, "it says that the store is away")
        front.start()
        until(lambda: arrived(client) == Counter(worker.names), "all events are in, each once")
        assert caplog.text.count("the store is away") == 1
    assert jobs.faults == []
    assert place.ledger().imbalances == ()


def test_both_jobs_drain_and_seal_a_day_of_the_past(place: Place, front: FrontProcess, client: Store) -> None:
    front.start()
    worker = place.worker()
    today_of(worker, days_ago=9, events=12)
    migrate(client)
    with Jobs(place, ("drain", "seal")) as jobs:
        until(lambda: is_sealed(client, worker.names), "the day is sealed")
        until(lambda: names_in(client).total() == 0, "its events are gone")
    assert jobs.faults == []
    ledger = place.ledger()
    assert (ledger.sealed, ledger.open, ledger.imbalances) == (12, 0, ())


def test_a_sealer_that_is_started_again_has_its_lease_at_once(place: Place, front: FrontProcess, client: Store) -> None:
    front.start()
    worker = place.worker()
    migrate(client)
    for days_ago in (9, 8):
        today_of(worker, days_ago)
        with Jobs(place, ("drain", "seal")):
            until(partial(is_sealed, client, worker.names), f"the day {days_ago} days ago is sealed")
    assert client.query("SELECT uniqExact(holder) FROM leases") == [(1,)]


def test_sealing_by_hand_tells_each_day_and_each_that_waits_with_its_reason(
    place: Place, front: FrontProcess, client: Store
) -> None:
    front.start()
    migrate(client)
    worker = place.worker()
    today_of(worker)
    today_of(worker, days_ago=9)
    place.clock.wall_s = SystemClock().wall()
    drainer = place.drainer()
    drainer.round()
    today = day_of(place.clock.wall(), BERLIN)
    told = seal_now(place.settings, SystemClock())
    assert f"{today} in {BERLIN} waits: it is not over yet" in told
    place.clock.pass_time(1)
    worker.beat()
    drainer.round()

    def is_told() -> bool:
        return f"{today - timedelta(days=9)} in {BERLIN}: sealed, 3 events, 0 late" in seal_now(
            place.settings, SystemClock()
        )

    until(is_told, "the past day is sealed and told")


def test_a_second_drainer_on_the_folder_ends_the_process_with_a_fault(
    place: Place, front: FrontProcess, client: Store
) -> None:
    front.start()
    migrate(client)
    first = Drainer(place.settings, client, place.keys, place.clock)
    with pytest.raises(DrainerBusyError):
        run_jobs(place.settings, ("drain",), threading.Event(), SystemClock())
    first.close()


def test_a_process_told_to_stop_before_the_store_came_ends(place: Place) -> None:
    with Jobs(place, ("drain", "seal")) as jobs:
        pass
    assert jobs.faults == []
