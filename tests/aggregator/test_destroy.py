"""A destroyed day leaves nothing behind: no part of any kind, and no file that is named after it (P13)."""

from __future__ import annotations

from pathlib import Path

from aggregator.destroy import drop, remains, vanished
from aggregator.store import Store
from tests.aggregator.simulate import insert
from tests.aggregator.test_rollup import person

ID = (
    "SELECT DISTINCT partition_id FROM system.parts"
    " WHERE database = currentDatabase() AND table = 'open_events' AND active"
)


def filled(store: Store) -> str:
    """One open day of three parts; returns its partition id."""
    for batch in (1, 2, 3):
        insert(store, [person(number) for number in range(100)], batch)
    return str(store.query(ID)[0][0])


def is_on_this_disk(store: Store) -> bool:
    return Path(store.query("SELECT data_paths[1] FROM system.tables WHERE name = 'open_events'")[0][0]).is_dir()


def test_a_dropped_day_vanishes_from_the_store_and_from_its_disk(store: Store) -> None:
    partition_id = filled(store)
    on_this_disk = is_on_this_disk(store)
    store.command("OPTIMIZE TABLE open_events FINAL")
    drop(store, partition_id)
    assert vanished(store, partition_id, on_this_disk=on_this_disk) == ()
    assert remains(store, partition_id, on_this_disk=on_this_disk) == ()


def test_what_is_left_at_the_deadline_is_told_by_name(store: Store) -> None:
    partition_id = filled(store)
    left = vanished(store, partition_id, on_this_disk=is_on_this_disk(store), deadline_s=0)
    assert left
    assert all(partition_id in name for name in left)


def test_detached_parts_of_the_day_are_destroyed_too(store: Store) -> None:
    partition_id = filled(store)
    store.command(f"ALTER TABLE open_events DETACH PARTITION ID '{partition_id}'")
    assert any(name.startswith("detached/") for name in remains(store, partition_id, on_this_disk=False))
    assert vanished(store, partition_id, on_this_disk=is_on_this_disk(store)) == ()


def test_another_day_is_left_alone(store: Store) -> None:
    partition_id = filled(store)
    insert(store, [person(1, timezone="Europe/Paris")], batch=9)
    drop(store, partition_id)
    assert vanished(store, partition_id, on_this_disk=is_on_this_disk(store)) == ()
    assert store.query("SELECT timezone, count() FROM open_events GROUP BY timezone") == [("Europe/Paris", 1)]


def test_dropping_twice_does_nothing(store: Store) -> None:
    partition_id = filled(store)
    drop(store, partition_id)
    drop(store, partition_id)
    assert store.query("SELECT count() FROM open_events") == [(0,)]
