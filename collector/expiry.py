"""Which rows of the spools are past the fail-safe of three days, whatever was done to the wall clock meanwhile.

Nothing goes early because somebody set the clock forward: by the wall clock a row's age is told by the earliest that it
may be now (`Ages`). Nothing stays because somebody set it back: of what this worker has seen in a file the boot clock
tells the age, too. A worker that starts believes the wall clock: a row that was committed by one that was ahead, or
that was behind when the worker came, stays so much longer, and three days from then on at most.

A worker looks after its own file with each beat of its heart, and now and then after those that no worker has, as an
earlier life left them. What is left for a drainer that does not come is moved into a fresh file first, as the drainer
would (`collector.salvage`); its note stays, as the drainer has to compare it with the store.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections import deque
from pathlib import Path

from collector.clock import Ages, Clock
from collector.damage import is_left
from collector.keys import FAIL_SAFE_S
from collector.salvage import save_left
from collector.spool import Spool, unheld_spool
from collector.spool_fault import SpoolError
from collector.spool_file import locked

log = logging.getLogger(__name__)

# So much later than its fail-safe a row may go; 432 marks are remembered.
MARK_EVERY_S = 600.0
# Looking through all rows takes 50 ms of 100,000. Otherwise the first is looked at: ids grow with time, as a rule.
THOROUGHLY_EVERY_S = 3_600.0


class Marks:
    """Of one file: when, by the boot clock, the rows up to which id were there."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()

    def through(self, boot: float, spool: Spool) -> int:
        """The greatest id that was there a fail-safe ago; 0 where none is known."""
        if not self._marks or boot >= self._marks[-1][0] + MARK_EVERY_S:
            self._marks.append((boot, spool.last_row()))
        through = 0
        while self._marks and self._marks[0][0] + FAIL_SAFE_S <= boot:
            through = self._marks.popleft()[1]
        return through


class Expiry:
    """Of one worker, for its committer's thread."""

    def __init__(self, clock: Clock, ages: Ages) -> None:
        self._clock, self._ages = clock, ages
        self._file: Path | None = None
        self._marks: dict[tuple[Path, int], Marks] = {}
        self._thoroughly_at = 0.0
        # Not at once: while workers start, each is to find the file of an earlier life.
        self._unheld_at = clock.boot() + MARK_EVERY_S
        # Files that were left when they were last looked at: a drainer that lives takes a moment.
        self._left: frozenset[Path] = frozenset()

    def expire(self, spool: Spool) -> int:
        """Deletes what is past the fail-safe; returns the events that are gone. Raises `SpoolError`."""
        boot = self._clock.boot()
        if spool.file != self._file:
            self._file, self._thoroughly_at = spool.file, 0.0
            self._marks.pop((spool.file, spool.identity), None)
        is_thorough = boot >= self._thoroughly_at
        if is_thorough:
            self._thoroughly_at = boot + THOROUGHLY_EVERY_S
        return self._expire(spool, is_thorough=is_thorough)

    def _expire(self, spool: Spool, *, is_thorough: bool) -> int:
        through = self._marks.setdefault((spool.file, spool.identity), Marks()).through(self._clock.boot(), spool)
        return spool.expire(self._ages.earliest(FAIL_SAFE_S) - FAIL_SAFE_S, through, thoroughly=is_thorough)

    def expire_unheld(self, folder: Path, held: Path | None) -> int:
        """The same with each file that no worker has, every hour. One that fails is told, and tried again then."""
        if self._clock.boot() < self._unheld_at:
            return 0
        self._unheld_at = self._clock.boot() + THOROUGHLY_EVERY_S
        files = [file for file in sorted(folder.glob("spool-*.sqlite")) if file != held]
        left_before, self._left = self._left, frozenset(file for file in files if is_left(file))
        expired = 0
        for file in files:
            if file in self._left and file not in left_before:
                continue
            try:
                expired += self._expire_one(file)
            except (SpoolError, OSError, sqlite3.Error) as fault:
                log.error("cannot look through the spool %s for what is past the fail-safe: %s", file.name, fault)
        return expired

    def _expire_one(self, file: Path) -> int:
        lock = locked(file)
        if lock is None:
            return 0
        try:
            saved = save_left(file, self._clock.wall()) if is_left(file) else None
        except BaseException:
            os.close(lock)
            raise
        if saved is not None:
            log.error("no drainer has come for the spool %s, which is left: %s", file.name, saved)
        spool = unheld_spool(file, lock)
        try:
            spool.forget(self._clock.wall(), self._ages.earliest(FAIL_SAFE_S))
            return self._expire(spool, is_thorough=True)
        finally:
            spool.close()
