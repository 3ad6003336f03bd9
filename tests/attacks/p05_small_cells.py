"""P5: no cell, and no measure in a cell, below k distinct networks; the complement of bounces within a row included.

The attacker reads every sealed row; the oracle says how many networks stand behind each number. Any number that fewer
than k share is a success. Beside it every published number is compared with the rounded truth, so that the oracle and
the product are known to speak of the same thing.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np

from aggregator.dimensions import DIMENSIONS, OTHER
from tests.attacks import crossed, nested
from tests.attacks.crowds import Crowd, Integers, OpenDay, open_day, words
from tests.attacks.laboratory import BERLIN, DAY, Key, Laboratory, Numbers, Outputs, Scene
from tests.attacks.oracle import Counted, Flags, Tally, counted
from tests.attacks.verdict import Count, Verdict
from tests.attacks.weakened import COMPLEMENT_UNGUARDED, GENERATIONS_ADDED, MEASURES_UNGUARDED, THRESHOLD_OFF, Weakening

HOUR_MS = 3_600_000
# Of two dimensions at a time, visitors and visits.
SHOWN = 2
WEAKENINGS = (THRESHOLD_OFF, MEASURES_UNGUARDED, COMPLEMENT_UNGUARDED, GENERATIONS_ADDED)


@dataclass
class Found:
    """Rows read, numbers looked at, numbers below k, numbers that are not the rounded truth."""

    rows: int = 0
    numbers: int = 0
    below_k: int = 0
    wrong: int = 0

    def add(self, shown: Sequence[Numbers], tally: Tally, k: Integers, measures: int = 6) -> None:
        """Of groups that overlap the first two `measures` are shown, and the others are 0."""
        published = np.array(shown, np.int64).reshape(-1, 6)
        allowed, expected = tally.allowed(k), tally.published(k)
        expected[:, measures:] = 0
        self.rows += len(published)
        self.numbers += published.size
        self.below_k += int(((published > 0) & (allowed == 0) & ~_is_rounded_off(tally, allowed)).sum())
        self.wrong += int((published != expected).sum())


def _is_rounded_off(tally: Tally, allowed: Integers) -> Flags:
    """A number that is 0 in truth cannot be below k: it is wrong, if it is shown."""
    both: Flags = (tally.numbers() == 0) & (allowed == 0)
    return both


def attack(
    laboratory: Laboratory,
    days: Sequence[Sequence[Crowd]],
    weak_day: Sequence[Crowd],
    weakened: Sequence[Weakening] = WEAKENINGS,
) -> Verdict:
    """Seals each day's crowds and looks at every number; the weakened builds seal `weak_day`."""
    with laboratory.scene() as scene:
        found = Found()
        for crowds in days:
            _look(scene, open_day(DAY, BERLIN, crowds), found)
            scene.forget_trends()
            print(f"  P5: {found.rows:,} sealed rows, {found.below_k} numbers below k", file=sys.stderr, flush=True)
        verdict = Verdict("P5", "every sealed number against the oracle", found.numbers, found.below_k + found.wrong)
        verdict.remarks.append(
            f"{found.rows:,} sealed rows of {sum(map(len, days)):,} site-days of 3 to"
            f" {max(crowd.people for crowds in days for crowd in crowds):,} visitors; {found.below_k} numbers below k,"
            f" {found.wrong} that are not the truth rounded"
        )
        opened = open_day(DAY, BERLIN, weak_day)
        for weakening in weakened:
            weak = Found()
            _look(scene, opened, weak, weakening)
            scene.forget_trends()
            verdict.weakened.append(Count(weakening.name, weak.numbers, weak.below_k))
    return verdict


