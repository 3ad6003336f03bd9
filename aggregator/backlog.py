"""One spool file as the drainer sees it: rows in, batches out, and what became of each.

A batch is all rows of one (day, time zone) between two row ids, recorded here before its first
insert. Its identity follows from the spool's and the two ids, so it is the same after any crash.
The record of a batch and the ledger change in one transaction. The rows of a large one are deleted after it, some at a
time, as the worker's commits wait for each transaction here: until they are gone its record says that it has 0 events,
which is how the ledger knows that those rows are counted already.

A row is checked when it is read for its insert: one that is not what the worker wrote is quarantined. Where reading
fails altogether, or a write does, the file gets a note, and is left out until what can be read of it is in a fresh one
(`collector.salvage`). What was set aside then holds events, so it goes as the quarantined lines do: with the end of a
day that it names, with a withdrawal that it names, and after a day in any case.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

import orjson

from collector.damage import STRANGE, is_damage, is_left, note_damage, owner_of, remove, set_aside
from collector.expired_rows import count_emptied
from collector.failed_write import is_failed_write, note_failed_write
from collector.group import Arrived, Counted
from collector.salvage import is_good, whole_fault
from collector.spool_fault import SpoolDamagedError, SpoolError
from collector.spool_file import (
    BUSY_TIMEOUT_S,
    LAST_COMMITS,
    NEW_ROW,
    REMOVED,
    SKIPPED_ROWS,
    Gone,
    check_tables,
    connect,
    is_renewed,
    last_row,
    locked,
    move_ledger,
    new_row,
    renew,
    transaction,
)

# One insert makes one part of at most this much (design.md section 13).
MAX_BATCH_EVENTS = 200_000
MAX_BATCH_BYTES = 128 * 1024 * 1024
TRUNCATE_WAIT_MS = 200
# An event's line begins with these two (collector.event.Event).
OF_A_DAY = re.compile(rb'\{"day":"(\d{4}-\d{2}-\d{2})","timezone":"([A-Za-z0-9_+/-]{1,64})"')
LONGEST_MATCH_BYTES = 128
# A transaction deletes about so much, or one row: the worker waits half a millisecond for it. SQLite's lock is not
# fair, so each is followed by a pause in which the worker takes its turn.
SLICE_BYTES = 128 * 1024
SLICE_PAUSE_S = 0.002
# The lines of a batch are read so much at a time: no more is in memory, and no read transaction stays open for as long
# as the store takes.
PIECE_BYTES = 1024 * 1024


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

    def days(self) -> list[tuple[date, str]]:
        """The (day, time zone) pairs that have rows here, oldest row first."""
        found = self._connection.execute("SELECT day, timezone FROM rows GROUP BY day, timezone ORDER BY min(id)")
        return [(date.fromisoformat(day), timezone) for day, timezone in found]

    def recorded(self) -> list[Batch]:
        """Batches whose insert was begun and not ended."""
        return self._batches("events > 0")

    def _batches(self, which: str) -> list[Batch]:
        found = self._connection.execute(
            f"SELECT batch, day, timezone, first, last, events FROM batches WHERE {which} ORDER BY first"
        )
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
        batch = Batch(batch_identity(self.identity, first, last), day, timezone, first, last, events)
        with self._transaction():
            self._connection.execute(
                "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?)",
                (batch.batch, day.isoformat(), timezone, first, last, events),
            )
        return batch

    def lines(self, batch: Batch) -> Iterator[bytes]:
        """The batch as JSONEachRow, each line with its batch and its position in it; in pieces of whole rows.

        Raises `DamagedRowError` before the last piece where a row is not what was written, or is gone.
        """
        head, position, row = b'{"batch":%d,"position":' % batch.batch, 0, batch.first - 1
        while row < batch.last:
            lines, row = self._rows_after(batch, row)
            position += len(lines)
            if row == batch.last and position != batch.events:
                raise DamagedRowError(f"rows of {batch.tag} are gone")
            places = range(position - len(lines), position)
            yield b"".join([b"%b%d,%b\n" % (head, place, line[1:]) for place, line in zip(places, lines, strict=True)])

    def _rows_after(self, batch: Batch, row: int) -> tuple[list[bytes], int]:
        """The lines of the batch's next rows after `row`, and the last of these rows, or its last row at the end."""
        lines, size = list[bytes](), 0
        found = self._connection.execute(
            f"SELECT {_WHOLE_ROW} FROM rows WHERE {_IN_BATCH} AND id > ? ORDER BY id", (*_key(batch), row)
        )
        with contextlib.closing(found):
            for whole in found:
                if not is_good(whole):
                    raise DamagedRowError(f"a row of {batch.tag} is not what was written")
                read, some = whole[0], whole[6]
                lines.extend(some.splitlines())
                size += len(some)
                if size >= PIECE_BYTES:
                    return lines, read
        return lines, batch.last

    def end(self, batch: Batch, outcome: Gone) -> None:
        """Counts the batch's events as `outcome`, and deletes its rows and its record."""
        is_small = len(self._slices(batch)) == 1
        with self._transaction():
            move_ledger(self._connection, outcome, batch.events)
            if is_small:
                self._connection.execute(f"DELETE FROM rows WHERE {_IN_BATCH}", _key(batch))
                self._connection.execute("DELETE FROM batches WHERE batch = ?", (batch.batch,))
            else:
                self._connection.execute("UPDATE batches SET events = 0 WHERE batch = ?", (batch.batch,))
        if not is_small:
            self.clear()

    def clear(self) -> None:
        """Deletes the rows of the batches that were ended; an earlier life may have left some."""
        ended = self._batches("events = 0")
        pause_s = SLICE_PAUSE_S if ended and not self.is_orphaned() else 0.0
        for batch in ended:
            # Without a sync: what a power cut brings back is deleted again, and the worker's next commit syncs it.
            self._connection.execute("PRAGMA synchronous=NORMAL")
            for first, last in self._slices(batch):
                with self._transaction():
                    self._connection.execute(f"DELETE FROM rows WHERE {_IN_BATCH}", (*_key(batch)[:2], first, last))
                time.sleep(pause_s)
            self._connection.execute("PRAGMA synchronous=FULL")
            with self._transaction():
                self._connection.execute("DELETE FROM batches WHERE batch = ?", (batch.batch,))

    def _slices(self, batch: Batch) -> list[tuple[int, int]]:
        """The batch's rows as ranges of about SLICE_BYTES; at least one."""
        slices, size, first = list[tuple[int, int]](), 0, batch.first
        found = f"SELECT id, length(lines) FROM rows WHERE {_ROWS_OF}"
        for row, row_bytes in self._connection.execute(found, _key(batch)):
            if size and size + row_bytes > SLICE_BYTES:
                slices.append((first, row - 1))
                first, size = row, 0
            size += row_bytes
        return [*slices, (first, batch.last)]

    def narrow(self, batch: Batch) -> int:
        """After a refusal: splits a batch of one row into two rows, or quarantines it where it is a single line.

        A batch of several rows is only forgotten, so that smaller ones can be recorded; returns how many rows it had.
        """
        held = self._connection.execute(f"SELECT count(*) FROM rows WHERE {_IN_BATCH}", _key(batch)).fetchone()[0]
        with self._transaction():
            self._connection.execute("DELETE FROM batches WHERE batch = ?", (batch.batch,))
            if held > 1:
                return int(held)
            row, committed_at, events, lines = self._connection.execute(
                f"SELECT id, committed_at, events, lines FROM rows WHERE {_IN_BATCH}", _key(batch)
            ).fetchone()
            self._connection.execute("DELETE FROM rows WHERE id = ?", (row,))
            at = (batch.day.isoformat(), batch.timezone)
            if events == 1:
                self._connection.execute("INSERT INTO quarantine (day, timezone, lines) VALUES (?, ?, ?)", (*at, lines))
                move_ledger(self._connection, "quarantined", 1)
                return 1
            for number, half in enumerate(_halves(lines.splitlines(keepends=True)), last_row(self._connection) + 1):
                self._connection.execute(NEW_ROW, new_row(number, *at, committed_at, len(half), b"".join(half)))
        return 1

    def has_expired(self, batch: Batch) -> bool:
        """Whether a row of the batch has lost its lines because no drainer came in time."""
        found = f"SELECT 1 FROM rows WHERE {_IN_BATCH} AND length(lines) = 0 LIMIT 1"
        return self._connection.execute(found, _key(batch)).fetchone() is not None

    def expire(self, batch: Batch) -> int:
        """Forgets a batch that the store does not have; returns the events of its rows without lines, now expired."""
        with self._transaction():
            self._connection.execute("DELETE FROM batches WHERE batch = ?", (batch.batch,))
            return count_emptied(self._connection)

    def quarantine_damaged(self, batch: Batch) -> int:
        """Forgets the batch and quarantines its rows that are not what was written; returns the events counted so.

        The store must not have the batch. How many events a damaged row had is what the spool lacks without it.
        """
        found = f"SELECT {_WHOLE_ROW} FROM rows WHERE {_ROWS_OF}"
        with self._transaction():
            self._connection.execute("DELETE FROM batches WHERE batch = ?", (batch.batch,))
            count_emptied(self._connection)
            bad = [(row[0], row[6]) for row in self._connection.execute(found, _key(batch)) if not is_good(row)]
            for row, lines in bad:
                self._connection.execute("DELETE FROM rows WHERE id = ?", (row,))
                at = (
                    batch.day.isoformat(),
                    batch.timezone,
                    bytes(str(lines), "utf-8") if isinstance(lines, str) else lines,
                )
                self._connection.execute("INSERT INTO quarantine (day, timezone, lines) VALUES (?, ?, ?)", at)
            return self.count_lost()

    def saved(self) -> int | None:
        """Of a saved file that was not compared with the store yet: the greatest id known. Otherwise None."""
        found = self._connection.execute("SELECT value FROM facts WHERE name = 'saved'").fetchone()
        return None if found is None else int(found[0])

    def row_ids(self) -> list[int]:
        return [row for (row,) in self._connection.execute("SELECT id FROM rows ORDER BY id")]

    def forget(self, batch: Batch) -> None:
        """Deletes the record of a batch that the store does not have; its rows will be in others."""
        with self._transaction():
            self._connection.execute("DELETE FROM batches WHERE batch = ?", (batch.batch,))

    def take_out(self, batch: Batch, *, is_lost: bool) -> None:
        """Deletes rows that came back, as the store has their batch, and counts it as drained.

        A batch of which no row is here was counted when it was ended, unless the file has forgotten that: `is_lost`.
        """
        with self._transaction():
            deleted = self._connection.execute(f"DELETE FROM rows WHERE {_IN_BATCH}", _key(batch)).rowcount
            if deleted or is_lost:
                move_ledger(self._connection, "drained", batch.events)

    def conclude(self, totals: Sequence[tuple[Counted, int]]) -> int:
        """Takes totals over that are more than its own, counts what is lost, and opens the file to use.

        Returns the events lost. All totals get the number of a new commit, so that they are pushed again.
        """
        with self._transaction():
            self._connection.executemany(
                "INSERT INTO counters VALUES (?, ?, ?, ?, ?, 0)"
                " ON CONFLICT DO UPDATE SET requests = max(requests, excluded.requests)",
                [(*counted, requests) for counted, requests in totals],
            )
            count_emptied(self._connection)
            lost = self.count_lost()
            if lost < 0:
                self._count_found(-lost)
            commits = int(self._connection.execute(LAST_COMMITS).fetchone()[0]) + SKIPPED_ROWS
            self._connection.execute("INSERT OR REPLACE INTO facts VALUES ('commits', ?)", (commits,))
            self._connection.execute("UPDATE counters SET changed = ?", (commits,))
            self._connection.execute("UPDATE arrivals SET changed = ?", (commits,))
            self._connection.execute("DELETE FROM facts WHERE name = 'saved'")
        return max(0, lost)

    def _count_found(self, events: int) -> None:
        """Within a transaction: events are here whose requests are counted no more. They count for the newest row."""
        newest = self._connection.execute("SELECT day, lines FROM rows ORDER BY id DESC LIMIT 1").fetchone()
        if newest is not None:
            site = str(orjson.loads(newest[1].splitlines()[0]).get("site", ""))
            self._connection.execute(
                "INSERT INTO counters VALUES (?, ?, 'accepted', '', ?, 0)"
                " ON CONFLICT DO UPDATE SET requests = requests + excluded.requests",
                (newest[0], site, events),
            )

    def count_lost(self) -> int:
        """Within a transaction: what was accepted and is found nowhere counts as quarantined; returns how much.

        Negative where more is found than was counted; then nothing is changed.
        """
        counts = self.ledger()
        missing = counts.pop("accepted", 0) - sum(counts[each] for each in counts.keys() & ACCOUNTED)
        if missing > 0:
            move_ledger(self._connection, "quarantined", missing)
        return missing

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
        with self._transaction():
            self._connection.executemany("DELETE FROM withdrawals WHERE id = ?", [(each.id,) for each in carried_out])

    def forget_quarantined_of(self, day: date, timezone: str, asked: Sequence[Asked]) -> None:
        """Deletes the quarantined lines of a day whose visitors withdrew, whichever spool they did so in."""
        tokens = [b'"visitor":%d,' % each.visitor for each in asked]
        with self._transaction():
            found = self._connection.execute(
                "SELECT id, lines FROM quarantine WHERE day = ? AND timezone = ?", (day.isoformat(), timezone)
            ).fetchall()
            theirs = [(row,) for row, lines in found if any(token in lines for token in tokens)]
            self._connection.executemany("DELETE FROM quarantine WHERE id = ?", theirs)
        for file, _ in set_aside(self.file.parent):
            if any(token in piece for piece in _pieces(file) for token in tokens):
                remove(file)

    def has_site(self, site: str) -> bool:
        """Whether events of a site wait here."""
        found = "SELECT 1 FROM rows WHERE instr(lines, ?) LIMIT 1"
        return self._connection.execute(found, (_named(site),)).fetchone() is not None

    def forget_site(self, site: str) -> None:
        """Deletes what is known of a site, but for how many requests it had: one sum of all sites that were removed."""
        with self._transaction():
            # No number of a commit is used again.
            commits = int(self._connection.execute(LAST_COMMITS).fetchone()[0])
            self._connection.execute("INSERT OR REPLACE INTO facts VALUES ('commits', ?)", (commits,))
            requests = self._connection.execute(
                "SELECT outcome, sum(requests) FROM counters WHERE site = ? GROUP BY outcome", (site,)
            ).fetchall()
            for outcome, number in requests:
                move_ledger(self._connection, REMOVED[outcome], number)
            for table in ("counters", "arrivals", "withdrawals"):
                self._connection.execute(f"DELETE FROM {table} WHERE site = ?", (site,))
            self._connection.execute("DELETE FROM quarantine WHERE instr(lines, ?)", (_named(site),))
        for file, _ in set_aside(self.file.parent):
            if any(_named(site) in piece for piece in _pieces(file)):
                remove(file)

    def knows_site(self, site: str) -> bool:
        """Whether anything here names a site."""
        found = (
            "SELECT 1 FROM counters WHERE site = :site UNION ALL SELECT 1 FROM arrivals WHERE site = :site"
            " UNION ALL SELECT 1 FROM withdrawals WHERE site = :site"
            " UNION ALL SELECT 1 FROM quarantine WHERE instr(lines, :named) LIMIT 1"
        )
        named = {"site": site, "named": _named(site)}
        return self.has_site(site) or self._connection.execute(found, named).fetchone() is not None

    def arrivals_since(self, commit: int) -> tuple[list[tuple[str, Arrived]], int]:
        """The last requests of the sites that changed after commit number `commit`, and the last one's number."""
        found = self._connection.execute(
            "SELECT changed, site, at, outcome, reason, behind_one_network FROM arrivals WHERE changed > ?", (commit,)
        ).fetchall()
        arrived = [(site, Arrived(at, outcome, reason, bool(behind))) for _, site, at, outcome, reason, behind in found]
        return arrived, max((row[0] for row in found), default=commit)

    def forget_quarantined(self, timezone: str, days: Callable[[date], bool]) -> None:
        """Deletes the quarantined lines of the days that `days` names: they hold tokens, which no seal may outlive."""
        with self._transaction():
            found = self._connection.execute("SELECT DISTINCT day FROM quarantine WHERE timezone = ?", (timezone,))
            for (day,) in [row for row in found.fetchall() if days(date.fromisoformat(row[0]))]:
                self._connection.execute("DELETE FROM quarantine WHERE timezone = ? AND day = ?", (timezone, day))
        for file, _ in set_aside(self.file.parent):
            if any(zone == timezone and days(day) for day, zone in days_named_in(file)):
                remove(file)

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
        for outcome, removed in REMOVED.items():
            if removed in gone:
                counts[outcome] = counts.get(outcome, 0) + gone.pop(removed)
        waiting = self._connection.execute(
            "SELECT coalesce(sum(events), 0) FROM rows WHERE NOT EXISTS (SELECT 1 FROM batches AS b WHERE b.events = 0"
            " AND b.day = rows.day AND b.timezone = rows.timezone AND rows.id BETWEEN b.first AND b.last)"
        ).fetchone()[0]
        return {**counts, **gone, "waiting": waiting}

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


