"""The two clocks an installation reads: the wall clock, which people set, and the boot clock, which nobody can."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Both clocks in seconds; tests pass one that they move by hand."""

    def wall(self) -> float:
        """Unix seconds, UTC."""
        ...

    def boot(self) -> float:
        """Seconds since the machine started, counting sleep; never set by anyone."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def wall(self) -> float:
        return time.time()

    def boot(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
