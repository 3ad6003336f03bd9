"""The durable queue on local disk: what a 202 rests on.

Promises:

- `commit` returns after the group is on disk and synced: its rows, its counters and its idempotency
  keys together or not at all. The ledger is therefore exact.
- One file per collector worker: the first `spool-N.sqlite` on whose `spool-N.lock` it gets an
  exclusive flock. A file whose worker died is taken over by the next.
- What a drainer deletes is overwritten (secure delete), in the file and, by a truncating
  checkpoint, in the write-ahead log.

Format (version 1), SQLite in WAL mode with `synchronous=FULL`:

- `rows(id, day, timezone, committed_at, events, version, lines)`: one row per commit and (day, time
  zone); `lines` are `events` JSON objects, one per line, each the columns of `open_events` without
  `batch`, `position` and `inserted`.
- `counters(day, site, outcome, reason, requests, changed)`: how often a request had that outcome, and the
  number of the commit that last changed it.
- `ledger(outcome, events)`: what became of rows that are gone: drained, late, expired, quarantined.
- `batches(batch, day, timezone, first, last, events)`: what the drainer is about to insert.
- `quarantine(day, timezone, lines)`: lines that the store refused.
- `answers(key, answer, at)`: answers by hashed Idempotency-Key, kept 24 hours.
- `withdrawals(id, day, timezone, site, generation, visitor, at, committed_at)`: whose open rows are to be deleted, as
  far as they were received by `at`; equal ones are one. The drainer deletes each when it has carried it out.
- `arrivals(site, at, outcome, reason, behind_one_network, changed)`: each site's last request, kept 24 hours.
- `facts(name, value)`: the spool's random `identity`, the last `heartbeat` (Unix seconds), and in `commits` how many
  commits there had been when arrivals were last forgotten, so that a number is never used again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal, NamedTuple

from collector.fault import Fault

FORMAT_VERSION = 1
# SQLite waits so long for the other writer (worker or drainer) of a file before a commit fails.
BUSY_TIMEOUT_S = 10.0
# A row is what a drainer can take whole into one batch of 200,000 events or 128 MiB.
MAX_ROW_EVENTS = 10_000
ANSWER_LIFE_S = 86_400.0
MAX_FILES = 256
# A flood of withdrawals takes no more room than this, so that it leaves the events theirs: about 10 MB.
MAX_WITHDRAWALS = 50_000
# No event is open for longer (design.md section 9), so there is nothing left that a withdrawal could delete.
WITHDRAWAL_LIFE_S = 3 * 86_400.0
# What `prove_room` writes: about the longest line of an event, so that a spool which says it has room takes events.
PROVEN_BYTES = 65_536

SCHEMA = """
CREATE TABLE IF NOT EXISTS rows (
    id INTEGER PRIMARY KEY AUTOINCREMENT, day TEXT NOT NULL, timezone TEXT NOT NULL, committed_at REAL NOT NULL,
    events INTEGER NOT NULL, version INTEGER NOT NULL, lines BLOB NOT NULL);
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

Outcome = Literal["accepted", "dropped", "invalid"]
Gone = Literal["drained", "late", "expired", "quarantined"]


class SpoolError(Fault):
    """The group could not be made durable: nothing of it was acknowledged and nothing of it is kept."""


class SpoolFullError(SpoolError):
    """The disk, or the spool's own limit, is full; space may come back by itself."""


class Counted(NamedTuple):
    """What a request is counted under: its site's local day, the site ("" = unknown), the outcome and its reason."""

    day: str
    site: str
    outcome: Outcome
    reason: str


class Withdrawn(NamedTuple):
    """Whose open rows are to be deleted: a visitor's token, of one generation, on one day of a site."""

    day: str
    timezone: str
    site: str
    generation: int
    visitor: int


class Arrived(NamedTuple):
    """A site's last request, as its worker remembers it (Unix seconds), and where its requests come from."""

    at: float
    outcome: Outcome
    reason: str
    behind_one_network: bool


@dataclass(slots=True)
class Group:
    """What one commit moves: lines and their number by (day, time zone), counters, answers by idempotency key.

    Withdrawals with the time of their request, and the last request by site.
    """

    lines: dict[tuple[date, str], list[bytes]] = field(default_factory=dict)
    events: dict[tuple[date, str], int] = field(default_factory=dict)
    counters: dict[Counted, int] = field(default_factory=dict)
    answers: dict[bytes, bytes] = field(default_factory=dict)
    withdrawals: dict[Withdrawn, float] = field(default_factory=dict)
    arrivals: dict[str, Arrived] = field(default_factory=dict)

    def count(self, counted: Counted, requests: int = 1) -> None:
        self.counters[counted] = self.counters.get(counted, 0) + requests

    def add(self, day: date, timezone: str, lines: bytes, events: int = 1) -> None:
        at = (day, timezone)
        self.lines.setdefault(at, []).append(lines)
        self.events[at] = self.events.get(at, 0) + events

    def merge(self, other: Group) -> None:
        for at, lines in other.lines.items():
            self.lines.setdefault(at, []).extend(lines)
            self.events[at] = self.events.get(at, 0) + other.events[at]
        for counted, requests in other.counters.items():
            self.counters[counted] = self.counters.get(counted, 0) + requests
        self.answers.update(other.answers)
        for withdrawn, asked_at in other.withdrawals.items():
            self.withdrawals[withdrawn] = max(asked_at, self.withdrawals.get(withdrawn, asked_at))


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


