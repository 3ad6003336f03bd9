"""The demo's shop in a real Chromium: what leaves the browser, before and after each answer to its banner."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from dashboards.demo.catalogue import PAGES
from tests.collector.browsing import chromium, launched
from tests.collector.collecting import until
from tests.dashboards.demo.demonstration import Demonstration

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Request
else:
    pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (it is in the extra `browser`)")


@dataclass
class Tab:
    """A fresh browser's page in the shop, and every request that leaves it."""

    demonstration: Demonstration
    page: Page
    requests: list[Request] = field(default_factory=list)

    def note(self, request: Request) -> None:
        self.requests.append(request)

    def go(self, path: str) -> None:
        self.page.goto(self.demonstration.shop + path)

    def sent(self) -> list[str]:
        """What went to the collector, but for its script."""
        return [
            f"{request.method} {request.url}"
            for request in self.requests
            if request.url.startswith(self.demonstration.collector) and not request.url.endswith("/beacon.js")
        ]

    def stored(self) -> list[str]:
        """Names of what this browser keeps: cookies, and what the shop's own pages keep."""
        names: list[str] = self.page.evaluate("[...Object.keys(localStorage), ...Object.keys(sessionStorage)]")
        return [cookie.get("name", "") for cookie in self.page.context.cookies()] + names


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = launched(playwright)
        yield browser
        browser.close()


@pytest.fixture
def tab(browser: Browser, demonstration: Demonstration) -> Iterator[Tab]:
    context: BrowserContext = browser.new_context()
    tab = Tab(demonstration, context.new_page())
    context.on("request", tab.note)
    yield tab
    context.close()


def unique_path() -> str:
    """A page that nobody else visits: the shop answers it with its 404 page."""
    return f"/lost-{''.join(secrets.choice('bcdfghjk') for _ in range(8))}"


def views(demonstration: Demonstration, path: str) -> int:
    with demonstration.store() as store:
        asked = "SELECT count() FROM open_events WHERE kind = 'view' AND path = {path:String}"
        return int(store.query(asked, {"path": path})[0][0])


def test_before_an_answer_nothing_is_sent_and_nothing_stored(tab: Tab) -> None:
    for path in ("/", "/teas", unique_path()):
        tab.go(path)
        assert tab.page.is_visible("#consent")
    tab.page.goto("about:blank")
    assert tab.sent() == []
    tab.go("/")
    assert tab.stored() == []


def test_after_yes_the_visit_is_in_todays_events(tab: Tab) -> None:
    path = unique_path()
    tab.go(path)
    tab.page.click("#accept")
    until(lambda: views(tab.demonstration, path) == 1, "the view is in the open day")
    assert not tab.page.is_visible("#consent")
    tab.go("/teas")
    assert not tab.page.is_visible("#consent")


def test_after_no_nothing_is_sent_and_only_the_answer_is_kept(tab: Tab) -> None:
    tab.go("/")
    tab.page.click("#refuse")
    tab.go(unique_path())
    tab.page.goto("about:blank")
    assert tab.sent() == []
    tab.go("/")
    assert tab.stored() == ["slow-leaf-counting"]
    assert tab.page.inner_text("#state") == "Your visit is not counted."


def test_both_answers_are_equally_large_and_look_alike(tab: Tab) -> None:
    tab.go("/")
    shapes = [tab.page.locator(button).bounding_box() for button in ("#refuse", "#accept")]
    looks = tab.page.evaluate(
        "['refuse', 'accept'].map((id) => getComputedStyle(document.getElementById(id)))"
        ".map((style) => [style.color, style.backgroundColor, style.fontSize, style.fontWeight])"
    )
    assert shapes[0] is not None
    assert shapes[1] is not None
    assert (shapes[0]["width"], shapes[0]["height"]) == pytest.approx((shapes[1]["width"], shapes[1]["height"]), abs=6)
    assert looks[0] == looks[1]


def test_withdrawing_by_one_click_ends_it_on_every_page_after(tab: Tab) -> None:
    tab.go("/")
    tab.page.click("#accept")
    until(lambda: any("/api/event" in sent for sent in tab.sent()), "the view was sent")
    tab.page.click("#withdraw")
    assert tab.page.inner_text("#state") == "Your visit is not counted."
    path = unique_path()
    tab.go(path)
    tab.go("/teas")
    tab.page.click("text=Oolong")
    bodies = [request.post_data or "" for request in tab.requests if request.method == "POST"]
    assert not any(path in body or "oolong" in body for body in bodies)


def test_withdrawing_takes_back_what_was_counted_today(tab: Tab) -> None:
    path = unique_path()
    tab.go(path)
    tab.page.click("#accept")
    until(lambda: views(tab.demonstration, path) == 1, "the view is in the open day")
    tab.page.click("#withdraw")
    until(lambda: views(tab.demonstration, path) == 0, "the view is gone from the open day")


def test_withdrawn_on_another_page_holds_on_one_that_comes_back_from_the_cache(tab: Tab) -> None:
    tab.go("/about")
    tab.page.click("#accept")
    tab.go("/shipping")
    tab.page.click("#withdraw")
    before = len([sent for sent in tab.sent() if "/api/event" in sent])
    tab.page.go_back(wait_until="commit")  # From the cache no page loads.
    until(lambda: tab.page.inner_text("#state") == "Your visit is not counted.", "the page knows")
    tab.go("/journal")
    assert len([sent for sent in tab.sent() if "/api/event" in sent]) == before


def test_kinds_of_tea_are_views_of_their_own_without_loading_a_page(tab: Tab) -> None:
    tab.go("/teas")
    tab.page.click("#accept")
    loaded = len([request for request in tab.requests if request.is_navigation_request()])
    tab.page.click("#kinds >> text=Oolong")
    assert tab.page.url.endswith("/teas/oolong")
    assert tab.page.locator("#teas li:visible").count() == 2
    tab.page.go_back()
    assert tab.page.locator("#teas li:visible").count() == 12
    until(lambda: len(posted(tab, "/teas/oolong")) >= 1, "the kind was sent as a view")
    assert len([request for request in tab.requests if request.is_navigation_request()]) == loaded


def test_the_cart_sends_events_of_its_own(tab: Tab) -> None:
    tab.go("/teas/green/misty-terrace-sencha")
    tab.page.click("#accept")
    tab.page.click("#add")
    tab.go("/cart")
    tab.page.click("#buy")
    tab.page.wait_for_url("**/thanks")
    until(lambda: bool(posted(tab, '"add to cart"') and posted(tab, '"purchase"')), "both events were sent")


def test_opted_out_wins_over_yes(tab: Tab) -> None:
    tab.go("/")
    tab.page.click("#opt-out")
    assert tab.stored() == ["footfall_optout", "slow-leaf-counting"]
    tab.page.evaluate("localStorage.setItem('slow-leaf-counting', 'yes')")
    tab.go(unique_path())
    tab.page.goto("about:blank")
    assert not [sent for sent in tab.sent() if "/api/event" in sent]


def test_every_page_of_the_month_is_there_and_asks_nobody_else(tab: Tab) -> None:
    ours = (tab.demonstration.shop, tab.demonstration.collector, "data:")
    for path in PAGES:
        assert tab.demonstration.get(tab.demonstration.shop_port, path)[0] == 200, path
    assert tab.demonstration.get(tab.demonstration.shop_port, unique_path())[0] == 404
    tab.go("/")
    assert all(request.url.startswith(ours) for request in tab.requests)


def posted(tab: Tab, text: str) -> list[str]:
    bodies = [request.post_data or "" for request in tab.requests if request.method == "POST"]
    return [body for body in bodies if text in body]
