"""Exact counts into noisy ones, and what that costs: the mechanism of level `dp`, by OpenDP.

Each table of a day, its totals and the values of each dimension, gets discrete Gaussian noise (Canonne, Kamath,
Steinke, arXiv 2004.00010). Values that nobody knows beforehand, such as pages, appear where their noisy count is above
a threshold (Rogers, arXiv 2309.09170): that one visitor's own value does so has the probability delta. What all tables
together cost one visitor is the sum of OpenDP's privacy maps (zero-concentrated), turned into epsilon and delta by
OpenDP, too.

Invariants: this module knows no store and no settings but `Noise`, and takes counts that are bounded already
(`collector.noise`); noise comes from the operating system's generator by way of OpenDP and cannot be repeated. It is
imported where a site has level `dp`, and not before: it needs the extra `dp`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import opendp.prelude as dp

from collector import noise

# Of rho, which adds up over tables: each table the same; of the totals the visitors half, the rest shares the other.
OF_TOTALS: Mapping[str, float] = {"visitors": 1 / 2, "visits": 1 / 4, "views": 1 / 4}
MOST_OF_TOTALS: Mapping[str, int] = {"visitors": 1, "visits": noise.VISITS, "views": noise.VIEWS}
# Of delta: half turns rho into epsilon, half is for the thresholds.
OF_THRESHOLDS = 1 / 2
# Scales are chosen for so much less than is promised: what OpenDP's maps add by rounding up is 1e-15 of it.
SPARE = 1e-9


class Loss(NamedTuple):
    """What one visitor token loses on one day, over all tables."""

    epsilon: float
    delta: float


@dataclass(frozen=True)
class Selection:
    """Noise of one dimension: its standard deviation, and the count above which a value appears."""

    most: int
    scale: float
    threshold: int


@dataclass(frozen=True)
class Plan:
    """The noise of every table: standard deviations of the totals by measure, and of dimensions by name."""

    totals: Mapping[str, float]
    dimensions: Mapping[str, Selection]
    loss: Loss


def plan_of(promised: noise.Noise) -> Plan:
    """The least noise that keeps what is promised; `loss` is what OpenDP's maps say of it, and never more."""
    dp.enable_features("contrib")
    of_threshold = OF_THRESHOLDS * promised.delta
    rho = (1 - SPARE) * _largest_rho(promised.epsilon, promised.delta - of_threshold)
    each = rho / (1 + len(promised.dimensions))
    totals = {name: MOST_OF_TOTALS[name] / math.sqrt(2 * each * share) for name, share in OF_TOTALS.items()}
    dimensions = {
        name: _selection(noise.VALUES[name], each, (1 - SPARE) * of_threshold / len(promised.dimensions))
        for name in promised.dimensions
    }
    loss = _loss(totals, dimensions, promised.delta - of_threshold)
    if loss.epsilon > promised.epsilon or loss.delta > promised.delta:
        raise AssertionError("the noise that was chosen does not keep what is promised")
    return Plan(totals, dimensions, loss)


def noisy_totals(plan: Plan, measure: str, counts: Sequence[int]) -> list[int]:
    """One measure of many sites, each count with noise of its own; a visitor is in one of them alone."""
    return [int(count) for count in _adding(plan.totals[measure])(list(counts))] if counts else []


def noisy_values(plan: Plan, dimension: str, counts: Sequence[int]) -> dict[int, int]:
    """By place in `counts`, the visitors of values of many sites: those whose noisy count is above the threshold."""
    selection = plan.dimensions[dimension]
    found = _selecting(selection.scale, selection.threshold)(dict(enumerate(counts))) if counts else {}
    return {int(place): int(count) for place, count in found.items()}


def _adding(scale: float) -> dp.Measurement:
    return dp.m.make_gaussian(dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T="f64"), scale=scale)


def _selecting(scale: float, threshold: int) -> dp.Measurement:
    counts = dp.map_domain(dp.atom_domain(T="u32"), dp.atom_domain(T="i64"))
    return dp.m.make_gaussian_threshold(
        counts, dp.l02inf_distance(dp.absolute_distance(T="f64")), scale=scale, threshold=threshold
    )


def _cost(of: dp.Measurement, distance: object) -> Any:  # noqa: ANN401  a number, a pair or a curve, by the measure
    """What OpenDP's privacy map says of inputs so far apart."""
    return of.map(distance)  # type: ignore[no-untyped-call]  # so it is shipped


def _of_selection(selection: Selection) -> tuple[float, float]:
    """Rho and delta: a visitor changes `most` counts, each by one."""
    distance = (selection.most, _up(math.sqrt(selection.most)), 1.0)
    rho, delta = _cost(_selecting(selection.scale, selection.threshold), distance)
    return float(rho), float(delta)


def _selection(most: int, rho: float, delta: float) -> Selection:
    """The lowest threshold that costs `delta` at most."""
    scale = math.sqrt(most / (2 * rho))
    # So high a count is noise with a probability below 1e-300.
    highest = math.ceil(1 + 40 * scale)
    threshold = _least(1, highest, lambda at: _of_selection(Selection(most, scale, at))[1] <= delta)
    return Selection(most, scale, threshold)


def _loss(totals: Mapping[str, float], dimensions: Mapping[str, Selection], delta: float) -> Loss:
    """OpenDP's maps of every table that is published, added up; `delta` is what turns rho into epsilon."""
    rho = math.fsum(float(_cost(_adding(scale), float(MOST_OF_TOTALS[name]))) for name, scale in totals.items())
    selections = [_of_selection(selection) for selection in dimensions.values()]
    rho += math.fsum(each for each, _ in selections)
    return Loss(_epsilon(_up(rho), delta), delta + math.fsum(each for _, each in selections))


def _epsilon(rho: float, delta: float) -> float:
    """What OpenDP says of a mechanism that costs `rho`: Gaussian noise of standard deviation 1 on a distance."""
    distance = _up(math.sqrt(2 * rho))
    return float(_cost(dp.c.make_zCDP_to_approxDP(_adding(1.0)), distance).epsilon(delta))


def _largest_rho(epsilon: float, delta: float) -> float:
    """By bisection: an epsilon of 10 at a delta of 1e-5 takes less than 3, and more rho never a smaller epsilon."""
    low, high = 0.0, 3.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _epsilon(middle, delta) <= epsilon else (low, middle)
    return low


def _least(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The least number for which it holds; it does for `high`, and for all above one for which it does."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _up(number: float) -> float:
    return math.nextafter(number, math.inf)
