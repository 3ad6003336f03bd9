"""The two clocks an installation reads: the wall clock, which people set, and the boot clock, which nobody can."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
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


# Less than anybody sets a clock by on purpose, and more than NTP slews it by between two looks.
STEP_S = 1.0


@dataclass(frozen=True)
class _Offset:
    """How far the wall clock was ahead of the boot clock, and when that was last so, by the boot clock."""

    seconds: float
    until: float


class Ages:
    """What time it is at the least, for what must not be forgotten too early because somebody set the clock forward.

    `look` is called every few seconds; only the steps that it sees are known. `longest_s` is the greatest age asked
    about.
    """

    def __init__(self, clock: Clock, longest_s: float) -> None:
        self._clock, self._longest_s = clock, longest_s
        self._offsets: tuple[_Offset, ...] = ()
        self.look()

    def look(self) -> None:
        """Notes how the clocks stand to each other now."""
        boot = self._clock.boot()
        now = _Offset(self._clock.wall() - boot, boot)
        known = tuple(each for each in self._offsets if each.until >= boot - self._longest_s)
        if known and abs(known[-1].seconds - now.seconds) <= STEP_S:
            known = known[:-1]
        self._offsets = (*known, now)

    def earliest(self, age_s: float) -> float:
        """Unix seconds: the least that it is now by any setting of the last `age_s` seconds.

        What was noted before `earliest(age_s) - age_s`, and not by a clock that was ahead, is `age_s` old for certain.
        """
        boot = self._clock.boot()
        last, *earlier = reversed(self._offsets)
        return boot + min(last.seconds, *(each.seconds for each in earlier if each.until >= boot - age_s), math.inf)
