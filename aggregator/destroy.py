"""The end of an open day: its partition is dropped, and it is looked for until nothing of it is left.

A dropped partition leaves inactive parts behind that the engine removes a moment later, a torn disk may have left
detached ones, an interrupted insert or merge temporary ones. Only when the store knows of none of them, and, where the
store's disk is this machine's, no file name tells of one either, is the day destroyed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from aggregator.store import Store, StoreRefused, StoreUnavailable

# The engine removes dropped parts a second after (old_parts_lifetime) when its cleaner comes round; it may be busy.
DEADLINE_S = 60.0
POLL_S = 0.1
# Each turn takes milliseconds, and all that may come into such a day are batches that were on their way.
MOST_TURNS = 100
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
    rows = store.query(
        "SELECT arrayJoin(data_paths) FROM system.tables WHERE database = currentDatabase() AND name = 'open_events'"
    )
    roots = [Path(path) for (path,) in rows]
    places = [place for root in roots for place in (root, root / "detached")]
    return {f"{place.name}/{path.name}" for place in places for path in place.glob(f"*{partition_id}*")}


def _drop_detached(store: Store, partition_id: str) -> None:
    for name in _detached(store, partition_id):
        sql = "ALTER TABLE open_events DROP DETACHED PART {name:String}"
        store.command(sql, {"name": name}, {"allow_drop_detached": 1})


def _detached(store: Store, partition_id: str) -> list[str]:
    """A part detached as broken or ignored has a word before the partition in its name."""
    rows = store.query(
        "SELECT name FROM system.detached_parts"
        " WHERE database = currentDatabase() AND table = 'open_events' AND position(name, {id:String}) > 0",
        {"id": partition_id},
    )
    return [name for (name,) in rows]
