"""Violations of Footfall's promises, planted for real into a used installation, and taken out again.

Each is a context manager: inside of its `with` block the violation is there, behind it everything is as before. All
processes but the store are stopped (SIGSTOP) meanwhile, or they would heal some of what is planted.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import secrets
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from aggregator.store import Store
from collector.keys import ALIVE, KEY_BYTES
from tests.installation import Installation

WAITED: dict[str, object] = {"mutations_sync": 2}
BATCH = 7
HOUR_S = 3_600
KEY = "day, timezone, seal, keep_until, site"
MEASURES = "visitors, visits, views, events, bounces, engaged_s"
COPIED = f"{KEY}, hour, span, {MEASURES}"
COPIED_CROSSES = f"{KEY}, dimension_a, parent_a, value_a, dimension_b, parent_b, value_b, visitors, visits"
COPIED_VALUES = f"{KEY}, dimension, parent, value, {MEASURES}"


@dataclass(frozen=True)
class Ground:
    """Where to plant: an installation, its store, and a day that it has sealed."""

    installation: Installation
    store: Store
    sealed: date

    @property
    def data(self) -> Path:
        return self.installation.data

    @property
    def keys(self) -> Path:
        return self.installation.keys

    @property
    def spool(self) -> Path:
        return next(self.installation.spool_dir.glob("spool-*.sqlite"))


Planting = Callable[[Ground], contextlib.AbstractContextManager[None]]


# --- the store ------------------------------------------------------------------------------------------------------


def statements(planted: str, undone: str) -> Planting:
    """What one statement plants and another takes back."""

    @contextlib.contextmanager
    def plant(ground: Ground) -> Iterator[None]:
        ground.store.command(planted)
        try:
            yield
        finally:
            ground.store.command(undone, {}, WAITED)

    return plant


@contextlib.contextmanager
def table_elsewhere(ground: Ground) -> Iterator[None]:
    ground.store.command("CREATE DATABASE elsewhere")
    ground.store.command("CREATE TABLE elsewhere.people (visitor UInt64) ENGINE = MergeTree ORDER BY visitor")
    try:
        yield
    finally:
        ground.store.command("DROP DATABASE elsewhere SYNC")


def total(**changed: str) -> Planting:
    """One more row of day totals, like one that is there but for the columns in `changed`."""
    return _copy("trend_rows", COPIED, "hour = 24", {"span": "99", **changed}, "span = 99")


def value(**changed: str) -> Planting:
    """One more row of a breakdown, like one that is there but for the columns in `changed`."""
    return _copy(
        "breakdown_rows",
        COPIED_VALUES,
        "dimension = 'browser'",
        {"parent": "'planted'", **changed},
        "parent = 'planted'",
    )


def cross(**changed: str) -> Planting:
    """One more row of two dimensions at a time, like one that is there but for the columns in `changed`."""
    return _copy(
        "cross_rows",
        COPIED_CROSSES,
        "dimension_a = 'browser'",
        {"parent_a": "'planted'", **changed},
        "parent_a = 'planted'",
    )


def _copy(table: str, columns: str, like: str, changed: dict[str, str], undo: str) -> Planting:
    @contextlib.contextmanager
    def plant(ground: Ground) -> Iterator[None]:
        ground.store.command(f"SYSTEM STOP TTL MERGES {table}")
        replaced = ", ".join(f"{expression} AS {column}" for column, expression in changed.items())
        rows = f"SELECT * REPLACE ({replaced}) FROM {table} WHERE {like} AND day = {{day:Date}} LIMIT 1"
        ground.store.command(f"INSERT INTO {table} SELECT {columns} FROM ({rows})", {"day": ground.sealed})
        try:
            yield
        finally:
            ground.store.command(f"ALTER TABLE {table} DELETE WHERE {undo}", {}, WAITED)
            ground.store.command(f"SYSTEM START TTL MERGES {table}")

    return plant


def open_event(days_ago: int, hours_since: int) -> Planting:
    """An open event of a day so long ago that was inserted so many hours ago."""

    @contextlib.contextmanager
    def plant(ground: Ground) -> Iterator[None]:
        ground.store.command("SYSTEM STOP TTL MERGES open_events")
        insert_open(ground.store, days_ago, hours_since)
        try:
            yield
        finally:
            ground.store.command(f"ALTER TABLE open_events DELETE WHERE batch = {BATCH}", {}, WAITED)
            ground.store.command("SYSTEM START TTL MERGES open_events")

    return plant


def insert_open(store: Store, days_ago: int, hours_since: int) -> None:
    ago = f"now() - INTERVAL {days_ago} DAY"
    store.command(
        "INSERT INTO open_events (day, timezone, site, at, inserted, batch, visitor)"
        f" SELECT toDate({ago}), 'UTC', 'example.com', {ago}, now() - INTERVAL {hours_since} HOUR, {BATCH}, 1"
    )


@contextlib.contextmanager
def seal_of(ground: Ground, days_ago: int) -> Iterator[None]:
    """The record of a seal, two hours old, of a day so long ago, without rows."""
    ground.store.command(
        "INSERT INTO seals (day, timezone, origin, seal, committed_at, events, bounded, k, level, days)"
        f" SELECT toDate(now() - INTERVAL {days_ago} DAY), 'UTC', 'planted', 5, now64(3) - INTERVAL 2 HOUR,"
        " 0, 0, 5, 'rounded', 1"
    )
    try:
        yield
    finally:
        ground.store.command("ALTER TABLE seals DELETE WHERE origin = 'planted'", {}, WAITED)


@contextlib.contextmanager
def part_of_a_sealed_day(ground: Ground) -> Iterator[None]:
    with seal_of(ground, 30), open_event(30, 0)(ground):
        yield


@contextlib.contextmanager
def detached_part(ground: Ground) -> Iterator[None]:
    insert_open(ground.store, 40, 0)
    day = (datetime.now(UTC) - timedelta(days=40)).date()
    partition = f"('{day}', 'UTC')"
    ground.store.command(f"ALTER TABLE open_events DETACH PARTITION {partition}")
    try:
        yield
    finally:
        _drop_detached(ground.store)


def _drop_detached(store: Store) -> None:
    for (name,) in store.query("SELECT name FROM system.detached_parts WHERE table = 'open_events'"):
        store.command(f"ALTER TABLE open_events DROP DETACHED PART '{name}'", {}, {"allow_drop_detached": 1})


@contextlib.contextmanager
def folder_of_a_sealed_day(ground: Ground) -> Iterator[None]:
    """What a torn disk may leave: the folder of a part that the engine does not know."""
    query = (
        "SELECT arrayJoin(data_paths) FROM system.tables WHERE database = currentDatabase() AND name = 'open_events'"
    )
    folder = Path(ground.store.query(query)[0][0]) / f"tmp_merge_{'0' * 32}_1_1_0"
    folder.mkdir()
    _age(folder, HOUR_S)
    try:
        yield
    finally:
        folder.rmdir()


@contextlib.contextmanager
def record_of_a_token(ground: Ground) -> Iterator[None]:
    """A visitor's rows were deleted, and then their whole day went: its token stands in the record of the deletion."""
    ground.store.command("ALTER TABLE open_events DELETE WHERE visitor = 1234567890123", {}, WAITED)
    ((partition,),) = ground.store.query(
        "SELECT DISTINCT partition FROM system.parts"
        " WHERE database = currentDatabase() AND table = 'open_events' AND active"
    )
    ground.store.command(f"ALTER TABLE open_events DETACH PARTITION {partition}")
    time.sleep(1.1)  # The engine tells times of changes in whole seconds.
    try:
        yield
    finally:
        ground.store.command(f"ALTER TABLE open_events ATTACH PARTITION {partition}")


