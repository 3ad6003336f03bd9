"""The pages over a real store: what they say is what `/api/stats` says, in words, and never more."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from aggregator.arrivals import Arrival, publish
from aggregator.store import Store
from tests.aggregator.event_lines import event_lines
from tests.dashboards.asking import Installation, words_of
from tests.dashboards.conftest import MEASURES, Sealer, StillClock

TODAY, YESTERDAY, BEFORE = date(2026, 3, 31), date(2026, 3, 30), date(2026, 3, 29)
PATH = "/sites/example.com"
MARCH_30 = f"{PATH}?from=2026-03-30&to=2026-03-30"


def visit(store: Store, networks: int, site: str = "example.com") -> None:
    """One view each of `networks` networks, today."""
    for place in range(1, networks + 1):
        lines = event_lines(
            place,
            1,
            day=TODAY.isoformat(),
            timezone="Europe/Berlin",
            site=site,
            at="2026-03-31 09:00:00",
            visitor=place,
            network=place,
            path="/today",
        )
        store.insert_lines("open_events", lines, tag=f"{site}{place}", token=f"{site}{place}")


def arrive(store: Store, site: str, outcome: str, reason: str = "", *, behind_one_network: bool = False) -> None:
    publish(store, [(1, site, Arrival(store.now(), outcome, reason, behind_one_network))])


# --- one site -------------------------------------------------------------------------------------------------------


def test_a_sealed_day_shows_its_numbers_and_values(installation: Installation, sealer: Sealer) -> None:
    spans = [("example.com", 24, 24, 1_230), ("example.com", 0, 8, 230), ("example.com", 8, 16, 1_000)]
    values = [("example.com", "page", "/tea/", "/tea/sencha", 45), ("example.com", "country", "", "JP", 35)]
    sealer.seal(YESTERDAY, spans, values)
    text = installation.text(MARCH_30)
    assert "Mon, Mar 30, 2026 Visitors 1,230 Visits 1,230 Page views 1,230 Views a visit 1 Bounce rate 100%" in text
    assert "/tea/sencha Visitors: 45 Views: 45" in text
    assert "Japan Visitors: 35" in text
    assert "00:00–08:00 230 230 230" in text


def test_goals_are_told_with_the_range_that_rounding_leaves_of_the_days_that_show_them(
    installation: Installation, sealer: Sealer
) -> None:
    sealer.seal(BEFORE, [("example.com", 24, 24, 900)])
    values = [("example.com", "goal", "", "Sign-up", 25), ("example.com", "prop:plan", "signup", "pro", 15)]
    sealer.seal(YESTERDAY, [("example.com", 24, 24, 100)], values)
    text = installation.text(f"{PATH}?from=2026-03-29&to=2026-03-30")
    assert "Goals Visitors Visits Sign-up 23% to 33% of visits Visitors: 25 Visits: 25" in text
    assert "Property: plan Visitors Visits pro signup Visitors: 15 Visits: 15" in text
    told = installation.get("/api/stats?site=example.com&from=2026-03-29&to=2026-03-30&dimension=goal")[1]
    assert told["rates"] == {"Sign-up": {"percent": 25, "at_least": 23, "at_most": 33}}


def test_a_funnel_is_told_step_by_step_as_parts_of_the_first(installation: Installation, sealer: Sealer) -> None:
    steps = [("example.com", "funnel", "Buy", f"Buy/{step}", number) for step, number in ((1, 100), (2, 50))]
    sealer.seal(BEFORE, [("example.com", 24, 24, 300)], steps[:1])
    sealer.seal(YESTERDAY, [("example.com", 24, 24, 300)], steps)
    text = installation.text(f"{PATH}?from=2026-03-29&to=2026-03-30")
    assert "Funnel: Buy Visitors Visits 1. /cart Visitors: 200 Visits: 200" in text
    assert "2. /form 46% to 58% of the first step Visitors: 50 Visits: 50" in text
    assert "3. Sign-up" not in text


def test_an_experiment_is_told_with_intervals_of_the_days_on_which_every_variant_shows(
    installation: Installation, sealer: Sealer
) -> None:
    variants = [("example.com", "variant", "button", f"button/{name}", 500) for name in ("blue", "green")]
    blue = ("example.com", "variant_goal", "button/blue", "Sign-up", 50)
    green = ("example.com", "variant_goal", "button/green", "Sign-up", 100)
    sealer.seal(BEFORE, [("example.com", 24, 24, 2_000)], [*variants, green])
    sealer.seal(YESTERDAY, [("example.com", 24, 24, 2_000)], [*variants, blue, green])
    text = installation.text(f"{PATH}?from=2026-03-29&to=2026-03-30")
    assert "Experiment: button Visitors blue Visitors: 1,000 green Visitors: 1,000" in text
    assert "Sign-up: blue 7% to 14% of visitors Visitors: 50" in text
    assert "Sign-up: green 16% to 25% of visitors; against blue +4 to +16 points Visitors: 100" in text
    told = installation.get("/api/stats?site=example.com&from=2026-03-29&to=2026-03-30&dimension=variant_goal")[1]
    assert [(each["variant"], each["visitors"], each["reached"]) for each in told["results"]] == [  # type: ignore[attr-defined]
        ("blue", 500, 50),
        ("green", 500, 100),
    ]


def test_pages_and_json_tell_the_same(installation: Installation, sealer: Sealer) -> None:
    for day, number in ((BEFORE, 40), (YESTERDAY, 65)):
        sealer.seal(day, [("example.com", 24, 24, number)], [("example.com", "source", "search", "Kagi", number)])
    told = installation.get("/api/stats?site=example.com&from=2026-03-29&to=2026-03-30&dimension=source")[1]
    text = installation.text(f"{PATH}?period=7d")
    assert isinstance(told["totals"], dict)
    assert isinstance(told["values"], list)
    assert f"Visitors {told['totals']['visitors']} each day's, added up" in text
    assert f"Kagi Search Visitors: {told['values'][0]['visitors']}" in text


def test_a_value_of_a_list_narrows_the_page_to_it_and_back(installation: Installation, sealer: Sealer) -> None:
    germany, page, kagi = ("country", "", "DE"), ("page", "/", "/a b"), ("source", "search", "Kagi")
    listed = [("example.com", *germany, 40), ("example.com", *page, 60), ("example.com", "language", "", "de", 50)]
    crossed = [("example.com", germany, page, 25), ("example.com", germany, kagi, 15)]
    sealer.seal(BEFORE, [("example.com", 24, 24, 80)], listed, crosses=crossed)
    sealer.seal(YESTERDAY, [("example.com", 24, 24, 80)], listed)
    leads = re.findall(r'<span class="label"><a href="([^"]+)"', installation.page(f"{PATH}?period=7d").text)
    narrowed = f"{PATH}?period=7d&amp;filter=country%3ADE"
    assert sorted(leads) == [narrowed, f"{PATH}?period=7d&amp;filter=page%3A%2Fa+b"]
    text = installation.text(narrowed.replace("&amp;", "&"))
    assert "Narrowed to: Countries · Germany Show everything" in text
    assert "Days of which there are no such lists: 1." in text
    assert "Visitors 80 each day's, added up Visits 80" in text
    assert "/a b Visitors: 25 Visits: 25" in text
    assert "Kagi Search Visitors: 15 Visits: 15" in text
    assert "Languages" not in text
    assert f'<a href="{PATH}?period=7d">Show everything</a>' in installation.page(narrowed.replace("&amp;", "&")).text
    empty = installation.text(f"{PATH}?period=7d&filter=country:IS")
    assert "No list of these days shows it" in empty
    for query in ("period=today&filter=country:DE", "period=7d&filter=language:de", "period=7d&filter=country"):
        assert installation.page(f"{PATH}?{query}").status_code == 400


def test_sealed_and_live_numbers_stand_apart(installation: Installation, store: Store, sealer: Sealer) -> None:
    sealer.seal(YESTERDAY, [("example.com", 24, 24, 40)], [("example.com", "page", "/", "/sealed", 40)])
    visit(store, 7)
    text = installation.text(f"{PATH}?period=day")
    assert "Today, so far Visitors 5 Visits 5 Page views 5 As of 12:00 (Europe/Berlin). It moves in steps of 5" in text
    assert "The day is sealed from 00:15 on, and joins the other days then." in text
    assert "Visitors 40 Visits 40" in text
    assert "/sealed" in text
    assert "/today" not in text
    assert "/today" in installation.text(f"{PATH}?period=today")


def test_a_live_day_below_k_has_no_number(installation: Installation, store: Store, sealer: Sealer) -> None:
    sealer.seal(YESTERDAY, [("example.com", 24, 24, 40)])
    visit(store, 4)
    text = installation.text(PATH)
    assert "Today, so far Fewer than 5 networks so far." in text
    assert "/today" not in installation.text(f"{PATH}?period=today")


def test_a_day_below_k_and_one_that_is_not_sealed_say_so(installation: Installation, sealer: Sealer) -> None:
    sealer.seal(BEFORE)
    assert "Fewer than 5 networks came on each day" in installation.text(f"{PATH}?from=2026-03-29&to=2026-03-29")
    told = "Nothing is sealed yet. A day is sealed from 00:15 (Europe/Berlin) on, when it is over."
    assert told in installation.text(MARCH_30)


def test_the_table_says_why_a_day_has_no_number(installation: Installation, sealer: Sealer) -> None:
    sealer.seal(date(2026, 3, 28), [("example.com", 24, 24, 40)])
    sealer.seal(BEFORE)
    text = installation.text(f"{PATH}?from=2026-03-28&to=2026-03-31")
    assert "Sat, Mar 28, 2026 40 40 40" in text
    assert "Sun, Mar 29, 2026 fewer than 5 networks" in text
    assert "Mon, Mar 30, 2026 not sealed" in text
    assert "Tue, Mar 31, 2026 today, not sealed yet" in text


def test_what_was_folded_says_into_what(installation: Installation, sealer: Sealer) -> None:
    values = [
        ("example.com", "page", "/tea/", "(other)", 15),
        ("example.com", "source", "search", "(other)", 10),
        ("example.com", "browser", "", "Firefox", 30),
        ("example.com", "browser_version", "Firefox", "Firefox 152", 20),
        ("example.com", "browser_version", "Firefox", "(other)", 10),
        ("example.com", "device", "", "(other)", 5),
    ]
    sealer.seal(YESTERDAY, [("example.com", 24, 24, 40)], values)
    text = installation.text(MARCH_30)
    assert "Others in /tea/ Visitors: 15" in text
    assert "Others: Search Visitors: 10" in text
    assert "Firefox Visitors: 30 Narrow the page to this Firefox 152 Visitors: 20 Other versions Visitors: 10" in text
    assert "All others Visitors: 5" in text
    assert "at least 5 networks share it" in text
    assert "rounded down to multiples of 5" in text


def test_coverage_is_told_in_words_and_tens(
    installation: Installation, sealer: Sealer, request_counts: Callable[[date, str, str, str, int], None]
) -> None:
    sealer.seal(YESTERDAY, [("example.com", 24, 24, 40)])
    request_counts(YESTERDAY, "example.com", "accepted", "", 1_234)
    request_counts(YESTERDAY, "example.com", "dropped", "gpc", 48)
    request_counts(YESTERDAY, "example.com", "dropped", "bot", 7)
    assert "Counted 1,230 Global Privacy Control 50 Rare reasons 10" in installation.text(MARCH_30)


def test_what_a_site_sends_is_text_and_no_html(installation: Installation, sealer: Sealer) -> None:
    evil = "/<script>alert(1)</script>"
    values = [("example.com", "page", evil, "(other)", 15), ("example.com", "page", "/", evil, 15)]
    sealer.seal(YESTERDAY, [("example.com", 24, 24, 40)], [*values, ("example.com", "event", "", '"><b>x', 15)])
    page = installation.page(MARCH_30).text
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)") == 2
    assert '"><b>x' not in page


def test_long_lists_unfold(installation: Installation, sealer: Sealer) -> None:
    values = [("example.com", "page", "/", f"/{place:02}", 5 * (40 - place)) for place in range(30)]
    sealer.seal(YESTERDAY, [("example.com", 24, 24, 500)], values)
    page = installation.page(MARCH_30).text
    assert "22 more" in page
    assert page.index("/07<") < page.index("22 more") < page.index("/08<")


@pytest.mark.parametrize(
    "query",
    ["period=century", "from=2026-03-32", "from=2026-03-30&to=2026-03-29", "to=2026-04-01", "from=2000-01-01"],
)
def test_days_that_cannot_be_are_refused_in_words(installation: Installation, query: str) -> None:
    answer = installation.page(f"{PATH}?{query}")
    assert answer.status_code == 400
    assert "These days cannot be shown" in words_of(answer)
    assert "century" not in words_of(answer)


@pytest.mark.parametrize(
    ("query", "heading"),
    [
        ("", "Mar 1 – 30, 2026"),
        ("?period=7d", "Mar 24 – 30, 2026"),
        ("?period=day", "Mon, Mar 30, 2026"),
        ("?period=12m", "Apr 1, 2025 – Mar 30, 2026"),
        ("?from=2026-03-02&to=2026-03-05", "Mar 2 – 5, 2026"),
    ],
)
def test_a_period_is_what_its_name_says(installation: Installation, sealer: Sealer, query: str, heading: str) -> None:
    sealer.seal(YESTERDAY, [("example.com", 24, 24, 40)])
    text = installation.text(f"{PATH}{query}")
    assert heading in text.replace("\u2009", " ").replace("\u202f", " ")


# --- before the first number ----------------------------------------------------------------------------------------


def test_a_site_without_any_event_waits_with_what_to_copy(installation: Installation) -> None:
    page = installation.page(PATH).text
    assert "Waiting for the first event" in page
    assert "&lt;script defer src=&#34;http://127.0.0.1:8000/beacon.js&#34; data-site=&#34;example.com&#34;&gt;" in page
    assert "curl -i http://127.0.0.1:8000/api/event -A " in page
    assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in page


def waiting(installation: Installation, site: str = "example.com") -> tuple[bool, object]:
    answer = installation.page(f"/sites/{site}/waiting.json").json()
    return answer["waiting"], answer.get("mark")


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("no_consent", "It carried no consent to analytics."),
        ("bot", "Its User-Agent says that it is a bot or a tool; curl is one, unless it is called with -A."),
        ("gpc", "The browser sent Sec-GPC: 1"),
    ],
)
def test_the_wait_says_why_the_last_request_was_dropped(
    installation: Installation, store: Store, reason: str, told: str
) -> None:
    before = waiting(installation)
    arrive(store, "example.com", "dropped", reason)
    text = installation.text(PATH)
    assert "A request came, and was not counted" in text
    assert told in text
    is_waiting, mark = waiting(installation)
    assert is_waiting
    assert mark != before[1], "the page that waits learns that there is more to say"
    assert f'data-mark="{mark}"' in installation.page(PATH).text


def test_a_first_event_below_k_is_told_without_a_number(installation: Installation, store: Store) -> None:
    visit(store, 1)
    arrive(store, "example.com", "accepted")
    text = installation.text(PATH)
    assert "The first events have arrived" in text
    assert "Numbers show from 5 networks on" in text
    assert not re.search(r"\d\d:\d\d", text), "when a single visit was is nobody's business"
    assert waiting(installation)[0]
    visit_rest(store)
    assert waiting(installation) == (False, None)
    assert "Today, so far Visitors 5" in installation.text(PATH)


def test_once_a_request_was_accepted_the_wait_says_the_same_whatever_comes(
    installation: Installation, store: Store, request_counts: Callable[[date, str, str, str, int], None]
) -> None:
    """What changes with a request would tell the second at which a single visitor came."""
    request_counts(TODAY, "example.com", "accepted", "", 1)
    told = set()
    for outcome, reason in (("accepted", ""), ("dropped", "refused"), ("accepted", ""), ("dropped", "gpc")):
        arrive(store, "example.com", outcome, reason)
        told.add((installation.text(PATH), waiting(installation)))
    ((text, (is_waiting, mark)),) = told
    assert "The first events have arrived" in text
    assert (is_waiting, mark) == (True, "accepted")


def test_a_sealed_day_of_very_few_ends_the_wait(
    installation: Installation, sealer: Sealer, request_counts: Callable[[date, str, str, str, int], None]
) -> None:
    sealer.seal(YESTERDAY)
    request_counts(YESTERDAY, "example.com", "accepted", "", 3)
    assert waiting(installation) == (False, None)


def visit_rest(store: Store) -> None:
    for place in range(2, 6):
        lines = event_lines(
            place + 10,
            1,
            day=TODAY.isoformat(),
            timezone="Europe/Berlin",
            at="2026-03-31 09:00:00",
            visitor=place,
            network=place,
        )
        store.insert_lines("open_events", lines, tag=f"rest{place}", token=f"rest{place}")


def test_a_first_event_of_a_development_site_ends_the_wait(installation: Installation, store: Store) -> None:
    assert waiting(installation, "shop.test")[0]
    visit(store, 1, "shop.test")
    assert waiting(installation, "shop.test") == (False, None)
    text = installation.text("/sites/shop.test")
    assert "Today, so far Visitors 1 Visits 1 Page views 1" in text
    assert "/today" in text


def test_a_sealed_day_below_k_ends_the_wait_and_the_talk_of_single_requests(
    installation: Installation,
    store: Store,
    sealer: Sealer,
    request_counts: Callable[[date, str, str, str, int], None],
) -> None:
    sealer.seal(YESTERDAY)
    request_counts(YESTERDAY, "example.com", "accepted", "", 12)
    arrive(store, "example.com", "dropped", "bot")
    assert waiting(installation) == (False, None)
    assert "A request came" not in installation.text(PATH)


def test_a_development_site_says_so_on_every_page(installation: Installation, store: Store) -> None:
    told = "A development site: exact numbers (k = 1), kept for 7 days."
    assert told in installation.text("/sites/shop.test")
    visit(store, 1, "shop.test")
    assert told in installation.text("/sites/shop.test")
    assert "development" in installation.text("/")
    assert told not in installation.text(PATH)


def test_a_proxy_that_is_taken_for_all_visitors_is_named_always(
    installation: Installation, store: Store, sealer: Sealer
) -> None:
    arrive(store, "example.com", "accepted", behind_one_network=True)
    assert "collector.trusted_proxies" in installation.text(PATH)
    sealer.seal(YESTERDAY, [("example.com", 24, 24, 40)])
    assert "All visitors look like one." in installation.text(PATH)
    arrive(store, "shop.test", "accepted", behind_one_network=True)
    assert "collector.trusted_proxies" not in installation.text("/sites/shop.test")


# --- all sites, languages, and what goes wrong ----------------------------------------------------------------------


def test_the_sites_show_their_last_sealed_day(installation: Installation, sealer: Sealer) -> None:
    sealer.seal(BEFORE, [("example.com", 24, 24, 40)])
    sealer.seal(YESTERDAY, [("example.com", 24, 24, 1_255)])
    text = installation.text("/")
    assert "example.com 1,255 visitors on Mar 30" in text
    assert "other.example No sealed day in the last 30 days" in text


@pytest.mark.parametrize(
    ("language", "direction", "told"),
    [
        ("de", "ltr", "Mo., 30. März 2026 Besucher 1.230"),
        ("ar", "rtl", "الزوار 1,230"),
        ("en", "ltr", "Visitors 1,230"),
    ],
)
def test_a_page_speaks_the_readers_language(
    installation: Installation, sealer: Sealer, language: str, direction: str, told: str
) -> None:
    sealer.seal(YESTERDAY, [("example.com", 24, 24, 1_230)], [("example.com", "country", "", "JP", 5)])
    asked = installation.page(f"{MARCH_30}&lang={language}")
    assert told in words_of(asked)
    assert f'<html lang="{language}" dir="{direction}">' in asked.text
    assert told in installation.text(MARCH_30, Accept_Language=f"{language}-XX,en;q=0.5")
    remembered = asked.cookies["footfall_language"]
    cookie = {"Cookie": f"footfall_session={installation.session}; footfall_language={remembered}"}
    assert told in words_of(installation.ask(MARCH_30, {**cookie, "Accept-Language": "fr"}))


def test_a_language_that_is_not_there_is_english(installation: Installation) -> None:
    assert "Sites" in installation.text("/?lang=xx", Accept_Language="tlh")


def test_a_store_that_is_away_is_told_as_a_page(unopened: Installation) -> None:
    for path in ("/", PATH):
        answer = unopened.page(path)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert "The store does not answer right now." in words_of(answer)
    answer = unopened.page(f"{PATH}/waiting.json")
    assert (answer.status_code, list(answer.json())) == (503, ["error"])


def test_an_address_that_is_none_is_told_as_a_page(unopened: Installation) -> None:
    for path in ("/absent", "/sites/absent.example"):
        answer = unopened.page(path)
        assert answer.status_code == 404
        assert "No page and no site has this address." in words_of(answer)


def test_a_fault_of_our_own_is_a_page_that_tells_nothing(unopened: Installation, tmp_path: Path) -> None:
    (tmp_path / "data" / "people.sqlite").unlink()
    answer = unopened.page("/")
    assert answer.status_code == 500
    assert "the log tells" in words_of(answer)
    assert "sqlite" not in answer.text


def test_style_and_script_are_kept_by_the_browser_under_an_address_of_their_content(unopened: Installation) -> None:
    page = unopened.ask("/", {}).text
    for address in re.findall(r'(?:href|src)="(/static/[^"]+)"', page):
        answer = unopened.ask(address, {})
        assert answer.status_code == 200
        assert "immutable" in answer.headers["Cache-Control"]
        again = unopened.ask(address, {"If-None-Match": answer.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert answer.headers["ETag"].strip('"') in address


# --- without a live view, and with noise ----------------------------------------------------------------------------

SEALED_ALONE = """
[privacy]
live_view = false
[[site]]
domain = "example.com"
timezone = "Europe/Berlin"
"""
NOISY = SEALED_ALONE.replace("[privacy]", '[privacy]\nlevel = "dp"\nepsilon = 0.5')


def test_without_a_live_view_nothing_of_today_is_told_anywhere(
    tmp_path: Path, store: Store, noon: StillClock, sealer: Sealer, request_counts: Callable[..., None]
) -> None:
    installation = Installation(tmp_path, lambda: store, noon, SEALED_ALONE)
    visit(store, 20)
    request_counts(TODAY, "example.com", "accepted", "", 470)
    assert "Today, so far" not in installation.text(PATH), "it waits for the first sealed day"
    sealer.seal(YESTERDAY, [("example.com", 24, 24, 50)])
    text = installation.text(PATH)
    assert "Today, so far Today is not shown: here a day has numbers once it is sealed." in text
    assert "470" not in text
    assert "/today" not in text
    assert "470" not in installation.text(f"{PATH}?from=2026-03-30&to=2026-03-31")
    assert "period=today" not in installation.page(PATH).text
    refused = installation.page(f"{PATH}?period=today")
    assert refused.status_code == 400
    assert "These days cannot be shown" in words_of(refused)
    told = installation.get("/api/stats?site=example.com&from=2026-03-30&dimension=page")[1]
    assert "live" not in told
    assert (told["coverage"], told["values"]) == ([], [])
    assert told["days"] == [
        {"day": "2026-03-30", "state": "sealed", **dict.fromkeys(MEASURES, 50)},
        {"day": "2026-03-31", "state": "today"},
    ]
    for code, sentence in (("de", "Heute wird nicht gezeigt"), ("ar", "لا يُعرَض اليوم الحالي")):
        assert sentence in installation.text(PATH, Accept_Language=code)


def test_a_page_with_noise_says_so_and_shows_visitors_alone_of_values_and_no_requests(
    tmp_path: Path, store: Store, noon: StillClock, sealer: Sealer, request_counts: Callable[..., None]
) -> None:
    installation = Installation(tmp_path, lambda: store, noon, NOISY)
    sealer.seal(YESTERDAY, [("example.com", 24, 24, 1_234)], [("example.com", "page", "/", "/tea", 321)])
    sealer.seal(BEFORE)
    request_counts(YESTERDAY, "example.com", "accepted", "", 4_770)
    text = installation.text(f"{PATH}?from=2026-03-29&to=2026-03-30")
    assert "Visitors 1,234" in text
    assert "Pages Visitors /tea Visitors: 321 " in text
    assert "/tea Visitors: 321 Views" not in text
    assert "fewer than 5 visitors, noise included" in text
    assert "at most what epsilon 0.5 and delta 1e-07 say" in text
    assert "How many requests came is not shown" in text
    assert "4,770" not in text
    assert "rounded down" not in text
    assert "numbers as counted" not in text
    told = installation.get("/api/stats?site=example.com&from=2026-03-30&to=2026-03-30&dimension=page")[1]
    assert (told["level"], told["coverage"]) == ("dp", [])
    assert told["values"] == [{"parent": "/", "value": "/tea", "visitors": 321}]


def test_without_any_sealed_day_a_site_with_noise_says_when_numbers_will_show(
    tmp_path: Path, store: Store, noon: StillClock, request_counts: Callable[..., None]
) -> None:
    installation = Installation(tmp_path, lambda: store, noon, NOISY)
    request_counts(TODAY, "example.com", "accepted", "", 10)
    arrive(store, "example.com", "accepted")
    assert "Numbers show once a day is sealed, with noise" in installation.text(PATH)
