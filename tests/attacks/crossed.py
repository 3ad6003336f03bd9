"""Two dimensions at a time, for the attacks: what a reader can write down of each pair of a site's day, and the truth.

A pair is a table of values that are shown (and, of each dimension that divides the day, of all others together), with
a variable for each cell, shown or hidden. Which sums hold follows from what shares no visitor (a visitor has one
country), what shares no visit (a visit has one source), and what overlaps (a visit sees several pages).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from tests.attacks.crowds import EVENT, MOST_PAGES, VIEW, Integers, words
from tests.attacks.laboratory import Key, Outputs
from tests.attacks.oracle import Counted, Flags
from tests.attacks.system import UNBOUNDED, VISITORS, VISITS, Group, Hidden, System

# By no visitor, by no visit, or by anything: what two values of a dimension share.
BY_VISITOR, BY_VISIT, OVERLAPPING = 2, 1, 0
UNITS = {
    **dict.fromkeys(("country", "browser", "os", "device"), BY_VISITOR),
    **dict.fromkeys(("source", "campaign"), BY_VISIT),
    **dict.fromkeys(("page", "event"), OVERLAPPING),
}
HOUR_MS = 3_600_000
Where = tuple[tuple[str, Key | None], ...]
"""Who is in all of these values; None is in none of those that are shown of the dimension."""


class Tables:
    """Adds every pair of a site's day to a system."""

    def __init__(self, system: System, outputs: Outputs) -> None:
        self._system, self._outputs, self._groups, self._total = system, outputs, system.groups, system.total
        self._shown = {name: [key for key in system.groups if key[0] == name and key[2] != "(other)"] for name in UNITS}
        self._others = {name: self._other_values(name) for name in UNITS if UNITS[name] != OVERLAPPING}

    def add(self) -> None:
        for one, other in combinations(sorted(UNITS, key=lambda name: -UNITS[name]), 2):
            if UNITS[other] != OVERLAPPING:
                self._add_divided(one, other)
            elif UNITS[one] != OVERLAPPING:
                for column in self._shown[other]:
                    self._add_column(one, column)
            else:
                for row in self._shown[one]:
                    for column in self._shown[other]:
                        self._overlap(row, column, self._cell(row, column))

    def _add_divided(self, one: str, other: str) -> None:
        """Rows and columns divide the day's visits, and its visitors where these have one value all day."""
        rows, columns = self._lines(one), self._lines(other)
        cells = {(row, column): self._cell_of(one, row, other, column) for row in rows for column in columns}
        for row, group in rows.items():
            self._divide(group, [cells[row, column] for column in columns], UNITS[other])
        for column, group in columns.items():
            self._divide(group, [cells[row, column] for row in rows], UNITS[one])
        for (row, column), cell in cells.items():
            if row is not None and column is not None:
                self._overlap(row, column, cell)

    def _add_column(self, one: str, column: Key) -> None:
        """Rows divide a page's visits; what a row has beside it is in no other row."""
        rows = self._lines(one)
        cells = {row: self._cell_of(one, row, column[0], column) for row in rows}
        self._divide(self._groups[column], list(cells.values()), UNITS[one])
        for row, cell in cells.items():
            if row is not None:
                self._overlap(row, column, cell)
            else:
                self._hide_beside(rows[None], cell, ((one, None),), ((one, None), (column[0], column)))

    def _divide(self, whole: Group, parts: Sequence[Group], unit: int) -> None:
        add = self._system.add
        self._system.add_up([part[VISITS] for part in parts], whole[VISITS])
        if unit == BY_VISITOR:
            self._system.add_up([part[VISITORS] for part in parts], whole[VISITORS])
            return
        add({**{part[VISITORS]: 1 for part in parts}, whole[VISITORS]: -1}, 0, UNBOUNDED)
        for part in parts:
            add({part[VISITORS]: 1, whole[VISITORS]: -1}, -UNBOUNDED, 0)
        # Further visits of the parts are further visits of the whole.
        further = {part[VISITS]: 1 for part in parts} | {part[VISITORS]: -1 for part in parts}
        add({**further, whole[VISITS]: -1, whole[VISITORS]: 1}, -UNBOUNDED, 0)

    def _overlap(self, row: Key, column: Key, cell: Group) -> None:
        """A cell is within its row and its column, and these together are within the day."""
        both = ((row[0], row), (column[0], column))
        for whole in (row, column):
            self._hide_beside(self._groups[whole], cell, ((whole[0], whole),), both)
        large, wide = self._groups[row], self._groups[column]
        for signs in ({VISITORS: 1}, {VISITS: 1}, {VISITS: 1, VISITORS: -1}):
            joined = {
                group[measure]: factor * sign
                for group, factor in ((large, 1), (wide, 1), (cell, -1), (self._total, -1))
                for measure, sign in signs.items()
            }
            self._system.add(joined, -UNBOUNDED, 0)

    def _hide_beside(self, whole: Group, part: Group, of: Where, without: Where) -> None:
        """What a whole has beside a part: as many visitors, visits and further visits as are not in that."""
        beside = self._system.people()
        for measure in (VISITORS, VISITS):
            self._system.add_up([part[measure], beside[measure]], whole[measure])
        self._hide(beside, of, without)

    def _lines(self, dimension: str) -> dict[Key | None, Group]:
        return {**{key: self._groups[key] for key in self._shown[dimension]}, None: self._others[dimension]}

    def _other_values(self, dimension: str) -> Group:
        """Whoever has none of the values that are shown."""
        group, shown = self._system.people(), [self._groups[key] for key in self._shown[dimension]]
        self._divide(self._total, [*shown, group], UNITS[dimension])
        return group

    def _cell_of(self, one: str, row: Key | None, other: str, column: Key | None) -> Group:
        if row is not None and column is not None:
            return self._cell(row, column)
        cell = self._system.people()
        self._hide(cell, ((one, row), (other, column)))
        return cell

    def _cell(self, row: Key, column: Key) -> Group:
        numbers = self._outputs.crosses.get((row, column))
        if numbers is not None:
            return self._system.shown_people(numbers)
        cell = self._system.people()
        self._hide(cell, ((row[0], row), (column[0], column)))
        return cell

    def _hide(self, group: Group, *where: Where) -> None:
        for measure in (VISITORS, VISITS):
            self._system.hidden.append(
                Hidden(group[measure], measure, "crossed", str(where), lambda _parent, _value: False, crossed=where)
            )


