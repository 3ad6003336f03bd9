"""The embedded store by clocks that a test sets (`own_clock`), in a process of its own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from aggregator.endpoint import Announced
from aggregator.migrate import migrate
from aggregator.store import Store, StoreRefused, StoreUnavailable
from tests.aggregator.front_process import FrontProcess
from tests.faults.own_clock import OwnClock

CLEANED_EVERY_S = 0.1


@contextlib.contextmanager
def clocked_front(data: Path, clock: OwnClock) -> Iterator[FrontProcess]:
    """A front that goes by `clock`, with migrated tables, for the time of a `with` block."""
    data.mkdir(parents=True, exist_ok=True)
    front = FrontProcess(data, surroundings=clock.environment)
    front.start()
    try:
        with contextlib.closing(front.store()) as store, cleaned(front.announcement):
            migrate(store)
            yield front
    finally:
        if front.process is not None and front.process.poll() is None:
            front.kill()


@contextlib.contextmanager
def cleaned(announcement: Path) -> Iterator[None]:
    """Wakes the engine's cleaner of dropped parts, which sleeps until a time of day: the kernel's, not this clock's."""
    ended = threading.Event()
    cleaning = threading.Thread(target=_clean, args=(Store(Announced(announcement)), ended))
    cleaning.start()
    try:
        yield
    finally:
        ended.set()
        cleaning.join()


def _clean(store: Store, ended: threading.Event) -> None:
    while not ended.wait(CLEANED_EVERY_S):
        with contextlib.suppress(StoreUnavailable, StoreRefused):  # It is down, or has no tables yet.
            for action in ("STOP", "START"):
                store.command(f"SYSTEM {action} CLEANUP open_events")
    store.close()
