"""The file of a spool: its format, and how it is opened, locked and written, by its worker and by the drainer alike.

Format (version 2), SQLite in WAL mode with `synchronous=FULL`:

- `rows(id, day, timezone, committed_at, events, version, lines, crc)`: one row per commit and (day, time
  zone); `lines` are `events` JSON objects, one per line, each the columns of `open_events` without
  `batch`, `position` and `inserted`; `crc` is the CRC-32 of all of it (`row_check`), NULL in rows of version 1. Without
  lines, the row has expired and its events are still to be looked for in the store (`collector.expired_rows`).
  An `id` is never used twice, not even after the file has lost some: batches are named by it.
- `counters(day, site, outcome, reason, requests, changed)`: how often a request had that outcome, and the
  number of the commit that last changed it.
- `ledger(outcome, events)`: what became of rows that are gone: drained, late, expired, quarantined; and how many
  requests the sites had, by outcome, that were removed.
- `batches(batch, day, timezone, first, last, events)`: what the drainer is about to insert.
- `quarantine(day, timezone, lines)`: lines that the store refused.
- `answers(key, answer, at)`: answers by hashed Idempotency-Key, kept 24 hours.
- `withdrawals(id, day, timezone, site, generation, visitor, at, committed_at)`: whose open rows are to be deleted, as
  far as they were received by `at`; equal ones are one. The drainer deletes each when it has carried it out.
- `arrivals(site, at, outcome, reason, behind_one_network, changed)`: each site's last request, kept 24 hours.
- `facts(name, value)`: the spool's random `identity` (a second time in `spool-N.lock`), the last `heartbeat` (Unix
  seconds), and in `commits` how many commits there had been when arrivals were last forgotten, so that a number is
  never used again. `saved`: see `collector.salvage`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import sqlite3
import time
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from collector.damage import STRANGE, log_of
from collector.failed_write import note_failed_write, write_anew
from collector.spool_fault import os_fault

FORMAT_VERSION = 2
# SQLite waits so long for the other writer (worker or drainer) of a file before a commit fails.
BUSY_TIMEOUT_S = 10.0

SCHEMA = """
CREATE TABLE IF NOT EXISTS rows (
    id INTEGER PRIMARY KEY AUTOINCREMENT, day TEXT NOT NULL, timezone TEXT NOT NULL, committed_at REAL NOT NULL,
    events INTEGER NOT NULL, version INTEGER NOT NULL, lines BLOB NOT NULL, crc INTEGER);
