"""What is asked: the query string of `/api/stats` as a checked `Question`, or a `BadQuestion` that names the field.

Invariants: a fault never repeats a value; what this version cannot answer is refused and never left out silently, so
that no number is mistaken for another one's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from aggregator.declared_dimensions import names_of
from collector.settings import Settings, Site

# A three-year panel and its edges.
MAX_DAYS = 1_100
# A seal keeps at most 2,000 values of a dimension; a page shows 100 without scrolling for long.
MAX_LIMIT = 2_000
DEFAULT_LIMIT = 100
NAMES = ("site", "from", "to", "dimension", "limit")
NOT_YET = ("filter", "compare")
ISO_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class BadQuestion(Exception):
    """A question that has no answer: the HTTP status, and one sentence naming the field and its limit."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True)
class Question:
    """One site's days from `first` to `last`, both included; without `dimensions` it asks for totals alone."""

    site: Site
    first: date
    last: date
    dimensions: tuple[str, ...]
    limit: int


def single_values(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The fields of a query string by name. Raises `BadQuestion` for a name unknown or given twice."""
    values: dict[str, str] = {}
    for name, value in pairs:
        if name in NOT_YET:
            raise BadQuestion(400, f"{name} is not available in this version: it needs cross_breakdown; leave it out")
        if name not in NAMES:
            raise BadQuestion(400, f"only {', '.join(NAMES)} can be asked")
        if name in values:
            raise BadQuestion(400, f"{name} must be given once")
        values[name] = value
    return values


def site_of(values: Mapping[str, str], settings: Settings) -> Site:
    """The site asked for. Raises `BadQuestion`."""
    if "site" not in values:
        raise BadQuestion(400, "site must be given: the domain of a [[site]] in footfall.toml")
    if values["site"] not in settings.sites:
        raise BadQuestion(404, "site is unknown: it must be the domain of a [[site]] in footfall.toml")
    return settings.sites[values["site"]]


def question_of(values: Mapping[str, str], site: Site, today: date) -> Question:
    """The whole question; `to` is by default `today`, the site's own, and `from` is `to`. Raises `BadQuestion`."""
    last = _day("to", values["to"]) if "to" in values else today
    first = _day("from", values["from"]) if "from" in values else last
    if last > today:
        raise BadQuestion(400, "to must not be later than today in the site's time zone")
    if first > last:
        raise BadQuestion(400, "from must not be later than to")
    if (last - first).days >= MAX_DAYS:
        raise BadQuestion(400, f"from must be less than {MAX_DAYS} days before to")
    return Question(site, first, last, _dimensions(values.get("dimension"), site), _limit(values.get("limit")))


def _day(name: str, text: str) -> date:
    try:
        if ISO_DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise BadQuestion(400, f"{name} must be a day, written 2026-05-31")


def _dimensions(text: str | None, site: Site) -> tuple[str, ...]:
    known = names_of(site)
    if text is not None and text not in known:
        raise BadQuestion(400, f"dimension must be one of {', '.join(known)}")
    return () if text is None else (text,)


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= MAX_LIMIT:
        raise BadQuestion(400, f"limit must be a whole number from 1 to {MAX_LIMIT}")
    return int(text)
