"""A site's sealed days from the trends, and today from the live view: the one answer that pages and JSON are made of.

Invariants:
- Numbers come from the views `trend`, `breakdown` and `coverage` and from the live view, and from nothing else.
- A sealed day without a row had fewer than k networks: it says so and has no numbers, none of its values either.
- Sealed and live numbers are never added: a live number is that of an earlier moment.

`visitors` of several days are visitor-days: tokens of different days cannot be compared, so nobody can tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, date, datetime, timedelta

from aggregator.live import Cell, Live, LiveView, Measures
from aggregator.store import Store
from collector.zones import Terms, Zones, period_of
from dashboards.comparison import Change, changes, days_before
from dashboards.experiments import Arm, Result, Visitors, results_of
from dashboards.question import Question
from dashboards.rates import Counted, Rate, rate_of, step_of
from dashboards.shown_days import Day, shown_days, total_of
from dashboards.statement import of_site, statement

# Dimensions whose values are parts of a whole that is shown, and the statement that compares both.
PARTS = {"goal": "goals", "funnel": "funnels"}
ALL = tuple(each.name for each in fields(Measures))
# What is known of two dimensions at a time.
PEOPLE = ("visitors", "visits")
ONE_DAY = timedelta(days=1)
# A value: its dimension, parent and name.
ValueKey = tuple[str, str, str]


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
class Before:
    """What is compared with: the days, in the order of those that were asked for; what the values asked for had in
    them, where they had numbers; by measure how much it changed, where that can be told."""

    days: tuple[Day, ...]
    total: Measures | None
    changes: Mapping[str, Change]
    values: Mapping[ValueKey, Measures] = field(default_factory=dict)


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
    before: Before | None = None


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
    question = _whole(question, terms)
    days = shown_days(store, question, today, terms)
    before = _before(store, question, days, today, terms) if question.compare else None
    values, values_before = _values(store, question, before) if question.dimensions else ({}, {})
    return Stats(
        question,
        total_of(days),
        days,
        _spans(store, question) if question.first == question.last < today and not question.filter else None,
        values,
        _rates(store, question),
        _results(store, question) if "variant_goal" in question.dimensions else (),
        live.of(question.site) if live is not None and question.last == today and not question.filter else None,
        _coverage(store, question, days[-1].last if tells_today else min(days[-1].last, today - ONE_DAY)),
        _crossed(store, question),
        replace(before, values=values_before) if before else None,
    )


def _whole(question: Question, terms: Terms) -> Question:
    """Of the periods that it touches, each named by its first day."""
    return replace(question, first=period_of(terms, question.first)[0], last=period_of(terms, question.last)[0])


def _before(store: Store, question: Question, days: tuple[Day, ...], today: date, terms: Terms) -> Before:
    first, last = days_before(question, days[-1].last)
    before = shown_days(store, _whole(replace(question, first=first, last=last), terms), today, terms)
    return Before(before, total_of(before), changes(question.site, days, before))


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
    if answer.before is not None:
        told["before"] = _before_as_json(answer.before, question)
    told["coverage"] = [asdict(requests) for requests in answer.coverage]
    return told


def _before_as_json(before: Before, question: Question) -> dict[str, object]:
    told: dict[str, object] = {
        "compare": question.compare,
        "from": before.days[0].day.isoformat(),
        "to": before.days[-1].last.isoformat(),
        "totals": asdict(before.total) if before.total else None,
        "days": [_day_as_json(day) for day in before.days],
        "changes": {measure: asdict(change) for measure, change in before.changes.items()},
    }
    if question.dimensions:
        cells = [Cell(parent, value, measures) for (_, parent, value), measures in before.values.items()]
        told["values"] = _cells_as_json(cells, _measures_of(question))
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


def _spans(store: Store, question: Question) -> tuple[Span, ...]:
    rows = store.query(statement("hour_spans"), {"site": question.site.domain, "day": question.first})
    return tuple(Span(row[0], row[1], Measures(*row[2:])) for row in rows)


def _values(
    store: Store, question: Question, before: Before | None
) -> tuple[dict[str, tuple[Cell, ...]], dict[ValueKey, Measures]]:
    """The values by dimension, and what they had before, where they had numbers."""
    # Without a comparison no day lies before.
    first, last = (before.days[0].day, before.days[-1].day) if before else (question.first, question.first - ONE_DAY)
    parameters = {
        "dimensions": list(question.dimensions),
        "limit": question.limit,
        "first_before": first,
        "last_before": last,
        **of_site(question),
    }
    cells: dict[str, list[Cell]] = {dimension: [] for dimension in question.dimensions}
    earlier: dict[ValueKey, Measures] = {}
    for dimension, parent, value, *numbers in store.query(
        statement("values_within" if question.filter else "values"), parameters
    ):
        half = len(numbers) // 2
        cells[dimension].append(Cell(parent, value, _measures(numbers[:half])))
        if any(numbers[half:]):
            earlier[dimension, parent, value] = _measures(numbers[half:])
    return {dimension: tuple(listed) for dimension, listed in cells.items()}, earlier


def _measures(numbers: list[int]) -> Measures:
    """Of the first ones all or a few; of the others nothing is known."""
    return Measures(*numbers, *[0] * (len(ALL) - len(numbers)))


def _crossed(store: Store, question: Question) -> tuple[date, ...]:
    if question.filter is None:
        return ()
    return tuple(sorted(day for (day,) in store.query(statement("crossed_days"), of_site(question))))


def _rates(store: Store, question: Question) -> dict[str, Rate]:
    """Of the visits of the days on which a value shows: on the others too few reached it to say anything."""
    asked = [name for dimension, name in PARTS.items() if dimension in question.dimensions]
    rows = [row for name in asked for row in store.query(statement(name), of_site(question))]
    rates = {value: rate_of(Counted(*parts[:2]), Counted(*parts[2:]), step_of(question.site)) for value, *parts in rows}
    return {value: rate for value, rate in rates.items() if rate is not None}


def _results(store: Store, question: Question) -> tuple[Result, ...]:
    declared = question.site.declared
    rows = store.query(statement("experiments"), {"variants": sorted(declared.variants), **of_site(question)})
    arms = {(variant, goal): Arm(Visitors(*numbers[:2]), Visitors(*numbers[2:])) for variant, goal, *numbers in rows}
    return results_of(declared, arms, step_of(question.site))


def _coverage(store: Store, question: Question, last: date) -> tuple[Requests, ...]:
    """Until `last`, by days, also where weeks are sealed; none where numbers have noise, as these have none, and would
    tell what that hides."""
    if question.site.level == "dp":
        return ()
    return tuple(Requests(*row) for row in store.query(statement("requests"), of_site(replace(question, last=last))))
