"""What an experiment shows: which part of each variant's visitors reached a goal, and how far that is from the first's.

Intervals are of 95 %, and wide enough for what rounding leaves open: a shown number of visitors stands for up to k - 1
more in each row. Of a part it is Wilson's score interval (E. B. Wilson, Journal of the American Statistical Association
22, 1927, pages 209 to 212), of a difference Newcombe's, made of two of these (R. G. Newcombe, Statistics in Medicine
17, 1998, pages 873 to 890, method 10). Both take visitors for independent; who came on two days is counted twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from collector.declared import Declared

# Of the normal distribution 95 % lie between minus and plus this.
Z = 1.959963984540054

Interval = tuple[float, float]


@dataclass(frozen=True)
class Visitors:
    """Visitors added up over some rows, as shown."""

    shown: int
    rows: int

    def most(self, k: int) -> int:
        """What they can be in truth; with `k` 1 numbers are as counted."""
        return self.shown + (k - 1) * self.rows


@dataclass(frozen=True)
class Arm:
    """Who met a variant, and who of them reached the goal."""

    met: Visitors
    reached: Visitors


@dataclass(frozen=True)
class Result:
    """One variant and goal. `rate`, and `difference` from the first variant's (None of the first), are shares of 1."""

    experiment: str
    variant: str
    goal: str
    visitors: int
    reached: int
    rate: Interval
    difference: Interval | None


def results_of(declared: Declared, arms: Mapping[tuple[str, str], Arm], k: int) -> tuple[Result, ...]:
    """Each variant and goal of which there are numbers, in the order declared; `arms` by (EXPERIMENT/VARIANT, goal)."""
    return tuple(_results(declared, arms, k))


def _results(declared: Declared, arms: Mapping[tuple[str, str], Arm], k: int) -> Iterable[Result]:
    for experiment in declared.experiments:
        for goal in declared.goals:
            of_variants = [
                (variant, arms.get((f"{experiment.name}/{variant}", goal.name))) for variant in experiment.variants
            ]
            first = of_variants[0][1]
            for variant, arm in of_variants:
                if arm is None or first is None or arm.met.shown == 0:
                    continue
                difference = None if variant == experiment.variants[0] else difference_of(arm, first, k)
                numbers = arm.met.shown, arm.reached.shown
                yield Result(experiment.name, variant, goal.name, *numbers, rate_of(arm, k), difference)


def rate_of(arm: Arm, k: int) -> Interval:
    """The widest interval over all true numbers that are shown as these."""
    fewest = wilson(arm.reached.shown, arm.met.most(k))
    most = wilson(min(arm.reached.most(k), arm.met.shown), arm.met.shown)
    return fewest[0], most[1]


def difference_of(arm: Arm, first: Arm, k: int) -> Interval:
    """The same of the difference between two parts: each end where one is at its least and the other at its most."""
    least, most = (arm.reached.shown, arm.met.most(k)), (min(arm.reached.most(k), arm.met.shown), arm.met.shown)
    of_first = (first.reached.shown, first.met.most(k)), (min(first.reached.most(k), first.met.shown), first.met.shown)
    return newcombe(least, of_first[1])[0], newcombe(most, of_first[0])[1]


def wilson(reached: int, of: int) -> Interval:
    """The score interval of the part `reached` / `of`, which is 1 at least."""
    part, z2 = reached / of, Z * Z
    middle = (part + z2 / (2 * of)) / (1 + z2 / of)
    half = Z / (1 + z2 / of) * math.sqrt(part * (1 - part) / of + z2 / (4 * of * of))
    return max(0.0, middle - half), min(1.0, middle + half)


def newcombe(one: tuple[int, int], other: tuple[int, int]) -> Interval:
    """The interval of the difference between two parts, each (reached, of)."""
    first, second = one[0] / one[1], other[0] / other[1]
    (low_1, high_1), (low_2, high_2) = wilson(*one), wilson(*other)
    difference = first - second
    below = math.hypot(first - low_1, high_2 - second)
    above = math.hypot(high_1 - first, second - low_2)
    return difference - below, difference + above
