"""What the page of one site says, put together from the one answer (`stats`): no number comes from anywhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import partial

from aggregator.arrivals import Arrival
from aggregator.live import Live
from collector import days
from collector.days import Every
from collector.noise import Noise
from collector.settings import Settings, Site
from dashboards.day_or_week import (
    BEFORE,
    NOT_SEALED_BEFORE,
    NOT_SHOWN,
    NOTHING_SEALED,
    ROUNDED,
    SAMPLED,
    SEALED_FROM,
    SO_FAR,
    STARTS_AGAIN,
    TOLD_APART,
)
from dashboards.declared_panels import declared_panels
from dashboards.narrowing import Narrowing, address_of, address_of_value, narrowing_of
from dashboards.panels import PEOPLE, VISITORS, Panel, panels
from dashboards.period import TODAY, Period
from dashboards.question import Compare
from dashboards.reasons import name_in_list
from dashboards.smallest_group import FEWER_EACH, FEWER_SO_FAR, SHARED, STEPS, of_group
from dashboards.stats import Requests, Stats
from dashboards.tiles import Tile, tiles
from dashboards.timeline import Timeline, timeline_of
from dashboards.words import Words, marked

CHOICES: Mapping[Every, Mapping[str, str]] = {
    "day": {
        TODAY: marked("Today"),
        "day": marked("Yesterday"),
        "7d": marked("7 days"),
        "30d": marked("30 days"),
        "12m": marked("12 months"),
    },
    "week": {
        TODAY: marked("This week"),
        "7d": marked("Last week"),
        "30d": marked("4 weeks"),
        "12m": marked("12 months"),
    },
}
A_YEAR_BEFORE = marked("A year before")
COMPARISONS: Mapping[Every, Mapping[Compare | None, str]] = {
    every: {None: marked("Nothing"), "previous": before, "year": A_YEAR_BEFORE} for every, before in BEFORE.items()
}


@dataclass(frozen=True)
class Choice:
    """A period or a comparison to choose, and the address of the page that shows it."""

    label: str
    address: str
    is_chosen: bool


@dataclass(frozen=True)
class CoverageRow:
    """How many requests had one outcome; `share` of all in percent."""

    label: str
    number: int
    share: float
    is_counted: bool


@dataclass(frozen=True)
class Wording:
    """What the page says of the smallest group that shows, and of the day or week that it is told by."""

    fewer_so_far: str
    steps: str
    shared: str
    so_far: str
    not_shown: str
    starts_again: str
    sealed_from: str
    rounded: str
    told_apart: str
    sampled: str


@dataclass(frozen=True)
class Today:
    """The site's current day; `live` is what shows of it, None where nothing does."""

    day: date
    live: Live | None


@dataclass(frozen=True)
class SitePage:
    """One site's page. `live` is told apart from everything else, and None where today is not shown; `shows_live` where
    the lists are today's too. `noise` is what numbers with noise promise, None where they have none."""

    site: Site
    today: date
    period: Period
    heading: str
    choices: tuple[Choice, ...]
    live: Live | None
    noise: Noise | None
    wording: Wording
    tiles: tuple[Tile, ...]
    comparisons: tuple[Choice, ...]
    compared_with: str
    absence: str
    timeline: Timeline | None
    shows_live: bool
    panels: tuple[Panel, ...]
    coverage: tuple[CoverageRow, ...]
    is_behind_proxy: bool
    narrowing: Narrowing | None


def site_page(
    words: Words, settings: Settings, period: Period, answer: Stats, today: Today, arrival: Arrival | None
) -> SitePage:
    """The page of `answer`, with `today` beside it."""
    site, question, live = answer.question.site, answer.question, today.live
    shows_live = period.name == TODAY and live is not None
    return SitePage(
        site,
        today.day,
        period,
        words.days(question.first, answer.days[-1].last),
        _choices(words, period, has_today=live is not None),
        live,
        settings.privacy.noise if site.level == "dp" else None,
        _wording(words, settings, site, live),
        tiles(words, answer),
        _comparisons(words, period, answer),
        _compared_with(words, answer),
        "" if answer.total else _absence(words, settings, answer),
        timeline_of(words, answer),
        shows_live,
        panels(words, live.lists, {}) if live is not None and shows_live else _sealed_panels(words, period, answer),
        _coverage(words, answer.coverage),
        is_behind_proxy(site, arrival),
        narrowing_of(words, period, answer),
    )


