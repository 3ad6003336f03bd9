"""Days as a site lives them: which local day an instant belongs to, and when that day is over.

Time zone rules come from the pinned `tzdata` package, never from the machine, so that every
process of an installation closes a day at the same instant.
"""

from __future__ import annotations

import importlib.resources
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo


@cache
def zone(name: str) -> ZoneInfo:
    """The rules of time zone `name` (IANA); raises `LookupError` where tzdata has no such zone."""
    parts = name.split("/")
    if not name or any(part in ("", ".", "..") for part in parts):
        raise LookupError(f"no time zone is named {name!r}")
    file = importlib.resources.files("tzdata").joinpath("zoneinfo", *parts)
    if not file.is_file():
        raise LookupError(f"no time zone is named {name!r}")
    with file.open("rb") as rules:
        return ZoneInfo.from_file(rules, key=name)


def day_of(at: float, timezone: str) -> date:
    """The local calendar day in `timezone` of the instant `at` (Unix seconds)."""
    return datetime.fromtimestamp(at, zone(timezone)).date()


def starts_at(day: date, timezone: str) -> float:
    """Unix seconds of the first instant of `day` in `timezone`."""
    rules = zone(timezone)
    midnight = datetime.combine(day, time(), rules)
    first = midnight.astimezone(UTC)
    # Where clocks jump over midnight, that midnight does not exist: the day starts after the gap.
    while first.astimezone(rules).date() < day:
        first += timedelta(minutes=1)
    return first.timestamp()


def ends_at(day: date, timezone: str) -> float:
    """Unix seconds of the first instant that no longer belongs to `day` in `timezone`."""
    return starts_at(day + timedelta(days=1), timezone)
