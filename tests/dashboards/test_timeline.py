"""The course of a period: by hours, days or weeks, with the reason where a place has no number."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from aggregator.live import Measures
from collector.settings import Site, load
from dashboards.question import Question
from dashboards.shown_days import Day, total_of
from dashboards.stats import Span, Stats
from dashboards.timeline import Timeline, timeline_of
from dashboards.words import read_languages

LAST = date(2026, 3, 30)


@pytest.fixture(scope="module")
def site() -> Site:
    return load(None, Path.cwd(), {"FOOTFALL_SITE__DOMAIN": "example.com"}).sites["example.com"]


def measures(number: int) -> Measures:
    return Measures(*[number] * 6)


def course(site: Site, days: int, number: int = 10, spans: tuple[Span, ...] | None = None) -> Timeline | None:
    """The course of `days` days before April; the second last had fewer than k networks."""
    first = LAST - timedelta(days=days - 1)
    listed = tuple(
        Day(day, day, *("fewer than k", None) if day == LAST - timedelta(days=1) else ("sealed", measures(number)))
        for day in (first + timedelta(days=after) for after in range(days))
    )
    answer = Stats(Question(site, first, LAST, (), 100), total_of(listed), listed, spans, {}, {}, (), None, ())
    return timeline_of(read_languages()["en"], answer)


@pytest.mark.parametrize(("days", "places"), [(7, 7), (92, 92), (93, 14), (364, 52)])
def test_up_to_three_months_go_by_days_and_longer_ones_by_weeks(site: Site, days: int, places: int) -> None:
    timeline = course(site, days)
    assert timeline is not None
    assert len(timeline.steps) == places == len(timeline.chart.marks)


def test_a_week_is_the_sum_of_its_days_with_numbers(site: Site) -> None:
    timeline = course(site, 364)
    assert timeline is not None
    visitors = [step.measures.visitors for step in timeline.steps if step.measures]
    assert visitors == [70] * 51 + [60]


def test_where_visitors_are_counted_a_day_below_k_says_so(tmp_path: Path) -> None:
    environ = {"FOOTFALL_SITE__DOMAIN": "example.com", "FOOTFALL_SITE__DISTINCT": "visitor"}
    timeline = course(load(None, tmp_path, environ).sites["example.com"], 7)
    assert timeline is not None
    assert timeline.chart.marks[5].told == "Sun, Mar 29, 2026: fewer than 5 visitors"


def test_a_day_without_a_number_says_why(site: Site) -> None:
    timeline = course(site, 7)
    assert timeline is not None
    assert [step.absence for step in timeline.steps if step.measures is None] == ["fewer than 5 networks"]
    assert timeline.chart.marks[5].told == "Sun, Mar 29, 2026: fewer than 5 networks"
    assert timeline.chart.marks[6].told == "Mon, Mar 30, 2026: 10 visitors"


def test_the_hours_of_a_span_share_its_visitors(site: Site) -> None:
    timeline = course(site, 1, spans=(Span(0, 20, measures(40)), Span(20, 4, measures(20))))
    assert timeline is not None
    assert [step.time for step in timeline.steps] == ["00:00–20:00", "20:00–00:00"]
    assert [line.number for line in timeline.chart.lines] == [3, 6]
    assert timeline.chart.marks[0].told == "00:00–20:00: 40 visitors"


def test_hours_that_sealing_left_out_are_a_gap_with_its_reason(site: Site) -> None:
    timeline = course(site, 1, spans=(Span(2, 20, measures(40)),))
    assert timeline is not None
    assert [(step.time, step.measures is None) for step in timeline.steps] == [
        ("00:00–02:00", True),
        ("02:00–22:00", False),
        ("22:00–00:00", True),
    ]
    assert len(timeline.chart.marks) == 24
    assert timeline.chart.marks[0].told == "00:00–02:00: not shown, lest it be told from the rest of the day"


def test_without_any_number_there_is_no_curve(site: Site) -> None:
    first = LAST - timedelta(days=1)
    days = (Day(first, first, "fewer than k", None), Day(LAST, LAST, "not sealed", None))
    answer = Stats(Question(site, first, LAST, (), 100), None, days, None, {}, {}, (), None, ())
    assert timeline_of(read_languages()["en"], answer) is None
