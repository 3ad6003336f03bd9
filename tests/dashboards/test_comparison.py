"""Days beside earlier ones: as many days, the same weekdays, and no change more exact than its numbers."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.live import Measures
from collector.settings import Site, load
from dashboards.comparison import Change, changes
from dashboards.shown_days import Day, State
from tests.dashboards.asking import Installation
from tests.dashboards.conftest import Sealer

DAY = date(2026, 3, 28)
HERE = Path(__file__).parent
Visits = tuple[int, int, int]


def site_of(k: int = 5, level: str = "rounded") -> Site:
    environ = {
        "FOOTFALL_SITE__DOMAIN": "example.com",
        "FOOTFALL_PRIVACY__K": str(k),
        "FOOTFALL_PRIVACY__LEVEL": level,
        "FOOTFALL_PRIVACY__LIVE_VIEW": "false",
    }
    return load(None, HERE, environ).sites["example.com"]


def rounded(of_days: list[Visits], k: int) -> list[Day]:
    """What is shown of days with so many visitors, visits and views: the first, and what each adds, rounded down."""
    shown = []
    for visitors, visits, views in of_days:
        parts = [number // k * k for number in (visitors, visits - visitors, views - visits)]
        measures = Measures(parts[0], sum(parts[:2]), sum(parts), 0, 0, 0)
        shown.append(Day(DAY, DAY, "sealed", measures))
    return shown


@st.composite
def true_days(draw: st.DrawFn, count: int, k: int) -> list[Visits]:
    days = []
    for _ in range(count):
        visitors, further, more = draw(st.tuples(st.integers(k, 300), st.integers(0, 200), st.integers(0, 500)))
        days.append((visitors, visitors + further, visitors + further + more))
    return days


@given(st.data(), st.integers(3, 20), st.integers(1, 4))
def test_the_truth_is_between_the_two_percentages(data: st.DataObject, k: int, count: int) -> None:
    now, before = data.draw(true_days(count, k)), data.draw(true_days(count, k))
    told = changes(site_of(k), rounded(now, k), rounded(before, k))
    assert told.keys() == {"visitors", "visits", "views"}
    for place, change in enumerate(told.values()):
        true = 100 * sum(day[place] for day in now) / sum(day[place] for day in before) - 100
        assert change.at_least - 1e-9 <= true <= change.at_most + 1e-9
        assert change.at_least <= change.percent <= change.at_most


def test_numbers_as_counted_give_one_percentage_and_rounded_ones_a_range() -> None:
    now, before = rounded([(112, 112, 112)], 1), rounded([(100, 100, 100)], 1)
    assert changes(site_of(level="exact"), now, before)["visitors"] == Change(12, 12, 12)
    now, before = rounded([(110, 110, 110)], 5), rounded([(100, 100, 100)], 5)
    assert changes(site_of(), now, before)["visitors"] == Change(10, 5, 14)
    assert changes(site_of(), now, before)["visits"] == Change(10, 1, 18)


def test_of_numbers_with_noise_no_change_is_told() -> None:
    days = rounded([(100, 100, 100)], 1)
    assert changes(site_of(level="dp"), days, days) == {}


@pytest.mark.parametrize(("state", "is_told"), [("fewer than k", True), ("not sealed", False), ("today", False)])
def test_no_change_is_told_where_a_day_is_missing(state: State, *, is_told: bool) -> None:
    whole = [*rounded([(100, 100, 100)] * 2, 5)]
    broken = [whole[0], Day(DAY, DAY, state, None, 0)]
    assert bool(changes(site_of(), whole, broken)) is is_told
    assert bool(changes(site_of(), broken, whole)) is is_told
    assert changes(site_of(), whole, whole[:1]) == {}


def test_a_measure_that_a_day_does_not_show_has_no_change() -> None:
    without = Day(DAY, DAY, "sealed", Measures(100, 100, 0, 0, 0, 0))
    assert changes(site_of(), rounded([(100, 100, 100)], 5), [without]).keys() == {"visitors", "visits"}


def test_json_tells_days_totals_values_and_changes_of_the_days_before(
    installation: Installation, sealer: Sealer
) -> None:
    def values(kagi: int, bing: int) -> list[tuple[str, str, str, str, int]]:
        return [
            ("example.com", "source", "search", name, number)
            for name, number in (("Kagi", kagi), ("Bing", bing))
            if number
        ]

    sealer.seal(date(2026, 3, 27), [("example.com", 24, 24, 200)], values(20, 40))
    sealer.seal(date(2026, 3, 28), [("example.com", 24, 24, 200)], values(30, 0))
    sealer.seal(date(2026, 3, 29), [("example.com", 24, 24, 300)], values(80, 0))
    sealer.seal(
        date(2026, 3, 30),
        [("example.com", 24, 24, 300)],
        [*values(20, 0), ("example.com", "source", "search", "Ecosia", 5)],
    )
    asked = "/api/stats?site=example.com&from=2026-03-29&to=2026-03-30&dimension=source&compare=previous"
    told = installation.get(asked)[1]
    before = told["before"]
    assert isinstance(before, dict)
    assert (before["compare"], before["from"], before["to"]) == ("previous", "2026-03-27", "2026-03-28")
    assert [(day["day"], day["visitors"]) for day in before["days"]] == [("2026-03-27", 200), ("2026-03-28", 200)]
    assert before["totals"]["visitors"] == 400
    assert before["changes"]["visitors"] == {"percent": 50, "at_least": 47, "at_most": 52}
    # The values asked for, in their order; one that had no number then has none, and others are not told.
    assert [(cell["value"], cell["visitors"]) for cell in told["values"]] == [("Kagi", 100), ("Ecosia", 5)]  # type: ignore[attr-defined]
    assert [(cell["value"], cell["visitors"]) for cell in before["values"]] == [("Kagi", 50)]
    assert "before" not in installation.get(asked.replace("&compare=previous", ""))[1]


def test_a_year_before_is_52_weeks_before(installation: Installation, sealer: Sealer) -> None:
    sealer.seal(date(2025, 3, 31), [("example.com", 24, 24, 100)])
    sealer.seal(date(2026, 3, 30), [("example.com", 24, 24, 50)])
    told = installation.get("/api/stats?site=example.com&from=2026-03-30&to=2026-03-30&compare=year")[1]
    before = told["before"]
    assert isinstance(before, dict)
    assert (before["from"], before["to"], before["totals"]["visitors"]) == ("2025-03-31", "2025-03-31", 100)


def test_with_a_filter_what_is_compared_is_narrowed_to_it_too(installation: Installation, sealer: Sealer) -> None:
    germany, page = ("country", "", "DE"), ("page", "/", "/x")
    for day, number in ((date(2026, 3, 29), 20), (date(2026, 3, 30), 35)):
        listed = [("example.com", *germany, number)]
        sealer.seal(day, [("example.com", 24, 24, 500)], listed, crosses=[("example.com", germany, page, number - 5)])
    asked = "site=example.com&from=2026-03-30&to=2026-03-30&filter=country:DE&dimension=page&compare=previous"
    before = installation.get(f"/api/stats?{asked}")[1]["before"]
    assert isinstance(before, dict)
    assert before["totals"]["visitors"] == 20
    assert before["values"] == [{"parent": "/", "value": "/x", "visitors": 15, "visits": 15}]


def test_the_page_tells_what_was_before_and_how_much_it_changed(installation: Installation, sealer: Sealer) -> None:
    for day, number in ((date(2026, 3, 29), 100), (date(2026, 3, 30), 110)):
        sealer.seal(day, [("example.com", 24, 24, number)], [("example.com", "source", "search", "Kagi", number - 50)])
    path = "/sites/example.com?period=day"
    assert f'<a href="{path}&amp;compare=previous"' in installation.page(path).text
    text = installation.text(f"{path}&compare=previous")
    assert "Visitors 110 before: 100 · +5% to +14%" in text
    assert "Compared with Sun, Mar 29, 2026." in text
    assert "Kagi Search before: 50 Visitors: 60" in text
    # The days between are not sealed, so nothing is said of a change.
    text = installation.text("/sites/example.com?period=7d&compare=previous")
    assert "Days of these that are not sealed: 7." in text
    assert "+" not in text.partition("Compare with")[0]
    # What is not over is not compared.
    assert "Compare with" not in installation.text("/sites/example.com?from=2026-03-29&to=2026-03-31")
    assert installation.page("/sites/example.com?period=today&compare=year").status_code == 400
    assert installation.page("/sites/example.com?period=7d&compare=month").status_code == 400


def test_the_curve_and_its_table_have_the_days_before(installation: Installation, sealer: Sealer) -> None:
    for day in range(17, 31):
        sealer.seal(date(2026, 3, day), [("example.com", 24, 24, 100 if day < 24 else 110)])
    page = installation.page("/sites/example.com?period=7d&compare=previous").text
    assert page.count('class="stroke before"') == 1
    assert "Tue, Mar 24, 2026: 110 visitors · Tue, Mar 17, 2026: 100 visitors" in page
    assert 'class="stroke before"' not in installation.page("/sites/example.com?period=7d").text