def move_ledger(connection: sqlite3.Connection, outcome: Gone, events: int) -> None:
    """Within a transaction: `events` more events are gone from the spool as `outcome`."""
    connection.execute(
        "INSERT INTO ledger VALUES (?, ?) ON CONFLICT (outcome) DO UPDATE SET events = events + excluded.events",
        (outcome, events),
    )


class Spool:
    """One worker's file. Not thread-safe: the committer's thread owns it."""

    def __init__(self, file: Path, lock: int, max_bytes: int) -> None:
        self.file = file
        self._lock = lock
        self._max_bytes = max_bytes
        self._connection = connect(file)
        # In one transaction: a drainer sees the file made or not made.
        identity = secrets.randbits(63)
        self._connection.executescript(
            f"BEGIN IMMEDIATE; {SCHEMA} INSERT OR IGNORE INTO facts VALUES ('identity', {identity}); COMMIT"
        )
        self._commits = int(self._connection.execute(LAST_COMMITS).fetchone()[0])
        self._page_bytes = int(self._connection.execute("PRAGMA page_size").fetchone()[0])
        self.has_room_for_withdrawals = self._has_room_for_withdrawals()
        _sync_folder(file.parent)

    def commit(self, group: Group, now: float) -> None:
        """Makes `group` durable; raises `SpoolFullError` or `SpoolError`, and then nothing of it is kept."""
        try:
            if group.lines or group.withdrawals:
                self._refuse_at_limit()
            with transaction(self._connection):
                self._connection.executemany(
                    "INSERT INTO rows (day, timezone, committed_at, events, version, lines) VALUES (?, ?, ?, ?, ?, ?)",
                    _rows(group, now),
                )
                self._connection.executemany(
                    "INSERT INTO counters VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
                    " SET requests = requests + excluded.requests, changed = excluded.changed",
                    [(*counted, requests, self._commits + 1) for counted, requests in group.counters.items()],
                )
                if group.answers or group.withdrawals or group.arrivals:
                    self._commit_rarities(group, now)
        except sqlite3.Error as error:
            raise _fault(self.file, error) from error
        self._commits += 1

    def _commit_rarities(self, group: Group, now: float) -> None:
        """What most groups have none of."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO answers VALUES (?, ?, ?)",
            [(key, answer, now) for key, answer in group.answers.items()],
        )
        # Replaced, not updated: the drainer forgets by id, and what was asked for again meanwhile has another.
        self._connection.executemany(
            "INSERT OR REPLACE INTO withdrawals (day, timezone, site, generation, visitor, at, committed_at)"
            " VALUES (:day, :timezone, :site, :generation, :visitor, max(:at, coalesce((SELECT at FROM withdrawals"
            " WHERE day = :day AND timezone = :timezone AND site = :site AND generation = :generation"
            " AND visitor = :visitor), :at)), :now)",
            [
                {
                    **each._asdict(),
                    "generation": str(each.generation),
                    "visitor": str(each.visitor),
                    "at": at,
                    "now": now,
                }
                for each, at in group.withdrawals.items()
            ],
        )
        self._connection.executemany(
            "INSERT OR REPLACE INTO arrivals VALUES (?, ?, ?, ?, ?, ?)",
            [(site, *arrived, self._commits + 1) for site, arrived in group.arrivals.items()],
        )

    def beat(self, now: float) -> None:
        """Commits the worker's heartbeat: every group answered before `now` is in the file by then."""
        try:
            with transaction(self._connection):
                self._connection.execute("INSERT OR REPLACE INTO facts VALUES ('heartbeat', ?)", (now,))
                self._connection.execute("DELETE FROM answers WHERE at < ?", (now - ANSWER_LIFE_S,))
                forgotten = self._connection.execute("DELETE FROM arrivals WHERE at < ?", (now - ANSWER_LIFE_S,))
                if forgotten.rowcount:
                    self._connection.execute("INSERT OR REPLACE INTO facts VALUES ('commits', ?)", (self._commits,))
                self._connection.execute("DELETE FROM withdrawals WHERE at < ?", (now - WITHDRAWAL_LIFE_S,))
            self.has_room_for_withdrawals = self._has_room_for_withdrawals()
        except sqlite3.Error as error:
            raise _fault(self.file, error) from error

    def prove_room(self) -> None:
        """Writes and deletes what an event may take, synced as a commit is, and raises as `commit` does.

        A heartbeat alone proves nothing: it fits where an event does not.
        """
        try:
            self._refuse_at_limit()
            with transaction(self._connection):  # Secure delete writes the freed pages, too, so they are really there.
                self._connection.execute("INSERT INTO facts VALUES ('room', zeroblob(?))", (PROVEN_BYTES,))
                self._connection.execute("DELETE FROM facts WHERE name = 'room'")
        except sqlite3.Error as error:
            raise _fault(self.file, error) from error

    def expire(self, before: float) -> int:
        """Deletes rows committed before `before`, for when no drainer comes; returns the events counted as expired."""
        try:
            oldest = self._connection.execute("SELECT committed_at FROM rows ORDER BY id LIMIT 1").fetchone()
            if oldest is None or oldest[0] >= before:  # Ids grow with time, so one look is enough.
                return 0
            with transaction(self._connection):
                # Rows that a batch names may be in the store already: only the drainer can tell, so it ends them.
                condition = (
                    "committed_at < ? AND NOT EXISTS (SELECT 1 FROM batches AS b WHERE b.day = rows.day"
                    " AND b.timezone = rows.timezone AND rows.id BETWEEN b.first AND b.last)"
                )
                events = self._connection.execute(
                    f"SELECT sum(events) FROM rows WHERE {condition}", (before,)
                ).fetchone()[0]
                if events:
                    self._connection.execute(f"DELETE FROM rows WHERE {condition}", (before,))
                    move_ledger(self._connection, "expired", events)
            if events:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise _fault(self.file, error) from error
        return events or 0

    def used_bytes(self) -> int:
        """Bytes of the file that hold something; freed pages do not count."""
        pages = self._connection.execute("PRAGMA page_count").fetchone()[0]
        free = self._connection.execute("PRAGMA freelist_count").fetchone()[0]
        return int(pages - free) * self._page_bytes

    def _refuse_at_limit(self) -> None:
        if self.used_bytes() > self._max_bytes:
            raise SpoolFullError(f"the spool {self.file.name} has reached its limit of {self._max_bytes} bytes")

    def _has_room_for_withdrawals(self) -> bool:
        found = self._connection.execute("SELECT count(*) FROM withdrawals").fetchone()
        return int(found[0]) < MAX_WITHDRAWALS

    def close(self) -> None:
        try:
            self._connection.close()
        finally:
            os.close(self._lock)


