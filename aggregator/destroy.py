"""The end of an open day: its partition is dropped, and it is looked for until nothing of it is left.

A dropped partition leaves inactive parts behind that the engine removes a moment later, a torn disk may have left
detached ones, an interrupted insert or merge temporary ones. Only when the store knows of none of them, and, where the
store's disk is this machine's, no file name tells of one either, is the day destroyed.

Rows that a mutation deletes are in the parts that it replaced until these are removed: `replaced` waits for that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from aggregator.store import Store, StoreRefused, StoreUnavailable

# The engine removes dropped parts a second after (old_parts_lifetime) when its cleaner comes round; it may be busy.
DEADLINE_S = 60.0
POLL_S = 0.1
# Each turn takes milliseconds, and all that may come into such a day are batches that were on their way.
MOST_TURNS = 100
# Folders of a table beside its parts: names and hashes of parts, and what `detached_parts` tells.
NO_PARTS = frozenset(("detached", "deduplication_logs", "moving"))
# ClickHouse's NO_SUCH_DATA_PART.
NO_SUCH_PART = 232


def drop(store: Store, partition_id: str, count: Callable[[], None] = lambda: None) -> None:
    """Drop a partition of `open_events`, each row after `count` has counted it; one that is gone is dropped already.

    Part by part: a batch that comes between the count and the drop is in a part of its own, whose turn is the next.
    """
    for _ in range(MOST_TURNS):
        parts = _filled(store, partition_id)
        if not parts:
            return
        count()
        for name in parts:
            _drop_part(store, name)
    raise StoreUnavailable(f"rows kept coming into partition {partition_id} while it was dropped; it is tried again")


def _filled(store: Store, partition_id: str) -> list[str]:
    """The parts with rows; of dropped ones the engine keeps empty ones for a moment."""
    rows = store.query(
        "SELECT name FROM system.parts WHERE database = currentDatabase() AND table = 'open_events' AND active"
        " AND rows > 0 AND partition_id = {id:String}",
        {"id": partition_id},
    )
    return [name for (name,) in rows]


def _drop_part(store: Store, name: str) -> None:
    """Drop one part, unless it was merged into another meanwhile."""
    try:
        store.command("ALTER TABLE open_events DROP PART {name:String}", {"name": name})
    except StoreRefused as refusal:
        if refusal.code != NO_SUCH_PART:
            raise


def vanished(store: Store, partition_id: str, *, on_this_disk: bool, deadline_s: float = DEADLINE_S) -> tuple[str, ...]:
    """Wait until nothing of a dropped partition is left, detached parts included; returns what is, at the deadline."""
    deadline = time.monotonic() + deadline_s
    while left := remains(store, partition_id, on_this_disk=on_this_disk):
        if time.monotonic() >= deadline:
            break
        _drop_detached(store, partition_id)
        time.sleep(POLL_S)
    return left


def remains(store: Store, partition_id: str, *, on_this_disk: bool) -> tuple[str, ...]:
    """Names of parts and folders in which something of the partition is left."""
    known = store.query(
        "SELECT name FROM system.parts"
        " WHERE database = currentDatabase() AND table = 'open_events' AND partition_id = {id:String}",
        {"id": partition_id},
    )
    detached = {f"detached/{name}" for name in _detached(store, partition_id)}
    on_disk = _folders(store, partition_id) if on_this_disk else set()
    return tuple(sorted({name for (name,) in known} | detached | on_disk))


def _folders(store: Store, partition_id: str) -> set[str]:
    """Every file or folder of the table named after the partition: parts, temporary, detached and half deleted ones."""
    places = [place for root in _roots(store, "open_events") for place in (root, root / "detached")]
    return {f"{place.name}/{path.name}" for place in places for path in place.glob(f"*{partition_id}*")}


def _roots(store: Store, table: str) -> list[Path]:
    rows = store.query(
        "SELECT arrayJoin(data_paths) FROM system.tables WHERE database = currentDatabase() AND name = {table:String}",
        {"table": table},
    )
    return [Path(path) for (path,) in rows]


def replaced(store: Store, table: str, *, on_this_disk: bool, deadline_s: float = DEADLINE_S) -> tuple[str, ...]:
    """Wait until all parts are gone that have no say in `table` now: replaced, dropped or temporary ones, whatever is
    in them. Returns those that are left at the deadline; detached ones are another matter."""
    deadline = time.monotonic() + deadline_s
    waited_for = _without_say(store, table, on_this_disk=on_this_disk)
    while left := waited_for & _without_say(store, table, on_this_disk=on_this_disk):
        if time.monotonic() >= deadline:
            break
        time.sleep(POLL_S)
    return tuple(sorted(left))


def _without_say(store: Store, table: str, *, on_this_disk: bool) -> set[str]:
    rows = store.query(
        "SELECT name, active FROM system.parts WHERE database = currentDatabase() AND table = {table:String}",
        {"table": table},
    )
    inactive = {str(name) for name, active in rows if not active}
    if not on_this_disk:
        return inactive
    roots = _roots(store, table)
    on_disk = {path.name for root in roots for path in root.iterdir() if path.is_dir() and path.name not in NO_PARTS}
    active = {str(name) for name, active in rows if active}
    return inactive | {name.removeprefix("delete_tmp_") for name in on_disk - active}


def _drop_detached(store: Store, partition_id: str) -> None:
    drop_detached(store, "open_events", _detached(store, partition_id))


def drop_detached(store: Store, table: str, names: Iterable[str]) -> None:
    for name in names:
        sql = f"ALTER TABLE {table} DROP DETACHED PART {{name:String}}"
        store.command(sql, {"name": name}, {"allow_drop_detached": 1})


def _detached(store: Store, partition_id: str) -> list[str]:
    """A part detached as broken or ignored has a word before the partition in its name."""
    return [name for name in detached_parts(store, "open_events") if partition_id in name]


def detached_parts(store: Store, table: str) -> list[str]:
    rows = store.query(
        "SELECT name FROM system.detached_parts WHERE database = currentDatabase() AND table = {table:String}",
        {"table": table},
    )
    return [str(name) for (name,) in rows]
