"""A real store for the tests: the embedded front, or the server that FOOTFALL_TEST_CLICKHOUSE names."""

from __future__ import annotations

import dataclasses
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from aggregator.endpoint import Announced, Endpoint, Fixed, read_url
from aggregator.migrate import migrate
from aggregator.store import Store
from tests.aggregator.front_process import FrontProcess


@pytest.fixture
def front(tmp_path: Path) -> Iterator[FrontProcess]:
    """A front that is running."""
    (tmp_path / "data").mkdir()
    front = FrontProcess(tmp_path / "data")
    front.start()
    yield front
    if front.process is not None and front.process.poll() is None:
        front.kill()


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """Where the session's store answers, with a database that is not there yet."""
    database = f"footfall_test_{uuid.uuid4().hex}"
    server = os.environ.get("FOOTFALL_TEST_CLICKHOUSE")
    if server:
        yield dataclasses.replace(read_url(server), database=database)
        return
    data = tmp_path_factory.mktemp("store") / "data"
    data.mkdir()
    front = FrontProcess(data)
    front.start()
    yield dataclasses.replace(Announced(front.announcement).endpoint(), database=database)
    front.stop()


@pytest.fixture(scope="session")
def session_store(endpoint: Endpoint) -> Iterator[Store]:
    """One migrated store for the session."""
    store = Store(Fixed(endpoint))
    migrate(store)
    yield store
    store.command(f"DROP DATABASE {endpoint.database} SYNC")
    store.close()


@pytest.fixture
def store(session_store: Store) -> Store:
    """The session's store, migrated and empty: truncating what has rows takes 5 ms, making all tables anew 100 ms."""
    filled = session_store.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND total_rows > 0 AND name != 'migrations'"
    )
    for (name,) in filled:
        session_store.command(f"TRUNCATE TABLE {name}")
    return session_store


@pytest.fixture
def bare_store(endpoint: Endpoint) -> Iterator[Store]:
    """A database without any table, on the session's store."""
    database = f"{endpoint.database}_bare"
    store = Store(Fixed(dataclasses.replace(endpoint, database=database)))
    yield store
    store.command(f"DROP DATABASE IF EXISTS {database} SYNC")
    store.close()
