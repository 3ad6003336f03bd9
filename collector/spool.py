"""The durable queue on local disk: what a 202 rests on.

Promises:

- `commit` returns after the group is on disk and synced: its rows, its counters and its idempotency
  keys together or not at all. The ledger is therefore exact.
- One file per collector worker: the first `spool-N.sqlite` on whose `spool-N.lock` it gets an
  exclusive flock. A file whose worker died is taken over by the next.
- What a drainer deletes is overwritten (secure delete), in the file and, by a truncating
  checkpoint, in the write-ahead log.
- A damaged file is left alone with a note (`collector.damage`), and the next free one is taken: nothing is written
  into a file of which it is not known what else it has lost. The drainer saves what can be read of it.

Format (version 2), SQLite in WAL mode with `synchronous=FULL`:

- `rows(id, day, timezone, committed_at, events, version, lines, crc)`: one row per commit and (day, time
  zone); `lines` are `events` JSON objects, one per line, each the columns of `open_events` without
  `batch`, `position` and `inserted`; `crc` is the CRC-32 of all of it (`row_check`), NULL in rows of version 1.
  An `id` is never used twice, not even after the file has lost some: batches are named by it.
- `counters(day, site, outcome, reason, requests, changed)`: how often a request had that outcome, and the
  number of the commit that last changed it.
- `ledger(outcome, events)`: what became of rows that are gone: drained, late, expired, quarantined.
- `batches(batch, day, timezone, first, last, events)`: what the drainer is about to insert.
- `quarantine(day, timezone, lines)`: lines that the store refused.
- `answers(key, answer, at)`: answers by hashed Idempotency-Key, kept 24 hours.
- `withdrawals(id, day, timezone, site, generation, visitor, at, committed_at)`: whose open rows are to be deleted, as
  far as they were received by `at`; equal ones are one. The drainer deletes each when it has carried it out.
- `arrivals(site, at, outcome, reason, behind_one_network, changed)`: each site's last request, kept 24 hours.
- `facts(name, value)`: the spool's random `identity` (a second time in `spool-N.lock`), the last `heartbeat` (Unix
  seconds), and in `commits` how many commits there had been when arrivals were last forgotten, so that a number is
  never used again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from collector.damage import (
    STRANGE,
    fault_of,
    is_damage,
    is_damaged,
    note_damage,
    owner_of,
    remember_owner,
    remove_set_aside,
)
from collector.fault import Fault
from collector.folders import make_folder, sync_folder

FORMAT_VERSION = 2
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
FIRST_ROW = "SELECT committed_at, id FROM rows ORDER BY id LIMIT 1"
NEW_ROW = (
    "INSERT INTO rows (id, day, timezone, committed_at, events, version, lines, crc) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)

Outcome = Literal["accepted", "dropped", "invalid"]
Gone = Literal["drained", "late", "expired", "quarantined"]


class SpoolError(Fault):
    """The group could not be made durable: nothing of it was acknowledged and nothing of it is kept."""


class SpoolDamagedError(SpoolError):
    """The file is damaged: it has a note, and the drainer will save what can be read."""


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
        log = file.with_name(file.name + "-wal")
        is_unclean = log.exists() and log.stat().st_size > 0
        self._connection = connect(file)
        renew(self._connection)
        remember_owner(lock, self._identity())
        if is_unclean:  # Its log may have lost its end without a trace, and so rows that the store has.
            skip_rows(self._connection, last_row(self._connection) + SKIPPED_ROWS)
        self._commits = int(self._connection.execute(LAST_COMMITS).fetchone()[0])
        self._page_bytes = int(self._connection.execute("PRAGMA page_size").fetchone()[0])
        self.has_room_for_withdrawals = self._has_room_for_withdrawals()
        sync_folder(file.parent)

    def commit(self, group: Group, now: float) -> None:
        """Makes `group` durable; raises `SpoolFullError` or `SpoolError`, and then nothing of it is kept."""
        try:
            if group.lines or group.withdrawals:
                self._refuse_at_limit()
            with transaction(self._connection):
                if group.lines:
                    self._connection.executemany(NEW_ROW, _rows(group, now, last_row(self._connection)))
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

    def _identity(self) -> int:
        """As the file has it, which the lock's file must confirm."""
        identity = int(self._connection.execute("SELECT value FROM facts WHERE name = 'identity'").fetchone()[0])
        owner = owner_of(self.file)
        if owner is not None and owner.identity != identity:
            note_damage(self.file, "it has another identity than its lock remembers")
            raise SpoolDamagedError(f"the spool {self.file.name} is damaged")
        return identity

    def beat(self, now: float, earliest: float | None = None) -> None:
        """Commits the worker's heartbeat: every group answered before `now` is in the file by then.

        What is forgotten after a time goes by `earliest`: the least that it may be now (`collector.clock.Ages`).
        """
        earliest = now if earliest is None else earliest
        if is_damaged(self.file):  # The drainer found it, and waits for the lock.
            raise SpoolDamagedError(f"the spool {self.file.name} is damaged")
        try:
            with transaction(self._connection):
                self._connection.execute("INSERT OR REPLACE INTO facts VALUES ('heartbeat', ?)", (now,))
                self._connection.execute("DELETE FROM answers WHERE at < ?", (earliest - ANSWER_LIFE_S,))
                forgotten = self._connection.execute("DELETE FROM arrivals WHERE at < ?", (now - ANSWER_LIFE_S,))
                if forgotten.rowcount:
                    self._connection.execute("INSERT OR REPLACE INTO facts VALUES ('commits', ?)", (self._commits,))
                self._connection.execute("DELETE FROM withdrawals WHERE at < ?", (earliest - WITHDRAWAL_LIFE_S,))
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

    def last_row(self) -> int:
        """The id of the newest row; 0 without any."""
        try:
            return int(self._connection.execute("SELECT coalesce(max(id), 0) FROM rows").fetchone()[0])
        except sqlite3.Error as error:
            raise _fault(self.file, error) from error

    def expire(self, before: float, through: int = 0, *, thoroughly: bool = False) -> int:
        """Deletes rows committed before `before`, and all up to the id `through`, for when no drainer comes.

        Returns the events counted as expired. It looks at the oldest id first, as ids grow with time, and only
        `thoroughly` at all the rows, because the clock may have been set back between two.
        """
        first = "SELECT min(committed_at), min(id) FROM rows" if thoroughly else FIRST_ROW
        try:
            committed_at, row = self._connection.execute(first).fetchone() or (None, None)
            if row is None or committed_at is None or (committed_at >= before and row > through):
                remove_set_aside(self.file.parent, before)
                return 0
            with transaction(self._connection):
                # Rows that a batch names may be in the store already: only the drainer can tell, so it ends them.
                condition = (
                    "(committed_at < ? OR id <= ?) AND NOT EXISTS (SELECT 1 FROM batches AS b WHERE b.day = rows.day"
                    " AND b.timezone = rows.timezone AND rows.id BETWEEN b.first AND b.last)"
                )
                events = self._connection.execute(
                    f"SELECT sum(events) FROM rows WHERE {condition}", (before, through)
                ).fetchone()[0]
                if events:
                    self._connection.execute(f"DELETE FROM rows WHERE {condition}", (before, through))
                    move_ledger(self._connection, "expired", events)
            if events:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            remove_set_aside(self.file.parent, before)
        except sqlite3.Error as error:
            raise _fault(self.file, error) from error
        except OSError as error:
            raise _os_fault(f"remove a damaged spool beside {self.file.name}", error) from error
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
        make_folder(folder)
    except OSError as error:
        raise _os_fault(f"make the spool folder {folder}", error) from error
    for number in range(MAX_FILES):
        file = folder / f"spool-{number}.sqlite"
        if file in skip or is_damaged(file):
            continue
        lock = locked(file)
        if lock is None:
            continue
        try:
            return _opened(file, lock, max_bytes)
        except SpoolDamagedError:
            os.close(lock)
        except BaseException:
            os.close(lock)
            raise
    raise SpoolError(f"all {MAX_FILES} spool files of {folder} are taken")


