"""Rates say no more than the rounded numbers they are made of: the truth is always in the range."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dashboards.rates import Counted, Rate, rate_of


@st.composite
def days(draw: st.DrawFn) -> tuple[int, list[tuple[int, int, int, int]]]:
    """k, and of some days (all visitors, all visits, visitors that reached a goal, visits that did), as in truth."""
    k = draw(st.integers(2, 20))
    each = []
    for _ in range(draw(st.integers(1, 5))):
        visitors, further = draw(st.integers(k, 300)), draw(st.integers(0, 200))
        reached = draw(st.integers(k, visitors))
        each.append((visitors, visitors + further, reached, reached + draw(st.integers(0, further))))
    return k, each


def shown(visitors: int, visits: int, k: int) -> int:
    return visitors // k * k + (visits - visitors) // k * k


@given(days())
def test_the_truth_is_between_the_two_percentages(drawn: tuple[int, list[tuple[int, int, int, int]]]) -> None:
    k, of_days = drawn
    part = Counted(sum(shown(visitors, visits, k) for *_, visitors, visits in of_days), len(of_days))
    whole = Counted(sum(shown(visitors, visits, k) for visitors, visits, *_ in of_days), len(of_days))
    true = 100 * sum(day[3] for day in of_days) / sum(day[1] for day in of_days)
    rate = rate_of(part, whole, k)
    assert rate is not None
    assert rate.at_least <= true <= rate.at_most <= 100
    assert rate.at_least <= rate.percent <= rate.at_most


def test_numbers_as_counted_give_one_percentage_and_rounded_ones_a_range() -> None:
    assert rate_of(Counted(25, 1), Counted(100, 1), 1) == Rate(25, 25, 25)
    assert rate_of(Counted(25, 1), Counted(100, 1), 5) == Rate(25, 23, 33)
    assert rate_of(Counted(25, 1), Counted(100, 1), 10) == Rate(25, 21, 43)


def test_without_a_whole_there_is_no_rate() -> None:
    assert rate_of(Counted(0, 0), Counted(0, 0), 5) is None
