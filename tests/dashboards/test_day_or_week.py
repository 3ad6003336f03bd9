"""A site that is sealed by weeks: pages and JSON tell of whole weeks, and never of a day as of one of its own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from aggregator.store import Store
from tests.aggregator.event_lines import event_lines
from tests.dashboards.asking import Installation
from tests.dashboards.conftest import Sealer, StillClock

CALENDAR = "Europe/Berlin/week"
# Tuesday is the 31st of March.
OPEN_WEEK, LAST_WEEK, WEEK_BEFORE = date(2026, 3, 30), date(2026, 3, 23), date(2026, 3, 16)
PATH = "/sites/example.com"
CONFIG = """
[[site]]
domain = "example.com"
timezone = "Europe/Berlin"
seal_every = "week"
[[site]]
domain = "daily.example"
timezone = "Europe/Berlin"
"""


@pytest.fixture
def weekly(tmp_path: Path, store: Store, noon: StillClock) -> Installation:
    return Installation(tmp_path, lambda: store, noon, CONFIG)


@pytest.fixture
def weeks(store: Store) -> Sealer:
    """Two sealed weeks, the earlier one with fewer than k networks."""
    sealer = Sealer(store, CALENDAR)
    sealer.seal(WEEK_BEFORE)
    spans = [("example.com", 24, 24, 120), ("example.com", 0, 9, 20), ("example.com", 9, 15, 100)]
    sealer.seal(LAST_WEEK, spans, [("example.com", "page", "/", "/tea", 45)])
    return sealer


def test_a_question_about_some_days_is_answered_for_the_weeks_that_they_touch(
    weekly: Installation, weeks: Sealer, request_counts: Callable[[date, str, str, str, int], None]
) -> None:
    request_counts(date(2026, 3, 27), "example.com", "dropped", "bot", 40)
    status, told = weekly.get("/api/stats?site=example.com&from=2026-03-20&to=2026-03-25&dimension=page")
    assert status == 200
    assert (told["sealed_every"], told["from"], told["to"]) == ("week", "2026-03-16", "2026-03-29")
    days: list[dict[str, object]] = told["days"]  # type: ignore[assignment]  # JSON
    before, last = days
    assert before == {"day": "2026-03-16", "state": "fewer than k", "last_day": "2026-03-22"}
    assert (last["day"], last["last_day"], last["state"], last["visitors"]) == (
        *("2026-03-23", "2026-03-29", "sealed"),
        120,
    )
    assert [cell["value"] for cell in told["values"]] == ["/tea"]  # type: ignore[attr-defined]  # JSON
    assert told["coverage"] == [{"outcome": "dropped", "reason": "bot", "requests": 40}]


def test_the_open_week_is_live_from_its_monday_on(weekly: Installation, store: Store) -> None:
    for place in range(1, 8):
        day, at = "2026-03-30", f"2026-03-{30 + place % 2} 09:00:00"
        fields = {"day": day, "timezone": CALENDAR, "at": at, "visitor": place, "network": place, "path": "/open"}
        store.insert_lines("open_events", event_lines(place, 1, **fields), tag=str(place), token=str(place))
    told = weekly.get("/api/stats?site=example.com&from=2026-03-31&to=2026-03-31")[1]
    assert [(day["day"], day["state"]) for day in told["days"]] == [("2026-03-30", "today")]  # type: ignore[attr-defined]  # JSON
    assert told["live"]["totals"]["visitors"] == 5  # type: ignore[index]  # JSON
    assert weekly.get("/api/stats?site=example.com&to=2026-04-06")[0] == 400
    text = weekly.text(PATH)
    assert "This week, so far Visitors 5" in text
    assert "starts again on Monday. The week is sealed on Monday from 00:15 on" in text


def test_the_page_of_a_site_speaks_of_weeks(weekly: Installation, weeks: Sealer) -> None:
    text = weekly.text(f"{PATH}?period=30d")
    assert "This week Last week 4 weeks 12 months" in text
    assert "Visitors by week" in text
    assert "Mar 16 – 22, 2026: fewer than 5 networks" in text
    assert "told apart within one week only" in text
    for word in ("Yesterday", "midnight", "each day's", "Each day's numbers", "on a day"):
        assert word not in text


def test_the_hours_of_a_week_are_those_of_all_its_days(weekly: Installation, weeks: Sealer) -> None:
    text = weekly.text(f"{PATH}?period=7d")
    assert "Mar 23 – 29, 2026 Visitors 120" in text
    assert "00:00–09:00 20 20 20" in text


def test_a_week_below_k_says_so(weekly: Installation, weeks: Sealer) -> None:
    text = weekly.text(f"{PATH}?from=2026-03-17&to=2026-03-18")
    assert "Fewer than 5 networks came in each week, so there is no number to show." in text


def test_an_accepted_request_of_a_sealed_week_ends_the_wait(
    weekly: Installation, weeks: Sealer, request_counts: Callable[[date, str, str, str, int], None], store: Store
) -> None:
    store.command("TRUNCATE TABLE trend_rows")
    request_counts(date(2026, 3, 28), "example.com", "accepted", "", 1)
    assert "This week, so far" in weekly.text(PATH)


def test_sites_of_days_and_of_weeks_stand_side_by_side(weekly: Installation, weeks: Sealer, store: Store) -> None:
    Sealer(store, number=10).seal(date(2026, 3, 30), [("daily.example", 24, 24, 15)])
    text = weekly.text("/")
    assert "example.com 120 visitors in the week from Mar 23 on" in text
    assert "daily.example 15 visitors on Mar 30" in text


@pytest.mark.parametrize(("language", "said"), [("de", "Diese Woche, bis jetzt"), ("ar", "هذا الأسبوع حتى الآن")])
def test_weeks_are_told_in_each_language(weekly: Installation, weeks: Sealer, language: str, said: str) -> None:
    assert said in weekly.text(f"{PATH}?lang={language}")


def test_weeks_are_compared_with_whole_weeks(weekly: Installation, weeks: Sealer) -> None:
    asked = "/api/stats?site=example.com&from=2026-03-25&to=2026-03-25&compare="
    for compare, first, last in (("previous", "2026-03-16", "2026-03-22"), ("year", "2025-03-24", "2025-03-30")):
        before = weekly.get(asked + compare)[1]["before"]
        assert isinstance(before, dict)
        assert (before["from"], before["to"], len(before["days"])) == (first, last, 1)
    text = weekly.text(f"{PATH}?period=7d&compare=year")
    assert "Compare with Nothing The weeks before A year before" in text
    assert "Weeks of these that are not sealed: 1." in text
