"""What a sealed day shows: compared, number by number, with a truth that was counted in plain Python (P4, P5)."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, timedelta

import pytest

from aggregator.dimensions import DIMENSIONS, OTHER
from aggregator.gathering import gathered
from aggregator.rollup import SITES_AT_ONCE, HourNetworks, Period, Reading, SiteRules, clock_hours, read, spans, write
from aggregator.store import Store
from collector import days
from tests.aggregator.listing import lines, spans_add_up
from tests.aggregator.simulate import (
    MEASURES,
    Counted,
    Crowd,
    Row,
    Truth,
    as_shown,
    cells,
    counted,
    directory,
    insert,
    truth,
)

DAY = date(2027, 5, 4)
BERLIN = "Europe/Berlin"
PERIOD = Period(DAY, BERLIN)
START_MS = int(days.starts_at(DAY, BERLIN)) * 1000

Published = dict[tuple[str, str, str], dict[str, int]]


def rules(k: int = 5, *, exact: bool = False, keep_until: date = DAY + timedelta(days=700)) -> SiteRules:
    return SiteRules(k, exact, keep_until)


def roll_up(store: Store, rows: list[Row], of: Mapping[str, SiteRules] | SiteRules) -> tuple[int, int]:
    """Insert and roll up; returns rows read and bounded."""
    insert(store, rows)

    def rules_of(site: str) -> SiteRules:
        return of if isinstance(of, SiteRules) else of[site]

    reading = seal(store, PERIOD, rules_of)
    return reading.events, reading.bounded


def seal(store: Store, period: Period, rules_of: Callable[[str], SiteRules]) -> Reading:
    number = secrets.randbits(63)
    sites = (site for (site,) in store.query("SELECT DISTINCT site FROM open_events"))
    with gathered(store, period, number, {site: rules_of(site).matching for site in sites}):
        reading = read(store, number, rules_of, 12)
        write(store, period, number, reading, rules_of)
    return reading


def breakdown(store: Store, site: str) -> Published:
    columns = ", ".join(MEASURES)
    rows = store.query(
        f"SELECT dimension, parent, value, {columns} FROM breakdown_rows WHERE site = {{site:String}}", {"site": site}
    )
    assert len({row[:3] for row in rows}) == len(rows)
    return {(row[0], row[1], row[2]): dict(zip(MEASURES, row[3:], strict=True)) for row in rows}


def trend(store: Store, site: str) -> dict[tuple[int, int], dict[str, int]]:
    columns = ", ".join(MEASURES)
    rows = store.query(f"SELECT hour, span, {columns} FROM trend_rows WHERE site = {{site:String}}", {"site": site})
    return {(row[0], row[1]): dict(zip(MEASURES, row[2:], strict=True)) for row in rows}


def assert_true(shown: Mapping[str, int], group: Truth, k: int, step: int) -> None:
    """No number below k networks, none but as rounded down, and both parts of a visible split k networks large."""
    assert group.networks >= k
    assert shown == as_shown(group, k, step)
    if shown["bounces"]:
        assert group.bouncing >= k
        assert group.staying == 0 or group.staying >= k


@pytest.fixture(scope="module")
def crowds() -> list[tuple[Crowd, SiteRules]]:
    return [
        (Crowd(DAY, BERLIN, f"site-{people}.example", people), rules(k))
        for people, k in ((3, 5), (7, 5), (12, 5), (40, 10), (150, 5), (600, 10), (5_000, 5))
    ]


def test_every_published_number_is_the_rounded_truth_of_a_group_of_k_networks(
    store: Store, crowds: list[tuple[Crowd, SiteRules]]
) -> None:
    of_sites = {crowd.site: its for crowd, its in crowds}
    rows = {crowd.site: crowd.rows() for crowd, _ in crowds}
    events, bounded = roll_up(store, [row for of_site in rows.values() for row in of_site], of_sites)

    truths = {site: counted(of_site) for site, of_site in rows.items()}
    assert events == sum(map(len, rows.values()))
    assert bounded == sum(over for _, over in truths.values()) > 0
    published_rows = 0
    for site, (used, _) in truths.items():
        k = of_sites[site].k
        published, expected = breakdown(store, site), lines(cells(used), used, k)
        published_rows += len(published)
        assert published.keys() == expected.keys(), site
        for key, shown in published.items():
            assert_true(shown, expected[key], k, k)
        for (hour, span), shown in trend(store, site).items():
            assert_true(shown, truth(_within(used, hour, span)), k, k)
    assert published_rows > 500


def _within(used: list[Counted], hour: int, span: int) -> list[Counted]:
    if hour == 24:
        return used
    return [one for one in used if hour <= (one.row.at_ms - START_MS) // 3_600_000 < hour + span]


def test_hours_that_would_bind_the_day_leave_the_smallest_span_out(
    store: Store, crowds: list[tuple[Crowd, SiteRules]]
) -> None:
    crowd, its = crowds[1]
    for seed in range(12):
        store.command("TRUNCATE TABLE open_events")
        store.command("TRUNCATE TABLE trend_rows")
        rows = replace(crowd, people=30, seed=seed).rows()
        roll_up(store, rows, its)
        shown = {key for key in trend(store, crowd.site) if key[0] != 24}
        gaps = _gaps(shown)
        groups = [truth(_within(counted(rows)[0], *span)) for span in sorted(shown | gaps)]
        if len(shown) > 1 or gaps:
            assert (not gaps) == spans_add_up(groups, truth(counted(rows)[0]), its.k)


def _gaps(spans: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """The spans of hours that lie between those given."""
    ends = [0, *(hour + span for hour, span in sorted(spans))]
    starts = [*(hour for hour, _ in sorted(spans)), 24]
    return {(end, start - end) for end, start in zip(ends, starts, strict=True) if start > end}


def test_trends_hold_dimension_values_and_integers_only(store: Store) -> None:
    columns = store.query(
        "SELECT table, name, type FROM system.columns WHERE database = currentDatabase()"
        " AND table IN ('trend_rows', 'breakdown_rows', 'trend', 'breakdown', 'coverage_totals', 'seals')"
    )
    plain = {
        "Date",
        "UInt8",
        "UInt16",
        "UInt32",
        "UInt64",
        "DateTime64(3, 'UTC')",
        "SimpleAggregateFunction(max, UInt64)",
    }
    texts = {"site", "timezone", "dimension", "parent", "value", "outcome", "reason", "origin", "level"}
    # What the noise of a day costs is promised to everybody alike.
    of_noise = {("seals", "epsilon"), ("seals", "delta")}
    others = {(table, name) for table, name, type_ in columns if type_ not in plain} - of_noise
    assert {name for _, name in others} <= texts
    roll_up(store, Crowd(DAY, BERLIN, "example.com", 300).rows(), rules())
    of_events = {
        str(token) for row in store.query("SELECT visitor, network, generation FROM open_events") for token in row
    }
    shown = {str(value) for row in store.query("SELECT * FROM breakdown_rows") for value in row[5:]}
    numbers_of_trend = {str(value) for row in store.query("SELECT * FROM trend_rows") for value in row[5:]}
    assert not (of_events - {"0", "1", "2"}) & (shown | numbers_of_trend)


def people(count: int, **fields: object) -> list[Row]:
    """One view each of `count` people in as many networks, a second apart."""
    return [person(number, **fields) for number in range(count)]


def person(number: int, **fields: object) -> Row:
    row = Row(DAY, BERLIN, "example.com", START_MS + number * 1000, visitor=1000 * (1 + number), network=100 + number)
    return replace(row, **fields)  # type: ignore[arg-type]  # the columns of a row


def test_a_cell_of_k_minus_one_networks_is_hidden_and_of_k_is_shown(store: Store) -> None:
    rows = people(4, country="IS") + people(5, country="MT")
    roll_up(store, rows, rules(5))
    shown = [value for dimension, _, value in breakdown(store, "example.com") if dimension == "country"]
    assert shown == ["MT"]


def test_many_visitors_of_one_network_are_one(store: Store) -> None:
    rows = people(4, country="IS") + [person(50 + number, network=100, country="IS") for number in range(40)]
    roll_up(store, rows, rules(5))
    assert trend(store, "example.com") == {}
    assert breakdown(store, "example.com") == {}


def test_a_lost_key_does_not_make_two_networks_of_one(store: Store) -> None:
    rows = people(4) + [person(number, generation=2, network=900 + number, visitor=900 + number) for number in range(4)]
    roll_up(store, rows, rules(5))
    assert trend(store, "example.com") == {}


def test_small_pages_fold_into_their_directory_and_then_into_the_whole(store: Store) -> None:
    rows = [
        *people(10, path="/blog/2024/known"),
        *[person(20 + number, path=f"/blog/2024/rare-{number}") for number in range(6)],
        *[person(40 + number, path=f"/shop/{number}") for number in range(3)],
        *[person(50 + number, path=f"/docs/{number}") for number in range(3)],
    ]
    roll_up(store, rows, rules(5, exact=True))
    pages = {key[1:]: shown["visitors"] for key, shown in breakdown(store, "example.com").items() if key[0] == "page"}
    assert pages == {("/blog/2024/", "/blog/2024/known"): 10, ("/blog/2024/", OTHER): 6, ("", OTHER): 6}


def test_a_source_that_calls_itself_other_is_never_shown_by_that_name(store: Store) -> None:
    rows = people(30, source=OTHER, channel="social") + [person(50 + number, source=OTHER) for number in range(20)]
    roll_up(store, rows, rules(5, exact=True))
    sources = {key: shown["visits"] for key, shown in breakdown(store, "example.com").items() if key[0] == "source"}
    assert sources == {("source", "social", OTHER): 30, ("source", "direct", OTHER): 20}


def test_looking_for_rare_values_first_changes_no_number(store: Store) -> None:
    rows = [*Crowd(DAY, BERLIN, "a.example", 300).rows(), *Crowd(DAY, BERLIN, "b.example", 40).rows()]
    # More values than are shown, two generations of the rarest, and some that call themselves the rest.
    rows += [person(number, site="a.example", path=f"/{number % 2100}", source=OTHER) for number in range(6300)]
    rows += [person(number, site="a.example", path=f"/rare/{number % 3}", generation=number % 2) for number in range(9)]
    insert(store, rows)
    of = {"a.example": rules(2), "b.example": rules(5)}
    for number, many_values in ((1, 0), (2, len(rows))):
        with gathered(store, PERIOD, number):
            reading = read(store, number, of.__getitem__, 12)
            write(store, PERIOD, number, reading, of.__getitem__, many_values)
    first, second = (
        store.query(f"SELECT * EXCEPT seal FROM breakdown_rows WHERE seal = {seal} ORDER BY ALL") for seal in (1, 2)
    )
    assert first == second
    assert len([row for row in first if row[3:5] == ("a.example", "page")]) > 2000


def test_at_most_2000_values_of_a_dimension_are_shown_and_the_largest(store: Store) -> None:
    rows = [person(number % 3000, path=f"/{number % 3000}") for number in range(3000)]
    rows += [person(5000, path="/twice"), person(5001, path="/twice")]
    roll_up(store, rows, rules(1, exact=True))
    pages = {key[1:]: shown["views"] for key, shown in breakdown(store, "example.com").items() if key[0] == "page"}
    assert len(pages) == 2001
    assert pages["/", "/twice"] == 2
    assert pages["/", OTHER] == 1001


def test_contributions_of_one_visitor_are_bounded_in_pairs(store: Store) -> None:
    minute = 60_000
    rows = [person(0, path=f"/{number % 10}", at_ms=START_MS + number * minute) for number in range(31)]
    rows += [person(1, path=f"/{number}", at_ms=START_MS + number * minute) for number in range(11)]
    rows += [person(2, kind="event", name="e", at_ms=START_MS + number * minute) for number in range(6)]
    rows += [person(3, source=f"s{number}", at_ms=START_MS + number * 3_600_000) for number in range(3)]
    assert roll_up(store, rows, rules(1, exact=True)) == (51, 4)
    total = trend(store, "example.com")[24, 24]
    assert (total["views"], total["events"], total["visits"]) == (30 + 10 + 2, 5, 5)


def test_a_visit_ends_after_more_than_30_minutes_of_silence(store: Store) -> None:
    half_hour = 1_800_000
    rows = [person(0), person(0, at_ms=START_MS + half_hour), person(0, at_ms=START_MS + 2 * half_hour + 1)]
    roll_up(store, rows, rules(1, exact=True))
    assert trend(store, "example.com")[24, 24]["visits"] == 2


def test_engaged_time_is_at_most_30_minutes_a_visit(store: Store) -> None:
    leave = {"kind": "leave", "engaged_ms": 1_200_000}
    rows = [person(0), person(0, at_ms=START_MS + 1000, **leave), person(0, at_ms=START_MS + 2000, **leave)]
    roll_up(store, rows, rules(1, exact=True))
    assert trend(store, "example.com")[24, 24]["engaged_s"] == 1800


def test_a_source_is_that_of_the_visit_not_of_each_page(store: Store) -> None:
    rows = [one for number in range(6) for one in (
        person(number, source="google", channel="search"),
        person(number, path="/next", at_ms=START_MS + 60_000 + number),
    )]  # fmt: skip
    roll_up(store, rows, rules(5, exact=True))
    sources = {key: shown for key, shown in breakdown(store, "example.com").items() if key[0] == "source"}
    assert {key: shown["views"] for key, shown in sources.items()} == {("source", "search", "google"): 12}


def test_a_visit_enters_by_its_first_page_and_leaves_by_the_last_where_something_was_done(store: Store) -> None:
    hour, rows = 3_600_000, []
    for number in range(5):
        rows += [
            person(number, path="/first"),
            person(number, path="/second", at_ms=START_MS + 60_000 + number),
            person(number, path="/first", kind="leave", at_ms=START_MS + 70_000 + number),
            person(number, path="/again", at_ms=START_MS + hour + number),
            person(number, path="/end", kind="event", name="e", at_ms=START_MS + hour + 60_000 + number),
        ]
    roll_up(store, rows, rules(1, exact=True))
    of = breakdown(store, "example.com")
    visits = {(key[0], key[2]): shown["visits"] for key, shown in of.items() if key[0] in ("entry", "exit")}
    assert visits == {
        ("entry", "/first"): 5,
        ("entry", "/again"): 5,
        ("exit", "/second"): 5,
        ("exit", "/end"): 5,
    }
    assert of["entry", "/", "/first"]["views"] == 10


def test_a_move_is_from_one_page_of_a_visit_to_the_next_other_one(store: Store) -> None:
    hour, rows = 3_600_000, []
    for number in range(5):
        rows += [
            person(number, path="/first"),
            person(number, path="/first", at_ms=START_MS + 10_000 + number),
            person(number, path="/elsewhere", kind="event", name="e", at_ms=START_MS + 20_000 + number),
            person(number, path="/second", at_ms=START_MS + 60_000 + number),
            person(number, path="/first", kind="leave", at_ms=START_MS + 70_000 + number),
            person(number, path="/first", at_ms=START_MS + 80_000 + number),
            person(number, path="/second", at_ms=START_MS + 90_000 + number),
            person(number, path="/again", at_ms=START_MS + hour + number),
            person(number, path="/end", at_ms=START_MS + hour + 60_000 + number),
        ]
    roll_up(store, rows, rules(1, exact=True))
    shown = {key[1:]: numbers for key, numbers in breakdown(store, "example.com").items() if key[0] == "flow"}
    assert {moved: (numbers["visitors"], numbers["visits"], numbers["views"]) for moved, numbers in shown.items()} == {
        ("/first", "/second"): (5, 5, 0),
        ("/second", "/first"): (5, 5, 0),
        ("/again", "/end"): (5, 5, 0),
    }


def test_a_page_over_the_bound_is_neither_left_nor_reached(store: Store) -> None:
    """Of ten pages a visitor's further ones do not count, so nobody came from there either."""
    rows = [
        person(number, path=f"/{page}", at_ms=START_MS + 1_000 * place + number)
        for number in range(5)
        for place, page in enumerate([*range(11), 0])
    ]
    roll_up(store, rows, rules(1, exact=True))
    shown = {key[1:] for key in breakdown(store, "example.com") if key[0] == "flow"}
    assert shown == {*((f"/{page}", f"/{page + 1}") for page in range(9)), ("/9", "/0")}


