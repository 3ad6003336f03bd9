"""Rows of trends and coverage deleted for good: of a site that was removed, or past its retention (see `retention`).

What is deleted is told by site and day, in a table that is in the store's memory alone: the text of a mutation stays in
the store's files, and must not name a removed site. A restart of the store empties that table, and then a mutation
deletes nothing: so the rows are looked for afterwards, and StoreUnavailable is raised where they are still there. All
of it may be repeated.

Never a lightweight delete, which hides rows and leaves their bytes. A mutation is waited for, and after it the parts
that it replaced, until they are off the disk.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

from aggregator.destroy import replaced
from aggregator.store import Store, StoreUnavailable

# The tables that are waited for remove replaced parts after a second; others, of a later version or of somebody's own
# making, after the engine's eight minutes.
DEADLINE_S = 900.0
# Of an open day more has to be counted than its rows: `removal` deletes those.
OPEN = "open_events"
NEVER = date(1970, 1, 1)


@dataclass(frozen=True)
class Retained:
    """A table that outlives open days and tells of sites: by day where it `has_days`, each row until a date where it
    `has_limits`."""

    name: str
    has_days: bool
    has_limits: bool

    def doomed(self, until: date | None) -> str:
        """Which rows the deletion {deletion:UInt64} is about; with `until` also those that were to go by then."""
        key = "(site, day)" if self.has_days else "site"
        named = f"{key} IN (SELECT {key.strip('()')} FROM doomed_rows WHERE deletion = {{deletion:UInt64}})"
        return f"({named} OR keep_until <= {{until:Date}})" if until is not None else named


def retained_tables(store: Store) -> list[Retained]:
    """Every table on disk with a column `site`, whoever made it, but for the open day."""
    rows = store.query(
        "SELECT table, countIf(name = 'day'), countIf(name = 'keep_until') FROM system.columns"
        " WHERE database = currentDatabase() AND table IN"
        " (SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree')"
        " GROUP BY table HAVING countIf(name = 'site') > 0 ORDER BY table"
    )
    return [Retained(str(name), bool(days), bool(limits)) for name, days, limits in rows if name != OPEN]


@contextmanager
def doomed(store: Store, rows: Sequence[tuple[str, date]]) -> Iterator[int]:
    """Tells the store which (site, day) a deletion is about; gives its number."""
    number = secrets.randbits(63)
    store.insert_rows("doomed_rows", ("deletion", "site", "day"), [(number, site, day) for site, day in rows])
    try:
        yield number
    finally:
        store.command("ALTER TABLE doomed_rows DELETE WHERE deletion = {number:UInt64}", {"number": number})


def delete(store: Store, table: Retained, number: int, *, until: date | None = None, on_this_disk: bool) -> int:
    """Deletes what the deletion `number` is about from a table, and what was to go by `until`; returns how many rows.

    Raises what the store raises, and StoreUnavailable where rows, or parts that may hold them, are left.
    """
    doomed_rows, named = table.doomed(until), {"deletion": number, "until": until or NEVER}
    found = store.query(
        f"SELECT _partition_id, count() FROM {table.name} WHERE {doomed_rows} GROUP BY _partition_id", named
    )
    for partition_id, _ in found:
        store.command(
            f"ALTER TABLE {table.name} DELETE IN PARTITION ID {{id:String}} WHERE {doomed_rows}",
            {**named, "id": partition_id},
            {"mutations_sync": 2},
        )
    if store.query(f"SELECT 1 FROM {table.name} WHERE {doomed_rows} LIMIT 1", named):
        raise StoreUnavailable(f"rows of {table.name} were deleted and are still there")
    if found:
        wait_for_parts(store, table.name, on_this_disk=on_this_disk)
    return sum(int(rows) for _, rows in found)


def wait_for_parts(store: Store, table: str, *, on_this_disk: bool) -> None:
    """Returns once no part is left that a mutation replaced; raises StoreUnavailable where one stays."""
    left = replaced(store, table, on_this_disk=on_this_disk, deadline_s=DEADLINE_S)
    if left:
        raise StoreUnavailable(f"deleted rows of {table} may be in {', '.join(left[:3])} still; it is tried again")
