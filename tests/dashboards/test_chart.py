"""The curve: places in percent, no line through what nobody knows, and never higher than a day was."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.chart import HIGHEST, LOWEST, Chart, Value, chart_of, sparkline

NUMBERS = st.lists(st.none() | st.integers(0, 100_000), min_size=1, max_size=100)


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.e-]+),(-?[\d.e-]+)", path)]


def test_a_curve_runs_from_edge_to_edge_and_from_bottom_to_top() -> None:
    chart = sparkline([0, 5, 10])
    assert [(mark.x, mark.y) for mark in chart.marks] == [(0, LOWEST), (50, 57.5), (100, HIGHEST)]


def test_right_to_left_is_the_same_mirrored() -> None:
    plain, mirrored = sparkline([0, 5, 10]), sparkline([0, 5, 10], mirrored=True)
    assert [mark.x for mark in mirrored.marks] == [100 - mark.x for mark in plain.marks]
    assert [mark.y for mark in mirrored.marks] == [mark.y for mark in plain.marks]


def test_what_has_no_number_leaves_a_gap() -> None:
    chart = sparkline([1, 2, None, 4, 5])
    assert len(chart.strokes) == 2
    assert [gap.x for gap in chart.gaps] == [50]


def test_a_number_between_gaps_is_a_dot() -> None:
    chart = sparkline([None, 3, None, 4, 4])
    assert [mark.is_alone for mark in chart.marks] == [False, True, False, False, False]
    assert [mark.is_alone for mark in sparkline([3]).marks] == [True]


@pytest.mark.parametrize(("most", "top"), [(0, 2), (2, 2), (3, 4), (10, 10), (11, 15), (430, 500), (1_001, 1_500)])
def test_the_scale_ends_at_a_round_number_with_a_round_half(most: int, top: float) -> None:
    assert [line.number for line in sparkline([most]).lines] == [top / 2, top]


@given(NUMBERS)
def test_no_curve_leaves_its_drawing(numbers: list[int | None]) -> None:
    for mirrored in (False, True):
        for path in sparkline(numbers, mirrored=mirrored).strokes:
            assert all(-0.01 <= x <= 100.01 and HIGHEST - 0.01 <= y <= LOWEST + 0.01 for x, y in points(path))


@given(NUMBERS)
def test_every_place_reacts_to_a_pointer_and_none_twice(numbers: list[int | None]) -> None:
    for stepped in (False, True):
        chart = chart_of([Value("", "", number) for number in numbers], stepped=stepped)
        edges = [(mark.left, mark.left + mark.width) for mark in chart.marks]
        assert edges[0][0] == 0
        assert edges[-1][1] == pytest.approx(100, abs=0.01)
        assert all(before[1] == pytest.approx(after[0], abs=0.01) for before, after in pairwise(edges))


def labelled(count: int) -> Chart:
    return chart_of([Value(str(place), "", 1) for place in range(count)])


@pytest.mark.parametrize("count", [1, 2, 7, 30, 52, 92])
def test_labels_are_few_and_the_last_day_has_one(count: int) -> None:
    labels = labelled(count).labels
    assert len(labels) <= 6
    assert labels[-1].text == str(count - 1)
    assert not labels[-1].is_minor


def test_hours_are_steps_labelled_by_quarters_of_the_day() -> None:
    hours = [Value(f"{hour:02}:00", "", hour // 6) for hour in range(24)]
    chart = chart_of(hours, stepped=True)
    assert [(label.x, label.text) for label in chart.labels] == [
        (0, "00:00"),
        (25, "06:00"),
        (50, "12:00"),
        (75, "18:00"),
    ]
    assert "C" not in chart.strokes[0]
    mirrored = chart_of(hours, stepped=True, mirrored=True)
    assert [label.x for label in mirrored.labels] == [100, 75, 50, 25]
    assert mirrored.strokes[0].startswith("M100,")
