"""Answers given to idempotency keys: a request that comes again within a day is told what it was told before.

Invariant: a request is taken for new only where no spool file can turn out to hold its answer. What a worker was
committing when it was killed may yet count, or not: until that is settled, nobody knows.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path

from collector.damage import log_of
from collector.spool_fault import SpoolError, os_fault, spool_fault
from collector.spool_file import BUSY_TIMEOUT_S
from collector.unsettled import Indexes

ANSWER_LIFE_S = 86_400.0
# A commit takes milliseconds, or half a second on a slow disk. What a killed worker left is settled when the next one
# takes its file over, or by the drainer: who sends comes again until then.
SETTLED_WITHIN_S, POLL_S = 2.0, 0.001


class Answers:
    """The answers of all workers of a spool folder. May be used by several threads at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._indexes = Indexes()

    def to(self, key: bytes, now: float) -> bytes | None:
        """The answer given to an idempotency key within the 24 hours before `now`.

        Raises `SpoolError` where a file, or the folder, cannot be read, or holds what is not settled: nobody knows then
        whether there is one.
        """
        try:
            files = sorted(self._folder.glob("spool-*.sqlite"))
        except OSError as error:
            raise os_fault(f"look into the spool folder {self._folder}", error) from error
        deadline = time.monotonic() + SETTLED_WITHIN_S
        return next(filter(None, (self._settled(file, key, now - ANSWER_LIFE_S, deadline) for file in files)), None)

    def close(self) -> None:
        """Only where this process has no spool file open any more."""
        self._indexes.close()

    def _settled(self, file: Path, key: bytes, since: float, deadline: float) -> bytes | None:
        first: bytes | None = None
        while True:
            found, unsettled = self._looked(file, key, since)
            # What is committed from now on has another key: who takes this one comes after us.
            if found is not None or unsettled is None or first not in (None, unsettled):
                return found
            if time.monotonic() > deadline:
                raise SpoolError(f"the spool {file.name} holds what a killed worker was committing")
            first = unsettled
            time.sleep(POLL_S)

    def _looked(self, file: Path, key: bytes, since: float) -> tuple[bytes | None, bytes | None]:
        """The answer in a file; and the state of its index where there may turn out to be one."""
        try:
            # For reading alone: who else closes a file last empties its log, and nobody knows yet whether it is whole.
            uri = f"{file.absolute().as_uri()}?mode=ro"
            with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S)) as connection:
                connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
                # While this connection is open, nobody takes from the log what is not settled.
                unsettled = self._indexes.unsettled(file)
                found = connection.execute(
                    "SELECT answer FROM answers WHERE key = ? AND at >= ?", (key, since)
                ).fetchone()
                if found is None:
                    return None, unsettled
                _sync(log_of(file))  # Who wrote it may have been killed before.
                return bytes(found[0]), unsettled
        except sqlite3.Error as error:
            if "no such table" in str(error):  # A worker is making this file just now: it has answered nothing yet.
                return None, None
            raise spool_fault(file, error) from error
        except OSError as error:
            raise os_fault(f"look at the log of the spool {file.name}", error) from error


def _sync(log: Path) -> None:
    with contextlib.suppress(FileNotFoundError), log.open("rb") as opened:
        os.fdatasync(opened.fileno())
