"""Days as a site lives them: which period an instant belongs to, and when that period is over.

A site is counted by a *calendar*: by the days of a time zone ("Europe/Berlin"), or by its weeks ("Europe/Berlin/week").
A week is named by its first day, a Monday (ISO 8601). Wherever a day stands beside a `timezone`, in a key's name, a
spool, a table or a seal, the latter is a calendar, and the day is the first one of its period.

Time zone rules come from the pinned `tzdata` package, never from the machine, so that every
process of an installation closes a day at the same instant.
"""

from __future__ import annotations

import importlib.resources
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Literal
from zoneinfo import ZoneInfo

Every = Literal["day", "week"]

WEEKLY = "/week"
DAYS_OF_WEEK = 7


def calendar_of(timezone: str, every: Every) -> str:
    """The calendar of time zone `timezone` (IANA) by days or by weeks."""
    return timezone + WEEKLY if every == "week" else timezone


def parts_of(calendar: str) -> tuple[str, Every]:
    """The time zone of a calendar, and what it goes by."""
    return (calendar.removesuffix(WEEKLY), "week") if calendar.endswith(WEEKLY) else (calendar, "day")


@cache
def zone(calendar: str) -> ZoneInfo:
    """The rules of a calendar's time zone; raises `LookupError` where tzdata has no such zone."""
    name, _ = parts_of(calendar)
    parts = name.split("/")
    if not name or any(part in ("", ".", "..") for part in parts):
        raise LookupError(f"no time zone is named {name!r}")
    file = importlib.resources.files("tzdata").joinpath("zoneinfo", *parts)
    if not file.is_file():
        raise LookupError(f"no time zone is named {name!r}")
    with file.open("rb") as rules:
        return ZoneInfo.from_file(rules, key=name)


def date_of(at: float, calendar: str) -> date:
    """The local date of the instant `at` (Unix seconds)."""
    return datetime.fromtimestamp(at, zone(calendar)).date()


def day_of(at: float, calendar: str) -> date:
    """The first day of the period in which the instant `at` (Unix seconds) is: its date, or that of the Monday."""
    return first_of(date_of(at, calendar), calendar)


def first_of(day: date, calendar: str) -> date:
    """The first day of the period in which `day` is."""
    _, every = parts_of(calendar)
    return day - timedelta(days=day.weekday()) if every == "week" else day


def following(day: date, calendar: str) -> date:
    """The first day of the next period. One that begins within a week, after a change of calendars, ends with it."""
    _, every = parts_of(calendar)
    return first_of(day, calendar) + timedelta(days=DAYS_OF_WEEK if every == "week" else 1)


def starts_at(day: date, calendar: str) -> float:
    """Unix seconds of the first instant of `day`."""
    rules = zone(calendar)
    midnight = datetime.combine(day, time(), rules)
    first = midnight.astimezone(UTC)
    # Where clocks jump over midnight, that midnight does not exist: the day starts after the gap.
    while first.astimezone(rules).date() < day:
        first += timedelta(minutes=1)
    return first.timestamp()


def ends_at(day: date, calendar: str) -> float:
    """Unix seconds of the first instant that no longer belongs to the period of `day`."""
    return starts_at(following(day, calendar), calendar)