def open_spool(folder: Path, max_bytes: int, *, skip: frozenset[Path] = frozenset()) -> Spool:
    """The first free file of `folder`; `skip` names files that have failed this worker. Raises `SpoolError`."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _os_fault(f"make the spool folder {folder}", error) from error
    for number in range(MAX_FILES):
        file = folder / f"spool-{number}.sqlite"
        if file in skip:
            continue
        lock = locked(file)
        if lock is None:
            continue
        try:
            return Spool(file, lock, max_bytes)
        except sqlite3.Error as error:
            os.close(lock)
            raise _fault(file, error) from error
        except OSError as error:
            os.close(lock)
            raise _os_fault(f"make the spool {file.name}", error) from error
    raise SpoolError(f"all {MAX_FILES} spool files of {folder} are taken")


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
        raise _os_fault(f"make or lock the spool {file.name}", error) from error
    return descriptor


def answer_to(folder: Path, key: bytes, now: float) -> bytes | None:
    """The answer already given to an idempotency key by any worker of this folder within 24 hours.

    Raises `SpoolError` where one of the files cannot be read: whether it was answered is not known then.
    """
    for file in sorted(folder.glob("spool-*.sqlite")):
        try:
            with contextlib.closing(connect(file)) as connection:
                found = connection.execute(
                    "SELECT answer FROM answers WHERE key = ? AND at >= ?", (key, now - ANSWER_LIFE_S)
                ).fetchone()
        except sqlite3.Error as error:
            if "no such table" in str(error):  # A worker is making this file just now: it has answered nothing yet.
                continue
            raise _fault(file, error) from error
        if found is not None:
            return bytes(found[0])
    return None


def _rows(group: Group, now: float) -> Iterable[tuple[str, str, float, int, int, bytes]]:
    for (day, timezone), lines in group.lines.items():
        if group.events[day, timezone] <= MAX_ROW_EVENTS:
            yield day.isoformat(), timezone, now, group.events[day, timezone], FORMAT_VERSION, b"".join(lines)
            continue
        whole = b"".join(lines).splitlines(keepends=True)
        for start in range(0, len(whole), MAX_ROW_EVENTS):
            part = whole[start : start + MAX_ROW_EVENTS]
            yield day.isoformat(), timezone, now, len(part), FORMAT_VERSION, b"".join(part)


def _fault(file: Path, error: sqlite3.Error) -> SpoolError:
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return SpoolFullError(f"no space left for the spool {file.name}")
    return SpoolError(f"cannot write the spool {file.name}: {error}")


def _os_fault(tried: str, error: OSError) -> SpoolError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return SpoolFullError(f"no space left to {tried}; free some on the disk of collector.spool_dir")
    return SpoolError(
        f"cannot {tried}: {error.strerror}; see to the disk of collector.spool_dir and to the limit of open files"
    )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
