"""A withdrawal carried out: the visitor's rows leave the open day for good, and each is counted as withdrawn once.

The steps of one deletion, of one (day, time zone), for all withdrawals that wait; a crash between any two is harmless:

1. wait until all that was spooled up to a second after the withdrawals is in the store, and no batch of the day is in
   doubt: so a batch that loses its rows here is never one that the drainer asks about, to insert it again where it is
   not there;
2. ask the store which rows they are. Where there are none, the withdrawals are done, and deleted;
3. ask the watermark for the day, as for an insert;
4. record those rows, by batch and position: a fixed set, so that doing it again finds the same;
5. delete them by one mutation, and wait until the parts that held them are gone;
6. in one transaction: the sum of withdrawn events grows, and the record of the rows goes.

After it, step 2 is done again, which finds nothing: only then are the withdrawals forgotten.

What a worker had received before a withdrawal, and not committed yet, is waited for: a second, and until the worker's
heart has beaten after that second, so that a commit that the disk holds up is in the file. Two things are not: a worker
that holds its spool and has not beaten for half a minute (its disk is full, or it was stopped), as one such would stop
the withdrawals of all; and what servers report of a day that is over while it is being promised, as a flood of
withdrawals would keep that day open.

Sealer and deletion exclude each other as sealer and insert do (see `watermark`): the day is open to this drainer, or
published as reopened, before `closings` and `seals` are read, and it is not promised before the deletion has ended.
A day found closed is past, and its withdrawals are forgotten. Should the sealer have given this drainer up in the midst
of a deletion (a day of silence), what the seal counted is sealed, and only the rest of the recorded rows is withdrawn.
A day that is closed stays so, as nothing deletes from `closings` and `seals`. So a deletion that is recorded for one is
never begun again, does not hold the day, which could not be sealed then, and ends when the day has been dropped.

A mutation costs as much as the parts that it writes anew, so many withdrawals share one, and the next one waits: 5 s,
or four times what the last one took. Draining goes on meanwhile. What a mutation's text and a query's text say stays in
the store's files, so neither holds a token: those go to a table in memory.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby

from aggregator.backlog import Asked, Backlog
from aggregator.destroy import remains
from aggregator.store import Store, StoreUnavailable, statement
from aggregator.watermark import Watermark
from aggregator.withdrawal_record import Record, Rows, gone, still_counted
from collector.clock import Clock

log = logging.getLogger(__name__)

# What was on its way to any worker when the withdrawal came is committed by then.
SETTLE_S = 1.0
# A worker beats every 2 s; one that has not for so long is not waited for.
SILENT_S = 30.0
REST_S = 5.0
REST_PER_COST = 4.0
# One deletion, at most; the rest waits for the next.
MOST_WITHDRAWALS = 10_000
MOST_ROWS = 100_000
# The engine removes the parts that held the rows a second after; it may be busy.
OLD_PARTS_DEADLINE_S = 60.0
SLOW_S = 60.0

Day = tuple[date, str]


@dataclass
class Deletion:
    """A mutation that was sent: its number, when that was (by the boot clock), and the parts that it replaced."""

    number: int
    began_at: float
    old_parts: frozenset[str] | None = None
    is_told: bool = False


class Withdrawals:
    """Carries out what the spools of one folder ask for; step by step, a round at a time, never waiting."""

    def __init__(
        self, record: Record, store: Store, drainer: int, watermark: Watermark, clock: Clock, *, on_this_disk: bool
    ) -> None:
        self._record, self._store, self._watermark, self._clock = record, store, watermark, clock
        self._drainer, self._on_this_disk = drainer, on_this_disk
        self._deletions: dict[Day, Deletion] = {}
        # When the next deletion may follow, and when the newest withdrawal of the last one was committed.
        self._rests_until: dict[Day, float] = {}
        self._carried_out: dict[Day, float] = {}
        # Days with a recorded deletion that were found closed: for good.
        self._closed: set[Day] = set()
        self._looked_at = 0.0
        self._has_tidied = False

    def round(self, backlogs: Sequence[Backlog]) -> bool:
        """Goes on with what was begun and begins what waits; True where spools have forgotten withdrawals."""
        self._looked_at = self._clock.wall()
        if not self._has_tidied:
            self._forget_asked()  # An earlier life may have died between asking and forgetting.
            self._has_tidied = True
        for day in self._record.days():
            self._go_on(day)
        waiting = {day for backlog in backlogs for day in backlog.withdrawal_days()}
        busy = set(self._record.days()) - self._closed
        forgot = {day for day in sorted(waiting - busy) if self._begin(day, backlogs)}
        return bool(forgot)

    def holds(self, backlogs: Sequence[Backlog], timezone: str, days: Callable[[date], bool]) -> bool:
        """Whether one of these days must not be promised yet.

        Withdrawals that came in during this round do not hold it: they are as if they had come after the promise, and
        a flood of them must not keep a day open.
        """
        asked = {day for backlog in backlogs for day in backlog.withdrawal_days(until=self._looked_at)}
        holding = asked.union(self._record.days()) - self._closed
        return any(zone == timezone and days(day) for day, zone in holding)

    def _begin(self, day: Day, backlogs: Sequence[Backlog]) -> bool:
        until = self._settled_until(day, backlogs)
        asked = {backlog: backlog.withdrawals(*day, until, MOST_WITHDRAWALS) for backlog in backlogs}
        every = [each for some in asked.values() for each in some]
        if not every or any(_is_in_doubt(backlog, day) for backlog in backlogs):
            return False
        rows = self._rows_of(day, every)
        if rows and self._watermark.may_insert(*day):
            self._record.begin(*day, rows)
            self._carried_out[day] = max(each.committed_at for each in every)
            self._go_on(day)
            return False
        for backlog in backlogs:  # All of them first: the lines may be in another spool than the withdrawal.
            backlog.forget_quarantined_of(*day, every)
        for backlog, some in asked.items():
            backlog.forget_withdrawals(some)
        return True

    def _settled_until(self, day: Day, backlogs: Sequence[Backlog]) -> float:
        """Withdrawals that were committed by then (Unix seconds) are due.

        It is chosen so, and not asked whether the newest is due, so that neither a flood of withdrawals nor one of
        events puts them off: each round drains what the last one found, and `until` grows.
        """
        until = self._looked_at
        if day[0] > self._watermark.closable(day[1]):
            # Heartbeats first: what they follow is in the file, and so found below.
            beats = [backlog.heartbeat() for backlog in backlogs]
            until = min(until, max(min(beats), until - SILENT_S)) - SETTLE_S
            if self._clock.boot() < self._rests_until.get(day, 0.0):
                until = min(until, self._carried_out.get(day, 0.0))  # To be forgotten; the others wait.
        return min([until, *(backlog.oldest(*day) - SETTLE_S for backlog in backlogs)])

    def _rows_of(self, day: Day, asked: Sequence[Asked]) -> list[Rows]:
        """The rows that the withdrawals are about, by batch; raises StoreUnavailable where the store forgot who asks.

        The table is in the store's memory: after a restart it is empty, which looks as if nobody had rows.
        """
        mine = {"drainer": self._drainer}
        self._forget_asked()
        self._store.insert_rows(
            "withdrawals",
            ("drainer", "site", "generation", "visitor", "at"),
            [(self._drainer, each.site, each.generation, each.visitor, f"{each.at:.3f}") for each in asked],
        )
        found = self._store.query(
            statement("withdrawn_rows"), {**mine, "day": day[0], "timezone": day[1], "most": MOST_ROWS}
        )
        if not found:
            held = self._store.query("SELECT count() FROM withdrawals WHERE drainer = {drainer:UInt64}", mine)
            if held != [(len(asked),)]:
                raise StoreUnavailable("the store was restarted while it was asked about withdrawals; they wait")
        self._forget_asked()
        positions = {
            int(batch): tuple(int(row[1]) for row in rows) for batch, rows in groupby(found, lambda row: row[0])
        }
        present = still_counted(self._store, *day, list(positions))
        # A batch that is not present was dropped with its day just now.
        return [Rows(batch, present[batch], places) for batch, places in positions.items() if batch in present]

    def _forget_asked(self) -> None:
        self._store.command(
            "ALTER TABLE withdrawals DELETE WHERE drainer = {drainer:UInt64}", {"drainer": self._drainer}
        )

    def _go_on(self, day: Day) -> None:
        """The next step of a deletion that is recorded."""
        rows, deletion = self._record.rows(*day), self._deletions.get(day)
        if deletion is None:
            # Asking the watermark about a closed day each round would publish it as reopened, and take it back.
            if day not in self._closed and self._watermark.may_insert(*day):
                self._deletions[day] = self._sent(day, rows)
                return
            self._closed.add(day)
            if self._is_empty(day):
                self._end(day, rows)
        elif not self._is_carried_out(deletion):
            if self._clock.boot() > deletion.began_at + SLOW_S and not deletion.is_told:
                log.warning("deleting what was withdrawn of %s in %s takes more than %.0f s", *day, SLOW_S)
                deletion.is_told = True
        elif deletion.old_parts is None and not self._are_gone(day, rows):
            # The store was restarted meanwhile and had forgotten which rows; or the day was dropped.
            del self._deletions[day]
            if self._is_empty(day):
                self._end(day, rows)
        else:
            self._end_without_old_parts(day, rows, deletion)

    def _sent(self, day: Day, rows: Sequence[Rows]) -> Deletion:
        """Tells the store which rows, and to delete them; the answer does not wait for that."""
        deletion = Deletion(secrets.randbits(63), self._clock.boot())
        self._forget_rows()
        self._store.insert_rows(
            "withdrawn_rows",
            ("drainer", "deletion", "batch", "position"),
            [(self._drainer, deletion.number, each.batch, position) for each in rows for position in each.positions],
        )
        partition_id = self._partition_id(day)
        if partition_id is not None:
            self._store.command(
                "ALTER TABLE open_events DELETE IN PARTITION ID {id:String} WHERE (batch, position) IN"
                " (SELECT batch, position FROM withdrawn_rows WHERE deletion = {number:UInt64})",
                {"id": partition_id, "number": deletion.number},
                {"mutations_sync": 0},
            )
        return deletion

    def _forget_rows(self) -> None:
        """What an earlier life, or an ended deletion, left in memory; a mutation that still needs it is sent again."""
        numbers = [deletion.number for deletion in self._deletions.values()]
        self._store.command(
            "ALTER TABLE withdrawn_rows DELETE WHERE drainer = {drainer:UInt64}"
            " AND NOT has({numbers:Array(UInt64)}, deletion)",
            {"drainer": self._drainer, "numbers": numbers},
        )

    def _is_carried_out(self, deletion: Deletion) -> bool:
        running = self._store.query(
            "SELECT 1 FROM system.mutations WHERE database = currentDatabase() AND table = 'open_events'"
            " AND NOT is_done AND position(command, {number:String}) > 0",
            {"number": str(deletion.number)},
        )
        return not running

    def _are_gone(self, day: Day, rows: Sequence[Rows]) -> bool:
        still = still_counted(self._store, *day, [each.batch for each in rows])
        return all(still.get(each.batch, 0) <= each.present - len(each.positions) for each in rows)

    def _end_without_old_parts(self, day: Day, rows: Sequence[Rows], deletion: Deletion) -> None:
        """The last step, once the parts that held the rows are gone; at the deadline they are told of."""
        partition_id, now = self._partition_id(day) or "", self._clock.boot()
        if deletion.old_parts is None:
            self._rests_until[day] = now + max(REST_S, REST_PER_COST * (now - deletion.began_at))
            deletion.old_parts, deletion.began_at = self._inactive_parts(partition_id), now
        if deletion.old_parts and partition_id:
            known = remains(self._store, partition_id, on_this_disk=self._on_this_disk)
            left = deletion.old_parts & {name.rpartition("/")[2].removeprefix("delete_tmp_") for name in known}
            if left and now < deletion.began_at + OLD_PARTS_DEADLINE_S:
                return
            if left:
                log.error("%d parts of %s in %s hold withdrawn rows still, and are of no use", len(left), *day)
        self._end(day, rows)

    def _end(self, day: Day, rows: Sequence[Rows]) -> None:
        withdrawn = gone(self._store, *day, rows)
        # Should the engine's fail-safe take the rest of a batch, what is left of it is what expires.
        left = [(each.batch, *day, each.present - len(each.positions), "open", 0) for each in rows]
        self._store.insert_rows("batches", ("batch", "day", "timezone", "events", "outcome", "seal"), left)
        self._record.end(*day, withdrawn)
        self._deletions.pop(day, None)
        self._closed.discard(day)
        self._forget_rows()

    def _is_empty(self, day: Day) -> bool:
        found = "SELECT 1 FROM open_events WHERE day = {day:Date} AND timezone = {timezone:String} LIMIT 1"
        return not self._store.query(found, {"day": day[0], "timezone": day[1]})

    def _partition_id(self, day: Day) -> str | None:
        """None where the store knows no part of the day, dropped ones included."""
        found = self._store.query(
            "SELECT partition_id FROM system.parts WHERE database = currentDatabase() AND table = 'open_events'"
            " AND partition = {partition:String} LIMIT 1",
            {"partition": f"('{day[0]}','{day[1]}')"},
        )
        return str(found[0][0]) if found else None

    def _inactive_parts(self, partition_id: str) -> frozenset[str]:
        found = self._store.query(
            "SELECT name FROM system.parts WHERE database = currentDatabase() AND table = 'open_events'"
            " AND partition_id = {id:String} AND NOT active",
            {"id": partition_id},
        )
        return frozenset(str(name) for (name,) in found)


def _is_in_doubt(backlog: Backlog, day: Day) -> bool:
    """Whether an insert of the day was begun and not ended."""
    return any((batch.day, batch.timezone) == day for batch in backlog.recorded())
