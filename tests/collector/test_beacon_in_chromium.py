"""What the beacon sends and when, in a real Chromium, from pages on another origin, to a real collector."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.collector.browsing import (
    SITES,
    Arrivals,
    PageServer,
    chromium,
    launched,
    profile,
    undriven,
)
from tests.collector.collecting import Collector, running, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Playwright
else:
    pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (it is in the extra `test`)")

OPT_OUT = ("footfall_optout", "1")
VIEW = ("view", "/consented.html")
ASKED = ("view", "/asking.html")


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    chromium()
    with running(Collector(tmp_path_factory.mktemp("chromium"), sites=SITES)) as collector:
        yield collector


@pytest.fixture(scope="module")
def pages(collector: Collector) -> Iterator[PageServer]:
    with PageServer(f"http://127.0.0.1:{collector.port}").running() as pages:
        yield pages


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    browser = launched(playwright)
    yield browser
    browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser that has seen nothing yet."""
    context = browser.new_context()
    context.set_default_timeout(15_000)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


@pytest.fixture
def arrivals(collector: Collector, pages: PageServer) -> Arrivals:
    return Arrivals.of_next_trial(collector, pages)


def cookies(context: BrowserContext) -> list[tuple[str, str]]:
    return [(cookie.get("name", ""), cookie.get("value", "")) for cookie in context.cookies()]


def stored(page: Page) -> list[object]:
    """What the page's origin keeps, but for cookies."""
    kept: list[object] = page.evaluate(
        """async () => [Object.keys(localStorage), Object.keys(sessionStorage),
            (await indexedDB.databases()).length, (await caches.keys()).length]"""
    )
    return kept


def navigate(page: Page, address: str, method: str = "pushState") -> None:
    """As a single-page application does."""
    page.evaluate(f"address => history.{method}({{}}, '', address)", address)


# Consent.


def test_before_consent_nothing_is_sent_and_nothing_is_stored(
    page: Page, pages: PageServer, arrivals: Arrivals
) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    page.goto(pages.url("asking.html"))
    page.click("#event")
    navigate(page, "/asking.html?tab=2")
    page.mouse.wheel(0, 500)
    assert cookies(page.context) == []
    assert stored(page) == [[], [], 0, 0]
    assert [url for url in sent if url.startswith(pages.collector)] == [f"{pages.collector}/beacon.js"]
    assert arrivals.end(page) == []
    assert arrivals.requests() == {}


def test_after_consent_the_page_shown_is_counted_once_and_no_earlier_one(
    page: Page, pages: PageServer, arrivals: Arrivals
) -> None:
    page.goto(pages.url("asking.html"))
    navigate(page, "/asking.html?tab=2")
    page.click("#yes")
    arrivals.wait_for(1)
    page.click("#yes")
    assert arrivals.end(page, 2) == [("view", "/asking.html?tab=2"), ("leave", "/asking.html?tab=2")]
    assert cookies(page.context) == []


def test_an_event_before_consent_is_not_told_later(page: Page, pages: PageServer, arrivals: Arrivals) -> None:
    page.goto(pages.url("asking.html"))
    page.click("#event")
    page.click("#yes")
    page.click("#event")
    assert sorted(arrivals.end(page, 3)) == [("Signup", "/asking.html"), ("leave", "/asking.html"), ASKED]


def test_after_a_refusal_nothing_is_sent(page: Page, pages: PageServer, arrivals: Arrivals) -> None:
    page.goto(pages.url("asking.html"))
    page.click("#no")
    page.click("#event")
    navigate(page, "/asking.html?tab=2")
    assert arrivals.end(page) == []
    assert arrivals.withdrawals() == []
    assert cookies(page.context) == []


@pytest.mark.parametrize("answer", ["undefined", "null", "1", "'true'", "'granted'", "{}"])
def test_only_true_is_consent(page: Page, pages: PageServer, arrivals: Arrivals, answer: str) -> None:
    page.goto(pages.url("asking.html"))
    page.evaluate(f"footfall.consent({answer})")
    assert arrivals.end(page) == []


