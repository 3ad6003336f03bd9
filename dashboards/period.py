"""The days that a page shows: a name such as `30d`, or `from` and `to`.

A named period ends yesterday, because today is not sealed and is told apart from it. `today` shows the live view. Of a
site that is sealed by weeks today is the open week, named by its first day, and a period has whole weeks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from collector.days import Every
from collector.settings import Site
from dashboards.question import BadQuestion, Question, compare_of, crossed_with, filter_of, question_of

# 52 whole weeks: the curve of a year is drawn by weeks, and each stands for as many days as the next.
LENGTHS: Mapping[Every, Mapping[str, int]] = {
    "day": {"day": 1, "7d": 7, "30d": 30, "12m": 364},
    "week": {"7d": 7, "30d": 28, "12m": 364},
}
TODAY = "today"
DEFAULT = "30d"
# What a panel can unfold.
LIMIT = 100


@dataclass(frozen=True)
class Period:
    """`name` is "" where the days were given themselves."""

    name: str
    question: Question


def period_of(
    values: Mapping[str, str], site: Site, today: date, default: str = DEFAULT, *, has_today: bool = True
) -> Period:
    """What `period`, or `from` and `to`, ask for, narrowed by `filter`, with what `compare` names beside it; raises
    `BadQuestion`."""
    narrowed, compare = filter_of(values, site), compare_of(values)
    dimensions = crossed_with(narrowed, site)
    if "from" in values or "to" in values:
        given = {name: values[name] for name in ("from", "to", "compare") if values.get(name)}
        asked = question_of(given, site, today)
        return Period("", Question(site, asked.first, asked.last, dimensions, LIMIT, narrowed, compare))
    name = values.get("period", default)
    if name == TODAY:
        if not has_today:
            raise BadQuestion(400, "period must not be today: this installation shows sealed days alone")
        for field, asked_for in (("filter", narrowed), ("compare", compare)):
            if asked_for is not None:
                raise BadQuestion(400, f"{field} needs days that are sealed: leave it out for today")
        # Its lists are those of the live view.
        return Period(name, Question(site, today, today, (), LIMIT))
    lengths = LENGTHS[site.seal_every]
    if name not in lengths:
        raise BadQuestion(400, f"period must be one of {', '.join((TODAY, *lengths))}, or from and to must be given")
    first, yesterday = today - timedelta(days=lengths[name]), today - timedelta(days=1)
    return Period(name, Question(site, first, yesterday, dimensions, LIMIT, narrowed, compare))
