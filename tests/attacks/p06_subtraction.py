"""P6: no subtraction pins a group below k. Every hidden count has to keep at least k possible values.

The attacker writes down `system.System` of a sealed site-day and asks a linear program for the least and the greatest
value of each hidden count: what a dimension's total leaves beside its shown cells, a browser's versions that were
folded away, a measure that a shown row has as 0. Three degrees are counted:

- narrow: fewer than k values are possible. This is the promise's own figure.
- pinned: moreover it is certain that somebody is there, and fewer than k: a group below k is isolated.
- known: one value is possible.

A range that is too narrow is a proof; one that is wide enough is none, because counts are whole numbers and the
program's are not. The truth is compared with every range, so that a system that assumes too much shows itself.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tests.attacks import crossed, nested
from tests.attacks.crowds import Crowd, open_day, words
from tests.attacks.laboratory import BERLIN, DAY, Key, Laboratory, Outputs, Scene
from tests.attacks.oracle import Counted, counted
from tests.attacks.system import EDGE, MEASURES, Hidden, Reading, System, system_of
from tests.attacks.verdict import Count, Verdict
from tests.attacks.weakened import (
    CROSSES_BEYOND_THE_WHOLE,
    EACH_NUMBER_ROUNDED_DOWN,
    SUMS_BIND,
    THRESHOLD_OFF,
    TO_THE_NEAREST,
    Weakening,
)


@dataclass
class Found:
    """Hidden counts looked at, and how much was found out about them."""

    site_days: int = 0
    trials: int = 0
    narrow: int = 0
    pinned: int = 0
    known: int = 0
    unsound: int = 0
    days_narrow: int = 0
    days_pinned: int = 0
    where: Counter[str] = field(default_factory=Counter)
    by_k: Counter[tuple[int, str]] = field(default_factory=Counter)
    example: str = ""

    def add(self, hidden: Hidden, low: int, high: int, k: int, true: int) -> None:
        self.trials += 1
        self.by_k[k, "hidden"] += 1
        self.unsound += not low <= true <= high
        if high - low + 1 >= k:
            return
        self.narrow += 1
        self.by_k[k, "narrow"] += 1
        self.known += low == high
        self.where[f"{hidden.dimension or 'total'} {MEASURES[hidden.measure]}"] += 1
        if low >= 1 and high < k:
            self.pinned += 1
            self.by_k[k, "pinned"] += 1
            self.example = self.example or (
                f"{MEASURES[hidden.measure]} of {hidden.dimension} {hidden.name!r}: {low} to {high}, in truth {true}"
            )

    def told(self) -> str:
        often = ", ".join(f"{name} {count}" for name, count in self.where.most_common(4))
        each = "; ".join(
            f"k = {k}: " + ", ".join(f"{self.by_k[k, degree]:,} {degree}" for degree in ("hidden", "narrow", "pinned"))
            for k in sorted({k for k, _ in self.by_k})
        )
        return (
            f"{self.trials:,} hidden counts of {self.site_days} site-days: {self.narrow:,} narrow"
            f" (on {self.days_narrow} days), {self.pinned:,} pinned below k (on {self.days_pinned} days),"
            f" {self.known:,} known, {self.unsound} ranges without the truth; {each}"
            + (f"; most often {often}" if often else "")
            + (f"; for example {self.example}" if self.example else "")
        )


# How a weakened build is read, and what of it is counted.
WEAKENED: tuple[tuple[Weakening, Reading], ...] = (
    (EACH_NUMBER_ROUNDED_DOWN, "floored"),
    (TO_THE_NEAREST, "nearest"),
    (SUMS_BIND, "components"),
)


def attack(
    laboratory: Laboratory,
    crowds: Sequence[Crowd],
    weak: Sequence[Crowd],
    weakened: Sequence[tuple[Weakening, Reading]] = WEAKENED,
) -> Verdict:
    """Against `crowds` as sealed, and `weak` with the numbers of the weakened builds."""
    with laboratory.scene() as scene:
        found = look(scene, crowds, "components")
        verdict = Verdict("P6", "linear programs over all shown numbers", found.trials, found.narrow + found.unsound)
        verdict.remarks.append(f"level rounded: {found.told()}")
        for weakening, reading in weakened:
            worse = look(scene, weak, reading, weakening)
            verdict.weakened.append(Count(f"{weakening.name}: narrow", worse.trials, worse.narrow))
        exact = look(scene, weak, "exact", exact=True)
        verdict.weakened.append(Count("level exact (a setting): pinned", exact.trials, exact.pinned))
        off = look(scene, weak, "components", THRESHOLD_OFF, below_k=True)
        verdict.weakened.append(Count("threshold off: cells below k shown", off.trials, off.pinned))
    return verdict


def attack_crosses(laboratory: Laboratory, crowds: Sequence[Crowd], weak: Sequence[Crowd]) -> Verdict:
    """The same with all that is shown of two dimensions at a time; the weakened build seals `weak`."""
    with laboratory.scene() as scene:
        found = look(scene, crowds, "components", crosses=True)
        weaker = look(scene, weak, "components", CROSSES_BEYOND_THE_WHOLE, crosses=True)
        told = "linear programs, with two dimensions at a time"
        verdict = Verdict("P6", told, found.trials, found.narrow + found.unsound)
        verdict.remarks.append(f"crosses: {found.told()}")
        verdict.weakened.append(Count(f"{CROSSES_BEYOND_THE_WHOLE.name}: narrow", weaker.trials, weaker.narrow))
    return verdict


def crossed_crowds_of(count: int, seed: int = 105) -> list[Crowd]:
    """Sites of up to 200 visits a day; on the first, 12 people are in few values, and nearly all in the largest."""
    sizes, ks = (12, 18, 24, 30, 40, 60, 90, 130), (5, 5, 3, 5, 10, 2, 5)
    return [Crowd(f"crossed-{n}.example", sizes[n % 8], ks[n % 7], seed) for n in range(count)]


def crowds_of(count: int, ks: Sequence[int] = (5, 5, 5, 2, 3, 10), seed: int = 6) -> list[Crowd]:
    """Sites of up to 200 visits a day; a visitor makes 1.5 visits."""
    sizes = (6, 8, 10, 14, 20, 30, 45, 60, 90, 130)
    return [Crowd(f"small-{n}.example", sizes[n % 10], ks[n % len(ks)], seed) for n in range(count)]


def look(
    scene: Scene,
    crowds: Sequence[Crowd],
    reading: Reading,
    weakening: Weakening | None = None,
    *,
    exact: bool = False,
    below_k: bool = False,
    crosses: bool = False,
) -> Found:
    """Seals the crowds by a build and attacks each site-day; with `below_k` it only counts shown groups below k, with
    `crosses` it knows of two dimensions at a time, too."""
    found = Found()
    opened = open_day(DAY, BERLIN, crowds)
    scene.fill(opened)
    scene.seal({crowd.site: crowd.k for crowd in crowds}, weakening, exact=exact, declared=nested.DECLARED)
    outputs = scene.outputs()
    scene.forget_trends()
    for place, crowd in enumerate(crowds):
        of_site = outputs.get(crowd.site)
        if of_site is None or of_site.total is None:
            continue
        found.site_days += 1
        if below_k:
            _count_shown_below_k(of_site, crowd.k, found)
            continue
        truth = counted(opened.rows[opened.rows["site"] == place])
        true = _Truth(truth, crossed.Truth(truth, list(of_site.values), opened.starts_ms))
        system = system_of(of_site, crowd.k, reading)
        if crosses:
            crossed.Tables(system, of_site).add()
        _solve(system, true, found)
    return found


def _count_shown_below_k(outputs: Outputs, k: int, found: Found) -> None:
    """Without a threshold nothing is hidden: a shown number of fewer than k visitors is the pin."""
    for key, numbers in outputs.values.items():
        if key[0] not in ("page", "event"):
            found.trials += 1
            found.pinned += numbers[0] < k


def _solve(system: System, true: _Truth, found: Found) -> None:
    narrow, pinned = found.narrow, found.pinned
    for hidden in system.hidden:
        if system.is_wide(hidden.variable):
            found.trials += 1
            found.by_k[system.k, "hidden"] += 1
            continue
        ends = system.range_of(hidden.variable)
        if ends is None:
            found.trials += 1
            found.unsound += 1
            continue
        low = math.ceil(ends[0] - EDGE)
        high = math.floor(ends[1] + EDGE)
        found.add(hidden, low, high, system.k, true.of(hidden))
    found.days_narrow += found.narrow > narrow
    found.days_pinned += found.pinned > pinned


class _Truth:
    """The exact count of each hidden group, by the oracle."""

    def __init__(self, counted_rows: Counted, of_crosses: crossed.Truth) -> None:
        self._counted, self._of_crosses = counted_rows, of_crosses
        self._known: dict[tuple[str, str], tuple[int, ...]] = {}
        self._of_nested: dict[Key | None, tuple[int, ...]] = {}
        self._rows = nested.rows_of(counted_rows)

    def of(self, hidden: Hidden) -> int:
        if hidden.nested:
            whole, *parts = (self._of_group(key)[hidden.measure] for key in hidden.nested)
            return whole - sum(parts)
        if hidden.crossed:
            whole, *parts = (self._of_crosses.of(where)[hidden.measure] for where in hidden.crossed)
            return whole - sum(parts)
        key = (hidden.dimension, hidden.name)
        if key not in self._known:
            self._known[key] = self._numbers(hidden.dimension, hidden.holds)
        return self._known[key][hidden.measure]

    def _numbers(self, dimension: str, holds: Callable[[str, str], bool]) -> tuple[int, ...]:
        if not dimension:
            groups = np.zeros(len(self._counted.rows), np.int64)
        else:
            within = [0 if value and holds(parent, value) else -1 for parent, value in words().cells(dimension)]
            codes = self._counted.codes(dimension)
            groups = np.where(codes >= 0, np.array(within)[codes], -1)
        return tuple(int(number) for number in self._counted.group(groups, 1).numbers()[0])

    def _of_group(self, key: Key | None) -> tuple[int, ...]:
        if key not in self._of_nested:
            if key is not None and key[0] == "flow":
                self._rows = {**self._rows, key: nested.moves_of(self._counted, key)}
            if key is None or key in self._rows:
                is_counted = np.ones(len(self._counted.rows), bool) if key is None else self._rows[key]
                tally = self._counted.group(np.where(is_counted, 0, -1), 1)
                self._of_nested[key] = tuple(int(number) for number in tally.numbers()[0])
            else:
                self._of_nested[key] = self._numbers(key[0], lambda parent, value: (parent, value) == key[1:])
        return self._of_nested[key]
