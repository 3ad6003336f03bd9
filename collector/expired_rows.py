"""Rows of a spool file that nobody has drained in time: they go, whatever a drainer had begun with them.

- A row that no batch names is deleted, and its events count as expired.
- One of a batch that a drainer has recorded may be in the store already, which only a drainer can tell. Its lines go
  all the same. The row stays without them, as so many events that wait, until a drainer has asked the store; those that
  it does not have are counted as expired then (`aggregator.drain`). So it is with each row of a file that was saved and
  not compared with the store yet.
- One of a batch that was ended is counted already, and is deleted.
- A quarantined line goes with its day.
"""

from __future__ import annotations

import sqlite3
from datetime import date

from collector.days import ends_at
from collector.spool_file import FORMAT_VERSION, move_ledger, row_check, transaction

_IS_NAMED = (
    "EXISTS (SELECT 1 FROM batches AS b WHERE b.day = rows.day AND b.timezone = rows.timezone"
    " AND rows.id BETWEEN b.first AND b.last{which})"
)
_IS_ENDED = _IS_NAMED.format(which=" AND b.events = 0")
_IS_FREE = f"NOT {_IS_NAMED.format(which='')} AND NOT EXISTS (SELECT 1 FROM facts WHERE name = 'saved')"
_IS_DUE = "(committed_at < ? OR id <= ?) AND length(lines) > 0"


def is_any_due(connection: sqlite3.Connection, before: float, through: int, *, thoroughly: bool) -> bool:
    """Whether a row was committed before `before` (Unix seconds), or has an id up to `through`.

    It looks at the oldest id alone, as ids grow with time, and only `thoroughly` at all rows: 50 ms for 100,000.
    """
    first = (
        "SELECT min(committed_at), min(id) FROM rows WHERE length(lines) > 0"
        if thoroughly
        else "SELECT committed_at, id FROM rows WHERE length(lines) > 0 ORDER BY id LIMIT 1"
    )
    for committed_at, row in connection.execute(first).fetchall():
        return row is not None and bool(committed_at < before or row <= through)
    return False


def expire_rows(connection: sqlite3.Connection, before: float, through: int) -> int:
    """Deletes what is due, and the lines of what a drainer has to tell of; returns the events of both."""
    due = (before, through)
    with transaction(connection):
        connection.execute(f"DELETE FROM rows WHERE {_IS_DUE} AND {_IS_ENDED}", due)
        free = _sum(connection, f"{_IS_DUE} AND {_IS_FREE}", due)
        if free:
            connection.execute(f"DELETE FROM rows WHERE {_IS_DUE} AND {_IS_FREE}", due)
            move_ledger(connection, "expired", free)
        held = _sum(connection, _IS_DUE, due)
        if held:
            _empty(connection, due)
    return free + held


def _sum(connection: sqlite3.Connection, which: str, due: tuple[float, int]) -> int:
    found = connection.execute(f"SELECT coalesce(sum(events), 0) FROM rows WHERE {which}", due)
    return int(found.fetchone()[0])


def _empty(connection: sqlite3.Connection, due: tuple[float, int]) -> None:
    found = connection.execute(f"SELECT id, day, timezone, committed_at, events FROM rows WHERE {_IS_DUE}", due)
    emptied = [
        (FORMAT_VERSION, row_check(row, day, timezone, committed_at, events, b""), row)
        for row, day, timezone, committed_at, events in found.fetchall()
    ]
    connection.executemany("UPDATE rows SET lines = x'', version = ?, crc = ? WHERE id = ?", emptied)


def count_emptied(connection: sqlite3.Connection) -> int:
    """Within a transaction: rows without lines that no batch names are in no store. They go, and count as expired."""
    which = f"length(lines) = 0 AND NOT {_IS_NAMED.format(which='')}"
    events = int(connection.execute(f"SELECT coalesce(sum(events), 0) FROM rows WHERE {which}").fetchone()[0])
    if events:
        connection.execute(f"DELETE FROM rows WHERE {which}")
        move_ledger(connection, "expired", events)
    return events


def forget_quarantined(connection: sqlite3.Connection, before: float) -> bool:
    """Deletes the quarantined lines of days that were over by `before` (Unix seconds); whether there were any."""
    days = connection.execute("SELECT DISTINCT day, timezone FROM quarantine").fetchall()
    over = [(day, timezone) for day, timezone in days if ends_at(date.fromisoformat(day), timezone) <= before]
    if over:
        with transaction(connection):
            connection.executemany("DELETE FROM quarantine WHERE day = ? AND timezone = ?", over)
    return bool(over)