def test_a_visit_scrolled_to_the_deepest_quarter_that_any_of_its_pages_told(store: Store) -> None:
    hour, rows = 3_600_000, []
    for number in range(5):
        rows += [person(number, path="/a"), person(number, path="/b", at_ms=START_MS + 60_000 + number)]
        for place, scroll in enumerate((25, 51, 30)):
            leave = {"kind": "leave", "path": "/a", "scroll": scroll}
            rows.append(person(number, at_ms=START_MS + 70_000 + place * 1000 + number, **leave))
        rows += [
            person(number, path="/b", at_ms=START_MS + hour + number),
            person(number, path="/b", kind="leave", scroll=100, at_ms=START_MS + hour + 9_000 + number),
            person(number, path="/b", at_ms=START_MS + 2 * hour + number),
            person(number, path="/never seen", kind="leave", scroll=20, at_ms=START_MS + 2 * hour + 9_000 + number),
        ]
    roll_up(store, rows, rules(1, exact=True))
    of = breakdown(store, "example.com")
    visits = {key[2]: (shown["visits"], shown["views"]) for key, shown in of.items() if key[0] == "scroll"}
    assert visits == {"50-75": (5, 10), "75-100": (5, 5)}


def test_breakage_is_told_in_cells_of_its_own_and_changes_no_visit(store: Store) -> None:
    seconds = 1000
    rows = people(5, path="/shop")
    for number in range(5):
        error = {"kind": "error", "path": "/shop"}
        rows += [
            person(number, name="TypeError", at_ms=START_MS + (10 + at) * seconds + number, **error) for at in (1, 2)
        ]
        rows.append(person(number, name="404", at_ms=START_MS + 20 * seconds + number, kind="error", path="/gone"))
        classes = {"lcp": "poor", "cls": "good"}
        rows.append(person(number, name="vitals", at_ms=START_MS + 30 * seconds, properties=classes, **error))
    rows += [person(9, name="RangeError", kind="error")]
    roll_up(store, rows, rules(5))
    total = trend(store, "example.com")[24, 24]
    assert (total["visits"], total["views"], total["events"]) == (5, 5, 0)
    of = breakdown(store, "example.com")
    broken = {(key[0], key[2]): shown["events"] for key, shown in of.items() if shown["events"]}
    assert broken == {
        ("error", "TypeError"): 10,
        ("missing_page", "/gone"): 5,
        ("slow_page", "/shop"): 5,
        ("lcp", "poor"): 5,
        ("cls", "good"): 5,
    }
    assert ("page", "/", "/gone") not in of


