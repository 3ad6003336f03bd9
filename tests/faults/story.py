"""A story: events of two days, one of them long over, and a visitor who withdraws; they are drained, the days are
promised and sealed. The store is a real one behind a proxy that misbehaves at some of the requests.

A development site with k = 1 shows exact numbers, so the trends tell each event.
`python -m tests.faults.story NUMBER OF FOLDER` tells each OF-th turn of the stories with a fault at every request.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from pathlib import Path

from aggregator.backlog import opened
from aggregator.drain import Drainer
from aggregator.endpoint import Announced, Fixed
from aggregator.guard import ClockGuard, newest_event
from aggregator.ledger import Ledger
from aggregator.migrate import migrate
from aggregator.seal import OpenDayChangedError, Sealer
from aggregator.store import Store, StoreRefused, StoreUnavailable
from aggregator.withdrawal_record import opened_record
from collector.days import ends_at
from collector.group import Group, Withdrawn
from tests.aggregator.front_process import FrontProcess
from tests.aggregator.spooling import BERLIN, GRACE_S, Place, Worker, empty, noon, place_in
from tests.collector.collecting import until
from tests.faults.figures import Figures, Row
from tests.faults.side_by_side import side_by_side
from tests.faults.store_proxy import FAULTS, Fault, StoreProxy

TODAY = date(2031, 5, 14)
LONG_AGO = TODAY - timedelta(days=30)
CONFIGURATION = f"""
[privacy]
grace_minutes = {GRACE_S / 60}
key_dir = "KEYS"
[[site]]
domain = "localhost"
timezone = "{BERLIN}"
"""
ANNA = 7_000_000
GENERATION = 0xFEED_FACE_CAFE_BEEF
STEP_S = 0.25
DEADLINE_S = 300.0
# Requests between two faults of a story: more than a seal needs, which begins anew after a fault.
STRIDE = 31
# A story without faults has about so many requests; after these it is left alone.
REQUESTS = 310


@dataclass(frozen=True)
class Ground:
    """A store, asked directly, and the proxy before it."""

    store: Store
    proxy: StoreProxy


@contextlib.contextmanager
def ground(folder: Path) -> Iterator[Ground]:
    data = folder / "data"
    data.mkdir()
    front = FrontProcess(data)
    front.start()

    def restart() -> None:
        front.kill()
        front.start()

    proxy = StoreProxy(Announced(front.announcement))
    proxy.restart = restart
    store = Store(Announced(front.announcement))
    migrate(store)
    try:
        yield Ground(store, proxy)
    finally:
        store.close()
        proxy.close()
        front.stop()


@dataclass
class Story:
    """One installation whose store is behind the proxy; `store` is the same one, asked directly."""

    place: Place
    store: Store
    proxied: Store
    taken: Counter[date] = field(default_factory=Counter)
    workers: list[Worker] = field(default_factory=list)
    drainer: Drainer | None = None
    sealer: Sealer | None = None
    visitors: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def begin(self) -> None:
        """Events of two days in two spools; Anna's are withdrawn."""
        one, other = self.workers = [self.place.worker(), self.place.worker()]
        for worker, day, events in ((one, TODAY, 5), (other, TODAY, 4), (one, LONG_AGO, 3), (other, TODAY, 1)):
            for _ in range(events):
                visitor = next(self.visitors)
                worker.take(day, 1, site="localhost", visitor=visitor, network=visitor)
            self.taken[day] += events
        one.refuse(TODAY, "no_consent", 2)
        other.take(TODAY, 3, site="localhost", visitor=ANNA, network=ANNA)
        group = Group()
        withdrawn = Withdrawn(TODAY.isoformat(), BERLIN, "localhost", GENERATION, ANNA)
        group.withdrawals[withdrawn] = self.place.clock.wall()
        one.spool.commit(group, self.place.clock.wall())
        self.place.clock.pass_time(60.0)

    def tell(self) -> None:
        """Drains, lets the day pass, and seals, whatever fails on the way."""
        until(self._is_drained, "everything is drained and withdrawn", DEADLINE_S)
        self.place.clock.move_to(ends_at(TODAY, BERLIN) + GRACE_S + 60.0)
        until(self._is_sealed, "both days are sealed", DEADLINE_S)

    def again(self) -> None:
        """What may still be to do for something that reached the store after everything."""
        until(self._is_sealed, "nothing is open", DEADLINE_S)

    def _is_drained(self) -> bool:
        self._drain()
        with opened_record(self.place.spool_dir) as record:
            return self._ledger().waiting == 0 and not record.days() and not self._withdrawals()

    def _is_sealed(self) -> bool:
        for worker in self.workers:
            worker.beat()
        self._drain()
        with contextlib.suppress(StoreUnavailable, StoreRefused, OpenDayChangedError):
            self.sealer = self.sealer or self._new_sealer()
            self.sealer.seal_due()
        with contextlib.suppress(StoreUnavailable):
            return self._sealed_days() == 2 and not self.store.query(
                "SELECT 1 FROM system.parts WHERE database = currentDatabase() AND table = 'open_events' AND active"
            )
        return False

    def _drain(self) -> None:
        with contextlib.suppress(StoreUnavailable, StoreRefused):
            self.drainer = self.drainer or self.place.drainer(self.proxied)
            self.drainer.round()
        self.place.clock.pass_time(STEP_S)

    def _new_sealer(self) -> Sealer:
        clock = self.place.clock
        guard = ClockGuard(clock, clock.wall, lambda: newest_event(self.proxied))
        return Sealer(self.proxied, self.place.settings, clock, guard)

    def _ledger(self) -> Ledger:
        found: list[Ledger] = []

        def is_read() -> bool:
            with contextlib.suppress(StoreUnavailable):
                found[:] = [self.place.ledger()]
            return bool(found)

        until(is_read, "the ledger is read")
        return found[0]

    def _withdrawals(self) -> int:
        """Those that wait in the spools."""
        with opened(self.place.spool_dir) as backlogs:
            return sum(len(backlog.withdrawal_days()) for backlog in backlogs)

    def _sealed_days(self) -> int:
        return int(self.store.query("SELECT count() FROM committed_seals")[0][0])

    def account(self, row: Row) -> None:
        """Adds to `row` what was lost, doubled or kept too long."""
        ledger = self._ledger()
        shown = Counter(dict(self.store.query("SELECT day, sum(events) FROM trend WHERE hour = 24 GROUP BY day")))
        late = Counter(
            dict(self.store.query("SELECT day, sum(events) FROM batches FINAL WHERE outcome = 'late' GROUP BY day"))
        )
        late[TODAY] += ledger.late - late.total()
        row.acknowledged += ledger.accepted
        for day, events in self.taken.items():
            row.lost += max(0, events - shown[day] - late[day])
            row.doubled += max(0, shown[day] + late[day] - events)
        row.lost += max(0, ledger.accepted - ledger.accounted)
        row.doubled += max(0, ledger.accounted - ledger.accepted)
        row.lost += sum(count for count in (self._coverage_expected() - self._coverage()).values())
        row.doubled += sum(count for count in (self._coverage() - self._coverage_expected()).values())
        row.kept += self._kept()

    def _coverage(self) -> Counter[str]:
        return Counter(
            dict(
                self.store.query(
                    "SELECT outcome, sum(largest) FROM (SELECT outcome, max(requests) AS largest FROM coverage_totals"
                    " GROUP BY day, site, outcome, reason, spool) GROUP BY outcome"
                )
            )
        )

    def _coverage_expected(self) -> Counter[str]:
        return Counter({"accepted": self.taken.total() + 3, "dropped": 2})

    def _kept(self) -> int:
        """Events of sealed or withdrawn visitors that are in the store's open days or in a byte of a spool."""
        spooled = b"".join(file.read_bytes() for file in self.place.spool_dir.glob("spool-*.sqlite*"))
        return int(self.store.query("SELECT count() FROM open_events")[0][0]) + spooled.count(b'"visitor":')


