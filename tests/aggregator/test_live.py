"""The live view: grouped and floored numbers of today, which do not show one person arrive (P9)."""

from __future__ import annotations

import operator
import random
import threading
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import date
from pathlib import Path

import pytest

from aggregator.dimensions import LIVE
from aggregator.live import Cell, Live, LiveView, Measures
from aggregator.store import Store
from collector import days
from collector.settings import Site, load
from tests.aggregator.simulate import Counted, Crowd, Row, allowed, cells, counted, insert, truth
from tests.aggregator.test_seal import BERLIN, DAY
from tests.clock import SetClock

NOON = days.starts_at(DAY, BERLIN) + 12 * 3600
K = 5
CONFIGURATION = """
[[site]]
domain = "example.com"
timezone = "Europe/Berlin"
[[site]]
domain = "small.example"
timezone = "Europe/Berlin"
k = 3
[[site]]
domain = "localhost"
timezone = "Europe/Berlin"
"""
Key = tuple[str, str, str]


@pytest.fixture
def sites(tmp_path: Path) -> dict[str, Site]:
    file = tmp_path / "footfall.toml"
    file.write_text(CONFIGURATION)
    return dict(load(file, tmp_path, {}).sites)


@dataclass
class TickingClock(SetClock):
    """A clock on which each look at the boot clock takes a second."""

    def boot(self) -> float:
        self.boot_s += 1
        return self.boot_s


