"""A spool file that is left: what can be read of it goes into a fresh file, and what is damaged is set aside.

Whoever calls this holds the file's lock. The steps, each harmless when repeated after a crash; the note of the damage
stays until the caller takes it away, so that nobody uses the file meanwhile:

1. everything that can be read is written into `spool-N.building`, synced, then renamed to `spool-N.saved`;
2. the damaged file and its log are renamed to `damaged-spool-N-TIME.sqlite` and `...-wal`;
3. `spool-N.saved` becomes `spool-N.sqlite`.

The fresh file has the spool's identity, and its rows have their ids, as batches are named by these. A row is good where
its check says so; one of version 1, which has none, where it has as many lines as events and each is JSON. Other
records have no check: one is kept where it has the shape of its table. Rows to come begin far above all earlier ones.
The fact `saved`, the greatest id known before, says that the file has not been compared with the store yet
(`aggregator.reconcile`).

What was set aside may hold events that nobody could read, so it lives as short as they: see `aggregator.backlog`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import orjson

from collector.damage import (
    Owner,
    aside,
    fault_of,
    is_damage,
    is_surely_damaged,
    log_of,
    note_damage,
    owner_of,
    remove,
)
from collector.days import zone
from collector.failed_write import failure_note_of
from collector.folders import sync_folder
from collector.spool_file import REMOVED, SCHEMA, check_tables, connect, last_row, row_check, skip_rows
from collector.sqlite_image import Cell, Image, Value

OUTCOMES = frozenset(("accepted", "dropped", "invalid"))
GONE = frozenset(("drained", "late", "expired", "quarantined", *REMOVED.values()))
FACTS = frozenset(("identity", "heartbeat", "commits", "saved"))
GREATEST_IDS = "SELECT coalesce((SELECT max(id) FROM rows), 0), coalesce((SELECT max(last) FROM batches), 0)"
# Rows are written so many bytes in a transaction.
PIECE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Saved:
    """What came over. `unreadable` counts rows and other records of which only traces were found."""

    rows: int
    events: int
    unreadable: int
    # False: none was found, so that the fresh file has a new one and may not know of batches that are in the store.
    has_identity: bool
    damaged: Path | None

    def __str__(self) -> str:
        told = f"kept {self.events} waiting events in {self.rows} rows; {self.unreadable} records cannot be read"
        kept = f"; the damaged file is {self.damaged.name} for a day at most" if self.damaged else ""
        return told + ("" if self.has_identity else "; its identity is lost") + kept


def whole_fault(file: Path) -> str | None:
    """What a reading of the whole file finds wrong, None where it is whole. Takes a second for some 100 MB.

    Raises `sqlite3.Error` where it cannot be read for another reason than damage.
    """
    try:
        with contextlib.closing(connect(file)) as connection:
            return _fault_in(connection, owner_of(file))
    except (sqlite3.Error, ValueError, TypeError, LookupError, OverflowError) as error:
        if isinstance(error, sqlite3.Error) and not is_damage(error):
            raise
        return str(error)


def _fault_in(connection: sqlite3.Connection, owner: Owner | None) -> str | None:
    columns = check_tables(connection)
    told = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if told != "ok":
        return str(told)
    ((greatest,),) = connection.execute("SELECT coalesce(max(id), 0) FROM rows").fetchall()
    if greatest > last_row(connection):
        return "an id would be used again"
    ((identity,),) = connection.execute("SELECT value FROM facts WHERE name = 'identity'").fetchall()
    if owner is not None and owner.identity != identity:
        return "it has another identity than its lock remembers"
    checks = _TABLES | ({"rows": is_good} if ("rows", "crc") in columns else {})
    bad = (
        table
        for table in sorted({table for table, _ in columns} & checks.keys())
        for values in connection.execute(f"SELECT * FROM {table}")
        if not checks[table](values)
    )
    return next((f"a record of {table} is not what was written" for table in bad), None)


def is_good(row: Sequence[Value]) -> bool:
    """Whether the values of a row of `rows` are what was written."""
    number, day, timezone, committed_at, events, version, lines, check = row
    if not isinstance(number, int) or not isinstance(events, int) or not isinstance(committed_at, int | float):
        return False
    if not isinstance(day, str) or not isinstance(timezone, str) or not isinstance(lines, bytes):
        return False
    if check is not None or version != 1:
        return check == row_check(number, day, timezone, float(committed_at), events, lines)
    return _is_day(day, timezone) and events > 0 and _are_lines(lines, events)


def _are_lines(lines: bytes, events: int) -> bool:
    each = lines.splitlines()
    try:
        return len(each) == events and all(isinstance(orjson.loads(line), dict) for line in each)
    except orjson.JSONDecodeError:
        return False


def _is_day(day: Value, timezone: Value) -> bool:
    try:
        date.fromisoformat(str(day))
        zone(str(timezone))
    except (ValueError, LookupError):
        return False
    return isinstance(day, str) and isinstance(timezone, str)


def save_left(file: Path, now: float) -> Saved | None:
    """What a file that is left holds is in a fresh one; None where a look finds it whole. Its lock is held.

    From here on the file is whole, but its note stays: the store may know more, and the fact `saved` says so. A file
    into which a write failed, and of which everything was read, is not set aside. Raises as `salvage` does.
    """
    has_failed = failure_note_of(file).exists()
    is_damaged = is_surely_damaged(file) or file.with_suffix(".saved").exists() or _is_found_damaged(file)
    saved = salvage(file, now) if has_failed or is_damaged else None
    note_damage(file, "", is_sure=False)
    failure_note_of(file).unlink(missing_ok=True)
    if saved is None or saved.damaged is None or is_damaged or saved.unreadable:
        return saved
    for moved in (saved.damaged, log_of(saved.damaged)):
        remove(moved)
    return replace(saved, damaged=None)


def _is_found_damaged(file: Path) -> bool:
    try:
        return fault_of(file) is not None or whole_fault(file) is not None
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        return True


def salvage(file: Path, now: float) -> Saved:
    """Puts a fresh file in the place of the damaged `file`; its lock is held. Raises `OSError` and `sqlite3.Error`."""
    saved = file.with_suffix(".saved")
    report = Saved(0, 0, 0, True, None)
    if not saved.exists():
        building = file.with_suffix(".building")
        for left in (building, building.with_name(building.name + "-journal")):
            left.unlink(missing_ok=True)
        report = _build(file, building, now)
        building.rename(saved)
        sync_folder(file.parent)
    log, place = file.with_name(file.name + "-wal"), aside(file, now)
    if file.exists() and file.stat().st_size:
        file.rename(place)
    if log.exists():
        log.rename(place.with_name(place.name + "-wal"))
    file.with_name(file.name + "-shm").unlink(missing_ok=True)
    saved.rename(file)
    sync_folder(file.parent)
    return Saved(report.rows, report.events, report.unreadable, report.has_identity, place)


def _build(file: Path, building: Path, now: float) -> Saved:
    os.close(os.open(building, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    image = Image(file, file.with_name(file.name + "-wal"))
    with contextlib.closing(image), contextlib.closing(sqlite3.connect(building, isolation_level=None)) as connection:
        connection.execute("PRAGMA secure_delete=ON")
        connection.executescript(SCHEMA)
        unreadable, last = _copy(image, connection)
        last = max(last, *connection.execute(GREATEST_IDS).fetchone())
        # Of a file that was saved before and not compared yet, what was known then stays.
        connection.execute("INSERT OR IGNORE INTO facts VALUES ('saved', ?)", (last,))
        owner = owner_of(file)
        if owner is not None:
            connection.execute("INSERT OR REPLACE INTO facts VALUES ('identity', ?)", (owner.identity,))
        new = connection.execute("INSERT OR IGNORE INTO facts VALUES ('identity', ?)", (secrets.randbits(63),))
        skip_rows(connection, round(now * 1e9))
        rows, events = connection.execute("SELECT count(*), coalesce(sum(events), 0) FROM rows").fetchone()
        report = Saved(rows, events, unreadable, not new.rowcount, None)
    with building.open("rb") as built:
        os.fsync(built.fileno())
    return report


def _copy(image: Image, connection: sqlite3.Connection) -> tuple[int, int]:
    """Each record into its table; returns how many could not be read, and the last id as `sqlite_sequence` has it.

    Of two with one key, the first page's stays.
    """
    unreadable = size = last = 0
    connection.execute("BEGIN")
    for cells, lost in image:
        unreadable += lost
        for cell in cells:
            table, values = _placed(cell)
            if table is not None:
                marks = ", ".join("?" * len(values))
                connection.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", values)
                size += len(bytes(lines)) if table == "rows" and isinstance(lines := values[6], bytes) else 0
            unreadable += table is None and bool(values)
            if cell.values[:1] == ("rows",) and isinstance(noted := cell.values[-1], int):
                last = max(last, noted)
        if size > PIECE_BYTES:
            connection.execute("COMMIT")
            connection.execute("BEGIN")
            size = 0
    connection.execute("COMMIT")
    return unreadable, last


def _placed(cell: Cell) -> tuple[str | None, tuple[Value, ...]]:
    """The table of a record with its values; no table where it is damaged, and no values where it is made anew."""
    values = cell.values if cell.row is None else (cell.row, *cell.values[1:])
    if cell.row is not None and cell.values[:1] != (None,):
        return None, ()  # Of SQLite's own tables.
    if cell.row is not None and len(values) in (7, 8) and isinstance(values[6], bytes):
        values = values if len(values) == 8 else (*values, None)
        return "rows" if is_good(values) else None, values
    table = _table_of(values, is_row=cell.row is not None)
    if table is None:
        return None, ()
    return table if _TABLES[table](values) else None, values


def _table_of(values: Sequence[Value], *, is_row: bool) -> str | None:
    """By the number of its columns and a look at one or two of them; None for an entry of an index."""
    if is_row:
        return {6: "batches", 4: "quarantine", 8: "withdrawals"}.get(len(values))
    if len(values) == 6:
        if not isinstance(values[1], str):
            return "arrivals"
        return "counters" if isinstance(values[4], int) else None
    if len(values) == 2:
        return "ledger" if values[0] in GONE else "facts"
    return "answers" if len(values) == 3 else None


def _is_counter(values: Sequence[Value]) -> bool:
    day, site, outcome, reason, requests, changed = values
    return (
        isinstance(day, str)
        and isinstance(site, str)
        and outcome in OUTCOMES
        and isinstance(reason, str)
        and _are_counts(requests, changed)
        and (day == "" or _is_day(day, "UTC"))
    )


def _is_batch(values: Sequence[Value]) -> bool:
    _, day, timezone, first, last, events = values
    return _is_day(day, timezone) and _are_counts(first, last, events)


def _is_withdrawal(values: Sequence[Value]) -> bool:
    _, day, timezone, site, generation, visitor, at, committed_at = values
    tokens = (generation, visitor)
    return (
        _is_day(day, timezone)
        and isinstance(site, str)
        and all(isinstance(each, str) and each.isdecimal() and int(each) < 1 << 64 for each in tokens)
        and _are_times(at, committed_at)
    )


def _is_arrival(values: Sequence[Value]) -> bool:
    site, at, outcome, reason, behind_one_network, changed = values
    are_texts = isinstance(site, str) and isinstance(reason, str) and outcome in OUTCOMES
    return are_texts and _are_times(at) and _are_counts(behind_one_network, changed)


def _are_counts(*values: Value) -> bool:
    return all(isinstance(each, int) and each >= 0 for each in values)


def _are_times(*values: Value) -> bool:
    return all(isinstance(each, int | float) for each in values)


# Whether values have the shape of their table; each `SELECT *` gives them in this order.
_TABLES: dict[str, Callable[[Sequence[Value]], bool]] = {
    "counters": _is_counter,
    "ledger": lambda values: values[0] in GONE and _are_counts(values[1]),
    "batches": _is_batch,
    "quarantine": lambda values: _is_day(values[1], values[2]) and isinstance(values[3], bytes),
    "answers": lambda values: isinstance(values[0], bytes) and isinstance(values[1], bytes) and _are_times(values[2]),
    "withdrawals": _is_withdrawal,
    "arrivals": _is_arrival,
    "facts": lambda values: values[0] in FACTS and _are_times(values[1]),
}
