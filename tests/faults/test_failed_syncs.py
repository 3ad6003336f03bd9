"""A sync of a spool file that failed: no life after it adds to that file, and a power cut takes nothing acknowledged.

After a failed sync the simulated disk (tests/faults/power) shows what it has dropped, as Linux does.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from aggregator.store import Store
from collector.damage import is_left, set_aside
from collector.spool_fault import SpoolError
from tests.aggregator.spooling import Worker, names_in, noon, place_in
from tests.collector.collecting import Collector, running, until
from tests.collector.test_full_disk import failing, large_event, paths
from tests.faults.power.switch import PoweredDisk, powered

TODAY = date(2031, 5, 14)
NOTE = ".failed"
SEED = 20_310_514


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[PoweredDisk]:
    with powered(tmp_path / "disk") as powered_disk:
        yield powered_disk


@contextlib.contextmanager
def reader(file: Path) -> Iterator[None]:
    """Somebody who looks, so that the worker is not the last who closes its file: SQLite would empty the log."""
    with contextlib.closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
        connection.execute("SELECT count(*) FROM rows").fetchone()
        yield


@pytest.mark.parametrize("refused", ["", NOTE], ids=["a note", "a disk that takes no note"])
def test_a_worker_that_starts_after_a_failed_sync_acknowledges_nothing_that_a_power_cut_takes(
    tmp_path: Path, disk: PoweredDisk, refused: str
) -> None:
    collector = Collector(tmp_path / "collector", spool=disk.folder / "spool")
    with running(collector):
        assert collector.event({"u": "https://example.com/before"}).footfall == "accepted"
        with reader(collector.spool_dir / "spool-0.sqlite"):
            disk.fail_sync("spool-0.sqlite-wal", refused=refused)
            # The sync is an event's, which is told 503, or a heartbeat's.
            collector.event({"u": "https://example.com/failed"})
            until(lambda: "spool-0" not in collector.taken_spools(), "the sync fails, and the file is left")
            collector.kill()
        with reader(collector.spool_dir / "spool-0.sqlite"):
            collector.start()
            assert (collector.taken_spools() == ["spool-0"]) is bool(refused), "only without a note it is taken again"
            assert collector.event({"u": "https://example.com/after"}).footfall == "accepted"
            disk.cut(SEED)
        collector.kill()
    disk.revive()
    assert {"/before", "/after"} <= set(paths(collector))


def test_the_drainer_moves_a_left_file_into_a_fresh_one_which_is_in_use_again(
    disk: PoweredDisk, tmp_path: Path, key_dir: Path, store: Store
) -> None:
    place = place_in(tmp_path / "place", key_dir, store, noon(TODAY))
    place.spool_dir.parent.mkdir()
    place.spool_dir.symlink_to(disk.folder)
    worker, drainer = place.worker(), place.drainer()
    worker.take(TODAY)
    drainer.round()
    worker.take(TODAY)
    with reader(worker.spool.file):
        disk.fail_sync("spool-0.sqlite-wal")
        with pytest.raises(SpoolError):
            worker.take(TODAY, 1)
        refused = {worker.names.pop()}
        worker.leave()
    assert worker.spool.file.name == "spool-1.sqlite"
    worker.take(TODAY)
    for _ in range(3):
        drainer.round()
    found = names_in(store)
    assert set(found) - refused == set(worker.names)
    assert set(found.values()) == {1}
    assert place.ledger().imbalances == ()
    assert not is_left(place.spool_dir / "spool-0.sqlite")
    assert not set_aside(place.spool_dir), "what was whole leaves nothing to look at"
    second = Worker(place.spool_dir, place.clock)
    assert second.spool.file.name == "spool-0.sqlite"
    second.close()
    place.close()


def test_a_disk_on_which_every_write_fails_is_left_no_file_for_each_try(tmp_path: Path) -> None:
    with running(Collector(tmp_path)) as collector:
        assert large_event(collector, "before").footfall == "accepted"
        with failing(collector, "pwrite64", "EIO"):
            assert {large_event(collector, f"refused-{number}").status for number in range(30)} == {503}
        until(lambda: large_event(collector, "after").footfall == "accepted", "events are accepted again")
        assert len(list(collector.spool_dir.glob("spool-*.lock"))) == 2
        assert [note.name for note in collector.spool_dir.glob(f"*{NOTE}")] == [f"spool-0{NOTE}"]