def test_withdrawing_stops_at_once_and_granting_again_goes_on(
    page: Page, pages: PageServer, arrivals: Arrivals
) -> None:
    page.goto(pages.url("asking.html"))
    page.click("#yes")
    page.click("#no")
    page.click("#event")
    navigate(page, "/asking.html?tab=2")
    page.click("#yes")
    page.click("#no")
    assert arrivals.end(page, 2) == [ASKED, ("view", "/asking.html?tab=2")]


@pytest.mark.parametrize("button", ["#no", "#out"])
def test_withdrawing_consent_asks_once_for_the_deletion_of_what_was_sent(
    page: Page, pages: PageServer, arrivals: Arrivals, button: str
) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    page.goto(pages.url("asking.html"))
    page.click("#yes")
    arrivals.wait_for(1)
    page.click(button)
    until(lambda: len(arrivals.withdrawals()) == 1, "the withdrawal has arrived")
    page.click("#no")
    page.click("#out")
    assert arrivals.end(page) == [ASKED]
    (event,) = arrivals.events()
    assert arrivals.withdrawals() == [(event["generation"], event["visitor"])]
    assert sent.count(f"{pages.collector}/api/withdraw") == 1
    assert arrivals.requests() == {(arrivals.site, "accepted", ""): 1}


def test_a_page_that_was_withdrawn_is_counted_again_after_consent_is_given_again(
    page: Page, pages: PageServer, arrivals: Arrivals
) -> None:
    page.goto(pages.url("asking.html"))
    page.click("#yes")
    arrivals.wait_for(1)
    page.click("#no")
    until(lambda: len(arrivals.withdrawals()) == 1, "the withdrawal has arrived")
    page.click("#yes")
    assert arrivals.end(page, 3) == [ASKED, ASKED, ("leave", "/asking.html")]


def test_an_endpoint_of_the_sites_own_is_asked_to_delete_too(page: Page, pages: PageServer, arrivals: Arrivals) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url.partition(str(pages.port))[2]))
    page.goto(pages.url("own_endpoint.html"))
    page.evaluate("footfall.consent(true)")
    page.evaluate("footfall.consent(false)")
    # The driver tells of requests while it is asked for something.
    until(lambda: page.evaluate("true") and "/counter/withdraw" in sent, "the withdrawal goes where the events go")
    assert "/counter/event" in sent
    assert arrivals.end(page) == []


def test_a_page_loaded_after_consent_is_counted_once_without_a_cookie(
    page: Page, pages: PageServer, arrivals: Arrivals
) -> None:
    page.goto(pages.url("consented.html"))
    arrivals.wait_for(1)
    assert cookies(page.context) == []
    assert stored(page) == [[], [], 0, 0]
    assert arrivals.end(page, 2) == [VIEW, ("leave", "/consented.html")]
    assert arrivals.requests() == {(arrivals.site, "accepted", ""): 2}


def test_the_version_of_the_policy_goes_along(page: Page, pages: PageServer, arrivals: Arrivals) -> None:
    of_version = Arrivals(arrivals.collector, pages, "versioned.test")
    page.goto(pages.url("versioned.html"))
    of_version.wait_for(1)
    assert of_version.requests() == {("versioned.test", "accepted", ""): 1}


# Refusals in the browser.


def test_with_global_privacy_control_nothing_is_sent(context: BrowserContext, arrivals: Arrivals) -> None:
    """Chromium has no such switch; its extensions do what this does."""
    context.add_init_script("Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', { get: () => true })")
    page = context.new_page()
    page.goto(arrivals.pages.url("consented.html"))
    page.goto(arrivals.pages.url("asking.html"))
    page.click("#yes")
    page.click("#event")
    page.click("#no")
    assert arrivals.end(page) == []
    assert arrivals.requests() == {}
    assert arrivals.withdrawals() == []


def test_with_do_not_track_nothing_is_sent(playwright: Playwright, tmp_path: Path, arrivals: Arrivals) -> None:
    with profile(playwright, tmp_path / "profile", {"enable_do_not_track": True}) as context:
        page = context.new_page()
        page.goto(arrivals.pages.url("consented.html"))
        page.goto(arrivals.pages.url("asking.html"))
        page.click("#yes")
        page.click("#event")
        page.goto(arrivals.pages.url("plain.html"))
    assert arrivals.requests() == {}


