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
- After a write or a sync that failed no commit is acknowledged on that file, in this life or a later one: it is left
  with a note, too (`collector.failed_write`), and the drainer moves what it holds into a fresh one.

The format of the file: `collector.spool_file`. What a commit moves: `collector.group`.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from collector.answers import ANSWER_LIFE_S
from collector.damage import fault_of, is_left, log_of, note_damage, owner_of, remember_owner, remove_set_aside
from collector.expired_rows import expire_rows, forget_quarantined, is_any_due
from collector.failed_write import is_failed_write, note_failed_write
from collector.folders import make_folder, sync_folder
from collector.group import Group, rows_of
from collector.spool_fault import SpoolDamagedError, SpoolError, SpoolFullError, os_fault, spool_fault
from collector.spool_file import (
    LAST_COMMITS,
    NEW_ROW,
    SKIPPED_ROWS,
    connect,
    last_row,
    locked,
    renew,
    skip_rows,
    transaction,
    write_log_anew,
)

MAX_FILES = 256
# A flood of withdrawals takes no more room than this, so that it leaves the events theirs: about 10 MB.
MAX_WITHDRAWALS = 50_000
# No event is open for longer (design.md section 9), so there is nothing left that a withdrawal could delete.
WITHDRAWAL_LIFE_S = 3 * 86_400.0
# Pages of the write-ahead log (16 MiB) from which on a worker's commit moves them into the file. A drainer that deletes
# does so from SQLite's own 1,000 on, and no answer waits for it.
LOG_PAGES = 4_096
# What `prove_room` writes: about the longest line of an event, so that a spool which says it has room takes events.
PROVEN_BYTES = 65_536


class Spool:
    """One worker's file. Not thread-safe: the committer's thread owns it."""

    def __init__(self, file: Path, lock: int, max_bytes: int) -> None:
        self.file = file
        self._lock = lock
        self._max_bytes = max_bytes
        log = log_of(file)
        is_unclean = log.exists() and log.stat().st_size > 0
        self._connection = connect(file)
        self._connection.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
        try:
            self._prepare(is_unclean=is_unclean)
        except BaseException:
            self._connection.close()
            raise
        self._commits = int(self._connection.execute(LAST_COMMITS).fetchone()[0])
        self._page_bytes = int(self._connection.execute("PRAGMA page_size").fetchone()[0])
        self.has_room_for_withdrawals = self._has_room_for_withdrawals()

    def _prepare(self, *, is_unclean: bool) -> None:
        if is_unclean:
            write_log_anew(self._connection, self.file)
        renew(self._connection)
        self.identity = self._identity()
        remember_owner(self._lock, self.identity)
        if is_unclean:  # Its log may have lost its end without a trace, and so rows that the store has.
            skip_rows(self._connection, last_row(self._connection) + SKIPPED_ROWS)
        sync_folder(self.file.parent)

    def commit(self, group: Group, now: float) -> None:
        """Makes `group` durable; raises `SpoolFullError` or `SpoolError`, and then nothing of it is kept."""
        try:
            if group.lines or group.withdrawals:
                self._refuse_at_limit()
            with transaction(self._connection):
                if group.lines:
                    self._connection.executemany(NEW_ROW, rows_of(group, now, last_row(self._connection)))
                self._connection.executemany(
                    "INSERT INTO counters VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
                    " SET requests = requests + excluded.requests, changed = excluded.changed",
                    [(*counted, requests, self._commits + 1) for counted, requests in group.counters.items()],
                )
                if group.answers or group.withdrawals or group.arrivals:
                    self._commit_rarities(group, now)
        except sqlite3.Error as error:
            raise spool_fault(self.file, error) from error
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
        if _is_left(self.file):  # The drainer left it, and waits for the lock.
            raise SpoolDamagedError(f"the spool {self.file.name} is left to the drainer")
        try:
            with transaction(self._connection):
                self._connection.execute("INSERT OR REPLACE INTO facts VALUES ('heartbeat', ?)", (now,))
                self._forget(now, earliest)
            self.has_room_for_withdrawals = self._has_room_for_withdrawals()
        except sqlite3.Error as error:
            raise spool_fault(self.file, error) from error

    def forget(self, now: float, earliest: float) -> None:
        """What `beat` forgets, of a file that this worker only looks after."""
        try:
            with transaction(self._connection):
                self._forget(now, earliest)
        except sqlite3.Error as error:
            raise spool_fault(self.file, error) from error

    def _forget(self, now: float, earliest: float) -> None:
        self._connection.execute("DELETE FROM answers WHERE at < ?", (earliest - ANSWER_LIFE_S,))
        forgotten = self._connection.execute("DELETE FROM arrivals WHERE at < ?", (now - ANSWER_LIFE_S,))
        if forgotten.rowcount:
            self._connection.execute("INSERT OR REPLACE INTO facts VALUES ('commits', ?)", (self._commits,))
        self._connection.execute("DELETE FROM withdrawals WHERE at < ?", (earliest - WITHDRAWAL_LIFE_S,))

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
            raise spool_fault(self.file, error) from error

    def last_row(self) -> int:
        """The id of the newest row; 0 without any."""
        try:
            return int(self._connection.execute("SELECT coalesce(max(id), 0) FROM rows").fetchone()[0])
        except sqlite3.Error as error:
            raise spool_fault(self.file, error) from error

    def expire(self, before: float, through: int = 0, *, thoroughly: bool = False) -> int:
        """Rows committed before `before`, and all up to the id `through`, go (`collector.expired_rows`).

        Returns the events that are gone. Only `thoroughly` it looks at all the rows, because the clock may have been
        set back between two, and at what was quarantined.
        """
        try:
            is_changed, events = thoroughly and forget_quarantined(self._connection, before), 0
            if is_any_due(self._connection, before, through, thoroughly=thoroughly):
                is_changed, events = True, expire_rows(self._connection, before, through)
            if is_changed:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            remove_set_aside(self.file.parent, before)
        except sqlite3.Error as error:
            raise spool_fault(self.file, error) from error
        except OSError as error:
            raise os_fault(f"remove a damaged spool beside {self.file.name}", error) from error
        return events

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


