"""What days are compared with, and by how much their numbers changed: no change is more exact than its numbers.

Sealed numbers are rounded down one by one, visitors, their further visits, those visits' further views
(aggregator/sql/components.sql), so of each row the truth is up to k - 1, 2 (k - 1) and 3 (k - 1) more. A change is told
as the range that this leaves, in whole percent, outward; days with fewer than k networks count for nothing on both
sides. No change is told where a day of either side is not sealed, where one does not show the measure, and of numbers
with noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from aggregator.live import Measures
from collector.settings import Site
from dashboards.question import Question
from dashboards.rates import step_of
from dashboards.shown_days import Day, total_of

# 52 weeks: each day is compared with the same day of the week, and a week with a week.
YEAR = timedelta(days=364)
# How many numbers that are rounded one by one a measure is made of.
COMPONENTS = {"visitors": 1, "visits": 2, "views": 3}


@dataclass(frozen=True)
class Change:
    """In whole percent: `percent` of the shown numbers, and between which two the truth lies; of numbers as counted all
    three are the same."""

    percent: int
    at_least: int
    at_most: int


def days_before(question: Question, last: date) -> tuple[date, date]:
    """The first and the last day of what the days of `question`, until `last`, are compared with."""
    back = YEAR if question.compare == "year" else last - question.first + timedelta(days=1)
    return question.first - back, last - back


def changes(site: Site, now: Sequence[Day], before: Sequence[Day]) -> dict[str, Change]:
    """By measure, of those of which a change can be told."""
    after, earlier = total_of(now), total_of(before)
    if site.level == "dp" or after is None or earlier is None or not _is_whole(now, before):
        return {}
    step = step_of(site)
    return {
        name: _change(
            (getattr(after, name), _open(now, name, step)), (getattr(earlier, name), _open(before, name, step))
        )
        for name in COMPONENTS
        if _shows(now, name) and _shows(before, name)
    }


def _is_whole(now: Sequence[Day], before: Sequence[Day]) -> bool:
    """Whether both sides are equally long and have nothing but sealed days."""
    lengths = [sum((day.last - day.day).days + 1 for day in days) for days in (now, before)]
    return lengths[0] == lengths[1] and all(day.state in ("sealed", "fewer than k") for day in (*now, *before))


def _shows(days: Sequence[Day], measure: str) -> bool:
    return all(getattr(each, measure) for each in _measured(days))


def _open(days: Sequence[Day], measure: str, step: int) -> int:
    """How much more than shown it can be in truth."""
    return (step - 1) * COMPONENTS[measure] * sum(day.rows for day in days if day.measures is not None)


def _measured(days: Sequence[Day]) -> list[Measures]:
    return [day.measures for day in days if day.measures is not None]


def _change(now: tuple[int, int], before: tuple[int, int]) -> Change:
    """Of two numbers, each with how much more it can be in truth."""
    shown = round(100 * now[0] / before[0]) - 100
    if now[1] == before[1] == 0:
        return Change(shown, shown, shown)
    least, most = 100 * now[0] // sum(before) - 100, -(-100 * sum(now) // before[0]) - 100
    return Change(shown, least, most)