def test_what_the_device_says_of_earlier_visits_is_counted_by_its_word(store: Store) -> None:
    rows = people(6, loyalty="first") + [person(20 + number, loyalty="week") for number in range(5)] + people(6)
    roll_up(store, rows, rules(5))
    words = {key[2]: shown["visitors"] for key, shown in breakdown(store, "example.com").items() if key[0] == "loyalty"}
    assert words == {"first": 5, "week": 5}


def test_bounces_are_shown_from_4k_visits_on_and_only_if_both_sides_are_large(store: Store) -> None:
    def bounces(bouncing: int, staying: int, site: str) -> int:
        rows = [person(number, site=site) for number in range(bouncing)]
        for number in range(bouncing, bouncing + staying):
            rows += [person(number, site=site), person(number, site=site, at_ms=START_MS + 600_000 + number)]
        store.command("TRUNCATE TABLE open_events")
        roll_up(store, rows, rules(5))
        return trend(store, site)[24, 24]["bounces"]

    assert bounces(14, 5, "a.example") == 0
    assert bounces(15, 5, "b.example") == 15
    assert bounces(16, 4, "c.example") == 0
    assert bounces(20, 0, "d.example") == 20
    assert bounces(4, 30, "e.example") == 0


def test_rows_without_a_visitor_count_views_only_and_never_towards_k(store: Store) -> None:
    nobody = [Row(DAY, BERLIN, "example.com", START_MS + number) for number in range(50)]
    roll_up(store, [*people(4), *nobody], rules(5))
    assert trend(store, "example.com") == {}
    store.command("TRUNCATE TABLE open_events")
    roll_up(store, [*people(5), *nobody], rules(5))
    total = trend(store, "example.com")[24, 24]
    assert (total["visitors"], total["visits"], total["views"]) == (5, 5, 55)


