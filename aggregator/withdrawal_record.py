"""The drainer's own record of withdrawals: which rows it is deleting, and how many it has deleted in all.

Written before the first row is deleted, so that a drainer that died in between deletes the same rows again and counts
each once. Rows are named by batch and position: no token is in this file. The sum alone is kept.

`drainer.sqlite`, beside the spools: `deleting(day, timezone, batch, present, positions)`: of the `present` rows that
the batch had, those at `positions` (a JSON list) are being deleted; `ledger(outcome, events)`: those that are gone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import orjson

from aggregator.store import Store, statement
from collector.folders import sync_folder
from collector.spool import connect, transaction

FILE_NAME = "drainer.sqlite"
SCHEMA = """
CREATE TABLE IF NOT EXISTS deleting (
    day TEXT NOT NULL, timezone TEXT NOT NULL, batch INTEGER NOT NULL, present INTEGER NOT NULL,
    positions TEXT NOT NULL, PRIMARY KEY (day, timezone, batch)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ledger (outcome TEXT PRIMARY KEY, events INTEGER NOT NULL) WITHOUT ROWID;
"""
# The store is asked about so many batches at once: their numbers go with the address of the request.
BATCHES_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one batch that are being deleted, out of `present`."""

    batch: int
    present: int
    positions: tuple[int, ...]


class Record:
    """The record of the drainer of one folder; the ledger reads it too."""

    def __init__(self, folder: Path) -> None:
        file = folder / FILE_NAME
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._connection = connect(file)
        self._connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT")
        sync_folder(folder)

    def days(self) -> list[tuple[date, str]]:
        """The (day, time zone) pairs of which rows are being deleted."""
        found = self._connection.execute("SELECT DISTINCT day, timezone FROM deleting ORDER BY day, timezone")
        return [(date.fromisoformat(day), timezone) for day, timezone in found]

    def rows(self, day: date, timezone: str) -> list[Rows]:
        """What is being deleted of a day."""
        found = self._connection.execute(
            "SELECT batch, present, positions FROM deleting WHERE day = ? AND timezone = ?", (day.isoformat(), timezone)
        )
        return [Rows(batch, present, tuple(orjson.loads(positions))) for batch, present, positions in found]

    def begin(self, day: date, timezone: str, rows: Sequence[Rows]) -> None:
        """From here on these rows are to be deleted, whatever happens."""
        with transaction(self._connection):
            self._connection.executemany(
                "INSERT INTO deleting VALUES (?, ?, ?, ?, ?)",
                [(day.isoformat(), timezone, each.batch, each.present, orjson.dumps(each.positions)) for each in rows],
            )

    def end(self, day: date, timezone: str, withdrawn: int) -> None:
        """Forgets which rows they were and counts `withdrawn` more events."""
        with transaction(self._connection):
            self._connection.execute("DELETE FROM deleting WHERE day = ? AND timezone = ?", (day.isoformat(), timezone))
            self._connection.execute(
                "INSERT INTO ledger VALUES ('withdrawn', ?)"
                " ON CONFLICT (outcome) DO UPDATE SET events = events + excluded.events",
                (withdrawn,),
            )

    def total(self) -> int:
        """Events that were withdrawn, but for those that are being deleted now."""
        found = self._connection.execute("SELECT events FROM ledger WHERE outcome = 'withdrawn'").fetchone()
        return 0 if found is None else int(found[0])

    def check(self) -> None:
        """Reads all of it; raises `sqlite3.Error` or `ValueError` where it is damaged. It is small."""
        told = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if told != "ok":
            raise ValueError(told)
        for day in self.days():
            self.rows(*day)
        self.total()

    def restore(self, withdrawn: int) -> None:
        """Begins with so many events withdrawn, as an earlier record had them."""
        with transaction(self._connection):
            self._connection.execute("INSERT OR REPLACE INTO ledger VALUES ('withdrawn', ?)", (withdrawn,))

    def close(self) -> None:
        self._connection.close()


@contextlib.contextmanager
def opened_record(folder: Path) -> Iterator[Record]:
    record = Record(folder)
    try:
        yield record
    finally:
        record.close()


def withdrawn_in(folder: Path, store: Store) -> int:
    """Events withdrawn by the drainer of this folder, exact also while rows are being deleted."""
    if not (folder / FILE_NAME).exists():
        return 0
    with opened_record(folder) as record:
        return record.total() + sum(gone(store, *day, record.rows(*day)) for day in record.days())


def gone(store: Store, day: date, timezone: str, rows: Sequence[Rows]) -> int:
    """How many of a deletion's batches' rows are counted nowhere else any more."""
    still = still_counted(store, day, timezone, [each.batch for each in rows])
    return sum(each.present - still.get(each.batch, 0) for each in rows)


def still_counted(store: Store, day: date, timezone: str, batches: Sequence[int]) -> Mapping[int, int]:
    """Events of each batch that are open, sealed or set aside; batches of which none is are left out."""
    counts: dict[int, int] = {}
    for start in range(0, len(batches), BATCHES_AT_ONCE):
        some = list(batches[start : start + BATCHES_AT_ONCE])
        found = store.query(statement("still_counted"), {"day": day, "timezone": timezone, "batches": some})
        counts.update({int(batch): int(events) for batch, events in found})
    return counts
