"""A saved spool file is compared with what the store knows, before anything else is done with it.

What was read around damage may be older than what is in the store: rows may have come back that were drained, and
totals may have gone back. So, while nobody else has the file:

1. a recorded batch that the store has is drained; another one is forgotten, as it may lack rows now;
2. rows whose batch the store has, though the file does not know of it, are drained. A batch is named by the spool and
   its first and last row, so all ranges that may have been a batch are tried, up to a bound;
3. totals of requests become what the store has been told, where that is more;
4. what was drained by 2 and is more than was accepted had been counted before, when it was drained first;
5. what was accepted then and is found nowhere is lost: it counts as quarantined, and is told.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from pathlib import Path

from aggregator.backlog import Backlog, Batch, batch_identity
from aggregator.ledger import read_ledger
from aggregator.store import Store
from aggregator.withdrawal_record import FILE_NAME, Record
from collector.clock import Clock
from collector.damage import (
    aside,
    fault_of,
    is_damage,
    is_left,
    log_of,
    note_damage,
    note_of,
    notes_in,
    remove_set_aside,
)
from collector.folders import sync_folder
from collector.group import Counted
from collector.salvage import save_left
from collector.spool_fault import SpoolError
from collector.spool_file import SKIPPED_ROWS, connect, locked, write_log_anew

log = logging.getLogger(__name__)

# Beside the rows that are known so many more may have been: SQLite empties a log at 1,000 pages, and a commit is four.
WINDOW = 300
# What was set aside lives as long as somebody may need to look at it, and less than an open day may.
SET_ASIDE_LIFE_S = 86_400.0
# Ranges tried, of 1.2 us each.
MOST_RANGES = 1_500_000
# Rows that may be gone, between and before those that are known.
MOST_NEAR = 20_000


@dataclass(frozen=True, slots=True)
class Held:
    """What the store has of a batch."""

    day: date
    timezone: str
    events: int


def reconcile(backlog: Backlog, store: Store) -> int:
    """Brings a saved file into line with the store; returns the events lost. Raises `StoreUnavailable`."""
    last = backlog.saved()
    if last is None:
        return 0
    backlog.clear()  # What was counted already is not to be found again below.
    held = _held(store)
    for batch in backlog.recorded():
        store.kill(batch.tag)
        # A record whose name does not follow from its rows is damaged: its rows are looked for below.
        if batch.batch in held and batch.batch == batch_identity(backlog.identity, batch.first, batch.last):
            backlog.end(replace(batch, events=held[batch.batch].events), "drained")
        else:
            backlog.forget(batch)
    taken_out = 0
    for first, to, batch_held in _drained(backlog, last, held):
        batch = Batch(0, batch_held.day, batch_held.timezone, first, to, batch_held.events)
        taken_out += backlog.take_out(batch, is_lost=to > last)
    totals = store.query(
        "SELECT toString(day), site, outcome, reason, max(requests) FROM coverage_totals"
        " WHERE spool = {spool:UInt64} GROUP BY day, site, outcome, reason",
        {"spool": backlog.identity},
    )
    return backlog.conclude([(Counted(*key), int(requests)) for *key, requests in totals], taken_out)


def _held(store: Store) -> Mapping[int, Held]:
    """Every batch that is in an open day or was noted, whichever spool it is of."""
    found = store.query(
        "SELECT batch, any(day), any(timezone), max(events) FROM"
        " (SELECT batch, day, toString(timezone) AS timezone, toUInt64(events) AS events FROM batches"
        " UNION ALL SELECT batch, day, toString(timezone), count() FROM open_events GROUP BY batch, day, timezone)"
        " GROUP BY batch"
    )
    return {int(batch): Held(day, str(timezone), int(events)) for batch, day, timezone, events in found}


def _drained(backlog: Backlog, last: int, held: Mapping[int, Held]) -> Iterator[tuple[int, int, Held]]:
    """First and last row of each batch of this spool that the store has and that may still be here, or was lost."""
    if not held:
        return
    rows = backlog.row_ids()
    near = {each for edge in (last, last + SKIPPED_ROWS) for each in range(edge + 1, edge + WINDOW)}
    for before, row in pairwise((0, *rows)):
        if len(near) > MOST_NEAR:
            break
        near.update(range(max(before + 1, row - WINDOW), row))
    places = sorted(near.union(rows))
    longest = max(1, MOST_RANGES // len(places))
    spool = backlog.identity
    for place, first in enumerate(places):
        for to in places[place : place + longest]:
            if to - first > SKIPPED_ROWS // 2:  # No batch was made before and after a file was opened.
                break
            found = held.get(batch_identity(spool, first, to))
            if found is not None:
                yield first, to, found


def whole_record(folder: Path, store: Store, clock: Clock) -> Record:
    """The drainer's record of withdrawals; a damaged one is set aside, and another one begun.

    What was being deleted is asked for by the spools again. The sum of what was withdrawn is what the spools have
    drained and the store has no more, where this folder is the only one and nothing moves just now.
    """
    file = folder / FILE_NAME
    try:
        record = Record(folder)
        record.check()
        return record
    except (sqlite3.Error, ValueError, TypeError) as error:
        if isinstance(error, sqlite3.Error) and not is_damage(error):
            raise
        log.error("%s is damaged: %s; what is being deleted is asked for again", file.name, error)
    place = aside(file, clock.wall())
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            file.with_name(file.name + suffix).rename(place.with_name(place.name + suffix))
    sync_folder(folder)
    record = Record(folder)
    ledger = read_ledger(folder, store)
    withdrawn = sum(spool.drained for spool in ledger.spools) - ledger.in_store
    if withdrawn > 0 and not ledger.is_moving:
        record.restore(withdrawn)
    return record


class Rescue:
    """Finds the damaged files of one folder, saves what can be read, and gives them back to use."""

    def __init__(self, folder: Path, store: Store, clock: Clock) -> None:
        self._folder, self._store, self._clock = folder, store, clock
        # Files of which it was told that they cannot be saved now.
        self._told: set[Path] = set()

    def round(self) -> None:
        """A worker that still has a damaged file leaves it with its next heartbeat. Raises `StoreUnavailable`."""
        remove_set_aside(self._folder, self._clock.wall() - SET_ASIDE_LIFE_S)
        for file in sorted(self._folder.glob("spool-*.sqlite")):
            self._with_log_left(file)
        for note in notes_in(self._folder):
            self._with_lock(note.with_suffix(".sqlite"), self._save)

    def _with_lock(self, file: Path, work: Callable[[Path], None]) -> None:
        try:
            lock = locked(file)
            if lock is None:
                return
            try:
                work(file)
            finally:
                os.close(lock)
        except (OSError, sqlite3.Error, SpoolError) as fault:
            if file not in self._told:
                log.error("cannot save what the spool %s holds: %s; it is tried again", file.name, fault)
            self._told.add(file)
        else:
            self._told.discard(file)

    def _with_log_left(self, file: Path) -> None:
        """Looks at a log that nobody writes now: the next who closes the file would empty it."""
        try:
            has_log = not is_left(file) and log_of(file).exists() and log_of(file).stat().st_size > 0
        except OSError as fault:
            raise SpoolError(f"cannot look at the spool {file.name}: {fault.strerror}") from fault
        if has_log:
            self._with_lock(file, self._look)

    @staticmethod
    def _look(file: Path) -> None:
        fault = _fault_of(file)
        if fault is not None:
            note_damage(file, fault)
            return
        with contextlib.closing(connect(file)) as connection:  # A write may have failed in an earlier life.
            write_log_anew(connection, file)

    def _save(self, file: Path) -> None:
        saved = save_left(file, self._clock.wall())
        if saved is not None:
            log.error("the spool %s was left: %s", file.name, saved)
        with contextlib.closing(Backlog(file)) as backlog:
            backlog.renew()
            lost = reconcile(backlog, self._store)
        if lost:
            log.error("%d accepted events are lost with the damaged spool %s; counted as quarantined", lost, file.name)
        note_of(file).unlink()
        sync_folder(self._folder)
        log.warning("the spool %s is in use again", file.name)


def _fault_of(file: Path) -> str | None:
    try:
        return fault_of(file)
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        return str(error)