def crowds_of(rows_wanted: int, seed: int = 1) -> list[list[Crowd]]:
    """Days of about a million events each: most sites are small, where the k rule has most to do."""
    sizes = (3, 6, 12, 25, 50, 80, 120, 150, 200, 250, 300, 400, 600)
    ks = (2, 3, 5, 5, 5, 10)
    made: list[list[Crowd]] = []
    # About 100 rows for a site of these.
    for number in range(rows_wanted // 100):
        if number % 700 == 0:
            made.append([])
        crowd = Crowd(f"site-{number}.example", sizes[number % 13], ks[number % 6], seed)
        made[-1].append(crowd)
    return made


def _look(scene: Scene, opened: OpenDay, found: Found, weakening: Weakening | None = None) -> None:
    scene.fill(opened)
    scene.seal({crowd.site: crowd.k for crowd in opened.crowds}, weakening, declared=nested.DECLARED)
    truth = counted(opened.rows)
    outputs = scene.outputs()
    ks = {crowd.site: crowd.k for crowd in opened.crowds}
    for dimension in (each for each in DIMENSIONS if each.name != "flow"):
        shown = [
            (place, key, numbers, ks[crowd.site])
            for place, crowd in enumerate(opened.crowds)
            for key, numbers in outputs.get(crowd.site, Outputs({}, {})).values.items()
            if key[0] == dimension.name
        ]
        if shown:
            groups = _groups(truth, dimension.name, [(place, key) for place, key, _, _ in shown], len(opened.crowds))
            tally = truth.group(groups, len(shown))
            found.add([numbers for _, _, numbers, _ in shown], tally, np.array([k for *_, k in shown]))
    _look_at_nested(opened, truth, outputs, found)
    _look_at_moves(opened, truth, outputs, found)
    for pair in combinations(crossed.UNITS, 2):
        _look_at_crosses(opened, truth, outputs, pair, found)
    _look_at_hours(opened, truth, outputs, found)


def _groups(truth: Counted, dimension: str, shown: Sequence[tuple[int, Key]], sites: int) -> Integers:
    """Of each row the place in `shown` of the cell that speaks of it: its own, or what its rest is part of."""
    of_cell, of_parent = _codes(dimension)
    table = np.full((sites, len(words().cells(dimension))), -1)
    # What is more special comes later: the rest of the dimension, the rest of a parent, the cell itself.
    order = sorted(range(len(shown)), key=lambda place: (shown[place][1][2] != OTHER, shown[place][1][1] != ""))
    for place in order:
        site, (_, parent, value) = shown[place]
        if value != OTHER:
            table[site, of_cell[parent, value]] = place
        else:
            table[site, of_parent[parent] if parent else slice(None)] = place
    codes = truth.codes(dimension)
    return np.where(codes >= 0, table[truth.rows["site"], codes], -1)


@cache
def _codes(dimension: str) -> tuple[dict[tuple[str, str], list[int]], dict[str, list[int]]]:
    """The codes of each (parent, value), and those of each parent."""
    of_cell: dict[tuple[str, str], list[int]] = defaultdict(list)
    of_parent: dict[str, list[int]] = defaultdict(list)
    for code, (parent, value) in enumerate(words().cells(dimension)):
        of_cell[parent, value].append(code)
        of_parent[parent].append(code)
    return of_cell, of_parent


def _look_at_nested(opened: OpenDay, truth: Counted, outputs: Mapping[str, Outputs], found: Found) -> None:
    for key, is_counted in nested.rows_of(truth).items():
        shown = [
            (place, numbers, crowd.k)
            for place, crowd in enumerate(opened.crowds)
            if (numbers := outputs.get(crowd.site, Outputs({}, {})).values.get(key)) is not None
        ]
        table = np.full(len(opened.crowds), -1)
        table[[place for place, _, _ in shown]] = np.arange(len(shown))
        if shown:
            tally = truth.group(np.where(is_counted, table[truth.rows["site"]], -1), len(shown))
            found.add([numbers for _, numbers, _ in shown], tally, np.array([k for *_, k in shown]), nested.SHOWN)


def _look_at_crosses(
    opened: OpenDay, truth: Counted, outputs: Mapping[str, Outputs], pair: tuple[str, str], found: Found
) -> None:
    """Both directions of each pair: every cell is there once in each."""
    shown = [
        (place, one, other, numbers, crowd.k)
        for place, crowd in enumerate(opened.crowds)
        for (one, other), numbers in outputs.get(crowd.site, Outputs({}, {})).crosses.items()
        if (one[0], other[0]) in (pair, pair[::-1])
    ]
    forth = [each for each in shown if each[1][0] == pair[0]]
    assert sorted((place, other, one, *rest) for place, one, other, *rest in forth) == sorted(
        each for each in shown if each[1][0] == pair[1]
    )
    if not forth:
        return
    numbered = [{cell: number for number, cell in enumerate(dict.fromkeys(words().cells(name)))} for name in pair]
    width, height = map(len, numbered)
    wanted = np.array(
        [
            (place * width + numbered[0][one[1], one[2]]) * height + numbered[1][other[1], other[2]]
            for place, one, other, *_ in forth
        ]
    )
    codes = crossed.cells_of(truth, pair, opened.starts_ms)
    of = [
        np.where(each >= 0, np.array([known[cell] for cell in words().cells(name)])[each], 0)
        for each, known, name in zip(codes, numbered, pair, strict=True)
    ]
    cell = (truth.rows["site"].astype(np.int64) * width + of[0]) * height + of[1]
    order = np.argsort(wanted)
    place = np.minimum(np.searchsorted(wanted[order], cell), len(wanted) - 1)
    is_shown = (codes[0] >= 0) & (codes[1] >= 0) & (truth.visit >= 0) & (wanted[order][place] == cell)
    tally = truth.group(np.where(is_shown, order[place], -1), len(forth))
    found.add([(*numbers, 0, 0, 0, 0) for *_, numbers, _ in forth], tally, np.array([k for *_, k in forth]), SHOWN)


def _look_at_moves(opened: OpenDay, truth: Counted, outputs: Mapping[str, Outputs], found: Found) -> None:
    """Moves from page to page, those from a page to all that are not shown, and the rest of them all."""
    codes = {text: code for code, text in enumerate(words().paths)}
    listed = [
        (place, key, numbers, crowd.k)
        for place, crowd in enumerate(opened.crowds)
        for key, numbers in outputs.get(crowd.site, Outputs({}, {})).values.items()
        if key[0] == "flow"
    ]
    # What is more special comes later: the rest of them all, then that of a page.
    rests = np.full((len(opened.crowds), len(codes)), -1)
    shown = {-1: -1}
    for at, (place, (_, came_from, path), _, _) in sorted(enumerate(listed), key=lambda each: each[1][1]):
        if path == OTHER:
            rests[place, codes[came_from] if came_from else slice(None)] = at
        else:
            shown[(place * len(codes) + codes[came_from]) * len(codes) + codes[path]] = at
    site, moved = truth.rows["site"].astype(np.int64), truth.came_from >= 0
    came_from_code = np.where(moved, truth.came_from, 0)
    move = (site * len(codes) + came_from_code) * len(codes) + truth.rows["path"]
    wanted = np.array(sorted(shown))
    near = np.minimum(np.searchsorted(wanted, move), len(wanted) - 1)
    places = np.array([shown[each] for each in wanted.tolist()])[near]
    groups = np.where(wanted[near] == move, places, rests[site, came_from_code])
    if listed:
        tally = truth.group(np.where(moved, groups, -1), len(listed))
        found.add([numbers for _, _, numbers, _ in listed], tally, np.array([k for *_, k in listed]), nested.SHOWN)


def _look_at_hours(opened: OpenDay, truth: Counted, outputs: Mapping[str, Outputs], found: Found) -> None:
    hours = (truth.rows["at"] - opened.starts_ms) // HOUR_MS
    site_of = truth.rows["site"].astype(np.int64)
    spans = [
        (place, span, numbers, crowd.k)
        for place, crowd in enumerate(opened.crowds)
        for span, numbers in outputs.get(crowd.site, Outputs({}, {})).spans.items()
    ]
    for whole in (True, False):
        listed = [one for one in spans if (one[1][0] == 24) == whole]
        table = np.full((len(opened.crowds), 24), -1)
        for place, (site, (hour, span), _, _) in enumerate(listed):
            table[site, 0 if whole else hour : 24 if whole else hour + span] = place
        if listed:
            tally = truth.group(table[site_of, hours], len(listed))
            found.add([numbers for _, _, numbers, _ in listed], tally, np.array([k for *_, k in listed]))


def small() -> Iterator[Crowd]:
    """A day that runs in seconds."""
    sizes = ((3, 5), (7, 5), (12, 5), (40, 10), (60, 2), (90, 3), (150, 5), (400, 10))
    return (Crowd(f"site-{people}.example", people, k) for people, k in sizes)
