"""A curve as geometry: numbers become places in percent of a drawing, which templates/chart.html turns into SVG.

Percent, because the server does not know how wide a page is: lines are stretched, text and dots are not. What has no
number leaves a gap; nothing is drawn through it, since nobody knows what was there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

# The curve stays below the top, where the legend of the day under the pointer stands.
HIGHEST = 15.0
LOWEST = 100.0
LABELS = 6


@dataclass(frozen=True)
class Value:
    """One place on the time axis: `label` below it, `told` in words, `number` None where there is none; `before` is the
    number of what it is compared with."""

    label: str
    told: str
    number: float | None
    before: float | None = None


@dataclass(frozen=True)
class Mark:
    """A place of the curve: `x` of it and `y` where it has a number; `left` and `width` of what reacts to a pointer."""

    x: float
    y: float | None
    left: float
    width: float
    told: str
    is_alone: bool


@dataclass(frozen=True)
class Label:
    """Text below the axis; `anchor` is where it holds on to x; minor ones are left out on a phone."""

    x: float
    text: str
    anchor: str
    is_minor: bool


@dataclass(frozen=True)
class Line:
    """A horizontal line with its number."""

    y: float
    number: float


@dataclass(frozen=True)
class Chart:
    """Everything in percent of the drawing's width and height; `mirrored` runs from right to left; `before` are the
    strokes of what is compared with."""

    marks: tuple[Mark, ...]
    strokes: tuple[str, ...]
    areas: tuple[str, ...]
    gaps: tuple[Mark, ...]
    lines: tuple[Line, ...]
    labels: tuple[Label, ...]
    mirrored: bool
    before: tuple[str, ...] = ()


def chart_of(values: Sequence[Value], *, mirrored: bool = False, stepped: bool = False) -> Chart:
    """The curve of at least one value; `stepped` where a number holds for all of its place and not for a point."""
    numbers = [number for value in values for number in (value.number, value.before) if number is not None]
    top = _ceiling(max(numbers, default=0))
    marks = tuple(_mark(values, place, top, mirrored=mirrored, stepped=stepped) for place in range(len(values)))
    if stepped:
        runs = [list(run) for has_number, run in groupby(marks, lambda mark: mark.y is not None) if has_number]
        paths = [(_steps(run), run[0].left if not mirrored else run[0].left + run[0].width) for run in runs]
    else:
        paths = [(_path(curve), curve[0][0]) for curve in _curves(marks, [mark.y for mark in marks])]
    return Chart(
        marks,
        tuple(path for path, _ in paths),
        tuple(f"{path}V{LOWEST:g}H{start:g}Z" for path, start in paths),
        tuple(mark for mark in marks if mark.y is None),
        tuple(Line(_height(share * top, top), share * top) for share in (0.5, 1.0)),
        _hours(values, marks, mirrored=mirrored) if stepped else _labels(values, marks),
        mirrored,
        () if stepped else tuple(_path(curve) for curve in _curves(marks, [_before(value, top) for value in values])),
    )


def sparkline(numbers: Sequence[float | None], *, mirrored: bool = False) -> Chart:
    """The same without any text."""
    return chart_of([Value("", "", number) for number in numbers], mirrored=mirrored)


def _mark(values: Sequence[Value], place: int, top: float, *, mirrored: bool, stepped: bool) -> Mark:
    last = max(len(values) - 1, 1)
    x = 50.0 if len(values) == 1 else 100 * place / last
    left, right = max(x - 50 / last, 0.0), min(x + 50 / last, 100.0)
    if stepped:
        left, right = 100 * place / len(values), 100 * (place + 1) / len(values)
        x = (left + right) / 2
    if mirrored:
        x, left, right = 100 - x, 100 - right, 100 - left
    number = values[place].number
    beside = [values[near].number for near in (place - 1, place + 1) if 0 <= near < len(values)]
    is_alone = number is not None and all(each is None for each in beside)
    y = None if number is None else _height(number, top)
    return Mark(round(x, 3), y, round(left, 3), round(right - left, 3), values[place].told, is_alone)


def _before(value: Value, top: float) -> float | None:
    return None if value.before is None else _height(value.before, top)


def _curves(marks: Sequence[Mark], heights: Sequence[float | None]) -> list[list[tuple[float, float]]]:
    """The points of each run of places that have a height, of at least two."""
    points = zip((mark.x for mark in marks), heights, strict=True)
    runs = [list(run) for has_height, run in groupby(points, lambda point: point[1] is not None) if has_height]
    return [[(x, y or 0.0) for x, y in run] for run in runs if len(run) > 1]


def _height(number: float, top: float) -> float:
    return round(LOWEST - (LOWEST - HIGHEST) * number / top, 3)


def _ceiling(most: float) -> float:
    """The next number from `most` on that reads well, as does its half: 2, 4, 6, 8, 10, 15, 20, 30, ..."""
    if most <= 2:
        return 2.0
    scale = 10.0 ** math.floor(math.log10(most))
    steps = (2, 4, 6, 8, 10) if scale == 1 else (1, 1.5, 2, 3, 4, 5, 6, 8, 10)
    return scale * next(step for step in steps if step * scale >= most)


def _path(curve: Sequence[tuple[float, float]]) -> str:
    """A smooth curve through its points that never leaves the range of two neighbours (monotone in x; F. N. Fritsch,
    R. E. Carlson, 1980), so that it shows no day higher than it was."""
    slopes = [(after[1] - before[1]) / (after[0] - before[0]) for before, after in pairwise(curve)]
    tangents = [slopes[0], *(_tangent(*both) for both in pairwise(slopes)), slopes[-1]]
    path = f"M{curve[0][0]:g},{curve[0][1]:g}"
    for place, (before, after) in enumerate(pairwise(curve)):
        third = (after[0] - before[0]) / 3
        first = before[0] + third, before[1] + third * tangents[place]
        second = after[0] - third, after[1] - third * tangents[place + 1]
        path += "C" + " ".join(f"{x:.6g},{y:.6g}" for x, y in (first, second, after))
    return path


def _steps(run: Sequence[Mark]) -> str:
    """Flat over each place, from edge to edge."""
    is_mirrored = len(run) > 1 and run[1].x < run[0].x
    path = ""
    for mark in run:
        edges = (mark.left, mark.left + mark.width)
        start, end = reversed(edges) if is_mirrored else edges
        path += f"{'V' if path else f'M{start:g},'}{mark.y:g}H{end:g}"
    return path


def _tangent(before: float, after: float) -> float:
    """The harmonic mean where the curve keeps its direction, else flat."""
    return 2 * before * after / (before + after) if before * after > 0 else 0.0


def _labels(values: Sequence[Value], marks: Sequence[Mark]) -> tuple[Label, ...]:
    """About six, evenly spaced, the first and the last among them where that comes out."""
    step = max(math.ceil((len(values) - 1) / (LABELS - 1)), 1)
    places = range((len(values) - 1) % step, len(values), step) if len(values) > 1 else range(1)
    count = len(places)
    return tuple(
        Label(marks[place].x, values[place].label, _anchor(marks[place].x), (count - 1 - order) % 2 == 1)
        for order, place in enumerate(places)
    )


def _hours(values: Sequence[Value], marks: Sequence[Mark], *, mirrored: bool) -> tuple[Label, ...]:
    """Each quarter of the day, where it begins."""
    places = range(0, len(values), max(len(values) // 4, 1))
    edges = [marks[place].left + (marks[place].width if mirrored else 0) for place in places]
    return tuple(
        Label(round(edge, 3), values[place].label, _anchor(edge), is_minor=False)
        for place, edge in zip(places, edges, strict=True)
    )


def _anchor(x: float) -> str:
    if x < 4:
        return "start"
    return "end" if x > 96 else "middle"
