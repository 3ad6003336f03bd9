"""What `/api/stats` tells of sealed days: committed rows, in tens or multiples of k, and no number below k."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest

from aggregator.live import LiveView
from aggregator.store import Store
from collector.settings import Settings, load
from dashboards.question import Filter, Question
from dashboards.stats import as_json, stats
from tests.aggregator.event_lines import event_lines
from tests.dashboards.conftest import Sealer, StillClock

SITE, OTHER_SITE = "example.com", "other.example"
FIRST, SECOND, THIRD, TODAY = date(2026, 3, 28), date(2026, 3, 29), date(2026, 3, 30), date(2026, 3, 31)
MEASURES = ("visitors", "visits", "views", "events", "bounces", "engaged_s")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    environ = {"FOOTFALL_SITE__DOMAIN": SITE, "FOOTFALL_SITE__TIMEZONE": "Europe/Berlin"}
    return load(None, tmp_path_factory.getbasetemp(), environ)


@pytest.fixture
def ask(store: Store, settings: Settings, noon: StillClock) -> Callable[..., dict[str, object]]:
    def answered(first: date, last: date, dimension: str | None = None, limit: int = 100) -> dict[str, object]:
        dimensions = () if dimension is None else (dimension,)
        return as_json(stats(store, live, Question(settings.sites[SITE], first, last, dimensions, limit), TODAY))

    live = LiveView(store, noon)
    return answered


def each(number: int) -> dict[str, int]:
    return dict.fromkeys(MEASURES, number)


def test_each_day_says_what_state_it_is_in(sealer: Sealer, ask: Callable[..., dict[str, object]]) -> None:
    sealer.seal(FIRST, [(SITE, 24, 24, 10)])
    sealer.seal(SECOND, [(OTHER_SITE, 24, 24, 50)])
    assert ask(FIRST, THIRD)["days"] == [
        {"day": "2026-03-28", "state": "sealed", **each(10)},
        {"day": "2026-03-29", "state": "fewer than k"},
        {"day": "2026-03-30", "state": "not sealed"},
    ]


def test_totals_are_sums_of_the_days_with_numbers(sealer: Sealer, ask: Callable[..., dict[str, object]]) -> None:
    sealer.seal(FIRST, [(SITE, 24, 24, 10)])
    sealer.seal(SECOND)
    sealer.seal(THIRD, [(SITE, 24, 24, 15)])
    assert ask(FIRST, THIRD)["totals"] == each(25)


def test_a_filter_narrows_lists_to_what_is_crossed_and_days_to_the_value(
    sealer: Sealer, store: Store, settings: Settings
) -> None:
    germany, chrome, page = ("country", "", "DE"), ("browser", "", "Chrome"), ("page", "/", "/x")
    listed = [(SITE, *germany, 20), (SITE, *page, 30), (SITE, "country", "", "FR", 90)]
    crossed = [(SITE, germany, page, 15), (SITE, germany, chrome, 10), (SITE, ("country", "", "FR"), page, 90)]
    sealer.seal(FIRST, [(SITE, 24, 24, 120)], listed, crosses=[*crossed, (OTHER_SITE, germany, page, 70)])
    sealer.seal(SECOND, [(SITE, 24, 24, 120)], listed, crosses=[(SITE, germany, page, 5)])
    sealer.seal(THIRD, [(SITE, 24, 24, 120)], listed)
    sealer.seal(THIRD, crosses=[(SITE, germany, page, 70)], commit=False, origin="another")

    def asked(narrowed: Filter, *dimensions: str) -> dict[str, object]:
        question = Question(settings.sites[SITE], FIRST, THIRD, dimensions, 100, narrowed)
        return as_json(stats(store, None, question, TODAY))

    told = asked(Filter("country", "DE"), "page")
    assert told["values"] == [{"parent": "/", "value": "/x", "visitors": 20, "visits": 20}]
    assert told["totals"] == each(60)
    assert told["filter"] == {"dimension": "country", "value": "DE", "crossed_days": ["2026-03-28", "2026-03-29"]}
    told = asked(Filter("page", "/x"), "country")
    assert [(cell["value"], cell["visitors"]) for cell in told["values"]] == [("FR", 90), ("DE", 20)]  # type: ignore[attr-defined]  # JSON
    told = asked(Filter("country", "IS"), "page")
    assert (told["values"], told["totals"]) == ([], None)


def test_below_k_in_total_there_is_no_number_at_all(sealer: Sealer, ask: Callable[..., dict[str, object]]) -> None:
    sealer.seal(FIRST)
    answer = ask(FIRST, FIRST, "page")
    assert answer["totals"] is None
    assert answer["days"] == [{"day": "2026-03-28", "state": "fewer than k"}]
    assert (answer["hours"], answer["values"]) == ([], [])


def test_rows_of_a_seal_that_was_not_committed_are_invisible(
    sealer: Sealer, ask: Callable[..., dict[str, object]]
) -> None:
    sealer.seal(FIRST, [(SITE, 24, 24, 10), (SITE, 0, 24, 10)], [(SITE, "page", "/", "/a", 10)], commit=False)
    answer = ask(FIRST, FIRST, "page")
    assert answer["days"] == [{"day": "2026-03-28", "state": "not sealed"}]
    assert (answer["hours"], answer["values"]) == ([], [])


def test_of_two_seals_of_a_day_the_first_is_told(sealer: Sealer, ask: Callable[..., dict[str, object]]) -> None:
    sealer.seal(FIRST, [(SITE, 24, 24, 10)])
    sealer.seal(FIRST, [(SITE, 24, 24, 1_000)])
    assert ask(FIRST, FIRST)["totals"] == each(10)


def test_an_import_adds_to_its_day(sealer: Sealer, ask: Callable[..., dict[str, object]]) -> None:
    sealer.seal(FIRST, [(SITE, 24, 24, 10)])
    sealer.seal(FIRST, [(SITE, 24, 24, 5)], origin="matomo")
    assert ask(FIRST, FIRST)["totals"] == each(15)


def test_one_day_is_told_by_hours_and_several_are_not(sealer: Sealer, ask: Callable[..., dict[str, object]]) -> None:
    sealer.seal(FIRST, [(SITE, 24, 24, 20), (SITE, 8, 16, 10), (SITE, 0, 8, 5)])
    assert ask(FIRST, FIRST)["hours"] == [{"hour": 0, "span": 8, **each(5)}, {"hour": 8, "span": 16, **each(10)}]
    assert "hours" not in ask(FIRST, SECOND)


def test_values_come_most_visited_first_and_end_at_the_limit(
    sealer: Sealer, ask: Callable[..., dict[str, object]]
) -> None:
    pages = [(SITE, "page", "/", "/a", 5), (SITE, "page", "/b/", "/b/c", 15), (SITE, "page", "", "(other)", 10)]
    sealer.seal(
        FIRST, [(SITE, 24, 24, 30)], [*pages, (SITE, "country", "", "DE", 30), (OTHER_SITE, "page", "/", "/x", 90)]
    )
    told = [("/b/", "/b/c", 15), ("", "(other)", 10), ("/", "/a", 5)]
    rows = [{"parent": parent, "value": value, **each(number)} for parent, value, number in told]
    assert ask(FIRST, FIRST, "page")["values"] == rows
    assert ask(FIRST, FIRST, "page", limit=2)["values"] == rows[:2]
    assert "values" not in ask(FIRST, FIRST)


def test_values_of_several_days_are_added_and_days_outside_are_not(
    sealer: Sealer, ask: Callable[..., dict[str, object]]
) -> None:
    for day, number in ((FIRST, 5), (SECOND, 10), (THIRD, 100)):
        sealer.seal(day, [(SITE, 24, 24, number)], [(SITE, "page", "/", "/a", number)])
    assert ask(FIRST, SECOND, "page")["values"] == [{"parent": "/", "value": "/a", **each(15)}]


def test_coverage_is_told_in_tens_and_rare_reasons_are_joined(
    request_counts: Callable[[date, str, str, str, int], None], ask: Callable[..., dict[str, object]]
) -> None:
    request_counts(FIRST, SITE, "accepted", "", 1_234)
    request_counts(FIRST, SITE, "dropped", "bot", 25)
    request_counts(FIRST, SITE, "dropped", "no_consent", 9)
    request_counts(FIRST, SITE, "dropped", "prefetch", 4)
    request_counts(FIRST, OTHER_SITE, "accepted", "", 500)
    assert ask(FIRST, FIRST)["coverage"] == [
        {"outcome": "accepted", "reason": "", "requests": 1_230},
        {"outcome": "dropped", "reason": "bot", "requests": 30},
        {"outcome": "dropped", "reason": "(other)", "requests": 10},
    ]


def test_the_answer_says_by_which_rules_it_was_made(sealer: Sealer, ask: Callable[..., dict[str, object]]) -> None:
    answer = ask(FIRST, SECOND)
    rules = {name: answer[name] for name in ("site", "timezone", "from", "to", "k", "k_counts", "level", "development")}
    assert rules == {
        "site": SITE,
        "timezone": "Europe/Berlin",
        "from": "2026-03-28",
        "to": "2026-03-29",
        "k": 5,
        "k_counts": "networks",
        "level": "rounded",
        "development": False,
    }


def send(store: Store, networks: int) -> None:
    """One view each of `networks` visitors, today."""
    for place in range(1, networks + 1):
        batch = event_lines(
            place,
            1,
            day=TODAY.isoformat(),
            timezone="Europe/Berlin",
            at="2026-03-31 09:00:00",
            visitor=place,
            network=place,
        )
        store.insert_lines("open_events", batch, tag=str(place), token=str(place))


def test_today_is_told_from_k_networks_on_and_in_full_groups(
    store: Store, ask: Callable[..., dict[str, object]]
) -> None:
    send(store, 7)
    answer = ask(TODAY, TODAY, "country")
    assert answer["days"] == [{"day": "2026-03-31", "state": "today"}]
    assert answer["totals"] is None
    counted = {**each(0), "visitors": 5, "visits": 5, "views": 5}
    live = answer["live"]
    assert isinstance(live, dict)
    assert {name: live[name] for name in ("day", "state", "sample")} == {
        "day": "2026-03-31",
        "state": "today",
        "sample": 1,
    }
    assert {**live["totals"], "bounces": 0} == counted
    assert [(row["parent"], row["value"], row["visitors"]) for row in live["values"]] == [("", "DE", 5)]


def test_today_below_k_has_no_number(store: Store, ask: Callable[..., dict[str, object]]) -> None:
    send(store, 4)
    live = ask(TODAY, TODAY, "country")["live"]
    assert isinstance(live, dict)
    assert (live["state"], live["totals"], live["values"]) == ("fewer than k", None, [])


def test_live_and_sealed_numbers_stand_apart(
    store: Store, sealer: Sealer, ask: Callable[..., dict[str, object]]
) -> None:
    sealer.seal(THIRD, [(SITE, 24, 24, 10)])
    send(store, 5)
    answer = ask(THIRD, TODAY)
    assert answer["totals"] == each(10)
    assert isinstance(answer["live"], dict)
    assert answer["live"]["totals"]["visitors"] == 5


def test_a_day_that_is_over_has_no_live_view(store: Store, ask: Callable[..., dict[str, object]]) -> None:
    send(store, 5)
    assert "live" not in ask(FIRST, THIRD)