def test_hour_rows_are_kept_13_months_and_no_row_longer_than_its_site_says(store: Store) -> None:
    of_sites = {"long.example": rules(keep_until=date(2029, 6, 4)), "short.example": rules(keep_until=date(2027, 7, 4))}
    roll_up(store, [person(number, site=site) for site in of_sites for number in range(6)], of_sites)
    kept = defaultdict(set)
    for site, hour, until in store.query("SELECT site, hour = 24, keep_until FROM trend_rows"):
        kept[site, bool(hour)].add(until)
    assert kept == {
        ("long.example", True): {date(2029, 6, 4)},
        ("long.example", False): {date(2028, 6, 4)},
        ("short.example", True): {date(2027, 7, 4)},
        ("short.example", False): {date(2027, 7, 4)},
    }


def _hours(*counts: int) -> list[HourNetworks]:
    return [
        HourNetworks(hour, 1, frozenset(range(100 * hour, 100 * hour + count))) for hour, count in enumerate(counts)
    ]


def test_hours_below_k_join_the_following_ones_and_a_rest_the_span_before() -> None:
    assert spans(_hours(5, 0, 2, 3, 6, 1), 5) == ((0, 1), (1, 3), (4, 20))


def test_a_day_without_k_networks_is_one_span() -> None:
    assert spans(_hours(1, 1, 1), 5) == ((0, 24),)
    assert spans([], 5) == ((0, 24),)


