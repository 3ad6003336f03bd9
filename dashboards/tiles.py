"""The numbers of a period, each with what it was in the days that are compared with, and by how much it changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from dashboards.comparison import Change
from dashboards.day_or_week import ADDED_UP
from dashboards.question import Question
from dashboards.shown_days import Day, total_of
from dashboards.stats import Stats
from dashboards.words import Words, marked


@dataclass(frozen=True)
class Tile:
    """One number of the period, its unit or limits beside it; without a comparison `before` and `change` are ""."""

    name: str
    label: str
    number: str
    note: str
    before: str = ""
    change: str = ""


def tiles(words: Words, answer: Stats) -> tuple[Tile, ...]:
    """All that the period has numbers of."""
    now = _tiles(words, answer.question, answer.days)
    if answer.before is None:
        return now
    before = {tile.name: tile.number for tile in _tiles(words, answer.question, answer.before.days)}
    return tuple(
        replace(tile, before=before.get(tile.name, ""), change=told_change(words, answer.before.changes, tile.name))
        for tile in now
    )


def told_change(words: Words, changes: Mapping[str, Change], measure: str) -> str:
    """Such as "+12%", or the range that rounding leaves; "" where no change can be told."""
    if measure not in changes:
        return ""
    least, most = (words.signed_percent(end) for end in (changes[measure].at_least, changes[measure].at_most))
    return least if least == most else words.say(marked("%(least)s to %(most)s"), least=least, most=most)


def _tiles(words: Words, question: Question, days: tuple[Day, ...]) -> tuple[Tile, ...]:
    total = total_of(days)
    if total is None:
        return ()
    measured = sum(day.measures is not None for day in days)
    by_day = words.say(ADDED_UP[question.site.seal_every]) if measured > 1 else ""
    shown = [
        Tile("visitors", words.say(marked("Visitors")), words.number(total.visitors), by_day),
        Tile("visits", words.say(marked("Visits")), words.number(total.visits), ""),
    ]
    if total.views or question.filter is None:
        shown.append(Tile("views", words.say(marked("Page views")), words.number(total.views), ""))
    if total.views and total.visits:
        each = words.number(round(total.views / total.visits, 1))
        shown.append(Tile("views_a_visit", words.say(marked("Views a visit")), each, ""))
    bounces, visits = _shown_bounces(days)
    if bounces:
        shown.append(Tile("bounces", words.say(marked("Bounce rate")), words.percent(bounces / visits), ""))
    if total.engaged_s and total.visits:
        engaged = words.duration(total.engaged_s / total.visits)
        note = words.say(marked("on average a visit"))
        shown.append(Tile("engaged", words.say(marked("Engaged time")), engaged, note))
    return tuple(shown)


def _shown_bounces(of_days: Iterable[Day]) -> tuple[int, int]:
    """Bounces and visits of the days that show bounces: a day of few visits has none to show, and says nothing."""
    shown = [day.measures for day in of_days if day.measures is not None and day.measures.bounces]
    return sum(each.bounces for each in shown), sum(each.visits for each in shown)
