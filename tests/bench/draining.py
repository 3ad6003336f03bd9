"""Rows a second from a spool into the open day of the embedded store, exactly once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice

from aggregator.drain import Drainer
from aggregator.migrate import migrate
from collector.clock import SystemClock
from collector.days import day_of
from collector.group import Counted, Group
from collector.keys import Keys
from collector.settings import Settings
from collector.spool import open_spool
from tests.aggregator.front_process import FrontProcess
from tests.bench import days
from tests.bench.figure import Figure
from tests.bench.traffic import SITE

LEAST_A_SECOND = 60_000.0
# Events of one commit: what gathers in a few milliseconds under load.
GROUP = 250


def figures(number: int) -> Iterator[Figure]:
    """A backlog of `number` events, drained by one drainer."""
    with ExitStack() as stack:
        settings, data = days.settings(stack)
        clock = SystemClock()
        committing_s = fill(settings, number, clock.wall())
        yield Figure(f"committing groups of {GROUP}: events", number / committing_s, "a second")
        front = FrontProcess(data)
        front.start()
        stack.callback(front.stop)
        store = front.store()
        stack.callback(store.close)
        migrate(store)
        keys = Keys(settings.privacy.key_dir, settings.privacy.grace_minutes * 60, clock)
        drainer = Drainer(settings, store, keys, clock)
        stack.callback(drainer.close)
        started, moved = time.perf_counter(), 0
        while moved < number:
            moved += drainer.round()
        yield Figure(
            "draining: events", moved / (time.perf_counter() - started), "a second", LEAST_A_SECOND, at_least=True
        )


def fill(settings: Settings, number: int, now: float) -> float:
    """A spool file of `number` events of today, as a worker leaves it; returns the seconds that its commits took."""
    today = day_of(now, days.TIMEZONE)
    made = days.events(days.models(settings), today, number, max(1, number // 10))
    spool = open_spool(settings.collector.spool_dir, settings.collector.spool_max_bytes)
    committing_s = 0.0
    while lines := [event.line() for event in islice(made, GROUP)]:
        group = Group()
        group.add(today, days.TIMEZONE, b"".join(lines), len(lines))
        group.count(Counted(today.isoformat(), SITE, "accepted", ""), len(lines))
        started = time.perf_counter()
        spool.commit(group, now)
        committing_s += time.perf_counter() - started
    spool.beat(now)
    spool.close()
    return committing_s