def received(rows: Sequence[Row], store: Store, per_batch: int = 40) -> Iterator[list[Row]]:
    """Insert rows batch by batch, later ones later by the store's clock; yields all that are in."""
    start, all_rows = int(store.now()) - 3600, list[Row]()
    for batch, place in enumerate(range(0, len(rows), per_batch), 1):
        fresh = [replace(row, inserted=start + batch // 2) for row in rows[place : place + per_batch]]
        all_rows += insert(store, fresh, batch)
        yield all_rows


def by_key(live: Live) -> dict[Key, Measures]:
    shown = {(name, cell.parent, cell.value): cell.measures for name, of in live.lists.items() for cell in of}
    return shown | ({("", "", "(all)"): live.totals} if live.totals else {})


def people(count: int, first: int = 0, **fields: object) -> list[Row]:
    row = Row(DAY, BERLIN, "example.com", int(NOON) * 1000)
    each = [replace(row, visitor=first + number + 1, network=first + number + 1) for number in range(count)]
    return [replace(one, **fields) for one in each]  # type: ignore[arg-type]  # the columns of a row


def arrival(row: Row) -> tuple[int, int, int]:
    return row.inserted or 0, row.batch, row.position


def groups(of_cell: Sequence[Counted]) -> tuple[int, tuple[int, int, int]]:
    """How many full groups of k networks came to a cell, and when the last was complete."""
    first: dict[int, dict[int, tuple[int, int, int]]] = {}
    for one in sorted((one.row for one in of_cell if one.row.network and one.row.kind != "leave"), key=arrival):
        first.setdefault(one.generation, {}).setdefault(one.network, arrival(one))
    largest = max(first, key=lambda generation: (len(first[generation]), generation), default=0)
    complete = len(first.get(largest, {})) // K
    return complete, sorted(first[largest].values())[complete * K - 1] if complete else (0, 0, 0)


def test_a_cell_shows_the_floored_numbers_of_its_last_full_group_or_less_where_its_list_would_exceed_the_day(
    store: Store, sites: dict[str, Site]
) -> None:
    rows = Crowd(DAY, BERLIN, "example.com", 90).rows()
    *_, inserted = received(rows, store)
    shown = by_key(LiveView(store, SetClock(NOON)).of(sites["example.com"]))

    used, _ = counted(inserted, by_arrival=True)
    of_live = {each.name for each in LIVE}
    true = {key: rows for key, rows in cells(used).items() if key[0] in of_live} | {("", "", "(all)"): used}
    as_they_stood, cut = 0, 0
    for key, of_cell in true.items():
        complete, completed_at = groups(of_cell)
        if not complete:
            assert key not in shown
            continue
        prefix, _ = counted([row for row in inserted if arrival(row) <= completed_at], by_arrival=True)
        then = prefix if key[0] == "" else cells(prefix)[key]
        expected = {measure: number // K * K for measure, number in allowed(truth(then), K).items()}
        measures = shown.pop(key, Measures(0, 0, 0, 0, 0, 0))
        assert all(map(operator.le, astuple(measures), expected.values())), key
        as_they_stood += measures == Measures(**expected)
        cut += measures != Measures(**expected)
    assert shown == {}
    assert as_they_stood > 4 * cut


def test_between_two_changes_of_any_cell_at_least_k_new_networks_reached_it(
    store: Store, sites: dict[str, Site]
) -> None:
    view = LiveView(store, SetClock(NOON))
    seen: dict[Key, tuple[Measures, set[tuple[int, int]]]] = {}
    changes = 0
    for inserted in received(Crowd(DAY, BERLIN, "small.example", 14).rows(), store, per_batch=1):
        used, _ = counted(inserted, by_arrival=True)
        true = {**cells(used), ("", "", "(all)"): used}
        for key, measures in by_key(view.of(sites["small.example"])).items():
            reached = {(one.row.generation, one.row.network) for one in true[key] if one.row.network}
            before, known = seen.get(key, (None, set()))
            if measures != before:
                assert len(reached - known) >= 3, key
                seen[key] = measures, reached
                changes += 1
    assert changes > 5


def test_fakes_from_one_network_change_nothing(store: Store, sites: dict[str, Site]) -> None:
    view = LiveView(store, SetClock(NOON))
    insert(store, people(9), batch=1)
    before = by_key(view.of(sites["example.com"]))
    assert before
    insert(store, people(300, first=1000, network=1), batch=2)
    assert by_key(view.of(sites["example.com"])) == before
    # K more than there were: at nine networks five show.
    insert(store, people(K, first=5000), batch=3)
    assert by_key(view.of(sites["example.com"])) != before


def test_a_cell_of_k_minus_one_networks_is_absent_and_of_k_is_shown(store: Store, sites: dict[str, Site]) -> None:
    insert(store, people(4, country="IS") + people(5, first=10, country="MT"))
    live = LiveView(store, SetClock(NOON)).of(sites["example.com"])
    assert [cell.value for cell in live.lists["country"]] == ["MT"]
    assert live.totals is not None


def test_below_k_networks_a_day_has_no_totals(store: Store, sites: dict[str, Site]) -> None:
    insert(store, people(4))
    live = LiveView(store, SetClock(NOON)).of(sites["example.com"])
    assert (live.totals, set(live.lists.values())) == (None, {()})


def test_a_development_site_shows_each_event_as_counted(store: Store, sites: dict[str, Site]) -> None:
    view = LiveView(store, SetClock(NOON))
    for number in range(1, 4):
        insert(store, people(1, site="localhost", path=f"/{number}", at_ms=int(NOON) * 1000 + number), batch=number)
        live = view.of(sites["localhost"])
        assert live.totals == Measures(1, 1, number, 0, 0, 0)
        assert len(live.lists["page"]) == number


def test_yesterday_and_other_sites_are_not_in_it(store: Store, sites: dict[str, Site]) -> None:
    insert(store, people(20, site="other.example"))
    view = LiveView(store, SetClock(NOON))
    assert view.of(sites["example.com"]).totals is None
    insert(store, people(20), batch=2)
    clock = SetClock(NOON)
    view = LiveView(store, clock)
    assert view.of(sites["example.com"]).totals is not None
    clock.move_to(days.ends_at(DAY, BERLIN))
    tomorrow = view.of(sites["example.com"])
    assert (tomorrow.day > DAY, tomorrow.totals) == (True, None)


def test_one_result_is_shared_until_20_times_its_cost_has_passed(store: Store, sites: dict[str, Site]) -> None:
    insert(store, people(20))
    clock = TickingClock(NOON)
    view = LiveView(store, clock)
    first = view.of(sites["example.com"])
    cost_s = first.cost_s
    assert cost_s >= 1
    clock.boot_s += 20 * cost_s - 3
    assert view.of(sites["example.com"]) is first
    clock.boot_s += 3
    assert view.of(sites["example.com"]) is not first


def test_readers_at_once_get_one_result(store: Store, sites: dict[str, Site]) -> None:
    insert(store, people(20))
    view = LiveView(store, TickingClock(NOON))
    results: list[Live] = []
    threads = [threading.Thread(target=lambda: results.append(view.of(sites["example.com"]))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(result) for result in results}) == 1


def test_lists_of_a_large_day_come_from_a_sample_of_networks_and_say_so(store: Store, sites: dict[str, Site]) -> None:
    crowd = [replace(row, network=random.Random(row.visitor).getrandbits(60)) for row in people(2_000)]
    insert(store, crowd)
    live = LiveView(store, SetClock(NOON), most_rows=500).of(sites["example.com"])
    assert live.sample == 4
    assert live.totals == Measures(2_000, 2_000, 2_000, 0, 2_000, 0)
    (country,) = live.lists["country"]
    assert country.measures.visitors == pytest.approx(2_000, rel=0.15)
    assert all(number % (4 * K) == 0 for number in astuple(country.measures))


def test_going_over_to_a_sample_changes_no_cell_before_k_more_networks_came(
    store: Store, sites: dict[str, Site]
) -> None:
    view = LiveView(store, SetClock(NOON), most_rows=100)
    insert(store, people(100))
    before = view.of(sites["example.com"])
    insert(store, people(1, network=1), batch=2)
    after = view.of(sites["example.com"])
    assert (before.sample, after.sample) == (1, 2)
    assert after.lists["country"] == before.lists["country"] == (Cell("", "DE", Measures(100, 100, 100, 0, 100, 0)),)


def test_a_list_has_at_most_100_values(store: Store, sites: dict[str, Site]) -> None:
    everyone = people(120, site="localhost")
    insert(store, everyone + [replace(row, path=f"/{row.network}", visitor=500 + row.visitor) for row in everyone])
    live = LiveView(store, SetClock(NOON)).of(sites["localhost"])
    assert len(live.lists["page"]) == 100
    assert live.lists["page"][0].value == "/"


def test_the_day_is_that_of_the_sites_time_zone(store: Store, sites: dict[str, Site]) -> None:
    midnight = days.starts_at(DAY, BERLIN)
    insert(store, people(9))
    for now, day in ((midnight - 1, date.fromordinal(DAY.toordinal() - 1)), (midnight, DAY)):
        live = LiveView(store, SetClock(now)).of(sites["example.com"])
        assert (live.day, live.totals is not None) == (day, day == DAY)


def test_a_visitor_who_withdraws_and_comes_again_changes_nothing_that_is_shown(
    store: Store, sites: dict[str, Site]
) -> None:
    """One network could else ask, by withdrawing, whether the others without it are k."""
    clock = TickingClock(NOON)
    live = LiveView(store, clock)
    insert(store, people(K, path="/salary"), 1)
    before = by_key(live.of(sites["example.com"]))
    assert before[("", "", "(all)")].visitors == K
    for batch in (2, 3):
        store.command("ALTER TABLE open_events DELETE WHERE visitor = 1", {}, {"mutations_sync": 2})
        clock.pass_time(3_600)
        assert by_key(live.of(sites["example.com"])) == before
        insert(store, people(1, path="/salary"), batch)
        clock.pass_time(3_600)
        assert by_key(live.of(sites["example.com"])) == before
