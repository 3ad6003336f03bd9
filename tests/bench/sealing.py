"""Seconds and memory to seal a large day: its events into trends, and the day destroyed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import islice

import orjson

from aggregator.guard import ClockGuard, newest_event
from aggregator.migrate import migrate
from aggregator.seal import Sealer
from aggregator.store import Store
from collector.days import ends_at
from collector.event import Event
from tests.aggregator.front_process import FrontProcess
from tests.bench import days
from tests.bench.figure import Figure
from tests.bench.running import memory_mib
from tests.clock import SetClock

# With 1,000,000 events of 100,000 visitors.
MOST_S, FULL_DAY = 10.0, 1_000_000
EVENTS_OF_A_VISITOR = 10
BATCH = 100_000
SAMPLE_EVERY_S = 0.02


def figures(number: int) -> Iterator[Figure]:
    """A day of `number` events; the target is for the full 1,000,000."""
    with ExitStack() as stack:
        settings, data = days.settings(stack)
        front = FrontProcess(data)
        front.start()
        stack.callback(front.stop)
        store = front.store()
        stack.callback(store.close)
        migrate(store)
        # Ahead, so that nothing of it is past the fail-safe; the clock is set to when it is over.
        day = datetime.now(UTC).date() + timedelta(days=3)
        _fill(store, days.events(days.models(settings), day, number, max(1, number // EVENTS_OF_A_VISITOR)), day)
        clock = SetClock(ends_at(day, days.TIMEZONE) + settings.privacy.grace_minutes * 60)
        sealer = Sealer(store, settings, clock, ClockGuard(clock, clock.wall, lambda: newest_event(store)))
        assert front.process is not None
        before = memory_mib(front.process.pid, "Rss") or 0.0
        with _peak_of(front.process.pid) as peak:
            started = time.perf_counter()
            sealed = sealer.seal_due()
            elapsed = time.perf_counter() - started
        assert [one.events for one in sealed] == [number], sealer.waiting
        assert not sealed[0].remains, sealed[0].remains
        title = f"sealing {number:,} events of {number // EVENTS_OF_A_VISITOR:,} visitors"
        yield Figure(title, elapsed, "s", MOST_S if number == FULL_DAY else None)
        yield Figure(f"{title}: the store's memory before", before, "MiB")
        yield Figure(f"{title}: the store's peak memory", max(peak), "MiB")


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