class DamagedRowError(Exception):
    """A row of a batch is not what was written, or is gone."""


ACCOUNTED = frozenset(("waiting", "drained", "late", "expired", "quarantined"))
_WHOLE_ROW = "id, day, timezone, committed_at, events, version, lines, crc"
_IN_BATCH = "day = ? AND timezone = ? AND id BETWEEN ? AND ?"
_ROWS_OF = f"{_IN_BATCH} ORDER BY id"


def _key(batch: Batch) -> tuple[str, str, int, int]:
    return batch.day.isoformat(), batch.timezone, batch.first, batch.last


def batch_identity(spool: int, first: int, last: int) -> int:
    """63 bits, because SQLite's integers are signed."""
    digest = blake2b(f"{spool} {first} {last}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def _named(site: str) -> bytes:
    """How a line of an event names its site."""
    return b'"site":"%b"' % site.encode()


def _halves(lines: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    middle = len(lines) // 2
    return lines[:middle], lines[middle:]


def _pieces(file: Path) -> Iterator[bytes]:
    """The bytes of a file that may vanish meanwhile, in pieces that overlap by more than what is looked for."""
    with contextlib.suppress(FileNotFoundError), file.open("rb") as content:
        end = b""
        while piece := content.read(PIECE_BYTES):
            yield end + piece
            end = piece[-LONGEST_MATCH_BYTES:]


def days_named_in(file: Path) -> set[tuple[date, str]]:
    """The days of the events whose lines begin somewhere in a file, damaged or not."""
    found = {match.groups() for piece in _pieces(file) for match in OF_A_DAY.finditer(piece)}
    days = set[tuple[date, str]]()
    for day, timezone in found:
        with contextlib.suppress(ValueError):
            days.add((date.fromisoformat(day.decode()), timezone.decode()))
    return days


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[list[Backlog]]:
    """The backlogs of all spool files of a folder that their workers have made, for the time of a `with` block.

    Those that are left are none. What is found damaged within the block gets its note, and `SpoolDamagedError` is
    raised.
    """
    with contextlib.ExitStack() as stack:
        backlogs = []
        for file in sorted(folder.glob("spool-*.sqlite")):
            backlog = _made(file, stack)
            if backlog is not None:
                backlogs.append(backlog)
        try:
            yield backlogs
        except (sqlite3.Error, ValueError, TypeError, LookupError, OverflowError) as error:
            if isinstance(error, sqlite3.Error) and not is_damage(error):
                raise SpoolError(f"cannot work on the spools in {folder}: {error}") from error
            found = [backlog.file for backlog in backlogs if _is_found_damaged(backlog.file)]
            if not found:
                raise
            raise SpoolDamagedError(f"{', '.join(file.name for file in found)}: damaged") from error


def _made(file: Path, stack: contextlib.ExitStack) -> Backlog | None:
    """The backlog of a file, closed with `stack`; None of one that is left, or that its worker is still making."""
    try:
        if is_left(file):
            return None
        backlog = Backlog(file)
        stack.callback(backlog.close)
        if not backlog.is_made():
            return None
        backlog.renew()
    except sqlite3.Error as error:
        if is_failed_write(error):
            note_failed_write(file)
        if not is_damage(error):
            raise SpoolError(f"cannot open the spool {file.name}: {error}") from error
        note_damage(file, str(error), is_sure=False)
        return None
    except OSError as error:
        raise SpoolError(f"cannot look at the spool {file.name}: {error.strerror}") from error
    return backlog


def _is_found_damaged(file: Path) -> bool:
    fault = whole_fault(file)
    if fault is not None:
        note_damage(file, fault)
    return fault is not None
