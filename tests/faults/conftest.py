"""A real store and a folder for keys, for the tests of faults."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from aggregator.store import Store
from tests.aggregator.conftest import bare_store, endpoint, session_store, store
from tests.faults.clocked_store import clocked_front
from tests.faults.own_clock import OwnClock

__all__ = ["bare_store", "endpoint", "session_store", "store"]


@pytest.fixture
def key_dir() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="footfall-test-", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def own_clock() -> Iterator[OwnClock]:
    """Clocks for processes that a test starts, at the true time at first."""
    clock = OwnClock(Path("/dev/shm") / f"footfall-clock-{secrets.token_hex(6)}")
    yield clock
    clock.close()


@pytest.fixture
def clocked_store(tmp_path: Path, own_clock: OwnClock) -> Iterator[Store]:
    """A migrated store of one's own, which goes by `own_clock`."""
    with clocked_front(tmp_path / "data", own_clock) as front, contextlib.closing(front.store()) as opened:
        yield opened
