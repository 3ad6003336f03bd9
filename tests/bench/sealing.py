"""Seconds and memory to seal a large day: its events into trends, and the day destroyed; what a sealed day takes on the
disk, and how long an insert takes meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice

import orjson

from aggregator.guard import ClockGuard, newest_event
from aggregator.migrate import migrate
from aggregator.seal import Sealer
from aggregator.store import Store
from collector.days import ends_at
from collector.event import Event
from collector.settings import Settings
from tests.aggregator.front_process import FrontProcess
from tests.bench import days
from tests.bench.figure import Figure
from tests.bench.running import cpu_s, memory_mib
from tests.clock import SetClock

# With 1,000,000 events of 100,000 visitors.
MOST_S, FULL_DAY = 10.0, 1_000_000
EVENTS_OF_A_VISITOR = 10
BATCH = 100_000
# Of 10,000,000 events of 1,000,000 visitors on two processors.
MOST_S_OF = {FULL_DAY: MOST_S, 10 * FULL_DAY: 60.0}
MOST_MIB = 2048.0
INSERTED, INSERT_EVERY_S, IDLE_S = 500, 0.1, 10.0
# The copy of an event is another visitor's, in another network.
COPY = """
INSERT INTO open_events (day, at, visitor, network, batch, * EXCEPT (day, at, visitor, network, batch, inserted))
SELECT {day:Date}, at + toIntervalDay(1), sipHash64(visitor, {copy:UInt8}),
    bitShiftRight(sipHash64(network, {copy:UInt8}), 1) + 1, batch + 1000 * {copy:UInt8},
    * EXCEPT (day, at, visitor, network, batch, inserted)
