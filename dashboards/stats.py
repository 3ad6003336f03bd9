"""A site's sealed days from the trends, and today from the live view: the one answer that pages and JSON are made of.

Invariants:
- Numbers come from the views `trend`, `breakdown` and `coverage` and from the live view, and from nothing else.
- A sealed day without a row had fewer than k networks: it says so and has no numbers, none of its values either.
- Sealed and live numbers are never added: a live number is that of an earlier moment.

`visitors` of several days are visitor-days: tokens of different days cannot be compared, so nobody can tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from importlib.resources import files
from typing import Literal

from aggregator.live import Cell, Live, LiveView, Measures
from aggregator.store import Store
from collector.zones import Terms, Zones, period_of, zone_of
from dashboards.experiments import Arm, Result, Visitors, results_of
from dashboards.question import Question
from dashboards.rates import Counted, Rate, rate_of

# Dimensions whose values are parts of a whole that is shown, and the statement that compares both.
PARTS = {"goal": "goals", "funnel": "funnels"}
ALL = tuple(each.name for each in fields(Measures))
# What is known of two dimensions at a time.
PEOPLE = ("visitors", "visits")
State = Literal["sealed", "fewer than k", "today", "not sealed"]


@dataclass(frozen=True)
class Day:
    """One day that was asked for, or a week from `day` to `last`; `measures` where it is "sealed". A past day may stay
    "not sealed" for ever: one without any event in its time zone is never sealed."""

    day: date
    last: date
    state: State
    measures: Measures | None


@dataclass(frozen=True)
class Span:
    """`hours` hours of a day from `hour` on, with k networks of their own."""

    hour: int
    hours: int
    measures: Measures


@dataclass(frozen=True)
class Requests:
    """How many requests had one outcome, each day's in tens."""

    outcome: str
    reason: str
    requests: int


@dataclass(frozen=True)
class Stats:
    """What a question is answered. `spans` only of a single day that is over, `values` by the dimensions asked for,
    `rates` by goal or step where these are asked for, `results` where an experiment's goals are, `live` where the
    question reaches to today."""

    question: Question
    total: Measures | None
    days: tuple[Day, ...]
    spans: tuple[Span, ...] | None
    values: Mapping[str, tuple[Cell, ...]]
    rates: Mapping[str, Rate]
    results: tuple[Result, ...]
    live: Live | None
    coverage: tuple[Requests, ...]
    # Of a question with a filter the days that have lists; values have visitors and visits alone.
    crossed: tuple[date, ...] = ()


def stats(
    store: Store,
    live: LiveView | None,
    question: Question,
    today: date,
    zones: Zones | None = None,
    *,
    tells_today: bool = True,
) -> Stats:
    """The answer; `today` is the site's own: the day that is open, or the first one of the open week.

    Of a site that is sealed by weeks it is about whole ones, all that the question touches. Without `live` it is of
    sealed days alone, and unless it `tells_today` its requests are, too. Raises what `Store` raises.
    """
    terms = (zones or Zones()).terms(question.site)
    question = replace(question, first=period_of(terms, question.first)[0], last=period_of(terms, question.last)[0])
    days = _days(store, question, today, terms)
    return Stats(
        question,
        total_of(days),
        days,
        _spans(store, question) if question.first == question.last < today and not question.filter else None,
        _values(store, question) if question.dimensions else {},
        _rates(store, question),
        _results(store, question) if "variant_goal" in question.dimensions else (),
        live.of(question.site) if live is not None and question.last == today and not question.filter else None,
        _coverage(store, question, days[-1].last if tells_today else min(days[-1].last, today - timedelta(days=1))),
        _crossed(store, question),
    )


def total_of(days: Iterable[Day]) -> Measures | None:
    """The sum of the days with numbers, or None where none has."""
    measured = [day.measures for day in days if day.measures is not None]
    return reduce(_sum, measured) if measured else None


def as_json(answer: Stats) -> dict[str, object]:
    """Plain data, as `/api/stats` tells it; values only of a single dimension."""
    question, site = answer.question, answer.question.site
    told: dict[str, object] = {
        "site": site.domain,
        "timezone": site.timezone,
        "sealed_every": site.seal_every,
        "from": question.first.isoformat(),
        "to": answer.days[-1].last.isoformat(),
        "k": site.k,
        "k_counts": f"{site.distinct}s",
        "level": site.level,
        "development": site.is_development,
        "totals": asdict(answer.total) if answer.total else None,
        "days": [_day_as_json(day) for day in answer.days],
    }
    if question.filter is not None:
        told["filter"] = {**asdict(question.filter), "crossed_days": [day.isoformat() for day in answer.crossed]}
    if answer.spans is not None:
        told["hours"] = [{"hour": span.hour, "span": span.hours, **asdict(span.measures)} for span in answer.spans]
    for dimension in question.dimensions:
        told["dimension"] = dimension
        told["values"] = _cells_as_json(answer.values.get(dimension, ()), _measures_of(question))
        if dimension in PARTS:
            told["rates"] = {value: asdict(rate) for value, rate in answer.rates.items()}
        if dimension == "variant_goal":
            told["results"] = [asdict(result) for result in answer.results]
    if answer.live is not None:
        told["live"] = _live_as_json(answer.live, question)
    told["coverage"] = [asdict(requests) for requests in answer.coverage]
    return told


def _measures_of(question: Question) -> tuple[str, ...]:
    """What is known of a list's values."""
    if question.site.level == "dp":
        return ("visitors",)
    return PEOPLE if question.filter else ALL


