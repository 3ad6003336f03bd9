"""A spool file that the drainer has open, beside the worker that writes it: its name, its heartbeat, its log."""

from __future__ import annotations

import contextlib
import math
import os
import sqlite3
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from collector.damage import STRANGE, owner_of
from collector.failed_write import is_failed_write, note_failed_write
from collector.spool_file import BUSY_TIMEOUT_S, check_tables, connect, is_renewed, locked, renew, transaction

TRUNCATE_WAIT_MS = 200


class SpoolFile:
    """One spool file. Its methods, and those of what is made of it, raise `sqlite3.Error` where it cannot be read."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._connection = connect(file)

    def is_made(self) -> bool:
        """Whether the worker has finished making this file; raises `sqlite3.DatabaseError` for another's tables."""
        return ("facts", "name") in check_tables(self._connection)

    def renew(self) -> None:
        """Adds what a worker of an earlier version left out of this file."""
        if not is_renewed(self._connection):
            renew(self._connection)

    @cached_property
    def identity(self) -> int:
        """The spool's random name; raises `sqlite3.DatabaseError` where it is not what its lock remembers."""
        identity = int(self._connection.execute("SELECT value FROM facts WHERE name = 'identity'").fetchone()[0])
        owner = owner_of(self.file)
        if owner is not None and owner.identity != identity:
            raise sqlite3.DatabaseError(f"{STRANGE}: it has another identity than its lock remembers")
        return identity

    @contextlib.contextmanager
    def still(self) -> Iterator[None]:
        """What is read within a `with` block is of one moment, whatever the worker commits meanwhile."""
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("ROLLBACK")

    def is_beaten_since(self, at: float) -> bool:
        """Whether the worker has committed a heartbeat after `at`, or no worker has this file."""
        return self._last_beat() > at or self.is_orphaned()

    def heartbeat(self) -> float:
        """What was committed by then (Unix seconds) is in the file; infinite where no worker has it."""
        beat = self._last_beat()
        return math.inf if self.is_orphaned() else beat

    def _last_beat(self) -> float:
        beat = self._connection.execute("SELECT value FROM facts WHERE name = 'heartbeat'").fetchone()
        return 0.0 if beat is None else float(beat[0])

    def is_orphaned(self) -> bool:
        """Whether no worker holds this file now."""
        lock = locked(self.file)  # A worker that looks for a free file just now takes the next one.
        if lock is None:
            return False
        os.close(lock)
        return True

    def truncate_log(self) -> bool:
        """Empties the write-ahead log, so that no frame of a deleted row is left; False while somebody reads.

        Waiting for readers it holds the worker's commits up, so it waits for a moment only.
        """
        self._connection.execute(f"PRAGMA busy_timeout = {TRUNCATE_WAIT_MS}")
        with self._noted():
            busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self._connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000:.0f}")
        return not busy

    def close(self) -> None:
        self._connection.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """As `collector.spool.transaction`; what fails in it leaves the file."""
        with self._noted(), transaction(self._connection):
            yield

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        """A write that fails within a `with` block gets its note: the worker leaves the file, and so does a drainer."""
        try:
            yield
        except sqlite3.Error as error:
            if is_failed_write(error):
                note_failed_write(self.file)
            raise