def _opened(file: Path, lock: int, max_bytes: int) -> Spool:
    """Raises `SpoolDamagedError` where it is damaged, and `SpoolError` where it cannot be made or opened otherwise."""
    if is_damaged(file):  # Noted by who had the lock a moment ago.
        raise SpoolDamagedError(f"the spool {file.name} is damaged")
    try:
        fault = fault_of(file)
        if fault is not None:
            note_damage(file, fault)
            raise SpoolDamagedError(f"the spool {file.name} is damaged")
        return Spool(file, lock, max_bytes)
    except sqlite3.Error as error:
        raise _fault(file, error) from error
    except OSError as error:
        raise _os_fault(f"make the spool {file.name}", error) from error


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

    Raises `SpoolError` where a file, or the folder, cannot be read: nobody knows then whether it was answered.
    """
    try:
        files = sorted(folder.glob("spool-*.sqlite"))
    except OSError as error:
        raise _os_fault(f"look into the spool folder {folder}", error) from error
    for file in files:
        try:
            # For reading alone: who else closes a file last empties its log, and nobody knows yet whether it is whole.
            uri = f"{file.absolute().as_uri()}?mode=ro"
            with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S)) as connection:
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


Row = tuple[int, str, str, float, int, int, bytes, int]


def new_row(row: int, day: str, timezone: str, committed_at: float, events: int, lines: bytes) -> Row:
    """What `NEW_ROW` takes."""
    check = row_check(row, day, timezone, committed_at, events, lines)
    return row, day, timezone, committed_at, events, FORMAT_VERSION, lines, check


def _rows(group: Group, now: float, last: int) -> Iterable[Row]:
    for (day, timezone), lines in group.lines.items():
        for events, part in _parts(b"".join(lines), group.events[day, timezone]):
            last += 1
            yield new_row(last, day.isoformat(), timezone, now, events, part)


def _parts(lines: bytes, events: int) -> Iterable[tuple[int, bytes]]:
    if events <= MAX_ROW_EVENTS:
        yield events, lines
        return
    whole = lines.splitlines(keepends=True)
    for start in range(0, len(whole), MAX_ROW_EVENTS):
        part = whole[start : start + MAX_ROW_EVENTS]
        yield len(part), b"".join(part)


def _fault(file: Path, error: sqlite3.Error) -> SpoolError:
    if is_damage(error):
        try:
            note_damage(file, str(error), is_sure=False)
        except OSError as failed:  # A disk that fails at everything: whoever reads next will note it.
            return SpoolError(f"cannot note that the spool {file.name} is damaged: {failed.strerror}")
        return SpoolDamagedError(f"the spool {file.name} is damaged: {error}")
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return SpoolFullError(f"no space left for the spool {file.name}")
    return SpoolError(f"cannot write the spool {file.name}: {error}")


def _os_fault(tried: str, error: OSError) -> SpoolError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return SpoolFullError(f"no space left to {tried}; free some on the disk of collector.spool_dir")
    return SpoolError(
        f"cannot {tried}: {error.strerror}; see to the disk of collector.spool_dir and to the limit of open files"
    )
