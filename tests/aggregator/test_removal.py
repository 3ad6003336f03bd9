"""A site that is removed: nothing of it is left, all of the others is, and the ledger balances, crashes included."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from aggregator.sites import Holdings, check_removable, holdings, remove
from aggregator.store import Store, StoreUnavailable
from aggregator.withdrawal_record import opened_record
from collector.fault import Fault
from collector.group import Arrived, Counted, Group, Withdrawn
from tests.aggregator.loaded_anew import load_anew
from tests.aggregator.spooling import BERLIN, Place, WatchedStore, Worker, drain_fully, line, noon, place_in

TODAY = date(2031, 5, 14)
YESTERDAY = date(2031, 5, 13)
GONE = "gone.example"


@pytest.fixture(scope="module", autouse=True)
def loaded_anew(session_store: Store) -> None:
    load_anew(session_store)


@pytest.fixture
def place(tmp_path: Path, store: Store) -> Iterator[Place]:
    key_dir = Path(tempfile.mkdtemp(prefix="footfall-test-", dir="/dev/shm"))
    place = place_in(tmp_path / "place", key_dir, store, noon(TODAY))
    yield place
    place.close()
    shutil.rmtree(key_dir, ignore_errors=True)


def take_both(worker: Worker, day: date = TODAY, events: int = 3) -> None:
    """One commit with events of both sites, one more dropped request of the site to remove, and its last request."""
    lines = [line(worker.new_name(), day, site=site) for site in ("example.com", GONE) for _ in range(events)]
    group = Group()
    group.add(day, BERLIN, b"".join(lines), len(lines))
    for site in ("example.com", GONE):
        group.count(Counted(day.isoformat(), site, "accepted", ""), events)
    group.count(Counted(day.isoformat(), GONE, "dropped", "bot"))
    group.arrivals[GONE] = Arrived(worker.clock.wall(), "dropped", "bot", behind_one_network=False)
    worker.spool.commit(group, worker.clock.wall())


def removed(place: Place) -> list[str]:
    return list(remove(place.settings, place.store, place.clock, GONE))


def held(place: Place) -> Holdings:
    return holdings(place.settings, place.store, GONE)


def test_open_events_and_what_the_spools_know_go_and_the_others_stay(place: Place) -> None:
    worker = place.worker()
    take_both(worker)
    worker.spool.commit(Group(withdrawals={Withdrawn(TODAY.isoformat(), BERLIN, GONE, 1, 2): 1.0}), place.clock.wall())
    drainer = place.drainer()
    drain_fully(drainer)
    assert held(place).open_events == 3
    with opened_record(place.spool_dir) as record:
        record.ask_removal(GONE)
    drainer.round()
    assert place.store.query("SELECT site, count() FROM open_events GROUP BY site") == [("example.com", 3)]
    ledger = place.ledger()
    assert (ledger.imbalances, ledger.received, ledger.open, ledger.removed, ledger.dropped) == ((), 7, 3, 3, 1)
    assert not held(place).is_in_spools
    files = [file for file in place.spool_dir.iterdir() if GONE.encode() in file.read_bytes()]
    assert not files


def test_all_of_a_site_goes_without_a_running_drainer_and_twice_is_once(place: Place) -> None:
    take_both(place.worker())
    for site in ("example.com", GONE):
        trend_of(place.store, site)
    assert set(held(place).rows) == {"trend_rows", "breakdown_rows", "cross_rows"}
    assert "trend_rows: 1 rows deleted" in removed(place)
    assert held(place).is_nothing
    trends = place.store.query(
        "SELECT site FROM trend_rows UNION ALL SELECT site FROM breakdown_rows UNION ALL SELECT site FROM cross_rows"
    )
    assert trends == [("example.com",)] * 3
    assert removed(place) == ["open days and spools: 0 events deleted"]
    assert (place.ledger().imbalances, place.ledger().removed) == ((), 3)
    for table in ("coverage_totals", "arrivals", "open_events"):
        assert place.store.query(f"SELECT count() FROM {table} WHERE site = '{GONE}'") == [(0,)]


def test_a_table_that_nobody_knows_is_emptied_of_the_site_too(place: Place) -> None:
    place.store.command(
        "CREATE TABLE IF NOT EXISTS extra (site String, n UInt8) ENGINE = MergeTree ORDER BY n SETTINGS"
        " old_parts_lifetime = 1, cleanup_delay_period = 1, max_cleanup_delay_period = 1"
    )
    try:
        place.store.command(f"INSERT INTO extra VALUES ('{GONE}', 1), ('example.com', 2)")
        removed(place)
        assert place.store.query("SELECT site FROM extra") == [("example.com",)]
    finally:
        place.store.command("DROP TABLE extra SYNC")


# The store's calls, once a deletion is recorded, and how many of each are answered.
DEATHS = (("insert_rows doomed_rows", 0), ("command", 0), ("command", 1), ("insert_rows batches", 0))


def test_a_removal_that_died_is_ended_and_counts_each_event_once(place: Place) -> None:
    worker = place.worker()
    for deaths, (name, answered) in enumerate(DEATHS, 1):
        take_both(worker)
        place.drainer().round()
        place.bury()
        with opened_record(place.spool_dir) as record:
            record.ask_removal(GONE)
        with pytest.raises(StoreUnavailable):
            place.drainer(dying_store(place.store, name, answered)).round()
        place.bury()
        assert place.ledger().imbalances == (), name
        place.drainer().round()
        place.bury()
        ledger = place.ledger()
        counts = (ledger.imbalances, ledger.open, ledger.removed, held(place).is_in_spools)
        assert counts == ((), 3 * deaths, 3 * deaths, False), name


def dying_store(store: Store, name: str, answered: int) -> WatchedStore:
    """A store that does what is asked and gives no answer: to the call after `answered` calls `name` of a deletion."""

    def die(number: int, called: str) -> None:
        begun = watched.calls.index("insert_rows doomed_rows") if "insert_rows doomed_rows" in watched.calls else number
        if called == name and watched.calls[begun:].count(name) > answered:
            raise StoreUnavailable("no answer")

    watched = WatchedStore(store, after=die)
    return watched


def test_rows_of_a_day_that_is_being_sealed_are_left_to_its_seal(place: Place) -> None:
    take_both(place.worker())
    drainer = place.drainer()
    drain_fully(drainer)
    place.store.insert_rows("closings", ("day", "timezone"), [(TODAY, BERLIN)])
    place.bury()
    drainer = place.drainer()
    with opened_record(place.spool_dir) as record:
        record.ask_removal(GONE)
        drainer.round()
        assert record.removing() == [GONE]
        assert held(place).open_events == 3
        place.store.command(f"ALTER TABLE open_events DROP PARTITION ('{TODAY}', '{BERLIN}')")
        drainer.round()
        assert record.removing() == []


def test_a_configured_site_is_not_removed(place: Place) -> None:
    with pytest.raises(Fault, match=r"example\.com is in the configuration; take its"):
        check_removable(place.settings, "example.com")
    check_removable(place.settings, GONE)


def trend_of(store: Store, site: str) -> None:
    common = {"day": YESTERDAY.isoformat(), "timezone": BERLIN, "seal": 7, "keep_until": "2033-01-01", "site": site}
    crossed = {"dimension_a": "page", "value_a": "/", "dimension_b": "os", "value_b": "Linux"}
    listed = {"dimension": "page", "value": "/"}
    for table, more in (("trend_rows", {"hour": 24}), ("breakdown_rows", listed), ("cross_rows", crossed)):
        row = {**common, **more}
        store.insert_rows(table, list(row), [list(row.values())])
