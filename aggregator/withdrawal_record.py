"""The drainer's own record of what it deletes for who withdrew and for sites that are removed: which rows, and how many
it has deleted in all.

Written before the first row is deleted, so that a drainer that died in between deletes the same rows again and counts
each once. Rows are named by batch and position: no token is in this file. The sum alone is kept.

`drainer.sqlite`, beside the spools: `deleting(day, timezone, batch, present, positions)`: of the `present` rows that
the batch had, those at `positions` (a JSON list) are being deleted; `ledger(outcome, events)`: those that are gone,
`withdrawn` or `removed`. `removing(site)`: the sites that somebody asks this drainer to remove (`removal`), and
`removed_rows(day, timezone, site, batch, present)`: of the `present` rows that the batch had, the site's are being
deleted.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal, NamedTuple

import orjson

from aggregator.store import Store, statement
from collector.folders import sync_folder
from collector.spool_file import connect, transaction

FILE_NAME = "drainer.sqlite"
SCHEMA = """
CREATE TABLE IF NOT EXISTS deleting (
    day TEXT NOT NULL, timezone TEXT NOT NULL, batch INTEGER NOT NULL, present INTEGER NOT NULL,
    positions TEXT NOT NULL, PRIMARY KEY (day, timezone, batch)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ledger (outcome TEXT PRIMARY KEY, events INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS removing (site TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS removed_rows (
    day TEXT NOT NULL, timezone TEXT NOT NULL, site TEXT NOT NULL, batch INTEGER NOT NULL, present INTEGER NOT NULL,
    PRIMARY KEY (day, timezone, batch)) WITHOUT ROWID;
"""
Outcome = Literal["withdrawn", "removed"]
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
            self._move("withdrawn", withdrawn)

    def _move(self, outcome: Outcome, events: int) -> None:
        self._connection.execute(
            "INSERT INTO ledger VALUES (?, ?) ON CONFLICT (outcome) DO UPDATE SET events = events + excluded.events",
            (outcome, events),
        )

    def total(self, outcome: Outcome = "withdrawn") -> int:
        """Events that were withdrawn, or removed with their sites, but for those that are being deleted now."""
        found = self._connection.execute("SELECT events FROM ledger WHERE outcome = ?", (outcome,)).fetchone()
        return 0 if found is None else int(found[0])

    def ask_removal(self, site: str) -> None:
        """From here on the drainer removes what it has of `site`, whatever happens; twice is once."""
        with transaction(self._connection):
            self._connection.execute("INSERT OR IGNORE INTO removing VALUES (?)", (site,))

    def removing(self) -> list[str]:
        """The sites that are to be removed."""
        return [str(site) for (site,) in self._connection.execute("SELECT site FROM removing ORDER BY site")]

    def end_removal(self, site: str) -> None:
        """Forgets a site of which nothing is left, its name in the log included."""
        with transaction(self._connection):
            self._connection.execute("DELETE FROM removing WHERE site = ?", (site,))
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def removal_days(self) -> list[tuple[date, str]]:
        """The (day, time zone) pairs of which rows of removed sites are being deleted."""
        found = self._connection.execute("SELECT DISTINCT day, timezone FROM removed_rows ORDER BY day, timezone")
        return [(date.fromisoformat(day), timezone) for day, timezone in found]

    def removed_rows(self, day: date, timezone: str) -> tuple[str, dict[int, int]]:
        """The site whose rows are being deleted of a day ("" where none is), and how many rows each batch had."""
        found = self._connection.execute(
            "SELECT site, batch, present FROM removed_rows WHERE day = ? AND timezone = ?", (day.isoformat(), timezone)
        ).fetchall()
        return (str(found[0][0]) if found else ""), {int(batch): int(present) for _, batch, present in found}

    def begin_removed(self, day: date, timezone: str, site: str, present: Mapping[int, int]) -> None:
        """From here on the site's rows of these batches are to be deleted; a batch that is known stays as it was."""
        with transaction(self._connection):
            self._connection.executemany(
                "INSERT OR IGNORE INTO removed_rows VALUES (?, ?, ?, ?, ?)",
                [(day.isoformat(), timezone, site, batch, rows) for batch, rows in present.items()],
            )

    def end_removed(self, day: date, timezone: str, removed: int) -> None:
        """Forgets which rows they were and counts `removed` more events."""
        with transaction(self._connection):
            at = (day.isoformat(), timezone)
            self._connection.execute("DELETE FROM removed_rows WHERE day = ? AND timezone = ?", at)
            self._move("removed", removed)

    def check(self) -> None:
        """Reads all of it; raises `sqlite3.Error` or `ValueError` where it is damaged. It is small."""
        told = self._connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if told != "ok":
            raise ValueError(told)
        for day in self.days():
            self.rows(*day)
        for day in self.removal_days():
            self.removed_rows(*day)
        self.removing()
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


def removed_in(folder: Path, store: Store) -> int:
    """Events removed with their sites by the drainer of this folder, exact also while rows are being deleted."""
    if not (folder / FILE_NAME).exists():
        return 0
    with opened_record(folder) as record:
        removed = record.total("removed")
        for day in record.removal_days():
            site, present = record.removed_rows(*day)
            counted = counted_of(store, *day, site)
            removed += sum(rows - counted.get(batch, Counted(0, 0)).events for batch, rows in present.items())
        return removed


class Counted(NamedTuple):
    """Events of a batch that are open, sealed or set aside, and how many rows it has of a site in its open day."""

    events: int
    of_site: int


def counted_of(store: Store, day: date, timezone: str, site: str) -> Mapping[int, Counted]:
    """Every batch of a day of which anything is counted."""
    found = store.query(statement("counted_of_day"), {"day": day, "timezone": timezone, "site": site})
    return {int(batch): Counted(int(events), int(of_site)) for batch, events, of_site in found}


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
