"""Intervals of experiments: those of the books, and never narrower than what rounding leaves open."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.declared import Declared, Experiment, Goal
from dashboards.experiments import Arm, Visitors, difference_of, newcombe, rate_of, results_of, wilson

CLOSE, TINY = 5e-5, 1e-9


@pytest.mark.parametrize(
    ("reached", "of", "low", "high"),
    # R. G. Newcombe, Statistics in Medicine 17, 1998, pages 857 to 872, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_is_that_of_the_literature(reached: int, of: int, low: float, high: float) -> None:
    assert wilson(reached, of) == pytest.approx((low, high), abs=CLOSE)


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    # R. G. Newcombe, Statistics in Medicine 17, 1998, pages 873 to 890, table II, method 10.
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_newcombes_interval_is_that_of_the_literature(
    one: tuple[int, int], other: tuple[int, int], low: float, high: float
) -> None:
    assert newcombe(one, other) == pytest.approx((low, high), abs=CLOSE)


@st.composite
def arms(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    """k, and two arms as in truth: (who reached the goal, who met the variant)."""
    k = draw(st.integers(2, 10))
    met = [draw(st.integers(k, 120)) for _ in range(2)]
    return k, [(draw(st.integers(k, each)), each) for each in met]


def as_shown(arm: tuple[int, int], k: int) -> Arm:
    return Arm(met=Visitors(arm[1] // k * k, 1), reached=Visitors(arm[0] // k * k, 1))


@settings(max_examples=400)
@given(arms())
def test_what_is_told_holds_the_interval_of_the_true_numbers(drawn: tuple[int, list[tuple[int, int]]]) -> None:
    k, (one, other) = drawn
    first, second = as_shown(one, k), as_shown(other, k)
    true, told = wilson(*one), rate_of(first, k)
    assert told[0] - TINY <= true[0] <= true[1] <= told[1] + TINY
    true, told = newcombe(one, other), difference_of(first, second, k)
    assert told[0] - TINY <= true[0] <= true[1] <= told[1] + TINY


def test_every_variant_is_compared_with_the_first_and_none_without_it() -> None:
    declared = Declared(
        goals=(Goal("Buy", page="/thanks"), Goal("Sign-up", event="signup")),
        experiments=(Experiment("button", ("blue", "green", "red")),),
    )
    arm = Arm(Visitors(100, 1), Visitors(20, 1))
    numbers = {("button/blue", "Buy"): arm, ("button/green", "Buy"): arm, ("button/red", "Sign-up"): arm}
    told = results_of(declared, numbers, 5)
    assert [(each.variant, each.goal, each.difference is None) for each in told] == [
        ("blue", "Buy", True),
        ("green", "Buy", False),
    ]
    assert told[1].difference is not None
    assert told[1].difference[0] < 0 < told[1].difference[1]