def told(
    folder: Path, key_dir: Path, ground: Ground, faults: Mapping[int, Fault] | Fault
) -> tuple[Story, list[tuple[Fault, str]]]:
    """One story with faults by the number of the request, or one at each kind of write; and what was struck."""
    store, proxy = ground.store, ground.proxy
    proxy.relax()
    empty(store)
    proxied = Store(Fixed(proxy.endpoint("footfall")))
    place = place_in(folder, key_dir, store, noon(TODAY), CONFIGURATION)
    story = Story(place, store, proxied)
    try:
        story.begin()
        if callable(faults):
            proxy.aim_at_each_kind(faults)
        else:
            proxy.aim(faults)
        story.tell()
        struck = proxy.struck
        proxy.relax()
        story.again()
    finally:
        place.close()
        proxied.close()
    return story, struck


def tell_side_by_side(folder: Path, processes: int) -> Figures:
    """Each fault at each request of a story, some of them in one story."""
    figures, kinds = Figures("store"), set[str]()
    shards = [[str(number), str(processes)] for number in range(processes)]
    for text in side_by_side("tests.faults.story", shards, folder):
        shard = json.loads(text)
        kinds.update(shard["kinds"])
        for row in shard["rows"]:
            figures.row(row["fault"]).add(Row(**row))
    figures.remarks.append(f"The faults met {len(kinds)} kinds of statements.")
    return figures


def main(arguments: Sequence[str]) -> int:
    number, of, folder = int(arguments[0]), int(arguments[1]), Path(arguments[2])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    figures, kinds = Figures("store"), set[str]()
    key_dir = Path(tempfile.mkdtemp(prefix="footfall-test-", dir="/dev/shm"))
    try:
        with ground(folder) as on:
            for turn in range(number, STRIDE, of):
                first = 1 + 7 * turn % STRIDE  # Each once, and those of the first turns far apart.
                for name, fault in FAULTS.items():
                    faults = dict.fromkeys(range(first, REQUESTS, STRIDE), fault)
                    story, struck = told(folder / "story", key_dir, on, faults)
                    story.account(figures.row(name))
                    figures.row(name).rounds += len(struck)
                    kinds.update(kind for _, kind in struck)
                    shutil.rmtree(folder / "story")
    finally:
        shutil.rmtree(key_dir)
    print(json.dumps({"rows": [asdict(row) for row in figures.rows.values()], "kinds": sorted(kinds)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