CREATE TABLE IF NOT EXISTS counters (
    day TEXT NOT NULL, site TEXT NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL, requests INTEGER NOT NULL,
    changed INTEGER NOT NULL, PRIMARY KEY (day, site, outcome, reason)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS counters_changed ON counters (changed);
CREATE TABLE IF NOT EXISTS ledger (outcome TEXT PRIMARY KEY, events INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (
    batch INTEGER PRIMARY KEY, day TEXT NOT NULL, timezone TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    events INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS quarantine (
    id INTEGER PRIMARY KEY, day TEXT NOT NULL, timezone TEXT NOT NULL, lines BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, answer BLOB NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS withdrawals (
    id INTEGER PRIMARY KEY AUTOINCREMENT, day TEXT NOT NULL, timezone TEXT NOT NULL, site TEXT NOT NULL,
    generation TEXT NOT NULL, visitor TEXT NOT NULL, at REAL NOT NULL, committed_at REAL NOT NULL,
    UNIQUE (day, timezone, site, generation, visitor));
CREATE TABLE IF NOT EXISTS arrivals (
    site TEXT PRIMARY KEY, at REAL NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL,
    behind_one_network INTEGER NOT NULL, changed INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
"""

# The greatest number that any commit has left here.
LAST_COMMITS = """
SELECT coalesce(max(number), 0) FROM (SELECT max(changed) AS number FROM counters
    UNION ALL SELECT max(changed) FROM arrivals UNION ALL SELECT value FROM facts WHERE name = 'commits')
"""

# More than any log of a file ever holds.
SKIPPED_ROWS = 1 << 32
NEW_ROW = (
    "INSERT INTO rows (id, day, timezone, committed_at, events, version, lines, crc) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)

Gone = Literal["drained", "late", "expired", "quarantined"]
# Requests to sites that were removed, all of them together: without them the ledger would not balance.
Removed = Literal["removed accepted", "removed dropped", "removed invalid"]
REMOVED: Mapping[str, Removed] = MappingProxyType(
    {"accepted": "removed accepted", "dropped": "removed dropped", "invalid": "removed invalid"}
)
Row = tuple[int, str, str, float, int, int, bytes, int]


def new_row(row: int, day: str, timezone: str, committed_at: float, events: int, lines: bytes) -> Row:
    """What `NEW_ROW` takes."""
    check = row_check(row, day, timezone, committed_at, events, lines)
    return row, day, timezone, committed_at, events, FORMAT_VERSION, lines, check


def row_check(row: int, day: str, timezone: str, committed_at: float, events: int, lines: bytes) -> int:
    """CRC-32 of a row, its id included: a disk that flips a bit leaves SQLite's page whole. 1 us for 1 KB."""
    return zlib.crc32(lines, zlib.crc32(f"{row} {day} {timezone} {committed_at!r} {events}".encode()))


def last_row(connection: sqlite3.Connection) -> int:
    """The greatest id that a row ever had here, 0 before the first."""
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'rows'").fetchone()
    return 0 if found is None else int(found[0])


def renew(connection: sqlite3.Connection) -> None:
    """Makes what is missing, of a new file or of one of an earlier version, in one transaction; raises where it can't.

    A drainer sees the file made or not made.
    """
    with transaction(connection):
        check_tables(connection)
        for statement in SCHEMA.split(";"):
            connection.execute(statement)
        if ("rows", "crc") not in _columns(connection):
            connection.execute("ALTER TABLE rows ADD COLUMN crc INTEGER")
        connection.execute("INSERT OR IGNORE INTO facts VALUES ('identity', ?)", (secrets.randbits(63),))


def is_renewed(connection: sqlite3.Connection) -> bool:
    """Whether nothing is missing."""
    return check_tables(connection) == _columns_made()


def check_tables(connection: sqlite3.Connection) -> frozenset[tuple[str, str]]:
    """The columns by table; raises `sqlite3.DatabaseError` where there are others than `SCHEMA` makes.

    A table whose name was flipped would else be taken for a missing one, and made anew beside its rows.
    """
    found = _columns(connection)
    if found - _columns_made():
        raise sqlite3.DatabaseError(f"{STRANGE}: it has other tables than it was made with")
    return found


def _columns(connection: sqlite3.Connection) -> frozenset[tuple[str, str]]:
    found = connection.execute(
        "SELECT m.name, c.name FROM sqlite_master AS m, pragma_table_info(m.name) AS c WHERE m.type = 'table'"
    )
    return frozenset((str(table), str(column)) for table, column in found)


@cache
def _columns_made() -> frozenset[tuple[str, str]]:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SCHEMA)
        return _columns(connection)


def skip_rows(connection: sqlite3.Connection, last: int) -> None:
    """No row gets an id up to `last` from here on."""
    with transaction(connection):
        last = max(last, last_row(connection))
        connection.execute("DELETE FROM sqlite_sequence WHERE name = 'rows'")
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('rows', ?)", (last,))


def connect(file: Path) -> sqlite3.Connection:
    """A connection with the spool's durability settings; usable by worker and drainer alike."""
    connection = sqlite3.connect(file, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    _keep_log(connection)
    for pragma in ("synchronous=FULL", "secure_delete=ON", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _keep_log(connection: sqlite3.Connection) -> None:
    """Write-ahead logging; SQLite does not wait for whoever else opens a new file at this moment, so this does."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as fault:
            if fault.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """One immediate transaction: committed and synced at the end, or rolled back whole."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def move_ledger(connection: sqlite3.Connection, outcome: Gone | Removed, events: int) -> None:
    """Within a transaction: `events` more events are gone from the spool as `outcome`."""
    connection.execute(
        "INSERT INTO ledger VALUES (?, ?) ON CONFLICT (outcome) DO UPDATE SET events = events + excluded.events",
        (outcome, events),
    )


def write_log_anew(connection: sqlite3.Connection, file: Path) -> None:
    """What an earlier life has left in the log of `file` is on the disk; raises `sqlite3.Error` and `SpoolError`.

    No other connection writes meanwhile.
    """
    with transaction(connection):
        try:
            write_anew(log_of(file))
        except OSError as error:
            note_failed_write(file)
            raise os_fault(f"write the log of the spool {file.name} anew", error) from error


def locked(file: Path) -> int | None:
    """A descriptor with the exclusive flock of a spool file, or None while a worker holds it; raises `SpoolError`."""
    try:
        descriptor = os.open(file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not file.exists():
                os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError:
            os.close(descriptor)  # It is tried again for each request: no try may keep a descriptor or the lock.
            raise
    except BlockingIOError:
        return None
    except OSError as error:
        raise os_fault(f"make or lock the spool {file.name}", error) from error
    return descriptor
