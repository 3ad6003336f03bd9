"""A state machine over the real spool, drainer and sealer, whose disk forgets: every step any order may come in.

Spools, `drainer.sqlite` and `drainer.id` lie on a simulated disk (tests/faults/power); the store is a real one, on
another machine as it were: it keeps its power, but its answers get lost, before or after it has done what was asked.
Clocks are set, so that days end within an example.

What must hold after each step:

- what was acknowledged is accounted for, and what was dropped is counted: the ledger's sums are exact;
- each acknowledged event of a day that takes events is in the spool or in the open day, and in neither twice; nothing
  of a commit that failed is anywhere; an answer kept under an idempotency key is there as long as its events were;
- a day has one seal, for good, and takes nothing after it.

And at the end of each example, when all works again: all days but today's are sealed, nothing is left of them, and all
withdrawals are carried out.

The store is looked at after the steps that reach it, and after each cut; other steps cannot change it.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import sqlite3
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from aggregator.backlog import opened
from aggregator.guard import ClockGuard, newest_event
from aggregator.seal import OpenDayChangedError, Sealer, Surroundings
from aggregator.store import Store, StoreUnavailable
from collector.days import day_of
from collector.folders import sync_folder
from collector.spool import Counted, Group, SpoolError, Withdrawn, answer_to
from tests.aggregator.spooling import BERLIN, WatchedStore, Worker, empty, line, noon, place_in
from tests.collector.collecting import spooled_lines, until
from tests.faults.figures import Figures
from tests.faults.power.disk import Order
from tests.faults.power.switch import PoweredDisk, powered

SITE = "example.com"
GENERATION = 1
NAME = re.compile(rb'"name":"([^"]+)"')
SHORT = {"examples": 5, "steps": 60}
# 100,000 steps and some more.
SOAK = {"examples": 260, "steps": 400}

SEEDS = st.integers(0, 2**32 - 1)
ORDERS = st.sampled_from(("journal", "folders"))
DAYS_AGO = st.integers(0, 2)
VISITORS = st.integers(1, 3)
WORKERS = st.integers(0, 1)
# What an operating system does in a commit, a beat or a round of the drainer, in operations of the disk.
OPERATIONS = st.integers(0, 60)
# Calls of the store in a round that has something to do.
CALLS = st.integers(1, 25)
MOMENTS = st.sampled_from(("before", "after"))


@dataclass(frozen=True)
class Taken:
    """An event that was acknowledged."""

    day: date
    visitor: int
    at: float


@dataclass
class Bench:
    """What all examples share: one mount, one store; and what they add up to."""

    disk: PoweredDisk
    store: Store
    key_dir: Path
    steps: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    examples: int = 0
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1 << 62)))


def step(**drawn: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Any]:
    """A rule whose steps are counted, and noted: the store is real, so hypothesis may not see a fault again."""

    def counted(work: Callable[..., None]) -> Any:  # noqa: ANN401  what hypothesis makes of a rule
        @functools.wraps(work)
        def step_of(spine: Spine, **values: object) -> None:
            spine.bench.steps[work.__name__] += 1
            spine.story.append(f"{work.__name__} {values}")
            work(spine, **values)

        return rule(**drawn)(step_of)  # type: ignore[call-overload]  # strategies of any kinds, as the rule takes them

    return counted


class Spine(RuleBasedStateMachine):
    """One example: a machine with one or two workers and a drainer, and a sealer beside the store."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench, self.disk = bench, bench.disk
        self.taken: dict[str, Taken] = {}
        self.refused: set[str] = set()
        self.dropped = 0
        self.withdrawn: list[tuple[date, int, float]] = []
        self.answered: dict[bytes, float] = {}
        self.seals: dict[date, tuple[int, int]] = {}
        self.story: list[str] = []
        # What the store had when it was looked at last.
        self.stored: Counter[str] = Counter()
        self.closed: set[date] = set()

    # --- the beginning, the end ------------------------------------------------------------------------------------

    @initialize(workers=st.integers(1, 2))
    def begin(self, workers: int) -> None:
        self.disk.format()
        empty(self.bench.store)
        self.bench.examples += 1
        self.watched, self.looked_at = WatchedStore(self.bench.store), 0
        now = self.bench.store.now()
        self.place = place_in(self.disk.folder / "place", self.bench.key_dir, self.watched, now)
        sync_folder(self.disk.folder)  # The place of the data folder was there long before.
        self.workers = [self.place.worker() for _ in range(workers)]
        self.drainer = self.place.drainer()
        guard = ClockGuard(self.place.clock, self.place.clock.wall, lambda: newest_event(self.watched))
        self.sealer = Sealer(
            self.watched, self.place.settings, self.place.clock, guard, Surroundings(sealed=self.place.keys.destroy)
        )

    def teardown(self) -> None:
        if not hasattr(self, "sealer"):
            return
        fault = sys.exc_info()[1]
        try:
            if fault is None:
                self._come_to_rest()
            elif isinstance(fault, Exception):
                print("\n".join(["", *self.story, *traceback.format_exception(fault)]))
        finally:
            self.bench.acknowledged += len(self.taken)
            self._lose_processes()

    def _come_to_rest(self) -> None:
        """All works again: drained, sealed and forgotten, within rounds that always would do it."""
        today = self._day(0)
        for _ in range(40):
            self.place.clock.pass_time(30)
            for worker in self.workers:
                worker.beat()
            self._attempted(self.drainer.round)
            self._attempted(self.sealer.seal_due)
            if self._is_at_rest(today):
                break
            self.place.clock.pass_time(self.place.settings.privacy.grace_minutes * 60 if _ > 5 else 0)
        self._look_at_store()
        self._look_at_spools()
        assert self._is_at_rest(today), (self.sealer.waiting, self._open(), spooled_lines(self.place.spool_dir))

    def _is_at_rest(self, today: date) -> bool:
        late = {day for day in self._open().values() if day < today}
        return not spooled_lines(self.place.spool_dir) and not late and not self._withdrawn_names() & set(self._open())

    # --- what a worker does ----------------------------------------------------------------------------------------

    @step(worker=WORKERS, ago=DAYS_AGO, events=st.integers(1, 30), visitor=VISITORS, has_key=st.booleans())
    def take(self, worker: int, ago: int, events: int, visitor: int, has_key: bool) -> None:
        names, group, key = self._group(self._day(ago), events, visitor, has_key)
        self._worker(worker).spool.commit(group, self.place.clock.wall())
        self._acknowledge(names, self._day(ago), visitor, key)

    @step(worker=WORKERS, reason=st.sampled_from(("bot", "no consent")))
    def drop(self, worker: int, reason: str) -> None:
        self._worker(worker).refuse(self._day(0), reason)
        self.dropped += 1

    @step(worker=WORKERS, ago=DAYS_AGO, visitor=VISITORS)
    def withdraw(self, worker: int, ago: int, visitor: int) -> None:
        group, now, day = Group(), self.place.clock.wall(), self._day(ago)
        group.withdrawals[Withdrawn(day.isoformat(), BERLIN, SITE, GENERATION, visitor)] = now
        self._worker(worker).spool.commit(group, now)
        self.withdrawn.append((day, visitor, now))

    @step(worker=WORKERS)
    def beat(self, worker: int) -> None:
        self._worker(worker).beat()

    @step(seconds=st.sampled_from((0.5, 3.0, 40.0, 900.0, 4_000.0, 20_000.0)))
    def pass_time(self, seconds: float) -> None:
        self.place.clock.pass_time(seconds)

    @step(worker=WORKERS)
    def restart_worker(self, worker: int) -> None:
        self._worker(worker).close()
        place = self.place.workers.index(self._worker(worker))
        self.workers[place] = self.place.workers[place] = Worker(self.place.spool_dir, self.place.clock)

    # --- what drainer and sealer do --------------------------------------------------------------------------------

    @step()
    def drain(self) -> None:
        self._attempted(self.drainer.round)

    @step(call=CALLS, moment=MOMENTS)
    def drain_without_an_answer(self, call: int, moment: str) -> None:
        self._without_an_answer(call, moment)
        self._attempted(self.drainer.round)
        self._with_answers()

    @step()
    def restart_drainer(self) -> None:
        self._attempted(self._new_drainer)

    @step()
    def seal(self) -> None:
        self._attempted(self.sealer.seal_due)

    @step(call=CALLS, moment=MOMENTS)
    def seal_without_an_answer(self, call: int, moment: str) -> None:
        self._without_an_answer(call, moment)
        self._attempted(self.sealer.seal_due)
        self._with_answers()

    # --- the power -------------------------------------------------------------------------------------------------

    @step(seed=SEEDS, order=ORDERS)
    def lose_power(self, seed: int, order: Order) -> None:
        self._cut(seed, order)

    @step(seed=SEEDS, order=ORDERS, operations=OPERATIONS, ago=DAYS_AGO, has_key=st.booleans(), worker=WORKERS)
    def lose_power_in_a_commit(
        self, seed: int, order: Order, operations: int, ago: int, has_key: bool, worker: int
    ) -> None:
        day = self._day(ago)
        names, group, key = self._group(day, 3, 1, has_key)
        self.disk.cut_after(operations % 12, seed, order)
        is_acknowledged = False
        with suppress(SpoolError, sqlite3.Error, OSError):
            self._worker(worker).spool.commit(group, self.place.clock.wall())
            is_acknowledged = True
        self._cut(seed, order)
        found = {name for name in names if name in self._spooled()}
        assert found in (set(), set(names)), "a commit is whole or not there"
        assert found or not is_acknowledged, "what was acknowledged is there"
        if found:
            self._acknowledge(names, day, 1, key)
        else:
            self.refused.update(names)
            assert key is None or self._answer(key) is None, "no answer is kept without its events"

    @step(seed=SEEDS, order=ORDERS, operations=OPERATIONS, worker=WORKERS)
    def lose_power_in_a_beat(self, seed: int, order: Order, operations: int, worker: int) -> None:
        self.disk.cut_after(operations % 12, seed, order)
        with suppress(SpoolError, sqlite3.Error, OSError):
            self._worker(worker).beat()
        self._cut(seed, order)

    @step(seed=SEEDS, order=ORDERS, operations=OPERATIONS)
    def lose_power_in_a_round(self, seed: int, order: Order, operations: int) -> None:
        self.disk.cut_after(operations, seed, order)
        self._attempted(self.drainer.round)
        self._cut(seed, order)

    # --- what must hold --------------------------------------------------------------------------------------------

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "sealer"):
            return
        if self._is_store_touched():
            self._look_at_store()
        self._look_at_spools()
        for key, at in self.answered.items():
            assert self._answer(key) is not None or self.place.clock.wall() > at + 80_000

    def _is_store_touched(self) -> bool:
        """Whether anything that moves events was asked of it since it was looked at last, be it in vain."""
        calls = self.watched.calls[self.looked_at :]
        self.looked_at = len(self.watched.calls)
        return any(name not in STILL_CALLS for name in calls)

    def _look_at_spools(self) -> None:
        with opened(self.place.spool_dir) as backlogs:
            counts = [Counter(backlog.ledger()) for backlog in backlogs]
        total = sum(counts, Counter[str]())
        assert (total["accepted"], total["dropped"]) == (len(self.taken), self.dropped), "all is counted"
        for each in counts:
            assert each["accepted"] == sum(each[outcome] for outcome in ("waiting", "drained", "late")), each
        spooled = self._spooled()
        assert spooled.total() == total["waiting"]
        assert not self.refused & (set(spooled) | set(self.stored)), "nothing that was not acknowledged is anywhere"
        assert max([*spooled.values(), *self.stored.values()], default=1) == 1, "nothing is anywhere twice"
        found = set(spooled) | set(self.stored)
        missing = {name for name, taken in self.taken.items() if name not in found and taken.day not in self.closed}
        assert not missing - self._withdrawn_names(), "what was acknowledged is there while its day takes events"

    def _look_at_store(self) -> None:
        store = self.bench.store
        if self.withdrawn:
            until(lambda: not store.query(RUNNING), "mutations end")
        ledger = self.place.ledger()
        assert not ledger.imbalances, ledger
        assert (ledger.accepted, ledger.quarantined, ledger.expired) == (len(self.taken), 0, 0), ledger
        self.closed, self.stored = self._look_at_seals(), self._stored()

    def _look_at_seals(self) -> set[date]:
        """The days that take nothing more. A seal is there for good, and its day is as it left it."""
        store = self.bench.store
        seals = {
            day: (int(seal), int(events))
            for day, seal, events in store.query(
                "SELECT day, seal, events FROM seals WHERE seal IN (SELECT seal FROM committed_seals)"
            )
        }
        assert self.seals.items() <= seals.items(), "a seal stays as it is"
        self.seals = seals
        assert not store.query(UNSEALED), "nothing came into a day after its seal"
        return {day for (day,) in store.query("SELECT day FROM closings UNION DISTINCT SELECT day FROM seals")}

    # --- what the rules are made of --------------------------------------------------------------------------------

    def _day(self, ago: int) -> date:
        return day_of(self.place.clock.wall(), BERLIN) - timedelta(days=ago)

    def _worker(self, number: int) -> Worker:
        return self.workers[number % len(self.workers)]

    def _group(self, day: date, events: int, visitor: int, has_key: bool) -> tuple[list[str], Group, bytes | None]:
        """Names that nobody else has, and a group of their events; maybe with an answer to keep."""
        names = [f"e{next(self.bench.numbers)}" for _ in range(events)]
        at = min(noon(day), self.place.clock.wall())
        lines = [line(name, day, at=at, visitor=visitor, generation=GENERATION) for name in names]
        group = Group()
        group.add(day, BERLIN, b"".join(lines), events)
        group.count(Counted(day.isoformat(), SITE, "accepted", ""), events)
        key = names[0].encode() if has_key else None
        if key is not None:
            group.answers[key] = b"{}"
        return names, group, key

    def _acknowledge(self, names: list[str], day: date, visitor: int, key: bytes | None) -> None:
        now = self.place.clock.wall()
        self.taken.update(dict.fromkeys(names, Taken(day, visitor, now)))
        if key is not None:
            self.answered[key] = now

    def _answer(self, key: bytes) -> bytes | None:
        return answer_to(self.place.spool_dir, key, self.place.clock.wall())

    def _spooled(self) -> Counter[str]:
        return Counter(
            found[1].decode() for each in spooled_lines(self.place.spool_dir) if (found := NAME.search(each))
        )

    def _stored(self) -> Counter[str]:
        return Counter(dict(self.bench.store.query("SELECT name, count() FROM open_events GROUP BY name")))

    def _open(self) -> dict[str, date]:
        return dict(self.bench.store.query("SELECT DISTINCT name, day FROM open_events"))

    def _withdrawn_names(self) -> set[str]:
        """Those that a withdrawal takes out, if it comes before the seal."""
        return {
            name
            for name, taken in self.taken.items()
            if any(each[:2] == (taken.day, taken.visitor) and taken.at <= each[2] for each in self.withdrawn)
        }

    def _without_an_answer(self, call: int, moment: str) -> None:
        first = len(self.watched.calls)

        def fail(number: int, name: str) -> None:
            if number == first + call:
                raise StoreUnavailable(f"no answer to {name}")

        if moment == "before":
            self.watched.before = fail
        else:
            self.watched.after = fail

    def _with_answers(self) -> None:
        self.watched.before = self.watched.after = lambda number, name: None

    def _attempted(self, work: Callable[[], object]) -> None:
        """As the outermost loops do it: a fault ends a round, and the next one goes on."""
        with suppress(StoreUnavailable, OpenDayChangedError, SpoolError, sqlite3.Error, OSError):
            work()

    def _new_drainer(self) -> None:
        self.place.bury()
        self.drainer = self.place.drainer()

    def _cut(self, seed: int, order: Order) -> None:
        """The power goes, and all that runs on the disk; then all comes up again, as another boot of the machine."""
        self.disk.cut(seed, order)
        count = len(self.workers)
        self._lose_processes()
        self.disk.revive()
        for lock in self.place.spool_dir.glob("*.lock"):  # What they remember of a boot is not of this one.
            os.truncate(lock, 0)
        self.workers = [self.place.worker() for _ in range(count)]
        self.drainer = self.place.drainer()

    def _lose_processes(self) -> None:
        closing = [
            *(worker.close for worker in self.place.workers),
            *(drainer.close for drainer in self.place.drainers),
        ]
        for close in closing:
            with suppress(sqlite3.Error, OSError):
                close()
        self.place.workers.clear()
        self.place.drainers.clear()


