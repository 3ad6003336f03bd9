"""One machine with one or two workers and a drainer on a disk that forgets, and a sealer beside the store."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from datetime import date, timedelta

from aggregator.guard import ClockGuard, newest_event
from aggregator.seal import OpenDayChangedError, Sealer, Surroundings
from aggregator.store import StoreUnavailable
from collector.answers import Answers
from collector.days import day_of
from collector.folders import sync_folder
from collector.group import Counted, Group, Withdrawn
from collector.spool_fault import SpoolError
from tests.aggregator.spooling import BERLIN, WatchedStore, Worker, empty, line, noon, place_in
from tests.faults.power.disk import Order
from tests.faults.steps.account import Account, Taken
from tests.faults.steps.bench import Bench

SITE = "example.com"
GENERATION = 1


class World:
    """What can be done, and what was told of it (`account`)."""

    def __init__(self, bench: Bench, workers: int) -> None:
        self.bench, self.account = bench, Account()
        bench.disk.format()
        empty(bench.store)
        self.watched = WatchedStore(bench.store)
        self.place = place_in(bench.disk.folder / "place", bench.key_dir, self.watched, bench.store.now())
        self.clock = self.place.clock
        sync_folder(bench.disk.folder)  # The place of the data folder was there long before.
        self.workers = [self.place.worker() for _ in range(workers)]
        self.drainer = self.place.drainer()
        guard = ClockGuard(self.clock, self.clock.wall, lambda: newest_event(self.watched))
        surroundings = Surroundings(sealed=self.place.keys.destroy)
        self.sealer = Sealer(self.watched, self.place.settings, self.clock, guard, surroundings)

    def day(self, ago: int) -> date:
        return day_of(self.clock.wall(), BERLIN) - timedelta(days=ago)

    def worker(self, number: int) -> Worker:
        return self.workers[number % len(self.workers)]

    # --- what a worker does ----------------------------------------------------------------------------------------

    def group(self, day: date, events: int, visitor: int, *, has_key: bool) -> tuple[list[str], Group]:
        """Names that nobody else has, and a group of their events; maybe with an answer to keep."""
        names = [f"e{next(self.bench.numbers)}" for _ in range(events)]
        at = self._time_of(day)
        lines = [line(name, day, at=at, visitor=visitor, generation=GENERATION) for name in names]
        group = Group()
        group.add(day, BERLIN, b"".join(lines), events)
        group.count(Counted(day.isoformat(), SITE, "accepted", ""), events)
        if has_key:
            group.answers[key_of(names)] = b"{}"
        return names, group

    def commit(self, worker: int, group: Group) -> None:
        self.worker(worker).spool.commit(group, self.clock.wall())

    def acknowledge(self, names: list[str], group: Group, visitor: int) -> None:
        now, ((day, _),) = self.clock.wall(), group.lines
        self.account.take(names, Taken(day, visitor, self._time_of(day), now))
        self.account.answered.update(dict.fromkeys(group.answers, now))

    def withdraw(self, worker: int, day: date, visitor: int) -> None:
        group, now = Group(), self.clock.wall()
        group.withdrawals[Withdrawn(day.isoformat(), BERLIN, SITE, GENERATION, visitor)] = now
        self.commit(worker, group)
        self.account.withdraw(day, visitor, now)

    def answer(self, key: bytes) -> bytes | None:
        with contextlib.closing(Answers(self.place.spool_dir)) as answers:
            return answers.to(key, self.clock.wall())

    def restart_worker(self, worker: int) -> None:
        self.worker(worker).close()
        place = self.place.workers.index(self.worker(worker))
        self.workers[place] = self.place.workers[place] = Worker(self.place.spool_dir, self.clock)

    def _time_of(self, day: date) -> float:
        """Noon, where it is over: as if a server reported it."""
        return min(noon(day), self.clock.wall())

    # --- what drainer and sealer do --------------------------------------------------------------------------------

    def drain(self) -> None:
        attempted(self.drainer.round)

    def seal(self) -> None:
        attempted(self.sealer.seal_due)

    def without_an_answer(self, call: int, moment: str, work: Callable[[], None]) -> None:
        """Does `work`, in which so many calls of the store get their answers, and the next one gets none."""
        first = len(self.watched.calls)

        def fail(number: int, name: str) -> None:
            if number == first + call:
                raise StoreUnavailable(f"no answer to {name}")

        if moment == "before":
            self.watched.before = fail
        else:
            self.watched.after = fail
        work()
        self.watched.before = self.watched.after = lambda number, name: None

    def restart_drainer(self) -> None:
        attempted(self._new_drainer)

    def _new_drainer(self) -> None:
        if self.place.drainers:
            self.place.bury()
        self.drainer = self.place.drainer()

    # --- the power -------------------------------------------------------------------------------------------------

    def cut(self, seed: int, order: Order) -> None:
        """The power goes, and all that runs on the disk; then all comes up again, as another boot of the machine."""
        self.bench.disk.cut(seed, order)
        count = len(self.workers)
        self.lose_processes()
        self.bench.disk.revive()
        for lock in self.place.spool_dir.glob("*.lock"):  # What they remember of a boot is not of this one.
            os.truncate(lock, 0)
        self.workers = [self.place.worker() for _ in range(count)]
        self.drainer = self.place.drainer()

    def lose_processes(self) -> None:
        closing = [
            *(worker.close for worker in self.place.workers),
            *(drainer.close for drainer in self.place.drainers),
        ]
        for close in closing:
            with suppress(sqlite3.Error, OSError):
                close()
        self.place.workers.clear()
        self.place.drainers.clear()


def attempted(work: Callable[[], object]) -> None:
    """As the outermost loops do it: a fault ends a round, and the next one goes on."""
    with suppress(StoreUnavailable, OpenDayChangedError, SpoolError, sqlite3.Error, OSError):
        work()


def key_of(names: list[str]) -> bytes:
    return names[0].encode()