def test_the_same_networks_in_two_hours_or_two_generations_do_not_make_k() -> None:
    same = [HourNetworks(hour, 1, frozenset({1, 2, 3})) for hour in range(24)]
    assert spans(same, 4) == ((0, 24),)
    lost_key = [HourNetworks(3, 1, frozenset({1, 2, 3})), HourNetworks(3, 2, frozenset({4, 5, 6}))]
    assert spans(lost_key, 4) == ((0, 24),)


@pytest.mark.parametrize(
    ("timezone", "day", "hours"),
    [
        ("Europe/Berlin", date(2027, 3, 28), 23),
        ("Europe/Berlin", date(2027, 10, 31), 25),
        ("America/Los_Angeles", date(2027, 3, 14), 23),
        ("Asia/Kolkata", date(2027, 3, 28), 24),
        ("Australia/Lord_Howe", date(2027, 4, 4), 24.5),
    ],
)
def test_hours_are_those_that_the_clocks_show_across_a_change(timezone: str, day: date, hours: float) -> None:
    shown = clock_hours(Period(day, timezone))
    assert len(shown) == hours * 4
    assert shown == sorted(shown) or timezone == "Australia/Lord_Howe"
    assert set(shown) == set(range(24)) - ({2} if hours == 23 else set())


def test_rows_of_the_hour_that_clocks_show_twice_are_in_one_hour(store: Store) -> None:
    period = Period(date(2027, 10, 31), BERLIN)
    start_ms = int(days.starts_at(period.day, BERLIN)) * 1000
    rows = [
        Row(period.day, BERLIN, "example.com", start_ms + (elapsed * 3600 + number) * 1000, 1, 100 * number, number)
        for elapsed in range(25)
        for number in range(1, 6)
    ]
    insert(store, rows)
    seal(store, period, lambda _: rules(5))
    views = {hour: shown["views"] for (hour, _), shown in trend(store, "example.com").items()}
    assert views == {**dict.fromkeys(range(24), 5), 2: 10, 24: 125}


