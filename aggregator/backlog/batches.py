"""Rows in, batches out, and what became of each.

A batch is recorded here before its first insert. Its record and the ledger change in one transaction. The rows of a
large one are deleted after it, some at a time, as the worker's commits wait for each transaction here: until they are
gone its record says that it has 0 events, which is how the ledger knows that those rows are counted already.

A row is checked when it is read for its insert: one that is not what the worker wrote is quarantined.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from datetime import date

from aggregator.backlog.batch import IN_BATCH, ROWS_OF, Batch, DamagedRowError, batch_identity
from aggregator.backlog.counts import Counts
from collector.damage import note_damage
from collector.expired_rows import count_emptied
from collector.salvage import is_good
from collector.spool_fault import SpoolDamagedError
from collector.spool_file import NEW_ROW, Gone, last_row, move_ledger, new_row

# One insert makes one part of at most this much (design.md section 13).
MAX_BATCH_EVENTS = 200_000
MAX_BATCH_BYTES = 128 * 1024 * 1024
# A transaction deletes about so much, or one row: the worker waits half a millisecond for it. SQLite's lock is not
# fair, so each is followed by a pause in which the worker takes its turn.
SLICE_BYTES = 128 * 1024
SLICE_PAUSE_S = 0.002
# The lines of a batch are read so much at a time: no more is in memory, and no read transaction stays open for as long
# as the store takes.
PIECE_BYTES = 1024 * 1024
_WHOLE_ROW = "id, day, timezone, committed_at, events, version, lines, crc"


class Batches(Counts):
    """The rows of one spool file, and the batches that they are in."""

    def days(self) -> list[tuple[date, str]]:
        """The (day, time zone) pairs that have rows here, oldest row first."""
        found = self._connection.execute("SELECT day, timezone FROM rows GROUP BY day, timezone ORDER BY min(id)")
        return [(date.fromisoformat(day), timezone) for day, timezone in found]

    def has(self, day: date, timezone: str) -> bool:
        """Whether events of this day wait here."""
        return self.oldest(day, timezone) < math.inf

    def oldest(self, day: date, timezone: str) -> float:
        """When the oldest events of this day that wait here were committed (Unix seconds); infinite where none do."""
        found = "SELECT min(committed_at) FROM rows WHERE day = ? AND timezone = ?"
        oldest = self._connection.execute(found, (day.isoformat(), timezone)).fetchone()[0]
        return math.inf if oldest is None else float(oldest)

    def recorded(self) -> list[Batch]:
        """Batches whose insert was begun and not ended."""
        return self._batches("events > 0")

    def check_batches(self) -> None:
        """Raises `SpoolDamagedError`, with a note, where a record is not what was written or has not all of its rows.

        A record has no check of its own, but its name follows from its rows. One that was damaged would be taken for
        none, or for another one's, and what the store has of it be inserted again; and on a damaged page rows are not
        found that are there, so they would be left when their batch is ended.
        """
        summed = f"SELECT coalesce(sum(events), 0) FROM rows WHERE {IN_BATCH}"
        for batch, day, timezone, first, last, events in self._connection.execute("SELECT * FROM batches").fetchall():
            is_named = batch == batch_identity(self.identity, first, last)
            # One that was ended may have rows left, or none.
            held = self._connection.execute(summed, (day, timezone, first, last)).fetchone()[0] if events else 0
            if not is_named or events != held:
                note_damage(self.file, "a record of a batch is not what was written, or not all of its rows are there")
                raise SpoolDamagedError(f"{self.file.name}: damaged")

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
            f"SELECT {_WHOLE_ROW} FROM rows WHERE {IN_BATCH} AND id > ? ORDER BY id", (*batch.key, row)
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
                self._connection.execute(f"DELETE FROM rows WHERE {IN_BATCH}", batch.key)
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
                    self._connection.execute(f"DELETE FROM rows WHERE {IN_BATCH}", (*batch.key[:2], first, last))
                time.sleep(pause_s)
            self._connection.execute("PRAGMA synchronous=FULL")
            with self._transaction():
                self._connection.execute("DELETE FROM batches WHERE batch = ?", (batch.batch,))

    def _slices(self, batch: Batch) -> list[tuple[int, int]]:
        """The batch's rows as ranges of about SLICE_BYTES; at least one."""
        slices, size, first = list[tuple[int, int]](), 0, batch.first
        found = f"SELECT id, length(lines) FROM rows WHERE {ROWS_OF}"
        for row, row_bytes in self._connection.execute(found, batch.key):
            if size and size + row_bytes > SLICE_BYTES:
                slices.append((first, row - 1))
                first, size = row, 0
            size += row_bytes
        return [*slices, (first, batch.last)]

    def narrow(self, batch: Batch) -> int:
        """After a refusal: splits a batch of one row into two rows, or quarantines it where it is a single line.

        A batch of several rows is only forgotten, so that smaller ones can be recorded; returns how many rows it had.
        """
        held = self._connection.execute(f"SELECT count(*) FROM rows WHERE {IN_BATCH}", batch.key).fetchone()[0]
        with self._transaction():
            self._connection.execute("DELETE FROM batches WHERE batch = ?", (batch.batch,))
            if held > 1:
                return int(held)
            row, committed_at, events, lines = self._connection.execute(
                f"SELECT id, committed_at, events, lines FROM rows WHERE {IN_BATCH}", batch.key
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
        found = f"SELECT 1 FROM rows WHERE {IN_BATCH} AND length(lines) = 0 LIMIT 1"
        return self._connection.execute(found, batch.key).fetchone() is not None

    def expire(self, batch: Batch) -> int:
        """Forgets a batch that the store does not have; returns the events of its rows without lines, now expired."""
        with self._transaction():
            self._connection.execute("DELETE FROM batches WHERE batch = ?", (batch.batch,))
            return count_emptied(self._connection)

    def quarantine_damaged(self, batch: Batch) -> int:
        """Forgets the batch and quarantines its rows that are not what was written; returns the events counted so.

        The store must not have the batch. How many events a damaged row had is what the spool lacks without it.
        """
        found = f"SELECT {_WHOLE_ROW} FROM rows WHERE {ROWS_OF}"
        with self._transaction():
            self._connection.execute("DELETE FROM batches WHERE batch = ?", (batch.batch,))
            count_emptied(self._connection)
            bad = [(row[0], row[6]) for row in self._connection.execute(found, batch.key) if not is_good(row)]
            for row, lines in bad:
                self._connection.execute("DELETE FROM rows WHERE id = ?", (row,))
                at = (
                    batch.day.isoformat(),
                    batch.timezone,
                    bytes(str(lines), "utf-8") if isinstance(lines, str) else lines,
                )
                self._connection.execute("INSERT INTO quarantine (day, timezone, lines) VALUES (?, ?, ?)", at)
            return self.count_lost()

    def forget(self, batch: Batch) -> None:
        """Deletes the record of a batch that the store does not have; its rows will be in others."""
        with self._transaction():
            self._connection.execute("DELETE FROM batches WHERE batch = ?", (batch.batch,))

    def take_out(self, batch: Batch, *, is_lost: bool) -> int:
        """Deletes rows that came back, as the store has their batch, and counts it as drained; returns the events.

        A batch of which no row is here was counted when it was ended, unless the file has forgotten that: `is_lost`.
        """
        with self._transaction():
            deleted = self._connection.execute(f"DELETE FROM rows WHERE {IN_BATCH}", batch.key).rowcount
            if not (deleted or is_lost):
                return 0
            move_ledger(self._connection, "drained", batch.events)
        return batch.events

    def row_ids(self) -> list[int]:
        return [row for (row,) in self._connection.execute("SELECT id FROM rows ORDER BY id")]


def _halves(lines: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    middle = len(lines) // 2
    return lines[:middle], lines[middle:]
