"""The answer of `/api/stats`: a site's sealed days from the trends, and today from the live view.

Invariants:
- Numbers come from the views `trend`, `breakdown` and `coverage` and from the live view, and from nothing else.
- A sealed day without a row had fewer than k networks: it says so and has no numbers, none of its values either.
- Sealed and live numbers are never added: they are rounded in different ways.

`visitors` of several days are visitor-days: tokens of different days cannot be compared, so nobody can tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from typing import Any

from aggregator.live import Live, LiveView
from aggregator.store import Store
from dashboards.question import Question

MEASURES = ("visitors", "visits", "views", "events", "bounces", "engaged_s")
Row = Sequence[Any]  # what ClickHouse answers: its types are those of the statement's columns


def stats(store: Store, live: LiveView, question: Question, today: date) -> dict[str, object]:
    """Plain data for JSON. `today` is the site's own. Raises what `Store` raises."""
    site = question.site
    days = _days(store, question, today)
    answer: dict[str, object] = {
        "site": site.domain,
        "timezone": site.timezone,
        "from": question.first.isoformat(),
        "to": question.last.isoformat(),
        "k": site.k,
        "level": site.level,
        "development": site.is_development,
        "totals": _total(days),
        "days": days,
    }
    if question.first == question.last < today:
        answer["hours"] = _hours(store, question)
    if question.dimension:
        answer["dimension"] = question.dimension
        answer["values"] = _values(store, question)
    if question.last == today:
        answer["live"] = _today(live.of(site), question)
    answer["coverage"] = _coverage(store, question)
    return answer


def _days(store: Store, question: Question, today: date) -> list[dict[str, object]]:
    """One entry a day: its state, and its numbers where it has any."""
    period = _period(question)
    sealed = {day for (day,) in store.query(_statement("sealed_days"), {"timezone": question.site.timezone, **period})}
    totals = {row[0]: _measures(row[1:]) for row in store.query(_statement("day_totals"), _of_site(question))}
    asked = [question.first + timedelta(days=after) for after in range((question.last - question.first).days + 1)]
    entries: list[dict[str, object]] = []
    for day in asked:
        state = _state(day, totals, sealed, today)
        entries.append({"day": day.isoformat(), "state": state, **totals.get(day, {})})
    return entries


def _state(day: date, totals: Mapping[date, object], sealed: set[date], today: date) -> str:
    if day in totals:
        return "sealed"
    if day in sealed:
        return "fewer than k"
    # A day without any event in its time zone is never sealed, so a past day may stay "not sealed".
    return "today" if day == today else "not sealed"


def _total(days: Sequence[Mapping[str, object]]) -> dict[str, int] | None:
    with_numbers = [day for day in days if day["state"] == "sealed"]
    if not with_numbers:
        return None
    return {name: sum(number for day in with_numbers if isinstance(number := day[name], int)) for name in MEASURES}


def _hours(store: Store, question: Question) -> list[dict[str, object]]:
    parameters = {"site": question.site.domain, "day": question.first}
    rows = store.query(_statement("hour_spans"), parameters)
    return [{"hour": row[0], "span": row[1], **_measures(row[2:])} for row in rows]


def _values(store: Store, question: Question) -> list[dict[str, object]]:
    parameters = {"dimension": question.dimension, "limit": question.limit, **_of_site(question)}
    rows = store.query(_statement("values"), parameters)
    return [{"parent": row[0], "value": row[1], **_measures(row[2:])} for row in rows]


def _today(live: Live, question: Question) -> dict[str, object]:
    """Today as everybody sees it; its numbers stand still until k further networks came, so its age is told."""
    answer: dict[str, object] = {
        "day": live.day.isoformat(),
        "computed_at": datetime.fromtimestamp(live.computed_at, UTC).isoformat(timespec="seconds"),
        "state": "today" if live.totals else "fewer than k",
        "totals": asdict(live.totals) if live.totals else None,
    }
    if question.dimension:
        cells = live.lists[question.dimension][: question.limit]
        answer["values"] = [{"parent": cell.parent, "value": cell.value, **asdict(cell.measures)} for cell in cells]
        answer["sample"] = live.sample
    return answer


def _coverage(store: Store, question: Question) -> list[dict[str, object]]:
    rows = store.query(_statement("requests"), _of_site(question))
    return [{"outcome": outcome, "reason": reason, "requests": requests} for outcome, reason, requests in rows]


def _measures(numbers: Row) -> dict[str, int]:
    return dict(zip(MEASURES, numbers, strict=True))


def _period(question: Question) -> dict[str, object]:
    return {"first": question.first, "last": question.last}


def _of_site(question: Question) -> dict[str, object]:
    return {"site": question.site.domain, **_period(question)}


def _statement(name: str) -> str:
    return (files("dashboards") / "statements" / f"{name}.sql").read_text()