FROM open_events
WHERE day = {first:Date}
"""
ONE_PART = {"max_insert_block_size": BATCH, "min_insert_block_size_rows": BATCH}
SAMPLE_EVERY_S = 0.02


@dataclass(frozen=True)
class Ground:
    """A store of its own, and the process in which it runs."""

    settings: Settings
    store: Store
    process: int


def figures(number: int) -> Iterator[Figure]:
    """A day of `number` events; the target is for the full 1,000,000."""
    with ExitStack() as stack:
        ground = _prepared(stack)
        day = _ahead(0)
        _fill(ground.store, _events(ground, day, number), day)
        yield from _sealed(ground, number, MOST_S if number == FULL_DAY else None)


def large_figures() -> Iterator[Figure]:
    """Days of up to 10,000,000 events of 1,000,000 visitors on one site: does the time grow linearly?

    Larger days are copies of a day of 1,000,000 events, by other visitors of other networks.
    """
    for number in (1_000, 100_000, FULL_DAY, 3 * FULL_DAY, 10 * FULL_DAY):
        with ExitStack() as stack:
            ground = _prepared(stack)
            first, day = _ahead(0), _ahead(1)
            of_one = min(number, FULL_DAY)
            _fill(ground.store, _events(ground, first, of_one), first)
            for copy in range(number // of_one):
                ground.store.command(COPY, {"first": first, "day": day, "copy": copy}, ONE_PART)
            ground.store.command(
                "ALTER TABLE open_events DROP PARTITION ({first:Date}, 'Europe/Berlin')", {"first": first}
            )
            with _inserting(ground.store, _ahead(9)) as idle_ms:
                time.sleep(IDLE_S)
            with _inserting(ground.store, _ahead(9)) as busy_ms:
                yield from _sealed(ground, number, MOST_S_OF.get(number), MOST_MIB if number > FULL_DAY else None, day)
            title = f"sealing {number:,} events"
            yield Figure(f"{title}: an insert meanwhile, p99", _p99(busy_ms), "ms", 2 * _p99(idle_ms))
            yield Figure(f"{title}: an insert before, p99", _p99(idle_ms), "ms")
            for table in ("breakdown_rows", "cross_rows"):
                ground.store.command(f"OPTIMIZE TABLE {table} FINAL")
            yield Figure(f"a sealed site-day of {number:,} events", _bytes_of_trends(ground.store), "bytes")


def _prepared(stack: ExitStack) -> Ground:
    settings, data = days.settings(stack)
    front = FrontProcess(data)
    front.start()
    stack.callback(front.stop)
    store = front.store()
    stack.callback(store.close)
    migrate(store)
    assert front.process is not None
    return Ground(settings, store, front.process.pid)


def _ahead(more_days: int) -> date:
    """Ahead, so that nothing of it is past the fail-safe; the clock is set to when it is over."""
    return datetime.now(UTC).date() + timedelta(days=3 + more_days)


def _events(ground: Ground, day: date, number: int) -> Iterator[Event]:
    return days.events(days.models(ground.settings), day, number, max(1, number // EVENTS_OF_A_VISITOR))


def _sealed(
    ground: Ground, number: int, most_s: float | None, most_mib: float | None = None, day: date | None = None
) -> Iterator[Figure]:
    clock = SetClock(ends_at(day or _ahead(0), days.TIMEZONE) + ground.settings.privacy.grace_minutes * 60)
    guard = ClockGuard(clock, clock.wall, lambda: newest_event(ground.store))
    sealer = Sealer(ground.store, ground.settings, clock, guard)
    before, cpu_before_s = memory_mib(ground.process, "Rss") or 0.0, cpu_s(ground.process)
    with _peak_of(ground.process) as peak:
        started = time.perf_counter()
        sealed = sealer.seal_due()
        elapsed = time.perf_counter() - started
    assert [one.events for one in sealed] == [number], sealer.waiting
    assert not sealed[0].remains, sealed[0].remains
    title = f"sealing {number:,} events of {number // EVENTS_OF_A_VISITOR:,} visitors"
    yield Figure(title, elapsed, "s", most_s)
    yield Figure(f"{title}: the store's processor time", cpu_s(ground.process) - cpu_before_s, "s")
    yield Figure(f"{title}: the store's memory before", before, "MiB")
    yield Figure(f"{title}: the store's peak memory", max(peak), "MiB", most_mib)


@contextmanager
def _inserting(store: Store, day: date) -> Iterator[list[float]]:
    """Milliseconds of each insert of a small batch, one after the other, while the block runs."""
    took_ms: list[float] = []
    is_over = threading.Event()

    def insert() -> None:
        while not is_over.wait(INSERT_EVERY_S):
            lines = [
                orjson.dumps(
                    {"day": str(day), "timezone": days.TIMEZONE, "site": "other.example", "at": 0, "position": n}
                )
                for n in range(INSERTED)
            ]
            started = time.perf_counter()
            store.insert_lines("open_events", b"\n".join(lines), tag="bench-insert", token=f"bench/{started}")
            took_ms.append((time.perf_counter() - started) * 1000)

    inserting = threading.Thread(target=insert)
    inserting.start()
    try:
        yield took_ms
    finally:
        is_over.set()
        inserting.join()


def _p99(took_ms: list[float]) -> float:
    return sorted(took_ms)[len(took_ms) * 99 // 100]


def _bytes_of_trends(store: Store) -> int:
    rows = store.query(
        "SELECT sum(bytes_on_disk) FROM system.parts"
        " WHERE database = currentDatabase() AND active AND table IN ('trend_rows', 'breakdown_rows', 'cross_rows')"
    )
    return int(rows[0][0])


def _fill(store: Store, events: Iterator[Event], day: date) -> None:
    batch = 0
    while rows := list(islice(events, BATCH)):
        batch += 1
        lines = b"".join(
            orjson.dumps({**vars(event), "batch": batch, "position": position}) + b"\n"
            for position, event in enumerate(rows)
        )
        store.insert_lines("open_events", lines, tag=f"bench-{batch}", token=f"{day}/{batch}")


@contextmanager
def _peak_of(process: int) -> Iterator[list[float]]:
    """Resident memory of `process` in MiB while the block runs, by samples."""
    seen = [0.0]
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(SAMPLE_EVERY_S):
            seen.append(memory_mib(process, "Rss") or 0.0)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield seen
    finally:
        is_over.set()
        watching.join()
