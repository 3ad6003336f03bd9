"""Which rows of a spool are past the fail-safe of three days, whatever was done to the wall clock meanwhile.

Nothing goes early because somebody set the clock forward: by the wall clock a row's age is told by the earliest that it
may be now (`Ages`). Nothing stays because somebody set it back: of what this worker has seen in its file the boot clock
tells the age, too. A worker that starts believes the wall clock: a row that was committed by one that was ahead, or
that was behind when the worker came, stays so much longer, and three days from then on at most.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path

from collector.clock import Ages, Clock
from collector.keys import FAIL_SAFE_S
from collector.spool import Spool

# So much later than its fail-safe a row may go; 432 marks are remembered.
MARK_EVERY_S = 600.0
# Looking through all rows takes 50 ms of 100,000. Otherwise the first is looked at: ids grow with time, as a rule.
THOROUGHLY_EVERY_S = 3_600.0


class Expiry:
    """Of one worker, for its committer's thread."""

    def __init__(self, clock: Clock, ages: Ages) -> None:
        self._clock, self._ages = clock, ages
        self._file: Path | None = None
        # When, by the boot clock, the rows up to which id were there.
        self._marks: deque[tuple[float, int]] = deque()
        self._thoroughly_at = 0.0

    def expire(self, spool: Spool) -> int:
        """Deletes what is past the fail-safe; returns the events counted as expired. Raises `SpoolError`."""
        boot = self._clock.boot()
        if spool.file != self._file:
            self._file, self._thoroughly_at = spool.file, 0.0
            self._marks.clear()
        if not self._marks or boot >= self._marks[-1][0] + MARK_EVERY_S:
            self._marks.append((boot, spool.last_row()))
        through = 0
        while self._marks[0][0] + FAIL_SAFE_S <= boot:
            through = self._marks.popleft()[1]
            if not self._marks:
                self._marks.append((boot, spool.last_row()))
        is_thorough = boot >= self._thoroughly_at
        if is_thorough:
            self._thoroughly_at = boot + THOROUGHLY_EVERY_S
        return spool.expire(self._ages.earliest(FAIL_SAFE_S) - FAIL_SAFE_S, through, thoroughly=is_thorough)
