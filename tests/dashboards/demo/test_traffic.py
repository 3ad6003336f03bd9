"""The demo's visits are plausible: who comes, from where, when, and what they look at."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, date, datetime
from urllib.parse import urlsplit

import pytest

from collector.country import Countries
from collector.days import ends_at, starts_at, zone
from collector.refuse import refusal_of
from collector.source import origin_of
from dashboards.demo.audience import BOTS, COUNTRIES, Audience, read_browsers
from dashboards.demo.catalogue import CART, PAGES, THANKS
from dashboards.demo.folder import SITE, TIMEZONE
from dashboards.demo.traffic import Item, Traffic, visits_by_day

A_DAY = date(2026, 11, 4)
VISITS = 3_000


@pytest.fixture(scope="module")
def items(traffic: Traffic) -> list[Item]:
    return traffic.day(A_DAY, VISITS)


@pytest.fixture(scope="module")
def visits(items: list[Item]) -> dict[str, list[Item]]:
    """The events of each visitor's day, by address; nine of ten visitors come once."""
    found: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        found[item["ip"]].append(item)
    return found


def pages_of(items: list[Item]) -> Counter[str]:
    return Counter(urlsplit(item["u"]).path for item in items if item["n"] == "pageview")


def test_the_same_seed_and_day_give_the_same_visits_and_another_seed_others(audience: Audience) -> None:
    again = Traffic(Audience(seed=1), 1, SITE, TIMEZONE).day(A_DAY, 50)
    assert Traffic(audience, 1, SITE, TIMEZONE).day(A_DAY, 50) == again
    assert Traffic(audience, 2, SITE, TIMEZONE).day(A_DAY, 50) != again


def test_every_address_is_in_a_network_of_its_country_by_the_collectors_database(audience: Audience) -> None:
    import random

    chance, countries = random.Random(5), Countries()
    visitors = [audience.visitor(chance) for _ in range(5_000)]
    found = Counter(countries.country_of(visitor.address) == visitor.country.code for visitor in visitors)
    assert found == {True: 5_000}


def test_visitors_come_from_more_than_thirty_countries_in_about_their_shares(items: list[Item]) -> None:
    countries = Countries()
    found = Counter(countries.country_of(item["ip"]) for item in items if item["n"] == "pageview")
    assert len(found) >= 30
    weights = {country.code: country.weight for country in COUNTRIES}
    assert set(found) <= set(weights)
    everyone, all_weights = found.total(), sum(weights.values())
    for code in ("DE", "US", "GB"):
        assert found[code] / everyone == pytest.approx(weights[code] / all_weights, rel=0.25)


def test_some_visitors_have_ipv6(visits: dict[str, list[Item]]) -> None:
    assert 0.1 < sum(":" in address for address in visits) / len(visits) < 0.3


def test_browsers_come_as_often_as_in_the_table_and_none_of_the_table_is_a_bot(visits: dict[str, list[Item]]) -> None:
    browsers = read_browsers()
    assert all(refusal_of({}, browser.user_agent) is None for browser in browsers)
    assert all(refusal_of({}, bot) == "bot" for bot in BOTS)
    first = browsers[0]
    seen = Counter(items[0]["ua"] for items in visits.values())
    share = first.share / sum(browser.share for browser in browsers)
    assert seen[first.user_agent] / seen.total() == pytest.approx(share, rel=0.15)
    assert len(seen) > 100


def test_a_few_pages_have_most_views_and_all_pages_have_some(items: list[Item]) -> None:
    seen = pages_of(items)
    assert set(PAGES) | {CART, THANKS} == set(seen)
    assert sum(number for _, number in seen.most_common(5)) > 0.35 * seen.total()
    assert seen[PAGES[0]] > 3 * seen[PAGES[-1]]


def test_people_come_by_the_clock_of_their_own_country(items: list[Item]) -> None:
    countries = Countries()
    for code, timezone in (("DE", "Europe/Berlin"), ("US", "America/Chicago")):
        hours = Counter(
            datetime.fromtimestamp(item["time"], UTC).astimezone(zone(timezone)).hour
            for item in items
            if item["n"] == "pageview" and countries.country_of(item["ip"]) == code
        )
        by_night, by_evening = sum(hours[hour] for hour in range(1, 6)), sum(hours[hour] for hour in range(18, 23))
        assert by_evening > 6 * by_night, code


@pytest.mark.parametrize("day", [A_DAY, date(2026, 10, 25), date(2026, 3, 29)], ids=["24 hours", "25", "23"])
def test_every_event_is_within_its_day_and_in_order(traffic: Traffic, day: date) -> None:
    times = [item["time"] for item in traffic.day(day, 300)]
    assert times == sorted(times)
    assert starts_at(day, TIMEZONE) <= times[0]
    assert times[-1] < ends_at(day, TIMEZONE)


def test_weekends_are_quieter_newsletters_are_louder_and_the_month_grows() -> None:
    visits = visits_by_day(date(2026, 11, 23), 28, 2_000, seed=1)
    by_weekday = [sum(number for day, number in visits.items() if day.weekday() == weekday) for weekday in range(7)]
    first, *_, last = [sum(list(visits.values())[week : week + 7]) for week in (0, 7, 14, 21)]
    assert min(by_weekday) == by_weekday[5]
    assert max(by_weekday[1:5]) == by_weekday[3]
    assert last > 1.15 * first
    assert sum(visits.values()) / len(visits) == pytest.approx(2_000, rel=0.01)


def test_sources_are_known_to_the_collector_and_of_every_channel(items: list[Item]) -> None:
    channels = set()
    for item in items:
        if item["n"] == "pageview" and "utm_" not in item["u"]:
            channels.add(origin_of(item["r"], {}, (SITE,)).channel)
    assert {"direct", "search", "social", "ai", "referral"} <= channels
    assert any("utm_campaign=first-flush" in item["u"] for item in items)


def test_some_refuse_some_do_not_answer_some_are_bots_and_send_one_request(visits: dict[str, list[Item]]) -> None:
    unwanted = [found for found in visits.values() if found[0]["c"] != "1" or found[0]["ua"] in BOTS]
    assert 0.12 < len(unwanted) / len(visits) < 0.26
    assert {found[0]["c"] for found in unwanted} == {"0", None, "1"}
    # Those who come again may answer otherwise.
    assert Counter(len(found) for found in unwanted)[1] > 0.85 * len(unwanted)


def test_some_come_again_on_the_same_day(visits: dict[str, list[Item]]) -> None:
    assert 0.05 < 1 - len(visits) / VISITS < 0.13


def test_about_half_see_one_page_and_some_buy(visits: dict[str, list[Item]], items: list[Item]) -> None:
    wanted = [found for found in visits.values() if found[0]["c"] == "1" and found[0]["ua"] not in BOTS]
    single = sum(sum(item["n"] == "pageview" for item in found) == 1 for found in wanted)
    assert 0.3 < single / len(wanted) < 0.6
    done = Counter(item["n"] for item in items)
    assert done["add to cart"] > done["purchase"] > 0
    assert done["engagement"] > 0.5 * done["pageview"]