# --- files ----------------------------------------------------------------------------------------------------------


def mode_of(path: Callable[[Ground], Path], mode: int) -> Planting:
    """A file or folder that others can read."""

    @contextlib.contextmanager
    def plant(ground: Ground) -> Iterator[None]:
        before = path(ground).stat().st_mode & 0o777
        path(ground).chmod(mode)
        try:
            yield
        finally:
            path(ground).chmod(before)

    return plant


def file(path: Callable[[Ground], Path], mode: int = 0o600, *, age_s: float = 0.0) -> Planting:
    """A file that should not be there, written so long ago; as large as a key, and alive as one."""

    @contextlib.contextmanager
    def plant(ground: Ground) -> Iterator[None]:
        planted = path(ground)
        planted.write_bytes(ALIVE + secrets.token_bytes(KEY_BYTES + 8))
        planted.chmod(mode)
        _age(planted, age_s)
        try:
            yield
        finally:
            planted.unlink()

    return plant


@contextlib.contextmanager
def key_of_a_sealed_day(ground: Ground) -> Iterator[None]:
    day = (datetime.now(UTC) - timedelta(days=30)).date()
    with seal_of(ground, 30), file(lambda at: at.keys / f"{day}@UTC", age_s=2 * HOUR_S)(ground):
        yield


