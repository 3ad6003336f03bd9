"""What the live view lets out of a site's newest numbers: no cell grows by more than what holds it grows.

Each cell completes its groups of k at moments of its own. Told at once, these moments would say more than any number:
ten networks with Chrome when ten with Chrome 142 are known leave nobody with another version, and that there were five
a moment ago isolates them (docs/subtraction.md, "The live view"). So

- cells change together, when two further groups of the whole site are complete;
- a cell then grows by no more than each cell that holds it: a version than its browser, a page than a goal that it
  reaches. Cells of which a visitor, visit or view has one alone grow by no more than that together;
- what finds no room waits for the next such moment, those that have waited longest first. A cell that has grown waits
  for k further networks of its own.

Hence all that was shown of a day may be exact at every moment of it, and so with up to k - 1 more visitors in any
hidden group.

This is remembered for a process's life: who restarts the dashboards lets what waited out at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from aggregator.declared_dimensions import pattern
from aggregator.dimensions import DIVIDED, TOTAL, Dimension
from collector.declared import Goal

# Dimension, parent, value.
Key = tuple[str, str, str]
# Visitors, visits, views, events, bounces, engaged seconds.
Numbers = tuple[int, ...]

ALL: Key = (TOTAL.name, "", "(all)")
# The first two: visitors, visits.
PEOPLE = 2
EVENTS = 3
# At each group too many cells would be complete at once: in days of 400 visitors lists would lack 22 % in place of 7.
GROUPS_BETWEEN = 2
NONE: Numbers = (0,) * 6
# What is held by what, holders first.
ORDER = ("channel", "browser", "os", "event", "goal", "page")


@dataclass(frozen=True)
class Standing:
    """What a cell has to show, or shows: numbers as they stood when the last of its `complete` groups of k was full.

    `networks` are those of its largest generation, in a count of one in `sample`, when it was looked at.
    """

    sample: int
    networks: int
    complete: int
    numbers: Numbers


@dataclass
class Releases:
    """What was let out of one site's open day; `shown` is that."""

    k: int
    shown: dict[Key, Standing] = field(default_factory=dict)
    # Since which release a cell has waited for room.
    _waiting: dict[Key, int] = field(default_factory=dict)
    _count: int = 0
    # The whole, and its groups, when lists changed last.
    _whole: Numbers = NONE
    _groups: int = 0

    def take(self, now: Mapping[Key, Standing], by: Sequence[Dimension], goals: Sequence[Goal]) -> None:
        """Lets out of `now`, the cells by the dimensions `by` and the total, what may be."""
        for key, before in self.shown.items():
            if key in now and now[key].sample != before.sample:
                # Groups of another sample do not compare: k further networks are waited for.
                self.shown[key] = replace(now[key], numbers=before.numbers)
        if not self._is_due(now, ALL):
            return
        self._grow(ALL, now[ALL], _extra(now[ALL].numbers))
        if self._groups and now[ALL].complete < self._groups + GROUPS_BETWEEN:
            return
        whole = _extra(self.shown[ALL].numbers)
        grown = {ALL: tuple(number - known for number, known in zip(whole, self._whole, strict=True))}
        self._count, self._groups, self._whole = self._count + 1, now[ALL].complete, whole
        for dimension in sorted({each.name: each for each in by}.values(), key=_place):
            self._take_list(dimension, {key: one for key, one in now.items() if key[0] == dimension.name}, grown, goals)

    def _take_list(
        self, dimension: Dimension, now: Mapping[Key, Standing], grown: dict[Key, Numbers], goals: Sequence[Goal]
    ) -> None:
        shared: dict[Key, Numbers] = {}
        due = [key for key in now if self._is_due(now, key)]
        for key in sorted(due, key=lambda key: (self._waiting.get(key, self._count), key)):
            whole, *others = _holders(dimension, key, goals)
            growth = grown.get(whole, NONE)
            left = shared.setdefault(whole, growth)
            divided = DIVIDED[dimension.one_of]
            room = [one if is_shared else all_ for one, all_, is_shared in zip(left, growth, divided, strict=True)]
            for other in others:
                # All of a page's visits reach the goal, with views of other pages, too.
                room[:PEOPLE] = map(min, room, grown.get(other, NONE)[:PEOPLE])
            wanted = _extra(now[key].numbers)
            if dimension.one_of == "error":
                # Errors are no events of the whole.
                room[EVENTS] = wanted[EVENTS]
            taken = self._grow(key, now[key], room)
            if taken == NONE:
                self._waiting.setdefault(key, self._count)
            else:
                self._waiting.pop(key, None)
                grown[key] = taken
                shared[whole] = tuple(one - part for one, part in zip(left, taken, strict=True))

    def _is_due(self, now: Mapping[Key, Standing], key: Key) -> bool:
        before = self.shown.get(key)
        if key not in now or before is None:
            return key in now
        # When it changed last it may have had more networks than it showed: it had waited, or nobody had asked.
        return now[key].complete > before.complete and now[key].networks >= before.networks + self.k

    def _grow(self, key: Key, now: Standing, room: Sequence[int]) -> Numbers:
        """Shows as much of what a cell has further as there is room for; returns that, or `NONE` below k visitors."""
        before = self.shown.get(key)
        had = _extra(before.numbers) if before else NONE
        taken = tuple(
            max(0, min(number - known, most))
            for number, known, most in zip(_extra(now.numbers), had, room, strict=True)
        )
        if taken[0] < self.k:
            return NONE
        numbers = _whole(tuple(known + part for known, part in zip(had, taken, strict=True)), now.numbers)
        self.shown[key] = replace(now, numbers=numbers)
        return taken


def _extra(numbers: Numbers) -> Numbers:
    """Each number by what it has beyond the one it depends on (docs/subtraction.md, rule 2)."""
    visitors, visits, views, *others = numbers
    return (visitors, visits - visitors, max(0, views - visits), *others)


def _whole(extra: Numbers, of: Numbers) -> Numbers:
    visitors, visits, views, events, bounces, engaged_s = extra
    visits += visitors
    return visitors, visits, min(visits + views, of[2]), events, min(bounces, visits), engaged_s


def _place(dimension: Dimension) -> tuple[int, str]:
    return ORDER.index(dimension.name) if dimension.name in ORDER else len(ORDER), dimension.name


def _holders(dimension: Dimension, key: Key, goals: Iterable[Goal]) -> Iterator[Key]:
    """What holds all of a cell: first what its list divides, then others."""
    name, parent, value = key
    yield (dimension.within, "", parent) if dimension.within else ALL
    if name.startswith("prop:") and parent:
        yield "event", "", parent
    if name == "entry":
        yield "page", parent, value
    for goal in goals:
        if name == "page" and _is_page_of(goal, value):
            yield "goal", "", goal.name
        if name == "goal" and goal.name == value and goal.event:
            yield "event", "", goal.event


def _is_page_of(goal: Goal, path: str) -> bool:
    return bool(goal.page) and re.match(pattern(goal.page), path.partition("?")[0]) is not None
