"""Whether the clocks can be trusted with something that cannot be undone: sealing destroys.

Three clocks are held against each other: the wall clock against the boot clock (has somebody set it?), our own against
the store's (are we two machines that disagree?), and now against the newest event (has time gone backwards?).
"""

from __future__ import annotations

from collections.abc import Callable

from aggregator.store import Store
from collector.clock import Clock

# NTP steps a clock that is off by more than 0.128 s and slews both clocks alike below that (RFC 5905), so the two part
# only by a step. A leap second is 1 s; a step of 5 s is somebody's decision or a machine that was wrong.
STEP_S = 5.0
# A clock that was put right must not stop sealing for ever: after a step both have to run together for an hour.
SETTLED_S = 3_600.0
# Machines that NTP keeps are within a second of each other; a store under load takes some seconds to answer.
APART_S = 60.0


class ClockGuard:
    """Remembers how wall and boot clock stood to each other. `store_now` and `newest_event` are Unix seconds."""

    def __init__(self, clock: Clock, store_now: Callable[[], float], newest_event: Callable[[], float | None]) -> None:
        self._clock, self._store_now, self._newest_event = clock, store_now, newest_event
        self._offset_s = clock.wall() - clock.boot()
        self._stepped_at: float | None = None

    def disagreement(self) -> str | None:
        """What is wrong, in one line, or None. May raise a store's fault."""
        return self._step() or self._apart() or self._backwards()

    def _step(self) -> str | None:
        boot = self._clock.boot()
        offset_s = self._clock.wall() - boot
        if abs(offset_s - self._offset_s) > STEP_S:
            self._offset_s, self._stepped_at = offset_s, boot
        if self._stepped_at is None or boot - self._stepped_at >= SETTLED_S:
            return None
        return "the wall clock was set while running; waiting until it has run evenly for an hour"

    def _apart(self) -> str | None:
        apart_s = self._clock.wall() - self._store_now()
        if abs(apart_s) <= APART_S:
            return None
        return f"this clock and the store's are {abs(apart_s):.0f} s apart; set them right"

    def _backwards(self) -> str | None:
        newest = self._newest_event()
        if newest is None or newest - self._clock.wall() <= APART_S:
            return None
        return f"the newest event is {newest - self._clock.wall():.0f} s ahead of this clock; set it right"


def newest_event(store: Store) -> float | None:
    """When the newest open event happened, in Unix seconds; None without any."""
    count, newest_ms = store.query("SELECT count(), toUnixTimestamp64Milli(max(at)) FROM open_events")[0]
    return int(newest_ms) / 1000 if count else None
