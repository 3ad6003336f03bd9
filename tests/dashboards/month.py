"""A month of a shop, sealed with k = 5: plausible rows, written as the sealer writes them.

Numbers are drawn with a fixed seed from the shapes that real sites have: busier weekdays, few pages that most people
see, and of everything a rest that was folded.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

from aggregator.store import Store

K = 5
MEASURES = ("visitors", "visits", "views", "events", "bounces", "engaged_s")
KEPT = date(2100, 1, 1)
# (parent, value): share of the day's visitors.
Shares = Mapping[tuple[str, str], float]
LISTS: Mapping[str, Shares] = {
    "page": {
        ("", "/"): 0.46,
        ("/tea/", "/tea/sencha"): 0.31,
        ("/tea/", "/tea/first-flush-darjeeling-2026"): 0.22,
        ("/tea/", "/tea/genmaicha"): 0.17,
        ("/", "/basket"): 0.14,
        ("/journal/", "/journal/how-water-temperature-changes-the-taste-of-green-tea"): 0.12,
        ("/", "/checkout"): 0.06,
        ("/", "/about"): 0.05,
        ("/tea/", "(other)"): 0.09,
        ("/journal/", "/journal/a-week-in-uji"): 0.04,
        ("/journal/", "(other)"): 0.03,
        ("/help/", "/help/shipping"): 0.03,
        ("/help/", "/help/returns"): 0.02,
    },
    "entry": {
        ("", "/"): 0.38,
        ("/tea/", "/tea/sencha"): 0.16,
        ("/journal/", "(other)"): 0.12,
        ("/tea/", "(other)"): 0.2,
    },
    "exit": {("", "/"): 0.24, ("/tea/", "/tea/sencha"): 0.18, ("/", "/checkout"): 0.05, ("/tea/", "(other)"): 0.26},
    "flow": {
        ("/", "/tea/sencha"): 0.14,
        ("/tea/sencha", "/basket"): 0.07,
        ("/", "(other)"): 0.16,
        ("/basket", "/checkout"): 0.05,
    },
    "scroll": {("", "0-25"): 0.22, ("", "25-50"): 0.2, ("", "50-75"): 0.25, ("", "75-100"): 0.28},
    "source": {
        ("direct", "(direct)"): 0.34,
        ("search", "Google"): 0.29,
        ("search", "DuckDuckGo"): 0.08,
        ("social", "Instagram"): 0.07,
        ("referral", "tea-society.example"): 0.05,
        ("email", "newsletter"): 0.05,
        ("ai", "ChatGPT"): 0.04,
        ("search", "(other)"): 0.03,
        ("referral", "(other)"): 0.03,
    },
    "campaign": {("", "spring-harvest"): 0.06, ("", "newsletter-may"): 0.04, ("", "(other)"): 0.02},
    "country": {
        ("", "DE"): 0.41,
        ("", "AT"): 0.12,
        ("", "CH"): 0.09,
        ("", "FR"): 0.07,
        ("", "JP"): 0.06,
        ("", "US"): 0.06,
        ("", "GB"): 0.05,
        ("", "EG"): 0.03,
        ("", "(unknown)"): 0.02,
        ("", "(other)"): 0.07,
    },
    "browser": {
        ("", "Chrome"): 0.46,
        ("", "Safari"): 0.27,
        ("", "Firefox"): 0.14,
        ("", "Edge"): 0.07,
        ("", "Samsung Internet"): 0.03,
        ("", "(other)"): 0.02,
    },
    "browser_version": {
        ("Chrome", "Chrome 150"): 0.31,
        ("Chrome", "Chrome 149"): 0.09,
        ("Chrome", "(other)"): 0.05,
        ("Safari", "Safari 26"): 0.2,
        ("Safari", "Safari 18"): 0.06,
        ("Firefox", "Firefox 152"): 0.09,
        ("Firefox", "Firefox 140"): 0.03,
    },
    "os": {
        ("", "Windows"): 0.29,
        ("", "Android"): 0.25,
        ("", "iOS"): 0.23,
        ("", "macOS"): 0.15,
        ("", "Linux"): 0.05,
        ("", "(other)"): 0.02,
    },
    "os_version": {
        ("Windows", "Windows 11"): 0.2,
        ("Windows", "Windows 10"): 0.08,
        ("iOS", "iOS 26"): 0.18,
        ("macOS", "macOS 10+"): 0.14,
        ("Android", "Android 10+"): 0.22,
    },
    "device": {("", "mobile"): 0.48, ("", "desktop"): 0.45, ("", "tablet"): 0.05, ("", "(other)"): 0.01},
    "screen": {
        ("", "xs"): 0.44,
        ("", "lg"): 0.26,
        ("", "xl"): 0.17,
        ("", "md"): 0.06,
        ("", "sm"): 0.03,
        ("", "(unknown)"): 0.03,
    },
    "language": {("", "de"): 0.56, ("", "en"): 0.24, ("", "fr"): 0.07, ("", "ja"): 0.05, ("", "ar"): 0.03},
    "goal": {("", "Purchase"): 0.04, ("", "Journal read"): 0.16, ("", "Account with a newsletter"): 0.02},
    "funnel": {("Checkout", "Checkout/1"): 0.5, ("Checkout", "Checkout/2"): 0.14, ("Checkout", "Checkout/3"): 0.04},
    "variant": {("button", "button/green"): 0.33, ("button", "button/gold with a rim"): 0.34},
    "variant_goal": {
        ("button/green", "Journal read"): 0.05,
        ("button/gold with a rim", "Journal read"): 0.07,
        ("button/green", "Purchase"): 0.02,
        ("button/gold with a rim", "Purchase"): 0.022,
    },
    "prop:tea": {
        ("Add to basket", "First Flush Darjeeling"): 0.05,
        ("Add to basket", "Genmaicha"): 0.04,
        ("Add to basket", "(other)"): 0.03,
    },
    "event": {("", "Add to basket"): 0.13, ("", "Purchase"): 0.04, ("", "Newsletter"): 0.02},
}
# With the country.
CROSSED = ("page", "source", "browser", "os", "device", "event")
CROSSED_DAYS = 20
REQUESTS = {
    ("accepted", ""): 1.0,
    ("dropped", "no_consent"): 0.42,
    ("dropped", "bot"): 0.21,
    ("dropped", "gpc"): 0.05,
    ("dropped", "prefetch"): 0.03,
    ("dropped", "opted_out"): 0.01,
}


def seal_month(store: Store, site: str, timezone: str, today: date, *, days: int = 400, busy: float = 1.0) -> None:
    """Seals the `days` days before `today`; one of the last month had fewer than k networks, one is not there."""
    drawn = random.Random(site)
    trends: list[Sequence[object]] = []
    cells: list[Sequence[object]] = []
    crosses: list[Sequence[object]] = []
    seals: list[Sequence[object]] = []
    requests: list[Sequence[object]] = []
    for number in range(1, days + 1):
        day = today - timedelta(days=number)
        visitors = _visitors(day, number, busy, drawn)
        key = (day, timezone, number, KEPT, site)
        seals.append((day, timezone, f"open {site}", number, datetime.now(UTC), 1, 0, K, "rounded", 1))
        requests += [(day, site, *outcome, 1, int(visitors * 3.1 * share)) for outcome, share in REQUESTS.items()]
        if number == 9:
            continue
        trends.append((*key, 24, 24, *_measures(visitors)))
        trends += [(*key, *span) for span in _spans(visitors)]
        cells += [(*key, *cell) for cell in _cells(visitors, drawn)]
        # Days before were sealed by a version that did not cross.
        crosses += [(*key, *cell) for cell in _crosses(visitors)] if number <= CROSSED_DAYS else []
    head = ("day", "timezone", "seal", "keep_until", "site")
    # A table is partitioned by month, and an insert may touch a hundred partitions.
    store.insert_rows("trend_rows", (*head, "hour", "span", *MEASURES), trends)
    store.insert_rows("breakdown_rows", (*head, "dimension", "parent", "value", *MEASURES), cells)
    columns = (f"{column}_{side}" for side in "ab" for column in ("dimension", "parent", "value"))
    store.insert_rows("cross_rows", (*head, *columns, "visitors", "visits"), crosses)
    names = ("day", "timezone", "origin", "seal", "committed_at", "events", "bounded", "k", "level", "days")
    store.insert_rows("seals", names, seals)
    store.insert_rows("coverage_totals", ("day", "site", "outcome", "reason", "spool", "requests"), requests)


def _crosses(visitors: float) -> Iterator[Sequence[object]]:
    for other in CROSSED:
        for one, share in LISTS["country"].items():
            for value, part in LISTS[other].items():
                number = _rounded(visitors * share * part)
                if number and "(other)" not in (*one, *value):
                    yield "country", *one, other, *value, number, number
                    yield other, *value, "country", *one, number, number


def _visitors(day: date, number: int, busy: float, drawn: random.Random) -> float:
    weekly = (1.05, 1.1, 1.08, 1.02, 0.95, 0.8, 0.86)[day.weekday()]
    yearly = 1 + 0.25 * math.sin(day.timetuple().tm_yday / 58)
    return 430 * busy * weekly * yearly * math.exp(-number / 700) * drawn.uniform(0.9, 1.12)


def _measures(visitors: float) -> tuple[int, ...]:
    factors = (1, 1.18, 2.9, 0.21, 0.44, 118)
    return tuple(_rounded(visitors * factor) for factor in factors)


def _spans(visitors: float) -> Iterator[Sequence[int]]:
    shares = [0.2, 0.04, 0.05, 0.06, 0.07, 0.07, 0.06, 0.06, 0.06, 0.06, 0.06, 0.06, 0.05, 0.04, 0.04, 0.03, 0.03]
    for place, share in enumerate(shares):
        hour, span = (0, 7) if place == 0 else (place + 6, 1 if place < 16 else 2)
        yield hour, span, *_measures(visitors * share * (0.2 if place == 0 else 1))


def _cells(visitors: float, drawn: random.Random) -> Iterator[Sequence[object]]:
    for dimension, shares in LISTS.items():
        for (parent, value), share in shares.items():
            numbers = _measures(visitors * share * drawn.uniform(0.9, 1.1))
            if dimension == "event":  # Who is in its list did it, and views are not counted there.
                numbers = (*numbers[:2], 0, numbers[1], 0, 0)
            if numbers[0]:
                yield dimension, parent, value, *numbers


def _rounded(number: float) -> int:
    return round(number / K) * K
