"""What is asked: the query string of `/api/stats` as a checked `Question`, or a `BadQuestion` that names the field.

Invariants: a fault never repeats a value; what cannot be answered is refused and never left out silently, so that no
number is mistaken for another one's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal, get_args

from aggregator.crosses import pairs_of
from aggregator.declared_dimensions import names_of
from aggregator.dimensions import OTHER
from collector.days import first_of
from collector.page import MAX_PATH_CHARS
from collector.settings import Settings, Site

# A three-year panel and its edges.
MAX_DAYS = 1_100
# A seal keeps at most 2,000 values of a dimension; a page shows 100 without scrolling for long.
MAX_LIMIT = 2_000
DEFAULT_LIMIT = 100
NAMES = ("site", "from", "to", "dimension", "limit", "filter", "compare")
# What days are compared with: as many days before them, or the same weekdays a year before.
Compare = Literal["previous", "year"]
ISO_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class BadQuestion(Exception):
    """A question that has no answer: the HTTP status, and one sentence naming the field and its limit."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True)
class Filter:
    """One value of a crossed dimension: what it is asked of is narrowed to its visits, on sealed days."""

    dimension: str
    value: str


@dataclass(frozen=True)
class Question:
    """One site's days from `first` to `last`, both included; without `dimensions` it asks for totals alone."""

    site: Site
    first: date
    last: date
    dimensions: tuple[str, ...]
    limit: int
    filter: Filter | None = None
    compare: Compare | None = None


def single_values(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The fields of a query string by name. Raises `BadQuestion` for a name unknown or given twice."""
    values: dict[str, str] = {}
    for name, value in pairs:
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
    """The whole question; `to` is by default `today`, the site's own, and `from` is `to`. Raises `BadQuestion`.

    Of a site that is sealed by weeks `today` is the first day of the open one.
    """
    last = _day("to", values["to"]) if "to" in values else today
    first = _day("from", values["from"]) if "from" in values else last
    if first_of(last, site.calendar) > today:
        raise BadQuestion(400, "to must not be later than today in the site's time zone")
    if first > last:
        raise BadQuestion(400, "from must not be later than to")
    if (last - first).days >= MAX_DAYS:
        raise BadQuestion(400, f"from must be less than {MAX_DAYS} days before to")
    narrowed = filter_of(values, site)
    if narrowed is not None and first_of(first, site.calendar) == today:
        raise BadQuestion(400, "filter needs a day that is sealed: from must be earlier than today")
    compare = compare_of(values)
    if compare is not None and first_of(last, site.calendar) == today:
        raise BadQuestion(400, "compare needs days that are sealed: to must be earlier than today")
    dimensions = _dimensions(values.get("dimension"), crossed_with(narrowed, site))
    return Question(site, first, last, dimensions, _limit(values.get("limit")), narrowed, compare)


def filter_of(values: Mapping[str, str], site: Site) -> Filter | None:
    """What `filter` asks for, None where it is not given. Raises `BadQuestion`."""
    if "filter" not in values:
        return None
    dimension, colon, value = values["filter"].partition(":")
    if dimension not in site.crosses or not colon or not 1 <= len(value) <= MAX_PATH_CHARS or value == OTHER:
        known = ", ".join(site.crosses) or "none: the site crosses no dimensions"
        raise BadQuestion(400, f"filter must be DIMENSION:VALUE, the dimension one of {known}")
    return Filter(dimension, value)


def compare_of(values: Mapping[str, str]) -> Compare | None:
    """What `compare` asks for, None where it is not given. Raises `BadQuestion`."""
    if "compare" not in values:
        return None
    known: tuple[Compare, ...] = get_args(Compare)
    for each in known:
        if values["compare"] == each:
            return each
    raise BadQuestion(400, f"compare must be one of {', '.join(known)}")


def crossed_with(narrowed: Filter | None, site: Site) -> tuple[str, ...]:
    """The dimensions whose lists there are: of a value those that are crossed with its dimension."""
    if narrowed is None:
        return names_of(site)
    return tuple(
        name
        for pair in pairs_of(site.crosses)
        if narrowed.dimension in pair
        for name in pair
        if name != narrowed.dimension
    )


def _day(name: str, text: str) -> date:
    try:
        if ISO_DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise BadQuestion(400, f"{name} must be a day, written 2026-05-31")


def _dimensions(text: str | None, known: tuple[str, ...]) -> tuple[str, ...]:
    if text is not None and text not in known:
        raise BadQuestion(400, f"dimension must be one of {', '.join(known)}")
    return () if text is None else (text,)


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= MAX_LIMIT:
        raise BadQuestion(400, f"limit must be a whole number from 1 to {MAX_LIMIT}")
    return int(text)
