"""What an attacker who knows k and the rules can write down about one sealed day of one site: a linear program.

A variable is an exact count (visitors, visits, views, events, bounces of a group), shown or hidden. A shown number
bounds its variable. The rest are identities that every reader of design.md knows:

- shown cells, rests and what is hidden add up to the total: views, events, bounces and visits in each dimension that
  divides them; visitors in those that do not change during a visitor's day;
- a browser is the sum of its versions, a system of its own; what is folded adds up to the rest it is folded into;
- a group within another has no more visitors than it, and no more visits beyond the first of each visitor;
- hours tile the day: views, events and bounces add up; visitors and visits are at most the day's, together at least;
- within any group, shown or hidden: visitors <= visits <= views + events, bounces <= visits and <= views;
- a shown group is of k networks, so of at least k visitors.

The system is sound: the truth fulfils it (the attack checks that with the oracle), so what it excludes is not so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog
from scipy.sparse import csr_array

from aggregator.dimensions import DIMENSIONS, OTHER
from tests.attacks import nested
from tests.attacks.laboratory import Key, Numbers, Outputs

Reading = Literal["components", "floored", "nearest", "exact"]
"""How numbers were rounded: the product's way (aggregator/sql/shown.sql), or that of a weakened build."""
MEASURES = ("visitors", "visits", "views", "events", "bounces")
VISITORS, VISITS, VIEWS, EVENTS, BOUNCES = range(5)
ALL = (VISITORS, VISITS, VIEWS, EVENTS, BOUNCES)
# Which measures a dimension divides: of each, every counted row is in exactly one cell.
DIVIDED = {
    **dict.fromkeys(("country", "browser", "browser_version", "os", "os_version", "device", "screen", "language"), ALL),
    "page": (VIEWS, BOUNCES),
    **dict.fromkeys(("entry", "exit", "channel", "source"), (VISITS, VIEWS, EVENTS, BOUNCES)),
    "event": (EVENTS,),
}
WITHOUT_MEASURE = {"page": (EVENTS,), "event": (VIEWS, BOUNCES)}
UPPER = {"browser_version": "browser", "os_version": "os", "source": "channel"}
HAVE_PARENTS = ("page", "entry", "exit", *UPPER)
UNBOUNDED = np.inf
INFEASIBLE = 2
# What a linear program's numbers may be off by.
EDGE = 1e-6
# More than a site of 200 visits a day can have of anything: a bound on every count, so that each program has an end.
MOST = 100_000.0

Group = tuple[int, ...]
"""The variables of one group of people, by measure."""


@dataclass(frozen=True)
class Hidden:
    """A count that is not shown: `variable`, of the group of cells (parent, value) of `dimension` that `holds`."""

    variable: int
    measure: int
    dimension: str
    name: str
    holds: Callable[[str, str], bool]
    # Of groups within groups: (whole,) for a group itself, (whole, part) for what of it is not in a part; None is all.
    nested: tuple[Key | None, ...] = ()
    # Of two dimensions at a time: who is in all of the first values, without who is in all of the others.
    crossed: tuple[tuple[tuple[str, Key | None], ...], ...] = ()