@contextlib.contextmanager
def draw_of_a_sealed_day(ground: Ground) -> Iterator[None]:
    day = (datetime.now(UTC) - timedelta(days=30)).date()
    with seal_of(ground, 30), file(lambda at: at.keys / f"drawn-{day}@UTC", age_s=2 * HOUR_S)(ground):
        yield


def _age(path: Path, age_s: float) -> None:
    at = time.time() - age_s
    os.utime(path, (at, at))


# --- the spool ------------------------------------------------------------------------------------------------------


def in_spool(planted: str, undone: str) -> Planting:
    """What one statement plants into a spool file and another takes back."""

    @contextlib.contextmanager
    def plant(ground: Ground) -> Iterator[None]:
        _in_spool(ground.spool, planted)
        try:
            yield
        finally:
            _in_spool(ground.spool, undone)

    return plant


@contextlib.contextmanager
def freed_page_of_a_sealed_day(ground: Ground) -> Iterator[None]:
    """A row of a sealed day that was deleted by somebody who does not overwrite."""
    line = f'{{"day":"{ground.sealed}","timezone":"UTC","visitor":1}}'
    values = f"(1000, '{ground.sealed}', 'UTC', {time.time()}, 1, 1, CAST('{line}' || hex(zeroblob(9000)) AS BLOB), 0)"
    _in_spool(ground.spool, f"INSERT INTO rows VALUES {values}")
    _in_spool(ground.spool, "DELETE FROM rows WHERE id = 1000", secure=False)
    try:
        yield
    finally:
        _in_spool(ground.spool, "VACUUM")


@contextlib.contextmanager
def withdrawal_of_a_sealed_day(ground: Ground) -> Iterator[None]:
    columns = "day, timezone, site, generation, visitor, at, committed_at"
    values = f"'{ground.sealed}', 'UTC', 'example.com', '1', '2', 1, 1"
    _in_spool(ground.spool, f"INSERT INTO withdrawals ({columns}) VALUES ({values})")
    try:
        yield
    finally:
        _in_spool(ground.spool, "DELETE FROM withdrawals")


def _in_spool(spool: Path, statement: str, *, secure: bool = True) -> None:
    with contextlib.closing(sqlite3.connect(spool, isolation_level=None, timeout=10)) as connection:
        connection.execute(f"PRAGMA secure_delete = {'ON' if secure else 'OFF'}")
        connection.execute(statement)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


# --- the machine ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def core_files(ground: Ground) -> Iterator[None]:
    """The supervisor, which holds no hit, may write a core file: its parts forbid that to themselves."""
    assert ground.installation.process is not None
    supervisor = ground.installation.process.pid
    before = resource.prlimit(supervisor, resource.RLIMIT_CORE)
    if before[1] == 0:
        pytest.skip("core files are forbidden to every process here: ulimit -H -c 0")
    resource.prlimit(supervisor, resource.RLIMIT_CORE, (before[1], before[1]))
    try:
        yield
    finally:
        resource.prlimit(supervisor, resource.RLIMIT_CORE, before)


@contextlib.contextmanager
def open_port(ground: Ground) -> Iterator[None]:
    """Somebody listens on the store's port where the whole network can reach it."""
    port = json.loads((ground.data / "run" / "store.json").read_text())["port"]
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(("::", port))
        listener.listen()
        yield
