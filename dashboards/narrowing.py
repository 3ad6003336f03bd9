"""The page of a site narrowed to one value: its addresses, and what is said of it.

A list of the page leads to the page of each of its values, where the site crosses that dimension with others. Only
sealed days can be narrowed: of today there are no two dimensions at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from aggregator.dimensions import OTHER
from dashboards.panels import label_of, title_of
from dashboards.period import TODAY, Period
from dashboards.question import Filter
from dashboards.stats import Stats
from dashboards.words import Words, marked


@dataclass(frozen=True)
class Narrowing:
    """What a page that is narrowed says of that; `everything` is the address of the page without it."""

    told: str
    value: str
    everything: str
    note: str


def narrowing_of(words: Words, period: Period, answer: Stats) -> Narrowing | None:
    """None where the page is of everybody."""
    question = answer.question
    if question.filter is None:
        return None
    title, value = (
        title_of(words, question.filter.dimension),
        label_of(words, question.filter.dimension, question.filter.value),
    )
    shown = sum(day.measures is not None for day in answer.days)
    without = shown - len(set(answer.crossed) & {day.day for day in answer.days if day.measures is not None})
    note = words.say(marked("Days of which there are no such lists: %(number)s."), number=words.number(without))
    everything = address_of(period, None)
    return Narrowing(words.say(marked("Narrowed to: %(list)s"), list=title), value, everything, note if without else "")


def address_of(period: Period, narrowed: Filter | None) -> str:
    """The page of the same site and days, compared with the same, narrowed to something or to nothing."""
    question = period.question
    days = {"from": question.first.isoformat(), "to": question.last.isoformat()}
    asked = {"period": period.name} if period.name else days
    asked |= {"filter": f"{narrowed.dimension}:{narrowed.value}"} if narrowed else {}
    asked |= {"compare": question.compare} if question.compare else {}
    return f"/sites/{question.site.domain}?{urlencode(asked)}"


def address_of_value(period: Period, dimension: str, value: str) -> str:
    """Where a value of a list leads; "" where it cannot be narrowed to."""
    if period.name == TODAY or dimension not in period.question.site.crosses or value == OTHER:
        return ""
    return address_of(period, Filter(dimension, value))