def on_pages(counted: Counted, starts_ms: int) -> Flags:
    """Which rows are events on a page that their visit viewed within the same hour."""
    rows = counted.rows
    hour = (rows["at"].astype(np.int64) - starts_ms) // HOUR_MS
    seen = (counted.visit.astype(np.int64) * 25 + hour) * MOST_PAGES + rows["path"]
    is_there: Flags = (rows["kind"] == EVENT) & (counted.visit >= 0) & np.isin(seen, seen[rows["kind"] == VIEW])
    return is_there


def cells_of(counted: Counted, pair: tuple[str, str], starts_ms: int) -> tuple[Integers, Integers]:
    """Of each row its codes in two dimensions, -1 where it takes part in no cell of them."""
    one, other = (counted.codes(name) for name in pair)
    if set(pair) == {"page", "event"}:
        is_there, path = on_pages(counted, starts_ms), counted.rows["path"].astype(np.int64)
        one, other = (np.where(is_there, path if name == "page" else counted.codes(name), -1) for name in pair)
    return one, other


class Truth:
    """How many visitors and visits are somewhere in truth, by the oracle."""

    def __init__(self, counted: Counted, shown: Sequence[Key], starts_ms: int) -> None:
        self._counted, self._shown = counted, shown
        self._on_page = on_pages(counted, starts_ms)

    def of(self, where: Where) -> Sequence[int]:
        """The exact numbers, by measure."""
        is_on_page = {dimension for dimension, _ in where} == {"page", "event"}
        within = self._on_page if is_on_page else np.ones(len(self._counted.rows), bool)
        for dimension, key in where:
            within &= self._is_in(dimension, key, of_event=is_on_page)
        return [int(number) for number in self._counted.group(np.where(within, 0, -1), 1).numbers()[0]]

    def _is_in(self, dimension: str, key: Key | None, *, of_event: bool) -> Flags:
        wanted = [each for each in self._shown if each[0] == dimension] if key is None else [key]
        found = [("", *cell) for cell in words().cells(dimension)]
        table = np.array([any(cell[1:] == each[1:] for each in wanted) for cell in found])
        rows = self._counted.rows
        codes = rows["path"].astype(np.int64) if of_event and dimension == "page" else self._counted.codes(dimension)
        inside: Flags = (codes >= 0) & table[np.where(codes >= 0, codes, 0)]
        return ~inside if key is None else inside