# Calls of drainer and sealer that move no event.
STILL_CALLS = frozenset(
    ("query", "now", "kill", "insert_rows drains", "insert_rows coverage_totals", "insert_rows arrivals")
)
RUNNING = "SELECT 1 FROM system.mutations WHERE database = currentDatabase() AND table = 'open_events' AND NOT is_done"
UNSEALED = """
SELECT name FROM open_events WHERE (day, timezone) IN (SELECT day, timezone FROM committed_seals)
AND batch NOT IN (SELECT batch FROM batches WHERE outcome = 'late'
    OR (outcome = 'sealed' AND seal IN (SELECT seal FROM committed_seals)))
"""


@pytest.fixture
def bench(tmp_path: Path, store: Store) -> Iterator[Bench]:
    key_dir = Path(tempfile.mkdtemp(prefix="footfall-test-", dir="/dev/shm"))
    with powered(tmp_path / "disk") as disk:
        yield Bench(disk, store, key_dir)
    shutil.rmtree(key_dir, ignore_errors=True)


def played(bench: Bench, examples: int, steps: int) -> Figures:
    """So many examples of so many steps; what they came to."""

    class Machine(Spine):
        """What hypothesis makes without arguments."""

        def __init__(self) -> None:
            super().__init__(bench)

    figures = Figures("state_machine")
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,  # Its folder would lie in the repository, and the store is too real to play anything again.
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(Machine, settings=chosen)
    finally:
        row = figures.row("any order of steps")
        row.rounds, row.acknowledged = sum(bench.steps.values()), bench.acknowledged
        cuts = sum(times for name, times in bench.steps.items() if name.startswith("lose_power"))
        unanswered = sum(times for name, times in bench.steps.items() if name.endswith("without_an_answer"))
        figures.remarks = [
            f"Steps: {row.rounds:,} in {bench.examples:,} examples, {cuts:,} of them power cuts.",
            f"Rounds of drainer or sealer of which a call got no answer: {unanswered:,}.",
        ]
    return figures


def test_no_order_of_steps_faults_and_cuts_loses_doubles_or_reopens_anything(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = played(bench, **SHORT)
    with capsys.disabled():
        figures.tell()
    assert figures.row("any order of steps").rounds > 100


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.skipif("FOOTFALL_SOAK" not in os.environ, reason="100,000 steps take an hour: make soak")
def test_a_hundred_thousand_steps_lose_double_and_reopen_nothing(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = played(bench, **SOAK)
    with capsys.disabled():
        figures.tell()
    assert figures.row("any order of steps").rounds >= 100_000
