"""What sealing gathers of an open day: the same however it is cut, seen by nobody, and gone with the seal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from aggregator.gathering import TABLES, clear_dead, events_held, gathered
from aggregator.rollup import Period
from aggregator.seal import OpenDayChangedError, Surroundings
from aggregator.store import Store
from collector.settings import Settings, load
from tests.aggregator.simulate import Row, insert
from tests.aggregator.test_seal import BERLIN, CONFIGURATION, DAY, after, crowd, sealer, trends

PERIOD = Period(DAY, BERLIN)
OF_VISITS = (
    "SELECT * EXCEPT (seal, gathered, deeds), arraySort(deeds) FROM gathered_visits WHERE seal = {seal:UInt64}"
    " ORDER BY ALL"
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    file = tmp_path / "footfall.toml"
    file.write_text(CONFIGURATION)
    return load(file, tmp_path, {})


def left(store: Store) -> list[int]:
    """How many rows each table of what is gathered has."""
    return [int(store.query(f"SELECT count() FROM {table}")[0][0]) for table in TABLES]


def test_a_day_gathered_in_many_passes_is_the_day_gathered_in_one(store: Store) -> None:
    alone = [replace(row, visitor=0, network=0) for row in crowd(people=20, site="server.example")]
    rows = insert(store, [*crowd(), *crowd(people=30, site="b.example"), *alone])
    with gathered(store, PERIOD, 1), gathered(store, PERIOD, 2, rows_at_once=len(alone) // 2):
        assert [events_held(store, seal) for seal in (1, 2)] == [len(rows)] * 2
        assert store.query(OF_VISITS, {"seal": 1}) == store.query(OF_VISITS, {"seal": 2}) != []
    assert not any(left(store))


def test_nothing_gathered_is_left_when_the_seal_is_noted_and_committed(store: Store, settings: Settings) -> None:
    seen: dict[str, list[int]] = {}
    insert(store, crowd())
    watched = Surroundings(step=lambda step: seen.update({step: left(store)}))
    sealer(store, settings, after(DAY), watched).seal_due()
    assert seen["gathered"][0] > 0
    assert seen["written"] == seen["noted"] == seen["committed"] == [0] * len(TABLES)


def test_what_dead_sealers_gathered_goes_with_the_seal_of_the_day(store: Store, settings: Settings) -> None:
    insert(store, crowd())
    # A process that is killed enters, and never leaves.
    killed = [gathered(store, PERIOD, seal) for seal in (1, 2)]
    for attempt in killed:
        attempt.__enter__()
    assert left(store)[0] > 0
    sealer(store, settings, after(DAY)).seal_due()
    assert not any(left(store))
    assert trends(store) != []


def test_of_a_dead_sealer_nothing_is_older_than_an_hour(store: Store) -> None:
    for minutes in (61, 59):
        store.command(
            "INSERT INTO gathered_visits (day, seal, gathered, visitor)"
            f" VALUES ('{DAY}', {minutes}, now() - INTERVAL {minutes} MINUTE, 1)"
        )
    clear_dead(store)
    assert store.query("SELECT seal FROM gathered_visits") == [(59,)]


@pytest.mark.parametrize("step", ["gathered", "read"])
def test_a_store_that_forgets_what_was_gathered_stops_the_seal_before_its_commit(
    store: Store, settings: Settings, step: str
) -> None:
    insert(store, crowd())

    def forget(done: str) -> None:
        if done == step:
            store.command("TRUNCATE TABLE gathered_visits")

    with pytest.raises(OpenDayChangedError):
        sealer(store, settings, after(DAY), Surroundings(step=forget)).seal_due()
    assert trends(store) == []
    (sealed,) = sealer(store, settings, after(DAY)).seal_due()
    assert (sealed.outcome, trends(store) != []) == ("sealed", True)


def test_one_that_changes_in_the_middle_of_a_visit_counts_with_both(store: Store) -> None:
    start_ms = crowd()[0].at_ms
    rows = [
        Row(DAY, BERLIN, "example.com", start_ms + at, 1, 7, 9, language=word) for at, word in ((0, "de"), (1, "fr"))
    ]
    insert(store, rows)
    with gathered(store, PERIOD, 1):
        assert store.query(
            "SELECT language, uniqExact(visit), sum(views) FROM gathered_visits GROUP BY 1 ORDER BY 1"
        ) == [
            ("de", 1, 1),
            ("fr", 1, 1),
        ]
