"""`people.sqlite` in the data folder: who may read. The dashboards own it, and nothing of it is in the store.

Invariants:
- What opens a door (a token, a link, a session) is 256 random bits, shown once. What is kept is its SHA-256: nobody can
  try 2^256 of them, so that a slow hash, which passwords need because people choose them, would only slow every request
  down.
- Whatever was taken back is refused from the next request on, by every process, and stays so after a crash, for which
  commits are synced (`synchronous=FULL`).
- What is deleted is overwritten, and gone from the write-ahead log once `empty_log` was called.
- The file is readable by its owner alone, from its first byte on.
- Its schema only moves forward; one of a newer Footfall is refused.

Several processes may have the file open: `footfall user` and `footfall token` beside the running dashboards.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from collector.fault import Fault
from collector.folders import make_folder, sync_folder

# 256 bits.
SECRET_BYTES = 32
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@ -]{0,63}")
# A writer holds the file for milliseconds; who waits longer than this meets a broken disk.
BUSY_TIMEOUT_S = 5.0
# What makes each version of the schema from the one before.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE IF NOT EXISTS tokens (
            name TEXT PRIMARY KEY,
            sha256 BLOB NOT NULL UNIQUE,
            role TEXT NOT NULL CHECK (role IN ('viewer', 'analyst', 'admin')),
            site TEXT,
            created_at TEXT NOT NULL
        ) STRICT
        """,
    ),
    (
        """
        CREATE TABLE users (
            name TEXT PRIMARY KEY,
            role TEXT NOT NULL CHECK (role IN ('viewer', 'analyst', 'admin')),
            site TEXT,
            created_at TEXT NOT NULL,
            has_signed_in INTEGER NOT NULL DEFAULT 0
        ) STRICT
        """,
        """
        CREATE TABLE sign_in_links (
            sha256 BLOB PRIMARY KEY,
            name TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
            expires_at REAL NOT NULL
        ) STRICT
        """,
        """
        CREATE TABLE sessions (
            sha256 BLOB PRIMARY KEY,
            name TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
            expires_at REAL NOT NULL
        ) STRICT
        """,
    ),
)


class AccessFault(Fault):
    """What was asked of the people file cannot be done; the text is one line that says why."""


class PeopleFile:
    """The file, made at first use and brought to this version. Raises `AccessFault` where a newer Footfall wrote it."""

    def __init__(self, data: Path) -> None:
        self._file = data / "people.sqlite"
        make_folder(data)
        self._file.touch(mode=0o600)
        self._file.chmod(0o600)
        with _alone_in(data), self.transaction() as people:
            people.execute("PRAGMA journal_mode = WAL")
            people.execute("BEGIN IMMEDIATE")
            (version,) = people.execute("PRAGMA user_version").fetchone()
            if version > len(MIGRATIONS):
                raise AccessFault(f"{self._file}: was written by a newer Footfall; install that one")
            for statement in (statement for step in MIGRATIONS[version:] for statement in step):
                people.execute(statement)
            people.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        sync_folder(data)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A connection for this alone (0.1 ms): requests come from many threads, removals from other processes."""
        people = sqlite3.connect(self._file, timeout=BUSY_TIMEOUT_S)
        try:
            people.execute("PRAGMA synchronous = FULL")
            # A removed user's links and sessions go in the same transaction.
            people.execute("PRAGMA foreign_keys = ON")
            people.execute("PRAGMA secure_delete = ON")
            with people:
                yield people
        finally:
            people.close()

    def empty_log(self) -> None:
        """Leaves nothing in the write-ahead log; raises `AccessFault` where somebody reads for longer than a moment."""
        people = sqlite3.connect(self._file, timeout=BUSY_TIMEOUT_S)
        try:
            busy, _, _ = people.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            people.close()
        if busy:
            raise AccessFault(f"{self._file} is in use, so what was deleted is in its log still; repeat this")


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Of processes that start at once, one makes or migrates the file: SQLite does not wait for others when it changes
    the journal's mode. The lock is the folder's, for closing a descriptor of the file itself would drop SQLite's."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def digest(secret: str) -> bytes:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


def check_name(what: str, name: str) -> None:
    """Raises `AccessFault` unless `name` may be that of `what`, such as "a token"."""
    if not NAME.fullmatch(name):
        raise AccessFault(f"{what}'s name must be 1 to 64 letters, digits, spaces and _.@-; choose another")