def test_opting_out_leaves_a_constant_on_the_site_and_nothing_at_the_collector(
    playwright: Playwright, tmp_path: Path, arrivals: Arrivals
) -> None:
    """P15: third-party cookies blocked, the collector on another origin."""
    pages, blocking = arrivals.pages, {"profile": {"block_third_party_cookies": True, "cookie_controls_mode": 1}}
    with profile(playwright, tmp_path / "profile", blocking) as context:
        page = context.new_page()
        page.goto(pages.url("asking.html"))
        page.click("#out")
        page.click("#yes")
        page.click("#event")
        page.goto(pages.url("consented.html"))
        navigate(page, "/consented.html?tab=2")
        page.goto(pages.url("plain.html"))
        assert set(cookies(context)) == {OPT_OUT}
        assert stored(page) == [[], [], 0, 0]
    assert arrivals.requests() == {}
    assert arrivals.events() == []
    assert arrivals.withdrawals() == []


def test_an_opt_out_lasts_400_days_from_the_last_visit(page: Page, pages: PageServer, arrivals: Arrivals) -> None:
    page.goto(pages.url("asking.html"))
    page.evaluate("document.cookie = 'footfall_optout=1;path=/;max-age=60'")
    page.goto(pages.url("consented.html"))
    days = [(cookie.get("expires", 0) - time.time()) / 86_400 for cookie in page.context.cookies()]
    assert days == [pytest.approx(400, abs=0.01)] * len(days)
    assert arrivals.end(page) == []


def test_an_opt_out_holds_for_the_whole_site(page: Page, pages: PageServer, arrivals: Arrivals) -> None:
    page.goto(pages.url("shop.html", f"www.{pages.site}"))
    arrivals.wait_for(1)
    page.click("#out")
    page.goto(pages.url("shop.html", pages.site))
    page.goto(pages.url("shop.html", f"basket.{pages.site}"))
    assert arrivals.end(page, 1) == [("view", "/shop.html")]


def test_taking_the_opt_out_back_leaves_no_cookie_and_grants_nothing(
    page: Page, pages: PageServer, arrivals: Arrivals
) -> None:
    page.goto(pages.url("asking.html"))
    page.click("#yes")
    page.click("#out")
    page.click("#in")
    page.click("#event")
    assert cookies(page.context) == []
    page.goto(pages.url("asking.html"))
    page.click("#event")
    assert arrivals.end(page, 1) == [ASKED]


def test_no_cookie_goes_along_with_a_request(page: Page, pages: PageServer, arrivals: Arrivals) -> None:
    """The collector heeds its own opt-out cookie: were it sent, the view would be dropped."""
    address = f"http://stats.{pages.site}:{pages.collector.rpartition(':')[2]}/"
    page.context.add_cookies([{"name": "footfall_optout", "value": "1", "url": address, "sameSite": "Lax"}])
    page.goto(pages.url("first_party.html", pages.site))
    until(lambda: arrivals.requests().total() == 1, "the view arrived")
    assert arrivals.requests() == {(arrivals.site, "accepted", ""): 1}


# Page views.


def test_the_referrer_is_told_with_the_first_view_alone(page: Page, pages: PageServer, arrivals: Arrivals) -> None:
    page.goto(pages.url("plain.html", "elsewhere.test"))
    page.click("#referring")
    arrivals.wait_for(1)
    navigate(page, "/consented.html?tab=2")
    arrivals.end(page, 3)
    views = [event for event in arrivals.events() if event["kind"] == "view"]
    assert [view["source"] for view in views] == ["elsewhere.test", ""]


def test_a_single_page_application_is_counted_page_by_page(page: Page, pages: PageServer, arrivals: Arrivals) -> None:
    page.goto(pages.url("consented.html"))
    for number, method in ((2, "pushState"), (3, "replaceState")):
        arrivals.wait_for(2 * number - 3)
        navigate(page, f"/page-{number}", method)
    arrivals.wait_for(5)
    page.evaluate("history.back()")
    arrivals.wait_for(7)
    expected = ["/consented.html", "/page-2", "/page-3", "/consented.html"]
    seen = arrivals.end(page, 8)
    assert [path for kind, path in seen if kind == "view"] == expected
    assert [path for kind, path in seen if kind == "leave"] == expected


