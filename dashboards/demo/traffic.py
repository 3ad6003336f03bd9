"""A day of visits to the demo shop, as its server would report them to `/api/events`.

Promises: the same `seed` and day give the same events, whatever was asked for before; every event lies within its day;
addresses are those of `audience` and no others. Nobody is followed from one day to the next, for nothing in Footfall
could tell.

What is plausible about it: pages by Zipf's law; each source with a referrer that it really sends, or with the site's
own utm parameters; people come by the clock of their own country, fewer at weekends, slowly more from week to week,
and many on the morning of a newsletter; about half see one page, the others go on and may put something into the cart.
Some refuse, some do not answer the banner, and some are bots: these are dropped, and show in the coverage alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from typing import Any

from collector.days import ends_at, starts_at, zone
from dashboards.demo.audience import BOTS, Audience, Country, Visitor
from dashboards.demo.catalogue import ARTICLES, CART, GUIDE, HOME, PAGES, TEAS, THANKS, tea_at

# One event as `/api/events` takes it; what is in it is the collector's contract, not ours.
Item = dict[str, Any]

# Monday to Sunday, around 1: people buy tea at work.
WEEKDAYS = (1.08, 1.06, 1.04, 1.08, 0.98, 0.82, 0.94)
# The first and the last day of the month against its mean.
GROWTH = (0.82, 1.18)
NOISE = 0.05
NEWSLETTER_WEEKDAY = 3
NEWSLETTER_BOOST = 1.25
# Midnight to 23:00 by the visitor's own clock.
HOURS = (6, 4, 2, 2, 2, 3, 8, 18, 32, 44, 50, 52, 54, 50, 48, 47, 48, 52, 58, 66, 72, 64, 42, 18)
REFUSED, UNANSWERED, BOT = 0.10, 0.06, 0.03
# Visits of somebody who was there on the same day before.
COMES_AGAIN = 0.09
GOES_ON = 0.55
MOST_PAGES = 12
LEAVES = 0.8
ADDS_TO_CART = 0.16
BUYS = 0.4
# Zipf's exponent for pages, about what is measured for web sites (Breslau et al., INFOCOM 1999: 0.64 to 0.83).
ZIPF = 0.8
PAGE_WEIGHTS = list(accumulate(1 / rank**ZIPF for rank in range(1, len(PAGES) + 1)))


@dataclass(frozen=True)
class Source:
    """Where visits come from: the referrer that browsers send, parameters of the link, and the pages it leads to."""

    weight: float
    referrer: str = ""
    query: str = ""
    landings: Sequence[str] = ()


SOURCES = (
    Source(300),
    Source(285, "https://www.google.com/"),
    Source(42, "https://www.bing.com/"),
    Source(38, "https://duckduckgo.com/"),
    Source(26, "https://www.ecosia.org/"),
    Source(10, "https://search.brave.com/"),
    Source(52, "https://l.instagram.com/", landings=[HOME, TEAS[0].path, TEAS[8].path]),
    Source(26, "https://m.facebook.com/"),
    Source(34, "https://www.pinterest.com/", landings=[ARTICLES[0].path, TEAS[5].path]),
    Source(24, "https://www.reddit.com/", landings=[ARTICLES[0].path, ARTICLES[2].path]),
    Source(14, "https://www.youtube.com/", landings=[TEAS[4].path]),
    Source(10, "https://mastodon.social/"),
    Source(28, "https://chatgpt.com/"),
    Source(9, "https://www.perplexity.ai/"),
    Source(12, "https://en.wikipedia.org/", landings=["/journal"]),
    Source(16, "https://slow-kettle.example/reviews/sencha", landings=[TEAS[0].path]),
    Source(8, "https://tea-friends.example/", landings=["/teas"]),
    Source(40, "https://www.google.com/", "utm_source=google&utm_medium=cpc&utm_campaign=green-tea", ["/teas/green"]),
    Source(18, "https://l.instagram.com/", "utm_source=instagram&utm_medium=social&utm_campaign=autumn", ["/teas"]),
    Source(
        *(26, "", "utm_source=newsletter&utm_medium=email&utm_campaign=first-flush"),
        landings=[TEAS[3].path, "/teas/black"],
    ),
)
NEWSLETTER = SOURCES[-1]
SOURCE_WEIGHTS = list(accumulate(source.weight for source in SOURCES))


class Traffic:
    """The visits of site `domain` in `timezone` by people of `audience`."""

    def __init__(self, audience: Audience, seed: int, domain: str, timezone: str) -> None:
        self._audience, self._seed = audience, seed
        self._domain, self._timezone = domain, timezone

    def day(self, day: date, visits: int) -> list[Item]:
        """Every event of the `visits` on `day`, in the order of time."""
        chance = random.Random(f"{self._seed}/{day.isoformat()}")  # noqa: S311  visitors, not secrets
        start, end = starts_at(day, self._timezone), ends_at(day, self._timezone)
        hours = _HoursOf(day, start, end)
        visitors: list[Visitor] = []
        for _ in range(visits):
            comes_again = visitors and chance.random() < COMES_AGAIN
            visitors.append(chance.choice(visitors) if comes_again else self._audience.visitor(chance))
        items = [item for visitor in visitors for item in self._visit_on(chance, visitor, hours, day)]
        return sorted((item for item in items if item["time"] < end), key=lambda item: item["time"])

    def visit_now(self, chance: random.Random, now: float) -> list[Item]:
        """The events of one visit that begins at `now`, in the order of time."""
        visitor = self._audience.visitor(chance)
        return list(self._visit(chance, visitor, now, _source(chance, is_newsletter=False)))

    def _visit_on(self, chance: random.Random, visitor: Visitor, hours: _HoursOf, day: date) -> Iterator[Item]:
        is_newsletter = day.weekday() == NEWSLETTER_WEEKDAY and chance.random() < 1 - 1 / NEWSLETTER_BOOST
        yield from self._visit(chance, visitor, hours.instant(chance, visitor.country), _source(chance, is_newsletter))

    def _visit(self, chance: random.Random, visitor: Visitor, at: float, source: Source) -> Iterator[Item]:
        asks = chance.random()
        common = {
            "d": self._domain,
            "ip": visitor.address,
            "ua": visitor.user_agent,
            "language": visitor.language,
            "w": visitor.width,
            "c": "1",
        }
        landing = chance.choice(source.landings) if source.landings else _page(chance)
        query = f"?{source.query}" if source.query else ""
        first = {"n": "pageview", "u": self._url(landing) + query, "r": source.referrer, "time": round(at, 3)}
        if asks < REFUSED + UNANSWERED + BOT:
            yield {**common, **first, **_unwanted(chance, asks)}
            return
        yield {**common, **first}
        for item in self._walk(chance, landing, at):
            yield {**common, **item}

    def _walk(self, chance: random.Random, landing: str, at: float) -> Iterator[Item]:
        """What follows the first page view: how long pages are looked at, what is done there, and the next ones."""
        page, has_tea = landing, False
        for number in range(1, MOST_PAGES + 1):
            engaged_s = min(chance.lognormvariate(3.3, 0.9), 900.0)
            yield from self._doings(chance, page, at + engaged_s * 0.7)
            tea = tea_at(page)
            if tea is not None and chance.random() < ADDS_TO_CART:
                has_tea = True
                yield self._event(page, at + engaged_s * 0.8, "add to cart", {"tea": tea.name})
            at += engaged_s
            if chance.random() < LEAVES:
                yield self._leave(chance, page, at, engaged_s)
            if number == MOST_PAGES or (chance.random() > GOES_ON and not has_tea):
                return
            if has_tea and chance.random() < 0.5:
                yield from self._checkout(chance, page, at + 1)
                return
            left, page = page, _page(chance)
            at += 1.0
            yield self._view(page, left, at)

    def _checkout(self, chance: random.Random, left: str, at: float) -> Iterator[Item]:
        yield self._view(CART, left, at)
        engaged_s = min(chance.lognormvariate(3.6, 0.7), 600.0)
        yield self._leave(chance, CART, at + engaged_s, engaged_s)
        if chance.random() < BUYS:
            at += engaged_s + 1
            yield self._view(THANKS, CART, at)
            yield self._event(THANKS, at + 0.2, "purchase", {"items": str(chance.randrange(1, 5))})

    def _doings(self, chance: random.Random, page: str, at: float) -> Iterator[Item]:
        if page.startswith("/journal/") and chance.random() < 0.12:
            yield self._event(page, at, "File Download", {"url": f"{self._domain}{GUIDE}"})
        if page == HOME and chance.random() < 0.03:
            yield self._event(page, at, "newsletter", {})

    def _view(self, page: str, left: str, at: float) -> Item:
        return {"n": "pageview", "u": self._url(page), "r": self._url(left), "time": round(at, 3)}

    def _leave(self, chance: random.Random, page: str, at: float, engaged_s: float) -> Item:
        depth = chance.choices((25, 50, 75, 100), (20, 25, 25, 30))[0]
        return {"n": "engagement", "u": self._url(page), "time": round(at, 3), "e": round(engaged_s * 1e3), "sd": depth}

    def _event(self, page: str, at: float, name: str, properties: dict[str, str]) -> Item:
        return {"n": name, "u": self._url(page), "time": round(at, 3), "p": properties}

    def _url(self, path: str) -> str:
        return f"https://{self._domain}{path}"


class _HoursOf:
    """When visitors of a country come on one day of the site, whose hours run against theirs."""

    def __init__(self, day: date, start: float, end: float) -> None:
        self._noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
        self._start, self._hours = start, round((end - start) / 3600)
        self._weights: dict[str, list[float]] = {}

    def instant(self, chance: random.Random, country: Country) -> float:
        weights = self._weights.get(country.timezone)
        if weights is None:
            weights = self._weights[country.timezone] = list(accumulate(self._of(country.timezone)))
        hour = chance.choices(range(self._hours), cum_weights=weights)[0]
        return self._start + 3600 * (hour + chance.random())

    def _of(self, timezone: str) -> Iterator[float]:
        offset = self._noon.astimezone(zone(timezone)).utcoffset() or timedelta()
        for hour in range(self._hours):
            yield HOURS[int((self._start + 3600 * hour + offset.total_seconds()) // 3600) % 24]


def visits_by_day(today: date, days: int, average: int, seed: int) -> dict[date, int]:
    """How many visits each of the `days` before `today`, and `today` if it were whole, has; `average` is their mean."""
    chance = random.Random(f"{seed}/visits")  # noqa: S311  visitors, not secrets
    shares = {}
    for number in range(days + 1):
        day = today - timedelta(days=days - number)
        growth = GROWTH[0] + (GROWTH[1] - GROWTH[0]) * number / max(1, days)
        boost = NEWSLETTER_BOOST if day.weekday() == NEWSLETTER_WEEKDAY else 1.0
        shares[day] = WEEKDAYS[day.weekday()] * growth * boost * chance.uniform(1 - NOISE, 1 + NOISE)
    mean = sum(shares.values()) / len(shares)
    return {day: max(1, round(average * share / mean)) for day, share in shares.items()}


def _source(chance: random.Random, is_newsletter: bool) -> Source:
    return NEWSLETTER if is_newsletter else chance.choices(SOURCES, cum_weights=SOURCE_WEIGHTS)[0]


def _page(chance: random.Random) -> str:
    return chance.choices(PAGES, cum_weights=PAGE_WEIGHTS)[0]


def _unwanted(chance: random.Random, asks: float) -> Item:
    """What makes a hit one that the collector drops: a refusal, no answer, or a bot."""
    if asks < REFUSED:
        return {"c": "0"}
    if asks < REFUSED + UNANSWERED:
        return {"c": None}
    return {"ua": chance.choice(BOTS)}
