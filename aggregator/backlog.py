"""One spool file as the drainer sees it: rows in, batches out, and what became of each.

A batch is all rows of one (day, time zone) between two row ids, recorded here before its first
insert. Its identity follows from the spool's and the two ids, so it is the same after any crash.
Rows, the record of their batch and the ledger change in one transaction.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

from collector.spool import BUSY_TIMEOUT_S, SCHEMA, Arrived, Counted, Gone, connect, locked, move_ledger, transaction

# One insert makes one part of at most this much (design.md section 13).
MAX_BATCH_EVENTS = 200_000
MAX_BATCH_BYTES = 128 * 1024 * 1024
TRUNCATE_WAIT_MS = 200


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows `first` to `last` of one (day, time zone), inserted together under the identity `batch`."""

    batch: int
    day: date
    timezone: str
    first: int
    last: int
    events: int

    @property
    def tag(self) -> str:
        """Names the insert, in the store's process list and as its deduplication token."""
        return f"batch-{self.batch}"


@dataclass(frozen=True, slots=True)
class Asked:
    """A withdrawal that waits: row `id` of its spool; what was received by `at` is to go (Unix seconds)."""

    id: int
    site: str
    generation: int
    visitor: int
    at: float
    committed_at: float


class Backlog:
    """One spool file. Its methods raise `sqlite3.Error` where it cannot be read."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._connection = connect(file)

    def is_made(self) -> bool:
        """Whether the worker has finished making this file."""
        return self._has_table("facts")

    def renew(self) -> None:
        """Adds what a worker of an earlier version left out of this file."""
        if not self._has_table("arrivals"):
            self._connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT")

    def _has_table(self, name: str) -> bool:
        found = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
        return self._connection.execute(found, (name,)).fetchone() is not None

    @cached_property
    def identity(self) -> int:
        """The spool's random name."""
        return int(self._connection.execute("SELECT value FROM facts WHERE name = 'identity'").fetchone()[0])

    def days(self) -> list[tuple[date, str]]:
        """The (day, time zone) pairs that have rows here, oldest row first."""
        found = self._connection.execute("SELECT day, timezone FROM rows GROUP BY day, timezone ORDER BY min(id)")
        return [(date.fromisoformat(day), timezone) for day, timezone in found]

    def recorded(self) -> list[Batch]:
        """Batches whose insert was begun and not ended."""
        found = self._connection.execute("SELECT batch, day, timezone, first, last, events FROM batches ORDER BY first")
        return [Batch(batch, date.fromisoformat(day), timezone, *rest) for batch, day, timezone, *rest in found]

    def record(self, day: date, timezone: str, max_rows: int) -> Batch | None:
        """Takes the oldest rows of a day that no batch has, at most `max_rows` and what one insert holds, as a batch.

        Batches of a day never overlap: one that the store refuses stays recorded while the rows behind it go on.
        """
        first = last = events = size = 0
        found = self._connection.execute(
            "SELECT id, events, length(lines) FROM rows WHERE day = :day AND timezone = :timezone"
            " AND id > (SELECT coalesce(max(last), 0) FROM batches WHERE day = :day AND timezone = :timezone)"
            " ORDER BY id LIMIT :rows",
            {"day": day.isoformat(), "timezone": timezone, "rows": max_rows},
        )
        for row, row_events, row_bytes in found:
            if events and (events + row_events > MAX_BATCH_EVENTS or size + row_bytes > MAX_BATCH_BYTES):
                break
            first, last = first or row, row
            events, size = events + row_events, size + row_bytes
        found.close()
        if not events:
            return None
        batch = Batch(_identity(self.identity, first, last), day, timezone, first, last, events)
        with transaction(self._connection):
            self._connection.execute(
                "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?)",
                (batch.batch, day.isoformat(), timezone, first, last, events),
            )
        return batch

    def lines(self, batch: Batch) -> bytes:
        """The batch as JSONEachRow, each line with its batch and its position in it."""
        lines: list[bytes] = []
        for (row,) in self._connection.execute(f"SELECT lines FROM rows WHERE {_ROWS_OF}", _key(batch)):
            lines.extend(row.splitlines())
        head = b'{"batch":%d,"position":' % batch.batch
        return b"".join([b"%b%d,%b\n" % (head, position, line[1:]) for position, line in enumerate(lines)])

    def end(self, batch: Batch, outcome: Gone) -> None:
        """Deletes the batch's rows and its record, and counts its events as `outcome`."""
        with transaction(self._connection):
            self._connection.execute(f"DELETE FROM rows WHERE {_IN_BATCH}", _key(batch))
            self._connection.execute("DELETE FROM batches WHERE batch = ?", (batch.batch,))
            move_ledger(self._connection, outcome, batch.events)

    def narrow(self, batch: Batch) -> int:
        """After a refusal: splits a batch of one row into two rows, or quarantines it where it is a single line.

        A batch of several rows is only forgotten, so that smaller ones can be recorded; returns how many rows it had.
        """
        rows = self._connection.execute(
            f"SELECT id, committed_at, events, version, lines FROM rows WHERE {_ROWS_OF}", _key(batch)
        ).fetchall()
        with transaction(self._connection):
            self._connection.execute("DELETE FROM batches WHERE batch = ?", (batch.batch,))
            if len(rows) > 1:
                return len(rows)
            row, committed_at, events, version, lines = rows[0]
            self._connection.execute("DELETE FROM rows WHERE id = ?", (row,))
            at = (batch.day.isoformat(), batch.timezone)
            if events == 1:
                self._connection.execute("INSERT INTO quarantine (day, timezone, lines) VALUES (?, ?, ?)", (*at, lines))
                move_ledger(self._connection, "quarantined", 1)
                return 1
            for half in _halves(lines.splitlines(keepends=True)):
                self._connection.execute(
                    "INSERT INTO rows (day, timezone, committed_at, events, version, lines) VALUES (?, ?, ?, ?, ?, ?)",
                    (*at, committed_at, len(half), version, b"".join(half)),
                )
        return 1

    def has(self, day: date, timezone: str) -> bool:
        """Whether events of this day wait here."""
        return self.oldest(day, timezone) < math.inf

    def oldest(self, day: date, timezone: str) -> float:
        """When the oldest events of this day that wait here were committed (Unix seconds); infinite where none do."""
        found = "SELECT min(committed_at) FROM rows WHERE day = ? AND timezone = ?"
        oldest = self._connection.execute(found, (day.isoformat(), timezone)).fetchone()[0]
        return math.inf if oldest is None else float(oldest)

    def withdrawal_days(self, until: float = math.inf) -> list[tuple[date, str]]:
        """The (day, time zone) pairs of which withdrawals wait here that were committed by `until`."""
        found = self._connection.execute(
            "SELECT DISTINCT day, timezone FROM withdrawals WHERE committed_at <= ?", (until,)
        )
        return [(date.fromisoformat(day), timezone) for day, timezone in found]

    def withdrawals(self, day: date, timezone: str, until: float, most: int) -> list[Asked]:
        """The oldest withdrawals for a day that were committed by `until`."""
        found = self._connection.execute(
            "SELECT id, site, generation, visitor, at, committed_at FROM withdrawals"
            " WHERE day = ? AND timezone = ? AND committed_at <= ? ORDER BY id LIMIT ?",
            (day.isoformat(), timezone, until, most),
        )
        return [Asked(row, site, int(generation), int(visitor), *at) for row, site, generation, visitor, *at in found]

    def forget_withdrawals(self, carried_out: Sequence[Asked]) -> None:
        """Deletes these withdrawals of this spool, unless they were asked for again meanwhile."""
        with transaction(self._connection):
            self._connection.executemany("DELETE FROM withdrawals WHERE id = ?", [(each.id,) for each in carried_out])

    def forget_quarantined_of(self, day: date, timezone: str, asked: Sequence[Asked]) -> None:
        """Deletes the quarantined lines of a day whose visitors withdrew, whichever spool they did so in."""
        tokens = [b'"visitor":%d,' % each.visitor for each in asked]
        with transaction(self._connection):
            found = self._connection.execute(
                "SELECT id, lines FROM quarantine WHERE day = ? AND timezone = ?", (day.isoformat(), timezone)
            ).fetchall()
            theirs = [(row,) for row, lines in found if any(token in lines for token in tokens)]
            self._connection.executemany("DELETE FROM quarantine WHERE id = ?", theirs)

    def arrivals_since(self, commit: int) -> tuple[list[tuple[str, Arrived]], int]:
        """The last requests of the sites that changed after commit number `commit`, and the last one's number."""
        found = self._connection.execute(
            "SELECT changed, site, at, outcome, reason, behind_one_network FROM arrivals WHERE changed > ?", (commit,)
        ).fetchall()
        arrived = [(site, Arrived(at, outcome, reason, bool(behind))) for _, site, at, outcome, reason, behind in found]
        return arrived, max((row[0] for row in found), default=commit)

    def forget_quarantined(self, timezone: str, days: Callable[[date], bool]) -> None:
        """Deletes the quarantined lines of the days that `days` names: they hold tokens, which no seal may outlive."""
        with transaction(self._connection):
            found = self._connection.execute("SELECT DISTINCT day FROM quarantine WHERE timezone = ?", (timezone,))
            for (day,) in [row for row in found.fetchall() if days(date.fromisoformat(row[0]))]:
                self._connection.execute("DELETE FROM quarantine WHERE timezone = ? AND day = ?", (timezone, day))

    def counters_since(self, commit: int) -> tuple[list[tuple[Counted, int]], int]:
        """The running totals that changed after commit number `commit`, and the number of the last of their commits."""
        found = self._connection.execute(
            "SELECT changed, day, site, outcome, reason, requests FROM counters WHERE changed > ?", (commit,)
        ).fetchall()
        return [(Counted(*key), requests) for _, *key, requests in found], max(
            (row[0] for row in found), default=commit
        )

    def ledger(self) -> dict[str, int]:
        """Requests by outcome, events by what became of them, and those still here (`waiting`)."""
        counts = dict(self._connection.execute("SELECT outcome, sum(requests) FROM counters GROUP BY outcome"))
        gone = dict(self._connection.execute("SELECT outcome, events FROM ledger"))
        waiting = self._connection.execute("SELECT coalesce(sum(events), 0) FROM rows").fetchone()[0]
        return {**counts, **gone, "waiting": waiting}

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
        busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self._connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000:.0f}")
        return not busy

    def close(self) -> None:
        self._connection.close()


_IN_BATCH = "day = ? AND timezone = ? AND id BETWEEN ? AND ?"
_ROWS_OF = f"{_IN_BATCH} ORDER BY id"


def _key(batch: Batch) -> tuple[str, str, int, int]:
    return batch.day.isoformat(), batch.timezone, batch.first, batch.last


def _identity(spool: int, first: int, last: int) -> int:
    """63 bits, because SQLite's integers are signed."""
    digest = blake2b(f"{spool} {first} {last}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def _halves(lines: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    middle = len(lines) // 2
    return lines[:middle], lines[middle:]


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[list[Backlog]]:
    """The backlogs of all spool files of a folder that their workers have made, for the time of a `with` block."""
    with contextlib.ExitStack() as stack:
        backlogs = []
        for file in sorted(folder.glob("spool-*.sqlite")):
            backlog = Backlog(file)
            stack.callback(backlog.close)
            if backlog.is_made():
                backlog.renew()
                backlogs.append(backlog)
        yield backlogs