@dataclass
class System:
    """Inequalities over exact counts. `hidden` are what the attacker is after."""

    k: int
    reading: Reading
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    sums: list[tuple[Mapping[int, int], float, float]] = field(default_factory=list)
    hidden: list[Hidden] = field(default_factory=list)
    groups: Mapping[Key, Group] = field(default_factory=dict)
    total: Group = ()
    _made: tuple[object, object, object, object] | None = field(default=None, init=False)
    _least: npt.NDArray[np.float64] | None = field(default=None, init=False)
    _greatest: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0), init=False)

    def unknown(self) -> Group:
        """A group of which nothing is shown."""
        group = tuple(self._variable(0, UNBOUNDED) for _ in ALL)
        self._relate(group)
        return group

    def people(self) -> Group:
        """A group of which nothing is shown, and of which visitors and visits alone are asked."""
        group = (self._variable(0, UNBOUNDED), self._variable(0, UNBOUNDED))
        self.add({group[VISITORS]: 1, group[VISITS]: -1}, -UNBOUNDED, 0)
        return group

    def shown_people(self, numbers: Numbers) -> Group:
        """A group with its published visitors and visits."""
        group = self.people()
        self.add({group[VISITORS]: 1}, *self._bounds(numbers[VISITORS]))
        self.add({group[VISITS]: 1, group[VISITORS]: -1}, *self._bounds(numbers[VISITS] - numbers[VISITORS]))
        return group

    def nothing(self) -> int:
        """A variable that is 0."""
        return self._variable(0, 0)

    def shown(self, numbers: Numbers, dimension: str = "") -> Group:
        """A group with its published numbers; a measure shown as 0 may be hidden."""
        without = WITHOUT_MEASURE.get(dimension, ())
        group = tuple(self._variable(0, 0 if measure in without else UNBOUNDED) for measure in ALL)
        below: Mapping[int, int | None] = dict.fromkeys(ALL)
        if self.reading == "components":
            below = _counted_from(numbers, dimension)
        for measure, base in below.items():
            if numbers[measure] == 0 and measure >= VIEWS:
                continue
            if base is None:
                low, high = self._bounds(numbers[measure])
                self.add({group[measure]: 1}, low, high)
            else:
                low, high = self._bounds(numbers[measure] - numbers[base])
                self.add({group[measure]: 1, group[base]: -1}, low, high)
        self._relate(group)
        return group

    def add(self, coefficients: Mapping[int, int], low: float, high: float) -> None:
        self.sums.append((coefficients, low, high))

    def add_up(self, parts: Iterable[int], whole: int) -> None:
        """The parts are the whole."""
        self.add({**dict.fromkeys(parts, 1), whole: -1}, 0, 0)

    def is_wide(self, variable: int) -> bool:
        """Whether solutions found so far already give the variable k values; saves most of the programs."""
        if self._least is None:
            self._widen()
        if self._least is None:
            return False
        return self._has_k_values(variable)

    def _widen(self) -> None:
        """Looks for solutions far apart, for all hidden counts at once, then for those that are left, and so on."""
        left = [each.variable for each in self.hidden]
        before = len(left) + 1
        while left and len(left) < before:
            for sign in (1, -1):
                self._solve(dict.fromkeys(left, sign))
            if self._least is None:
                return
            before, left = len(left), [variable for variable in left if not self._has_k_values(variable)]

    def _has_k_values(self, variable: int) -> bool:
        assert self._least is not None
        return bool(self._greatest[variable] - self._least[variable] >= self.k - 1 - EDGE)

    def range_of(self, variable: int) -> tuple[float, float] | None:
        """The least and the greatest possible value; None where the system has no solution at all."""
        low, high = self._solve({variable: 1}), self._solve({variable: -1})
        return None if low is None or high is None else (low, -high)

    def _solve(self, costs: Mapping[int, int]) -> float | None:
        """The least value of the weighted sum, and notes how far each variable went."""
        weights = np.zeros(len(self.low))
        weights[list(costs)] = list(costs.values())
        bounds = np.stack([self.low, np.minimum(self.high, MOST)], axis=1)
        solved = linprog(weights, *self._matrices(), bounds, method="highs")
        if solved.status == INFEASIBLE:
            return None
        if solved.status != 0:
            raise RuntimeError(solved.message)
        if self._least is None:
            self._least, self._greatest = solved.x.copy(), solved.x.copy()
        self._least, self._greatest = np.minimum(self._least, solved.x), np.maximum(self._greatest, solved.x)
        return float(solved.fun)

    def _variable(self, low: float, high: float) -> int:
        self.low.append(low)
        self.high.append(high)
        return len(self.low) - 1

    def _bounds(self, number: int) -> tuple[float, float]:
        if self.reading == "exact":
            return number, number
        if self.reading == "nearest":
            return max(number - self.k // 2, self.k), number + (self.k + 1) // 2 - 1
        return number, number + self.k - 1

    def _relate(self, group: Group) -> None:
        self.add({group[VISITORS]: 1, group[VISITS]: -1}, -UNBOUNDED, 0)
        self.add({group[VISITS]: 1, group[VIEWS]: -1, group[EVENTS]: -1}, -UNBOUNDED, 0)
        self.add({group[BOUNCES]: 1, group[VISITS]: -1}, -UNBOUNDED, 0)
        self.add({group[BOUNCES]: 1, group[VIEWS]: -1}, -UNBOUNDED, 0)

    def _matrices(self) -> tuple[object, object, object, object]:
        if self._made is None:
            equal = [(row, low) for row, low, high in self.sums if low == high]
            below = [(row, high) for row, low, high in self.sums if low != high and high < UNBOUNDED]
            below += [
                ({column: -of for column, of in row.items()}, -low)
                for row, low, high in self.sums
                if low != high and low > -UNBOUNDED
            ]
            sides = (below, equal)
            (below_rows, below_limits), (equal_rows, equal_limits) = (
                (self._sparse([row for row, _ in side]), np.array([limit for _, limit in side])) for side in sides
            )
            self._made = (below_rows, below_limits, equal_rows, equal_limits)
        return self._made

    def _sparse(self, rows: list[Mapping[int, int]]) -> object:
        entries = [(of, place, column) for place, row in enumerate(rows) for column, of in row.items()]
        values, places, columns = zip(*entries, strict=True) if entries else ((), (), ())
        return csr_array((values, (places, columns)), shape=(len(rows), len(self.low)))


def _counted_from(numbers: Numbers, dimension: str) -> dict[int, int | None]:
    """Which measure each published one is counted from: only what is over it was rounded."""
    below: dict[int, int | None] = {VISITORS: None, VISITS: VISITORS, EVENTS: None, BOUNCES: None}
    if numbers[VIEWS] >= numbers[VISITS]:
        below[VIEWS] = VISITS
    if numbers[VIEWS] == 0 and dimension == "event":
        below[EVENTS] = VISITS
    return below


def system_of(outputs: Outputs, k: int, reading: Reading) -> System:
    """The whole system of one site-day that has a total."""
    assert outputs.total is not None
    system = System(k, reading)
    total = system.shown(outputs.total)
    _hidden_measures(system, "", "total", total, outputs.total, lambda _parent, _value: True)
    groups = {key: system.shown(numbers, key[0]) for key, numbers in outputs.values.items()}
    rests: dict[str, Group] = {}
    for dimension in [each.name for each in DIMENSIONS if each.name in DIVIDED]:
        rests[dimension] = _add_dimension(system, dimension, outputs, groups, total, rests)
    for key, group in groups.items():
        holds = _is_cell(outputs, key)
        _hidden_measures(system, key[0], f"{key[1]} {key[2]}", group, outputs.values[key], holds)
    _add_hours(system, outputs, total)
    _add_nested(system, groups, total)
    system.groups, system.total = groups, total
    return system


def _hidden_measures(
    system: System, dimension: str, name: str, group: Group, numbers: Numbers, holds: Callable[[str, str], bool]
) -> None:
    """Measures that a shown row has as 0: hidden, because fewer than k networks share them."""
    for measure in (VIEWS, EVENTS):
        if numbers[measure] == 0 and measure not in WITHOUT_MEASURE.get(dimension, ()):
            system.hidden.append(Hidden(group[measure], measure, dimension, name, holds))


def _is_cell(outputs: Outputs, key: Key) -> Callable[[str, str], bool]:
    """Which (parent, value) a shown row speaks of."""
    dimension, upper, shown = key

    def holds(parent: str, value: str) -> bool:
        own = (dimension, parent, value)
        if own in outputs.values and value != OTHER:
            return own == key
        rest = (dimension, parent, OTHER)
        return (rest if rest in outputs.values else (dimension, "", OTHER)) == (dimension, upper, shown)

    return holds


def _add_dimension(
    system: System,
    dimension: str,
    outputs: Outputs,
    groups: Mapping[Key, Group],
    total: Group,
    rests: Mapping[str, Group],
) -> Group:
    """All identities of one dimension; returns what is hidden in it without a parent's rest, or shown as its rest."""
    own = {key: group for key, group in groups.items() if key[0] == dimension}
    divided = DIVIDED[dimension]
    folded = {parent: system.unknown() for parent in _folded_parents(dimension, own, groups)}
    strangers = system.unknown()
    top = own.get((dimension, "", OTHER)) or system.unknown()
    for measure in divided:
        system.add_up([group[measure] for group in (*folded.values(), strangers)], top[measure])
        shown = [group[measure] for key, group in own.items() if key != (dimension, "", OTHER)]
        system.add_up([*shown, top[measure]], total[measure])
    for group in own.values():
        for measure in {VISITORS, VISITS} - set(divided):
            system.add({group[measure]: 1, total[measure]: -1}, -UNBOUNDED, 0)
    if dimension in UPPER:
        _add_versions(system, dimension, own, groups, folded)
        for measure in divided:
            system.add_up([strangers[measure]], rests[UPPER[dimension]][measure])
    for parent, group in folded.items():
        _hide(system, dimension, f"hidden in {parent}", group, divided, _is_folded(outputs, dimension, parent))
    if (dimension, "", OTHER) not in own:
        _hide(system, dimension, "hidden", top, divided, _is_folded(outputs, dimension, None))
    return top


def _folded_parents(dimension: str, own: Mapping[Key, Group], groups: Mapping[Key, Group]) -> set[str]:
    """Parents that the attacker knows, whose rest is not shown."""
    if dimension not in HAVE_PARENTS:
        return set()
    known = {parent for _, parent, _ in own}
    if dimension in UPPER:
        known |= {value for name, _, value in groups if name == UPPER[dimension]}
    return {parent for parent in known if parent not in ("", OTHER) and (dimension, parent, OTHER) not in own}


def _add_versions(
    system: System,
    dimension: str,
    own: Mapping[Key, Group],
    groups: Mapping[Key, Group],
    folded: Mapping[str, Group],
) -> None:
    """A browser is the sum of its versions and their rest, a channel that of its sources."""
    for (name, _, value), whole in groups.items():
        if name == UPPER[dimension] and value != OTHER:
            parts = [group for (_, parent, _), group in own.items() if parent == value]
            parts += [folded[value]] if value in folded else []
            for measure in DIVIDED[dimension]:
                system.add_up([group[measure] for group in parts], whole[measure])


def _hide(
    system: System,
    dimension: str,
    name: str,
    group: Group,
    measures: Iterable[int],
    holds: Callable[[str, str], bool],
) -> None:
    system.hidden += [Hidden(group[measure], measure, dimension, name, holds) for measure in measures]


def _is_folded(outputs: Outputs, dimension: str, within: str | None) -> Callable[[str, str], bool]:
    """Which (parent, value) are hidden: all that no row shows, or those of the parent `within`."""

    def holds(parent: str, value: str) -> bool:
        is_shown = (dimension, parent, value) in outputs.values and value != OTHER
        has_rest = parent != "" and (dimension, parent, OTHER) in outputs.values
        return not is_shown and not has_rest and within in (None, parent)

    return holds


def _add_hours(system: System, outputs: Outputs, total: Group) -> None:
    spans = [system.shown(numbers) for (hour, _), numbers in outputs.spans.items() if hour != 24]
    if sum(span for hour, span in outputs.spans if hour != 24) < 24:
        spans.append(system.unknown())
    for measure in (VIEWS, EVENTS, BOUNCES):
        system.add_up([group[measure] for group in spans], total[measure])
    for measure in (VISITORS, VISITS):
        system.add({**{group[measure]: 1 for group in spans}, total[measure]: -1}, 0, UNBOUNDED)
        for group in spans:
            system.add({group[measure]: 1, total[measure]: -1}, -UNBOUNDED, 0)


def _add_nested(system: System, groups: Mapping[Key, Group], total: Group) -> None:
    """Goals, steps of a funnel, what is in them; hidden are the small ones, and what a whole has beside a part."""
    known: dict[Key | None, Group] = {None: total}
    known |= dict(groups.items())
    for part, whole in nested.chains(groups):
        for key in (part, whole):
            if key not in known:
                known[key] = system.unknown()
                _hide_nested(system, known[key], "small", (key,))
        small, large = known[part], known[whole]
        beside = system.unknown()
        for measure in (VISITORS, VISITS):
            system.add_up([small[measure], beside[measure]], large[measure])
        if part[0] == "event":
            system.add_up([beside[VISITS]], system.nothing())
        else:
            _hide_nested(system, beside, f"{whole} without {part}", (whole, part))


def _hide_nested(system: System, group: Group, name: str, of: tuple[Key | None, ...]) -> None:
    for measure in (VISITORS, VISITS):
        system.hidden.append(Hidden(group[measure], measure, "nested", name, lambda _parent, _value: False, of))