def test_a_fragment_is_no_other_page_and_is_not_sent(page: Page, pages: PageServer, arrivals: Arrivals) -> None:
    bodies: list[str] = []
    page.on("request", lambda request: bodies.append(request.post_data or ""))
    page.goto(pages.url("consented.html#secret"))
    page.evaluate("location.hash = 'secret-too'")
    navigate(page, "#secret-again")
    navigate(page, "/consented.html")
    page.evaluate("history.back()")
    assert arrivals.end(page, 2) == [VIEW, ("leave", "/consented.html")]
    assert any("consented.html" in body for body in bodies)
    assert not any("secret" in body for body in bodies)


def test_a_page_back_from_the_back_forward_cache_is_counted_again(
    page: Page, pages: PageServer, arrivals: Arrivals
) -> None:
    page.goto(pages.url("consented.html"))
    asked_before = pages.times_asked("/consented.html")
    page.click("#plain")
    arrivals.wait_for(2)
    page.evaluate("setTimeout(() => history.back())")
    arrivals.wait_for(3)
    assert arrivals.seen() == [VIEW, ("leave", "/consented.html"), VIEW]
    assert pages.times_asked("/consented.html") == asked_before, "it was loaded again, not restored"


def test_a_page_prepared_ahead_of_time_is_counted_when_it_is_shown(
    tmp_path: Path, pages: PageServer, arrivals: Arrivals
) -> None:
    with undriven(tmp_path / "profile", pages.url("prerendering.html")):
        until(lambda: pages.times_asked("/ran?prerendering=true") == 1, "the next page ran while it was prepared")
        assert arrivals.collector.event({"d": arrivals.site, "u": pages.url("plain.html")}).footfall == "accepted"
        assert arrivals.seen() == [("view", "/plain.html")], "nobody has seen the prepared page"
        assert arrivals.requests() == {(arrivals.site, "accepted", ""): 1}
        pages.gate.set()
        arrivals.wait_for(2)
        assert arrivals.seen()[1] == ("view", "/prepared.html")
    assert pages.times_asked("/prepared.html") == 1, "it was loaded again, not shown as prepared"


def test_a_script_included_twice_counts_once(page: Page, pages: PageServer, arrivals: Arrivals) -> None:
    page.goto(pages.url("consented.html"))
    with page.expect_response(f"{pages.collector}/beacon.js?again"):
        page.evaluate(
            """() => {
                const script = document.createElement("script"), first = document.scripts[0];
                Object.assign(script.dataset, first.dataset);
                script.src = first.src + "?again";
                document.head.append(script);
            }"""
        )
    page.wait_for_load_state("networkidle")
    page.evaluate("history.pushState({}, '', '/page-2')")
    assert [seen for seen in arrivals.end(page, 4) if seen[0] == "view"] == [VIEW, ("view", "/page-2")]


def test_a_collector_that_is_away_does_not_disturb_the_page(page: Page, pages: PageServer) -> None:
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(error.message))
    page.route("**/api/event", lambda route: route.abort())
    page.goto(pages.url("consented.html"))
    navigate(page, "/page-2")
    page.evaluate("footfall('Signup')")
    assert page.evaluate("location.pathname") == "/page-2"
    assert faults == []


# Leaving.


def test_leaving_tells_the_time_the_page_was_looked_at_and_the_quarter_reached(
    page: Page, pages: PageServer, arrivals: Arrivals
) -> None:
    page.goto(pages.url("consented.html"))
    arrivals.wait_for(1)
    page.evaluate("scrollTo(0, innerHeight)")
    page.wait_for_function("performance.now() > 1000")
    limit_ms = page.evaluate("performance.now()") + 2_000
    arrivals.end(page, 2)
    (leave,) = arrivals.leaves()
    assert leave["path"] == "/consented.html"
    assert 500 <= leave["engaged_ms"] <= limit_ms
    assert leave["scroll"] == 75