def _sealed_panels(words: Words, period: Period, answer: Stats) -> tuple[Panel, ...]:
    declared = answer.question.site.declared
    followed = declared_panels(words, declared, answer.values, answer.rates, answer.results)
    address = partial(address_of_value, period)
    columns = PEOPLE if answer.question.filter is not None else ()
    if answer.question.site.level == "dp":
        columns = VISITORS
    before = answer.before.values if answer.before else None
    return panels(words, answer.values, answer.rates, address, columns=columns, before=before) + followed


def is_behind_proxy(site: Site, arrival: Arrival | None) -> bool:
    """Whether all visitors look like one proxy; a developer's own machine, which looks the same, is none."""
    return arrival is not None and arrival.behind_one_network and not site.is_development


def seals_at(words: Words, settings: Settings, site: Site) -> str:
    """The time of day, in the site's time zone, from which its finished day is sealed."""
    # Any midnight will do: the grace is counted from it.
    midnight = days.starts_at(date(2026, 1, 1), site.timezone)
    return words.clock(midnight + 60 * settings.privacy.grace_minutes, site.timezone)


def _wording(words: Words, settings: Settings, site: Site, live: Live | None) -> Wording:
    every = site.seal_every
    return Wording(
        of_group(words, site, FEWER_SO_FAR),
        of_group(words, site, STEPS),
        of_group(words, site, SHARED[every]),
        words.say(SO_FAR[every]),
        words.say(NOT_SHOWN[every]),
        words.say(STARTS_AGAIN[every]),
        words.say(SEALED_FROM[every], time=seals_at(words, settings, site)),
        words.say(ROUNDED[every], k=words.number(site.k)),
        words.say(TOLD_APART[every]),
        words.say(SAMPLED[every], sample=words.number(live.sample if live else 1)),
    )


def _choices(words: Words, period: Period, *, has_today: bool) -> tuple[Choice, ...]:
    return tuple(
        Choice(words.say(label), _address(name, period), name == period.name)
        for name, label in CHOICES[period.question.site.seal_every].items()
        if has_today or name != TODAY
    )


def _address(name: str, period: Period) -> str:
    """Of another period, narrowed and compared as this one is; today can be neither."""
    if name == TODAY:
        return address_of(Period(name, replace(period.question, compare=None)), None)
    return address_of(Period(name, period.question), period.question.filter)


def _comparisons(words: Words, period: Period, answer: Stats) -> tuple[Choice, ...]:
    """None where a day is still open."""
    question = period.question
    if any(day.state == "today" for day in answer.days):
        return ()
    return tuple(
        Choice(
            words.say(label),
            address_of(replace(period, question=replace(question, compare=compare)), question.filter),
            compare == question.compare,
        )
        for compare, label in COMPARISONS[question.site.seal_every].items()
    )


def _compared_with(words: Words, answer: Stats) -> str:
    """The days that are compared with, and why nothing is told of them where that is so; "" where there are none."""
    if answer.before is None:
        return ""
    days = answer.before.days
    told = words.say(marked("Compared with %(days)s."), days=words.days(days[0].day, days[-1].last))
    missing = sum(day.state == "not sealed" for day in days)
    if missing == 0:
        return told
    without = words.say(NOT_SEALED_BEFORE[answer.question.site.seal_every], number=words.number(missing))
    return f"{told} {without}"


def _absence(words: Words, settings: Settings, answer: Stats) -> str:
    """Why the period has no number."""
    site, states = answer.question.site, {day.state for day in answer.days}
    if answer.question.filter is not None:
        return words.say(marked("No list of these days shows it: its groups were too small, or nothing is sealed."))
    if "fewer than k" in states:
        return of_group(words, site, FEWER_EACH[site.seal_every])
    at = seals_at(words, settings, site)
    return words.say(NOTHING_SEALED[site.seal_every], time=at, timezone=site.timezone)


def _coverage(words: Words, coverage: Iterable[Requests]) -> tuple[CoverageRow, ...]:
    rows = list(coverage)
    total = sum(row.requests for row in rows)
    ordered = sorted(rows, key=lambda row: (row.outcome != "accepted", -row.requests))
    return tuple(
        CoverageRow(
            name_in_list(words, row.outcome, row.reason),
            row.requests,
            round(100 * row.requests / total, 1),
            row.outcome == "accepted",
        )
        for row in ordered
    )