def open_spool(folder: Path, max_bytes: int, *, skip: frozenset[Path] = frozenset(), had_file: bool = False) -> Spool:
    """The first free file of `folder`; `skip` names files that have failed this worker. Raises `SpoolError`.

    For a worker that `had_file` in it the folder must have locks, which nobody removes: without them it is what lies
    below a file system that is not mounted just now, and events written there would be hidden as soon as it is.
    """
    if had_file:
        if not any(folder.glob("spool-*.lock")):
            raise SpoolError(f"the spool folder {folder} is not the one that it was: mount its file system again")
    else:
        try:
            make_folder(folder)
        except OSError as error:
            raise os_fault(f"make the spool folder {folder}", error) from error
    for number in range(MAX_FILES):
        file = folder / f"spool-{number}.sqlite"
        if file in skip or _is_left(file):
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


def unheld_spool(file: Path, lock: int) -> Spool:
    """A file that no worker has, whose lock this one got to look after it; left or not. Raises `SpoolError`."""
    try:
        return Spool(file, lock, 0)
    except sqlite3.Error as error:
        os.close(lock)
        raise spool_fault(file, error) from error
    except OSError as error:
        os.close(lock)
        raise os_fault(f"look after the spool {file.name}", error) from error
    except BaseException:
        os.close(lock)
        raise


def _opened(file: Path, lock: int, max_bytes: int) -> Spool:
    """Raises `SpoolDamagedError` where it is damaged, and `SpoolError` where it cannot be made or opened otherwise."""
    if _is_left(file):  # By who had the lock a moment ago.
        raise SpoolDamagedError(f"the spool {file.name} is left to the drainer")
    is_new = False
    try:
        is_new = file.stat().st_size == 0
        fault = fault_of(file)
        if fault is not None:
            note_damage(file, fault)
            raise SpoolDamagedError(f"the spool {file.name} is damaged")
        return Spool(file, lock, max_bytes)
    except sqlite3.Error as error:
        if is_new and is_failed_write(error):
            _remove_new(file, lock)
            raise SpoolError(f"cannot make the spool {file.name}: {error}") from error
        raise spool_fault(file, error) from error
    except OSError as error:
        if is_new:
            _remove_new(file, lock)
        raise os_fault(f"make the spool {file.name}", error) from error


def _remove_new(file: Path, lock: int) -> None:
    """Where a file could not be made: the next try makes another one of its name.

    Left under a note, each try at a disk that fails would take one more of the names.
    """
    try:
        for made in (file, log_of(file), file.with_name(file.name + "-shm")):
            made.unlink(missing_ok=True)
        os.ftruncate(lock, 0)  # It may remember the identity already.
    except OSError:
        note_failed_write(file)


def _is_left(file: Path) -> bool:
    try:
        return is_left(file)
    except OSError as error:
        raise os_fault(f"look whether the spool {file.name} may be used", error) from error