@pytest.mark.parametrize(
    ("path", "parent"),
    [
        ("/", ""),
        ("/x", "/"),
        ("/blog/", "/"),
        ("/blog/2024/x", "/blog/2024/"),
        ("/blog/2024/", "/blog/"),
        ("/a?b=/c/d", "/"),
    ],
)
def test_a_page_lies_in_its_directory(store: Store, path: str, parent: str) -> None:
    page = DIMENSIONS[0]
    assert store.query(f"SELECT {page.parent} FROM (SELECT {{path:String}} AS path)", {"path": path}) == [(parent,)]
    assert directory(path) == parent


def test_rows_of_another_day_or_time_zone_are_not_read(store: Store) -> None:
    insert(store, [person(number, day=DAY + timedelta(days=1)) for number in range(9)], batch=2)
    insert(store, [person(number, timezone="Europe/Paris") for number in range(9)], batch=3)
    assert roll_up(store, people(6), rules(5))[0] == 6
    assert trend(store, "example.com")[24, 24]["visitors"] == 5


def test_more_sites_than_go_into_one_statement_are_all_rolled_up(store: Store) -> None:
    sites = [f"site-{number}.example" for number in range(SITES_AT_ONCE + 1)]
    roll_up(store, [person(number, site=site) for site in sites for number in range(6)], rules(5))
    assert store.query("SELECT uniqExact(site), count() FROM trend_rows WHERE hour = 24") == [(len(sites), len(sites))]
