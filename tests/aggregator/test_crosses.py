"""A sealed day by two dimensions at a time: compared, number by number, with a truth counted in plain Python."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, timedelta

import pytest

from aggregator import crosses
from aggregator.dimensions import OTHER
from aggregator.gathering import gathered
from aggregator.rollup import Period, SiteRules, read, write
from aggregator.store import Store
from collector import days
from collector.settings import CROSSES
from tests.aggregator.crossing import Cross
from tests.aggregator.crossing import crosses as crosses_in_python
from tests.aggregator.simulate import Crowd, Row, counted, insert

DAY = date(2027, 5, 4)
BERLIN = "Europe/Berlin"
PERIOD = Period(DAY, BERLIN)
START_MS = int(days.starts_at(DAY, BERLIN)) * 1000
COLUMNS = "dimension_a, parent_a, value_a, dimension_b, parent_b, value_b, visitors, visits"


def rules(k: int = 5, *, exact: bool = False, crossed: tuple[str, ...] = CROSSES) -> SiteRules:
    return SiteRules(k, exact, DAY + timedelta(days=700), crosses=crossed)


def seal(store: Store, rules_of: Callable[[str], SiteRules], many_events: int = 1_000_000) -> int:
    number = secrets.randbits(63)
    with gathered(store, PERIOD, number):
        reading = read(store, number, rules_of, 12)
        write(store, PERIOD, number, reading, rules_of)
        crosses.write(store, PERIOD, number, reading, rules_of, many_events)
    return number


def shown(store: Store, seal: int, site: str = "example.com") -> Mapping[Cross, tuple[int, int]]:
    """Each cell once, in the order of the dimensions, after both directions were found to agree."""
    rows = store.query(
        f"SELECT {COLUMNS} FROM cross_rows WHERE site = {{site:String}} AND seal = {{seal:UInt64}}",
        {"site": site, "seal": seal},
    )
    found = {(row[0:3], row[3:6]): (row[6], row[7]) for row in rows}
    assert len(found) == len(rows)
    assert all(found[other, one] == numbers for (one, other), numbers in found.items())
    return {cell: of for cell, of in found.items() if CROSSES.index(cell[0][0]) < CROSSES.index(cell[1][0])}


def person(number: int, **fields: object) -> Row:
    row = Row(DAY, BERLIN, "example.com", START_MS + number * 1000, visitor=1000 * (1 + number), network=100 + number)
    return replace(row, **fields)  # type: ignore[arg-type]  # the columns of a row


def people(count: int, first: int = 0, **fields: object) -> list[Row]:
    return [person(number, **fields) for number in range(first, first + count)]


def test_every_cell_is_the_rounded_truth_of_k_networks_and_adds_up_to_no_more_than_it_may(store: Store) -> None:
    of = {f"site-{size}.example": (Crowd(DAY, BERLIN, f"site-{size}.example", size), k) for size, k in SIZES}
    rows = {site: crowd.rows() for site, (crowd, _) in of.items()}
    insert(store, [row for of_site in rows.values() for row in of_site])
    number = seal(store, lambda site: rules(of[site][1]))
    for site, (_, k) in of.items():
        assert shown(store, number, site) == crosses_in_python(counted(rows[site])[0], k), site
    again = seal(store, lambda site: rules(of[site][1]), many_events=0)
    for site in of:
        assert shown(store, again, site) == shown(store, number, site)
    assert len(shown(store, number, "site-900.example")) > 300


SIZES = ((12, 5), (25, 3), (40, 5), (60, 10), (150, 5), (900, 5))


def test_a_cell_of_k_minus_one_networks_is_hidden_and_of_k_is_shown(store: Store) -> None:
    insert(
        store,
        [
            *people(20, country="DE", browser="Chrome"),
            *people(20, 20, country="FR", browser="Safari"),
            *people(4, 40, country="DE", browser="Safari"),
            *people(5, 50, country="FR", browser="Chrome"),
        ],
    )
    found = shown(store, seal(store, lambda _: rules(crossed=("country", "browser"))))
    assert {(one[2], other[2]) for one, other in found} == {("DE", "Chrome"), ("FR", "Safari"), ("FR", "Chrome")}


def test_a_value_that_no_list_shows_is_in_no_cross_and_rests_are_neither(store: Store) -> None:
    rare = [person(60 + number, country="IS", path=f"/rare/{number}", source="x") for number in range(9)]
    insert(store, [*people(30, source=OTHER), *rare])
    number = seal(store, lambda _: rules())
    listed = set(store.query("SELECT dimension, parent, value FROM breakdown_rows WHERE value != '(other)'"))
    found = shown(store, number)
    assert {key for cell in found for key in cell} <= listed
    assert ("page", "/rare/", "(other)") in set(store.query("SELECT dimension, parent, value FROM breakdown_rows"))
    assert ("page", "country") in {(one[0], other[0]) for one, other in found}


def test_an_event_counts_on_its_page_and_a_visit_on_every_page_that_it_saw(store: Store) -> None:
    rows = []
    for number in range(10):
        then = START_MS + number * 1000
        rows += [
            person(number, path="/a", source="google", channel="search"),
            person(number, path="/b", at_ms=then + 60_000),
            person(number, path="/b", at_ms=then + 70_000, kind="event", name="play"),
            person(number, path="/c", at_ms=then + 80_000, kind="leave"),
        ]
    insert(store, rows)
    found = shown(store, seal(store, lambda _: rules(1, exact=True)))
    pages = {(one[2], other[2]): of for (one, other), of in found.items() if one[0] == "page"}
    assert pages["/a", "google"] == pages["/b", "google"] == (10, 10)
    assert pages["/b", "play"] == (10, 10)
    assert not [cell for cell in pages if "/c" in cell or cell == ("/a", "play")]


def test_a_pair_has_at_most_1000_cells_and_these_are_the_largest(store: Store) -> None:
    def combined(count: int) -> list[Row]:
        looks = [(f"C{one}", f"B{other}") for one in range(40) for other in range(40)][:count]
        rows = [person(number, country=of[0], browser=of[1]) for number, of in enumerate(looks)]
        return rows + [person(5000 + number, country="C39", browser="B39") for number in range(2)]

    for count, cells in ((999, 1_000), (1_600, 1_000)):
        store.command("TRUNCATE TABLE open_events")
        insert(store, combined(count))
        found = shown(store, seal(store, lambda _: rules(1, exact=True, crossed=("country", "browser"))))
        assert len(found) == cells
        assert (("country", "", "C39"), ("browser", "", "B39")) in found


def test_what_a_site_does_not_cross_is_not_counted(store: Store) -> None:
    insert(store, [row for site in ("a.example", "b.example", "c.example") for row in people(9, site=site)])
    crossed = {"a.example": (), "b.example": ("device", "channel"), "c.example": ("source", "channel", "os")}
    number = seal(store, lambda site: rules(crossed=crossed[site]))
    pairs = store.query(
        "SELECT DISTINCT site, dimension_a, dimension_b FROM cross_rows WHERE seal = {s:UInt64}", {"s": number}
    )
    assert set(pairs) == {
        ("b.example", "channel", "device"),
        ("b.example", "device", "channel"),
        *(("c.example", *pair) for pair in (("source", "os"), ("os", "source"), ("channel", "os"), ("os", "channel"))),
    }


def test_sources_of_a_country_are_together_never_more_than_the_country(store: Store) -> None:
    """9 visitors with 13 visits, shown as 5: from two sources 7 and 6, each shown as 5, would be 10 visits at least."""
    came = {"google": range(7), "t.co": range(5, 9)}
    rows = [
        person(number, country="IS", source=source, at_ms=START_MS + 4_000_000 * place + number)
        for place, (source, numbers) in enumerate([*came.items(), ("t.co", (0, 1))])
        for number in numbers
    ]
    for place, source in enumerate(came):
        rows += people(20, 100 * (1 + place), country="DE", source=source)
    rows += [person(number, country="DE", source="google", at_ms=START_MS + 9_000_000) for number in range(100, 106)]
    insert(store, rows)
    found = shown(store, seal(store, lambda _: rules(crossed=("country", "source"))))
    of = {(one[2], other[2]): numbers for (other, one), numbers in found.items()}
    assert [cell for cell in of if cell[0] == "IS"] == [("IS", "google")]
    assert of["DE", "t.co"] == (20, 20)


@pytest.mark.parametrize(("others", "is_shown"), [(3, False), (4, True)])
def test_who_is_in_a_row_and_not_in_a_column_is_not_told_by_the_whole(
    store: Store, others: int, is_shown: bool
) -> None:
    """20 Germans, 20 with Chrome, 19 both, shown as 20, 20 and 15: at least 20 + 20 - 19 are there. Were the day shown
    as 20, which is 24 at most, then 1 to 4 Germans would be without Chrome."""
    of = (("DE", "Chrome", 19), ("DE", "Opera", 1), ("FR", "Chrome", 1), ("FR", "Opera", others))
    rows = [
        person(100 * place + number, country=country, browser=browser)
        for place, (country, browser, count) in enumerate(of)
        for number in range(count)
    ]
    insert(store, rows)
    found = shown(store, seal(store, lambda _: rules(crossed=("country", "browser"))))
    assert bool(found) == is_shown