def _day_as_json(day: Day) -> dict[str, object]:
    told = {"day": day.day.isoformat(), "state": day.state, **(asdict(day.measures) if day.measures else {})}
    return told if day.last == day.day else {**told, "last_day": day.last.isoformat()}


def _cells_as_json(cells: Iterable[Cell], of: Iterable[str] = ALL) -> list[dict[str, object]]:
    return [
        {"parent": cell.parent, "value": cell.value, **{name: getattr(cell.measures, name) for name in of}}
        for cell in cells
    ]


def _live_as_json(live: Live, question: Question) -> dict[str, object]:
    """Today as everybody sees it; its numbers stand still until k further networks came, so its age is told."""
    told: dict[str, object] = {
        "day": live.day.isoformat(),
        "computed_at": datetime.fromtimestamp(live.computed_at, UTC).isoformat(timespec="seconds"),
        "state": "today" if live.totals else "fewer than k",
        "totals": asdict(live.totals) if live.totals else None,
    }
    for dimension in question.dimensions:
        told["values"] = _cells_as_json(live.lists.get(dimension, ())[: question.limit])
        told["sample"] = live.sample
    return told


def _days(store: Store, question: Question, today: date, terms: Terms) -> tuple[Day, ...]:
    sealed = _sealed(store, question, terms)
    statement = "day_totals_within" if question.filter else "day_totals"
    measured = {row[0]: Measures(*row[1:]) for row in store.query(_statement(statement), _of_site(question))}
    return tuple(
        Day(day, last, _state(day, measured, sealed, today), measured.get(day))
        for day, last in periods(terms, question.first, question.last)
    )


def periods(terms: Terms, first: date, last: date) -> Iterator[tuple[date, date]]:
    """The first and the last day of each period of a site that the days from `first` to `last` touch."""
    day = first
    while day <= last:
        period = period_of(terms, day)
        yield period
        day = period[1] + timedelta(days=1)


def _sealed(store: Store, question: Question, terms: Terms) -> set[date]:
    """Each day is asked for in the calendar that the site had on it."""
    found: set[date] = set()
    for timezone in {term.timezone for term in terms}:
        rows = store.query(_statement("sealed_days"), {"timezone": timezone, **_period(question)})
        found |= {day for (day,) in rows if zone_of(terms, day) == timezone}
    return found


def _state(day: date, measured: Mapping[date, Measures], sealed: set[date], today: date) -> State:
    if day in measured:
        return "sealed"
    if day in sealed:
        return "fewer than k"
    return "today" if day == today else "not sealed"


def _sum(one: Measures, other: Measures) -> Measures:
    return Measures(*(getattr(one, each.name) + getattr(other, each.name) for each in fields(Measures)))


def _spans(store: Store, question: Question) -> tuple[Span, ...]:
    rows = store.query(_statement("hour_spans"), {"site": question.site.domain, "day": question.first})
    return tuple(Span(row[0], row[1], Measures(*row[2:])) for row in rows)


def _values(store: Store, question: Question) -> dict[str, tuple[Cell, ...]]:
    parameters = {"dimensions": list(question.dimensions), "limit": question.limit, **_of_site(question)}
    cells: dict[str, list[Cell]] = {dimension: [] for dimension in question.dimensions}
    statement = "values_within" if question.filter else "values"
    for dimension, parent, value, *numbers in store.query(_statement(statement), parameters):
        known = (*numbers, *[0] * (len(ALL) - len(numbers)))
        cells[dimension].append(Cell(parent, value, Measures(*known)))
    return {dimension: tuple(listed) for dimension, listed in cells.items()}


def _crossed(store: Store, question: Question) -> tuple[date, ...]:
    if question.filter is None:
        return ()
    return tuple(sorted(day for (day,) in store.query(_statement("crossed_days"), _of_site(question))))


def _rates(store: Store, question: Question) -> dict[str, Rate]:
    """Of the visits of the days on which a value shows: on the others too few reached it to say anything."""
    asked = [statement for dimension, statement in PARTS.items() if dimension in question.dimensions]
    rows = [row for statement in asked for row in store.query(_statement(statement), _of_site(question))]
    rates = {value: rate_of(Counted(*parts[:2]), Counted(*parts[2:]), _step(question)) for value, *parts in rows}
    return {value: rate for value, rate in rates.items() if rate is not None}


def _results(store: Store, question: Question) -> tuple[Result, ...]:
    declared = question.site.declared
    rows = store.query(_statement("experiments"), {"variants": sorted(declared.variants), **_of_site(question)})
    arms = {(variant, goal): Arm(Visitors(*numbers[:2]), Visitors(*numbers[2:])) for variant, goal, *numbers in rows}
    return results_of(declared, arms, _step(question))


def _step(question: Question) -> int:
    """What shown numbers are multiples of: days that were sealed under another k are taken for days of this one."""
    return 1 if question.site.level == "exact" else question.site.k


def _coverage(store: Store, question: Question, last: date) -> tuple[Requests, ...]:
    """Until `last`, by days, also where weeks are sealed; none where numbers have noise, as these have none, and would
    tell what that hides."""
    if question.site.level == "dp":
        return ()
    return tuple(Requests(*row) for row in store.query(_statement("requests"), _of_site(replace(question, last=last))))


def _period(question: Question) -> dict[str, object]:
    return {"first": question.first, "last": question.last}


def _of_site(question: Question) -> dict[str, object]:
    narrowed = {"of": question.filter.dimension, "value": question.filter.value} if question.filter else {}
    return {"site": question.site.domain, **_period(question), **narrowed}


def _statement(name: str) -> str:
    return (files("dashboards") / "statements" / f"{name}.sql").read_text()