@pytest.mark.parametrize(("part", "percent"), [(0.0, 50), (1.0, 100)])
def test_the_quarter_reached_is_the_furthest(
    page: Page, pages: PageServer, arrivals: Arrivals, part: float, percent: int
) -> None:
    page.goto(pages.url("consented.html"))
    page.evaluate("part => scrollTo(0, part * document.documentElement.scrollHeight)", part)
    page.evaluate("() => new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    page.evaluate("scrollTo(0, 0)")
    arrivals.end(page, 2)
    assert [leave["scroll"] for leave in arrivals.leaves()] == [percent]


def test_time_in_another_window_is_not_time_with_the_page(
    context: BrowserContext, pages: PageServer, arrivals: Arrivals
) -> None:
    page = context.new_page()
    page.goto(pages.url("consented.html"))
    arrivals.wait_for(1)
    # Playwright makes every page believe that its window is the one in use.
    context.new_cdp_session(page).send("Emulation.setFocusEmulationEnabled", {"enabled": False})
    context.new_page().bring_to_front()
    page.wait_for_function("!document.hasFocus()")
    left_ms = page.evaluate("performance.now()")
    page.wait_for_function(f"performance.now() > {left_ms + 2_500}")
    page.bring_to_front()
    page.wait_for_function("document.hasFocus()")
    elsewhere_ms, limit_ms = 2_500, page.evaluate("performance.now()") + 1_500
    arrivals.end(page, 2)
    (leave,) = arrivals.leaves()
    assert 0 < leave["engaged_ms"] <= limit_ms - elsewhere_ms


def test_closing_the_tab_is_leaving(page: Page, pages: PageServer, arrivals: Arrivals) -> None:
    page.goto(pages.url("consented.html"))
    arrivals.wait_for(1)
    page.close(run_before_unload=True)
    arrivals.wait_for(2)
    assert arrivals.seen() == [VIEW, ("leave", "/consented.html")]


def test_leaving_is_told_again_after_another_quarter_or_three_seconds(
    page: Page, pages: PageServer, arrivals: Arrivals
) -> None:
    """Pages are hidden and shown again many times; Playwright's never are, so the browser's event is sent by hand."""
    hide = "dispatchEvent(new PageTransitionEvent('pagehide'))"
    page.goto(pages.url("consented.html"))
    arrivals.wait_for(1)
    page.evaluate(f"() => {{ {hide}; {hide} }}")
    arrivals.wait_for(2)
    page.evaluate(f"() => {{ scrollTo(0, innerHeight); {hide}; {hide} }}")
    arrivals.wait_for(3)
    now_ms = page.evaluate("performance.now()")
    page.wait_for_function(f"performance.now() > {now_ms + 3_000}")
    page.evaluate(f"() => {{ {hide}; {hide} }}")
    arrivals.wait_for(4)
    arrivals.end(page, 4)
    assert [leave["scroll"] for leave in arrivals.leaves()] == [50, 75, 75]
    assert arrivals.leaves()[2]["engaged_ms"] >= 3_000


def test_a_page_that_was_not_counted_is_not_left_either(page: Page, pages: PageServer, arrivals: Arrivals) -> None:
    page.goto(pages.url("asking.html"))
    navigate(page, "/asking.html?tab=2")
    assert arrivals.end(page) == []


# Events.


def test_events_from_before_the_script_are_told_after_the_view(
    page: Page, pages: PageServer, arrivals: Arrivals
) -> None:
    page.goto(pages.url("queued.html?yes"))
    arrivals.wait_for(3)
    assert sorted(arrivals.seen()) == [("Bare", "/queued.html"), ("Early", "/queued.html"), ("view", "/queued.html")]
    (early,) = [event for event in arrivals.events() if event["name"] == "Early"]
    assert (early["kind"], early["properties"]) == ("event", {"plan": "small"})


def test_the_variant_that_a_page_shows_is_told_with_all_that_follows(
    page: Page, pages: PageServer, arrivals: Arrivals
) -> None:
    page.goto(pages.url("varied.html"))
    arrivals.wait_for(1)
    page.evaluate("footfall.variant = 'button/blue'; footfall('signup')")
    arrivals.wait_for(2)
    assert [(event["kind"], event["variant"]) for event in arrivals.events()] == [
        ("view", "button/green"),
        ("event", "button/blue"),
    ]


@pytest.mark.parametrize("answer", ["", "?no"])
def test_events_from_before_the_script_are_not_told_without_consent(
    page: Page, pages: PageServer, arrivals: Arrivals, answer: str
) -> None:
    page.goto(pages.url(f"queued.html{answer}"))
    assert arrivals.end(page) == []


@pytest.mark.parametrize(
    ("link", "name", "url"),
    [
        ("#outbound", "Outbound Link: Click", "elsewhere.test:{port}/plain.html"),
        ("#tab", "Outbound Link: Click", "elsewhere.test:{port}/plain.html"),
        ("#file", "File Download", "localhost:{port}/price-list.PDF"),
        ("#attribute", "File Download", "localhost:{port}/report"),
    ],
)
def test_a_link_out_or_to_a_file_is_told_without_its_query(
    page: Page, pages: PageServer, arrivals: Arrivals, link: str, name: str, url: str
) -> None:
    page.goto(pages.url("links.html"))
    page.click(link)
    # A link to a page that is missing leads to another event.
    until(lambda: any(event["name"] == name for event in arrivals.events()), "the click arrived")
    (told,) = [event for event in arrivals.events() if event["name"] not in ("", "404")]
    assert (told["name"], told["properties"]) == (name, {"url": url.format(port=pages.port)})


def test_the_middle_button_opens_a_link_and_the_right_one_does_not(
    page: Page, pages: PageServer, arrivals: Arrivals
) -> None:
    page.goto(pages.url("links.html"))
    page.click("#outbound", button="right")
    page.keyboard.press("Escape")
    page.click("#outbound", button="middle")
    assert [name for name, _ in arrivals.end(page, 3)].count("Outbound Link: Click") == 1


@pytest.mark.parametrize("link", ["#inside", "#mail"])
def test_other_links_are_not_told(page: Page, pages: PageServer, arrivals: Arrivals, link: str) -> None:
    page.goto(pages.url("links.html"))
    page.click(link)
    assert {kind for kind, _ in arrivals.end(page, 2)} == {"view", "leave"}


@pytest.mark.parametrize("link", ["#outbound", "#file"])
def test_no_link_is_told_where_the_site_did_not_ask(
    page: Page, pages: PageServer, arrivals: Arrivals, link: str
) -> None:
    page.goto(pages.url("unwatched_links.html"))
    page.click(link)
    assert {name for name, _ in arrivals.end(page, 2)} & {"Outbound Link: Click", "File Download"} == set()


def test_a_missing_page_is_told_with_its_path(page: Page, pages: PageServer, arrivals: Arrivals) -> None:
    page.goto(pages.url("no-such-page"))
    arrivals.wait_for(2)
    assert sorted(arrivals.end(page, 3)) == [
        ("404", "/no-such-page"),
        ("leave", "/no-such-page"),
        ("view", "/no-such-page"),
    ]


# Breakage.


def broken(page: Page, pages: PageServer, arrivals: Arrivals) -> None:
    page.goto(pages.url("broken.html"))
    page.evaluate("footfall.consent(true)")
    arrivals.wait_for(1)


def test_a_script_error_is_told_by_its_name_and_page_and_never_by_its_message(
    page: Page, pages: PageServer, arrivals: Arrivals
) -> None:
    bodies: list[str] = []
    page.on("request", lambda request: bodies.append(request.post_data or ""))
    broken(page, pages, arrivals)
    page.evaluate("broken.nothing()")
    arrivals.wait_for(2)
    page.evaluate("broken.refused()")
    arrivals.wait_for(3)
    page.evaluate("broken.image()")
    arrivals.wait_for(4)
    assert [event for event in arrivals.end(page, 5) if event[0] not in ("view", "leave")] == [
        ("TypeError", "/broken.html"),
        ("RangeError", "/broken.html"),
        ("resource", "/broken.html"),
    ]
    assert {event["kind"] for event in arrivals.events()} == {"view", "leave", "error"}
    assert not any("secret" in body for body in bodies)


def test_the_name_of_an_error_that_somebody_made_up_is_not_sent(
    page: Page, pages: PageServer, arrivals: Arrivals
) -> None:
    bodies: list[str] = []
    page.on("request", lambda request: bodies.append(request.post_data or ""))
    broken(page, pages, arrivals)
    page.evaluate("broken.named('Bob Smith, 4711')")
    arrivals.wait_for(2)
    page.evaluate("broken.named('OfBobsError')")
    assert arrivals.end(page, 3)[1] == ("other", "/broken.html")
    assert not any("Smith" in body for body in bodies)


def test_each_kind_of_error_is_told_once_a_page_and_three_at_most(
    page: Page, pages: PageServer, arrivals: Arrivals
) -> None:
    broken(page, pages, arrivals)
    page.evaluate("broken.nothing(); broken.nothing()")
    for name in ("RangeError", "SyntaxError", "EvalError", "URIError"):
        page.evaluate(f"broken.named('{name}')")
    arrivals.wait_for(4)
    navigate(page, "/next")
    page.evaluate("broken.nothing()")
    told = [event for event in arrivals.end(page, 7) if event[0].endswith("Error")]
    assert sorted(told) == [
        ("RangeError", "/broken.html"),
        ("SyntaxError", "/broken.html"),
        ("TypeError", "/broken.html"),
        ("TypeError", "/next"),
    ]


def test_no_error_is_told_without_consent_or_where_the_site_did_not_ask(
    page: Page, pages: PageServer, arrivals: Arrivals
) -> None:
    page.goto(pages.url("broken.html"))
    page.evaluate("broken.nothing(); broken.image()")
    page.goto(pages.url("consented.html"))
    arrivals.wait_for(1)
    page.evaluate("setTimeout(() => document.body.nothing.secret)")
    assert {kind for kind, _ in arrivals.end(page, 2)} == {"view", "leave"}


def vitals(arrivals: Arrivals) -> list[tuple[str, dict[str, str]]]:
    return [(event["path"], event["properties"]) for event in arrivals.events() if event["name"] == "vitals"]


def test_a_fast_page_is_told_as_classes_once_when_it_is_left(page: Page, pages: PageServer, arrivals: Arrivals) -> None:
    page.goto(pages.url("measured.html"))
    page.evaluate("footfall.consent(true)")
    arrivals.wait_for(1)
    navigate(page, "/next")
    assert vitals(arrivals) == []
    arrivals.end(page, 5)
    assert vitals(arrivals) == [("/measured.html", {"lcp": "good", "cls": "good", "ttfb": "good"})]


FRAMES_DRAWN = "() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))"


def test_a_page_that_shifts_and_does_not_answer_is_told_as_poor(
    page: Page, pages: PageServer, arrivals: Arrivals
) -> None:
    page.goto(pages.url("measured.html"))
    page.evaluate("footfall.consent(true)")
    page.evaluate("shift()")
    # A shift is drawn with the next frame: after a click it would be the answer to that.
    page.evaluate(FRAMES_DRAWN)
    page.click("#busy")
    # An interaction is over with the next frame.
    page.evaluate(FRAMES_DRAWN)
    arrivals.end(page, 3)
    assert vitals(arrivals) == [("/measured.html", {"lcp": "good", "inp": "poor", "cls": "poor", "ttfb": "good"})]


def test_how_fast_a_page_was_is_not_told_without_consent_or_where_the_site_did_not_ask(
    page: Page, pages: PageServer, arrivals: Arrivals
) -> None:
    page.goto(pages.url("measured.html"))
    page.goto(pages.url("measured.html"))
    page.evaluate("footfall.consent(true)")
    page.evaluate("footfall.consent(false)")
    page.goto(pages.url("consented.html"))
    arrivals.end(page, 3)
    assert vitals(arrivals) == []


# Loyalty: the day of the last visit, on the device.

KEPT_DAY = "localStorage.footfall_day"
TODAY = "new Date(Date.now() - new Date().getTimezoneOffset() * 60000).toISOString().slice(0, 10)"


def said(arrivals: Arrivals) -> list[str | None]:
    """What each view told of earlier visits."""
    return [event.get("loyalty") for event in arrivals.events() if event["kind"] == "view"]


def test_with_consent_the_day_is_kept_and_only_the_first_view_of_a_day_says_a_word(
    page: Page, pages: PageServer, arrivals: Arrivals
) -> None:
    bodies: list[str] = []
    page.on("request", lambda request: bodies.append(request.url + (request.post_data or "")))
    page.goto(pages.url("loyal.html"))
    page.click("#yes")
    arrivals.wait_for(1)
    today = page.evaluate(TODAY)
    assert stored(page) == [["footfall_day"], [], 0, 0]
    assert page.evaluate(KEPT_DAY) == today
    navigate(page, "/loyal.html?tab=2")
    page.goto(pages.url("loyal.html"))
    page.click("#yes")
    arrivals.end(page, 6)
    assert said(arrivals) == ["first", None, None]
    assert cookies(page.context) == []
    assert not any(today in body for body in bodies)


WORDS = [
    ("2026-11-22T12:00", "", "first"),
    ("2026-11-22T12:00", "2026-11-22", None),
    ("2026-11-22T12:00", "2026-11-21", "day"),
    ("2026-11-22T12:00", "2026-11-16", "day"),  # Sunday and Monday of one week
    ("2026-11-22T12:00", "2026-11-15", "week"),
    ("2026-11-23T00:01", "2026-11-22", "week"),
    ("2026-12-01T00:01", "2026-11-30", "month"),
    ("2026-12-31T23:59", "2025-12-31", "month"),
    ("2026-11-22T12:00", "2031-01-01", "month"),  # The clock was wrong then.
]
"""The device's clock, the day that it kept, and the word it says."""


def test_the_word_is_the_widest_that_holds_by_the_calendar_of_the_device(
    page: Page, pages: PageServer, arrivals: Arrivals
) -> None:
    page.goto(pages.url("plain.html"))
    for count, (now, last, _) in enumerate(WORDS, 1):
        page.clock.set_fixed_time(datetime.fromisoformat(now))
        page.evaluate(f"{KEPT_DAY} = '{last}'")
        page.goto(pages.url("loyal.html"))
        page.click("#yes")
        # With the next page, the one before is left.
        arrivals.wait_for(2 * count - 1)
        assert page.evaluate(KEPT_DAY) == now[:10]
    assert said(arrivals) == [word for *_, word in WORDS]


@pytest.mark.parametrize("way", ["#no", "#out"])
def test_withdrawing_and_opting_out_delete_the_day(page: Page, pages: PageServer, arrivals: Arrivals, way: str) -> None:
    page.goto(pages.url("loyal.html"))
    page.click("#yes")
    arrivals.wait_for(1)
    page.click(way)
    assert stored(page) == [[], [], 0, 0]


@pytest.mark.parametrize(
    "refusal",
    [
        "document.cookie = 'footfall_optout=1;path=/'",
        "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', { get: () => true })",
    ],
)
def test_a_refusal_made_elsewhere_deletes_the_day_with_the_next_page(
    context: BrowserContext, pages: PageServer, arrivals: Arrivals, refusal: str
) -> None:
    page = context.new_page()
    page.goto(pages.url("loyal.html"))
    page.click("#yes")
    arrivals.wait_for(1)
    context.add_init_script(refusal)
    page.goto(pages.url("loyal.html"))
    assert stored(page) == [[], [], 0, 0]
    page.click("#yes")
    assert stored(page) == [[], [], 0, 0]


def test_without_consent_or_without_the_sites_wish_no_day_is_kept(
    page: Page, pages: PageServer, arrivals: Arrivals
) -> None:
    page.goto(pages.url("loyal.html"))
    navigate(page, "/loyal.html?tab=2")
    assert stored(page) == [[], [], 0, 0]
    page.goto(pages.url("asking.html"))
    page.click("#yes")
    arrivals.wait_for(1)
    assert stored(page) == [[], [], 0, 0]
    assert said(arrivals) == [None]
