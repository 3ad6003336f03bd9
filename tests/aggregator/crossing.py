"""Which cells of two dimensions a sealed day shows, in plain Python: the k rule, the cap, and what may not be added up.

An oracle beside `listing`, which says what lists show; of the product it reads only which dimensions are crossed, and
what their values have in common.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from aggregator.dimensions import DIMENSIONS
from collector.settings import CROSSES
from tests.aggregator.listing import Key, lines
from tests.aggregator.simulate import OTHER, Counted, Truth, as_shown, cells, truth

Cross = tuple[Key, Key]
MOST_CELLS = 1_000
HOUR_MS = 3_600_000
ONE_OF = {each.name: each.one_of for each in DIMENSIONS}


@dataclass(frozen=True)
class People:
    """Shown visitors, their further visits, and visits."""

    visitors: int
    further: int

    @property
    def measures(self) -> tuple[int, int, int]:
        return self.visitors, self.further, self.visitors + self.further


def crosses(used: list[Counted], k: int) -> dict[Cross, tuple[int, int]]:
    """Every cell that a site's day shows, once, with its visitors and visits."""
    listed = lines(cells(used), used, k)
    shown = {key: _people(group, k) for key, group in listed.items() if key[2] != OTHER}
    whole = _people(truth(used), k)
    found: dict[Cross, tuple[int, int]] = {}
    for one, other in combinations(CROSSES, 2):
        table = _Table(_of_k(_cells(used, one, other, shown), k), k, shown, whole)
        table.leave_out(table.beyond_lines())
        table.leave_out(table.beyond_the_whole())
        found |= {cell: (people.visitors, people.measures[2]) for cell, people in table.cells.items()}
    return found


def _people(group: Truth, step: int) -> People:
    numbers = as_shown(group, 1, step)
    return People(numbers["visitors"], numbers["visits"] - numbers["visitors"])


def _cells(used: Iterable[Counted], one: str, other: str, shown: Mapping[Key, object]) -> dict[Cross, list[Counted]]:
    acts = [row for row in used if row.visit is not None and row.row.kind in ("view", "event")]
    seen = {(row.visit, row.row.at_ms // HOUR_MS, row.row.path) for row in acts if row.row.kind == "view"}
    found: dict[Cross, list[Counted]] = defaultdict(list)
    for row in acts:
        mine = {key[0]: key for key in cells([row])}
        if {one, other} == {"page", "event"}:
            is_there = "event" in mine and (row.visit, row.row.at_ms // HOUR_MS, row.row.path) in seen
            pages = [key for key in shown if key[0] == "page" and key[2] == row.row.path]
            mine = {"event": mine["event"], "page": pages[0]} if is_there and pages else {}
        if one in mine and other in mine and mine[one] in shown and mine[other] in shown:
            found[mine[one], mine[other]].append(row)
    return found


def _of_k(found: Mapping[Cross, list[Counted]], k: int) -> dict[Cross, Truth]:
    """The largest cells of k networks, in their order."""
    counted = {cell: truth(rows) for cell, rows in found.items()}
    order = sorted(counted, key=lambda cell: (-counted[cell].networks, cell))
    return {cell: counted[cell] for cell in order if counted[cell].networks >= k}


class _Table:
    """The cells of one pair, largest first; each is looked at from both of its sides."""

    def __init__(self, of_k: Mapping[Cross, Truth], k: int, shown: Mapping[Key, People], whole: People) -> None:
        largest = list(of_k.items())[:MOST_CELLS]
        self.cells = {cell: _people(group, k) for cell, group in largest}
        self.networks = {cell: group.networks for cell, group in largest}
        self.k, self.shown, self.whole = k, shown, whole

    def leave_out(self, those: set[Cross]) -> None:
        self.cells = {cell: people for cell, people in self.cells.items() if cell not in those}

    def beyond_lines(self) -> set[Cross]:
        """Of values that share no visit: the smallest cells that are with the larger ones more than their line."""
        out: set[Cross] = set()
        for side in (0, 1):
            for line, of_line in self._lines(side).items():
                so_far = 0
                for cell in of_line:
                    so_far += self.cells[cell].measures[2]
                    is_apart = ONE_OF[cell[side][0]] in ("visitor", "visit")
                    out |= {cell} if is_apart and so_far > self.shown[line].measures[2] else set()
        return out

    def beyond_the_whole(self) -> set[Cross]:
        """The smallest cells whose value, with those of larger cells and with their line, is more than the day."""
        return {
            cell
            for side in (0, 1)
            for line, of_line in self._lines(side).items()
            for place in range(3)
            for cell in self._beyond(line, of_line, side, place)
        }

    def _beyond(self, line: Key, of_line: Sequence[Cross], side: int, place: int) -> set[Cross]:
        out: set[Cross] = set()
        units = ONE_OF[of_line[0][side][0]], ONE_OF[line[0]]
        so_far = 0
        elsewhere = sum(people.measures[place] for cell, people in self.cells.items() if cell[1 - side] != line)
        for cell in of_line:
            value = cell[side]
            elsewhere_of_value = sum(
                people.measures[place]
                for other, people in self.cells.items()
                if other[side] == value and other[1 - side] != line
            )
            known = elsewhere_of_value if _cells_add_up(units, place) else 0
            hidden = 2 * (self.k - 1) if place == 2 else self.k - 1
            beside = self.shown[value].measures[place] - self.cells[cell].measures[place] - known - hidden
            beside = max(beside, 0)
            so_far = so_far + beside if _values_add_up(units, place) else beside
            least = self.shown[line].measures[place] + (elsewhere if _cells_add_up(units, place) else 0) + so_far
            out |= {cell} if beside and least > self.whole.measures[place] else set()
        return out

    def _lines(self, side: int) -> dict[Key, list[Cross]]:
        found: dict[Key, list[Cross]] = defaultdict(list)
        for cell in sorted(self.cells, key=lambda cell: (-self.networks[cell], cell[side])):
            found[cell[1 - side]].append(cell)
        return found


def _values_add_up(units: tuple[str, str], place: int) -> bool:
    """Whether what several values have beside a line can be added up; `units` are the values' and the line's."""
    value, line = units
    return (
        value == "visitor",
        value == "visitor" or (value == "visit" and line == "visitor"),
        value in ("visitor", "visit"),
    )[place]


def _cells_add_up(units: tuple[str, str], place: int) -> bool:
    """Whether the cells of all lines can be added up."""
    both = {"visitor", "visit"}.issuperset(units)
    return (set(units) == {"visitor"}, both and "visitor" in units, both)[place]
