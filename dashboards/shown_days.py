"""The days of a question with what shows of each: its numbers, or the state that says why there are none.

Of a site that is sealed by weeks each is a week.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date, timedelta
from functools import reduce
from typing import Literal

from aggregator.live import Measures
from aggregator.store import Store
from collector.zones import Terms, period_of, zone_of
from dashboards.question import Question
from dashboards.statement import of_site, period, statement

State = Literal["sealed", "fewer than k", "today", "not sealed"]


@dataclass(frozen=True)
class Day:
    """One day that was asked for, or a week from `day` to `last`; `measures` where it is "sealed", a sum of `rows`
    rounded ones. A past day may stay "not sealed" for ever: one without any event in its time zone is never sealed."""

    day: date
    last: date
    state: State
    measures: Measures | None
    rows: int = 1


def shown_days(store: Store, question: Question, today: date, terms: Terms) -> tuple[Day, ...]:
    """Every day or week that the question touches; raises what `Store` raises."""
    sealed = _sealed(store, question, terms)
    rows = store.query(statement("day_totals_within" if question.filter else "day_totals"), of_site(question))
    measured = {day: (Measures(*measures), count) for day, *measures, count in rows}
    return tuple(
        Day(day, last, _state(day, measured, sealed, today), *measured.get(day, (None, 0)))
        for day, last in periods(terms, question.first, question.last)
    )


def periods(terms: Terms, first: date, last: date) -> Iterator[tuple[date, date]]:
    """The first and the last day of each period of a site that the days from `first` to `last` touch."""
    day = first
    while day <= last:
        each = period_of(terms, day)
        yield each
        day = each[1] + timedelta(days=1)


def total_of(days: Iterable[Day]) -> Measures | None:
    """The sum of the days with numbers, or None where none has."""
    measured = [day.measures for day in days if day.measures is not None]
    return reduce(_sum, measured) if measured else None


def _sealed(store: Store, question: Question, terms: Terms) -> set[date]:
    """Each day is asked for in the calendar that the site had on it."""
    found: set[date] = set()
    for timezone in {term.timezone for term in terms}:
        rows = store.query(statement("sealed_days"), {"timezone": timezone, **period(question)})
        found |= {day for (day,) in rows if zone_of(terms, day) == timezone}
    return found


def _state(day: date, measured: Mapping[date, object], sealed: set[date], today: date) -> State:
    if day in measured:
        return "sealed"
    if day in sealed:
        return "fewer than k"
    return "today" if day == today else "not sealed"


def _sum(one: Measures, other: Measures) -> Measures:
    return Measures(*(getattr(one, each.name) + getattr(other, each.name) for each in fields(Measures)))
