"""The opt-out button in a real Chromium: it works where it is offered, and where it does not the page says so (P15).

The collector stands on stats.example.test, sites beside it on names under example.test; `*.co.uk` leads here, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from tests.collector.browsing import FLAGS, Arrivals, PageServer, chromium, profile
from tests.collector.collecting import Collector, running

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Playwright
else:
    pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (it is in the extra `browser`)")

OUT = ".strong"
BACK = ".quiet"
STATS = "stats.example.test"
NAMES = ("first", "second", "third", "fourth")
SITES = '[[site]]\ndomain = "localhost"\n' + "".join(
    f'[[site]]\ndomain = "{domain}"\n'
    for domain in (*(f"{name}.example.test" for name in NAMES), "shop.mine.co.uk", "www-shop.example")
)
# The colours, widths and languages in which the pages are looked at.
Scheme = Literal["light", "dark"]
LOOKS: list[tuple[str, Scheme, int]] = [("en", "light", 1_280), ("de", "dark", 1_280), ("ar", "light", 360)]


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    chromium()
    with running(Collector(tmp_path_factory.mktemp("policy"), sites=SITES)) as collector:
        yield collector


@pytest.fixture(scope="module")
def pages(collector: Collector) -> Iterator[PageServer]:
    with PageServer(f"http://{STATS}:{collector.port}").running() as pages:
        yield pages


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    resolving = "--host-resolver-rules=MAP *.test 127.0.0.1, MAP *.co.uk 127.0.0.1"
    browser = playwright.chromium.launch(executable_path=chromium(), args=[*FLAGS, resolving])
    yield browser
    browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(locale="en")
    context.set_default_timeout(15_000)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


def address(collector: Collector, site: str, host: str = STATS, lang: str = "en") -> str:
    return f"http://{host}:{collector.port}/privacy?site={site}&lang={lang}"


def visit(page: Page, pages: PageServer, site: str) -> None:
    page.goto(pages.url("objecting.html", site))


def scopes(context: BrowserContext) -> list[tuple[str, str, str]]:
    """Name, value and domain of every cookie that the browser keeps."""
    return sorted((each["name"], each["value"], each["domain"]) for each in context.cookies())


def test_after_the_button_the_beacon_on_the_site_sends_nothing(
    page: Page, pages: PageServer, collector: Collector
) -> None:
    arrivals = Arrivals(collector, pages, "first.example.test")
    visit(page, pages, arrivals.site)
    arrivals.wait_for(1)

    page.goto(address(collector, arrivals.site))
    page.click(OUT)
    assert "You have objected in this browser: visits to first.example.test are not counted." in page.inner_text("main")
    assert scopes(page.context) == [("footfall_optout", "1", ".example.test")]

    before = arrivals.end(page, 1)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    visit(page, pages, arrivals.site)
    page.evaluate("footfall('bought')")
    assert [url for url in sent if "/api/" in url] == []
    assert arrivals.end(page, len(before)) == before


def test_a_pixel_of_someone_who_opted_out_is_refused_by_the_collector(page: Page, collector: Collector) -> None:
    page.goto(address(collector, "second.example.test"))
    page.click(OUT)
    pixel = f"http://{STATS}:{collector.port}/pixel.gif?d=second.example.test&c=1&u=http://second.example.test/"
    with page.expect_response(pixel) as refused:
        page.goto(pixel)
    assert refused.value.headers["footfall"] == "dropped; reason=opted_out"


def test_the_objection_can_be_taken_back_and_then_consent_counts_again(
    page: Page, pages: PageServer, collector: Collector
) -> None:
    arrivals = Arrivals(collector, pages, "third.example.test")
    page.goto(address(collector, arrivals.site))
    page.click(OUT)
    page.click(BACK)
    assert "Your objection is no longer stored here." in page.inner_text("main")
    assert scopes(page.context) == []
    visit(page, pages, arrivals.site)
    arrivals.wait_for(1)


def test_loading_the_page_again_asks_for_nothing(page: Page, collector: Collector) -> None:
    page.goto(address(collector, "fourth.example.test"))
    page.click(OUT)
    kept = scopes(page.context)
    page.reload()
    assert "You have objected in this browser" in page.inner_text("main")
    assert scopes(page.context) == kept
    assert page.url.startswith(f"http://{STATS}:{collector.port}/privacy?site=fourth.example.test")


def test_where_the_shared_ending_is_a_public_suffix_the_page_says_that_the_cookie_was_refused(
    page: Page, collector: Collector
) -> None:
    page.goto(address(collector, "shop.mine.co.uk", "stats.yours.co.uk"))
    page.click(OUT)
    text = page.inner_text("main")
    assert "Your browser did not keep the cookie, so this objection does not hold." in text
    assert "footfall.optOut()" in text
    assert "You have objected" not in text
    assert scopes(page.context) == []


def test_a_browser_that_keeps_no_cookies_is_not_told_that_it_opted_out(
    playwright: Playwright, collector: Collector, tmp_path: Path
) -> None:
    refuses_cookies = {"profile": {"default_content_setting_values": {"cookies": 2}}}
    with profile(playwright, tmp_path, refuses_cookies) as context:
        page = context.new_page()
        page.goto(address(collector, "fourth.example.test"))
        page.click(OUT)
        assert "Your browser did not keep the cookie" in page.inner_text("main")


def test_on_another_domain_there_is_no_button_but_a_link_to_the_site(page: Page, collector: Collector) -> None:
    page.goto(address(collector, "www-shop.example"))
    assert page.locator("button").count() == 0
    assert page.locator("a[href='https://www-shop.example/']").count() == 1


def test_it_all_works_without_scripts_and_loads_nothing_from_elsewhere(browser: Browser, collector: Collector) -> None:
    context = browser.new_context(java_script_enabled=False, locale="de-AT")
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"http://{STATS}:{collector.port}/privacy")
    page.fill("input[name=site]", "fourth.example.test")
    page.click("button")
    page.click(OUT)
    assert page.locator("[role=status]").inner_text().startswith("Sie haben in diesem Browser widersprochen")
    origin = f"http://{STATS}:{collector.port}/"
    assert [url for url in asked if not url.startswith((origin, "data:"))] == []
    context.close()


@pytest.mark.parametrize(("lang", "scheme", "width"), LOOKS)
def test_the_page_is_accessible_and_fits(
    browser: Browser, collector: Collector, lang: str, scheme: Scheme, width: int
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    for site, host, act in (
        ("fourth.example.test", STATS, ""),
        ("fourth.example.test", STATS, OUT),
        ("shop.mine.co.uk", "stats.yours.co.uk", OUT),
    ):
        page.goto(address(collector, site, host, lang))
        if act:
            page.click(act)
        found = axe.Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.evaluate("document.dir") == ("rtl" if lang == "ar" else "ltr")
    page.goto(f"http://{STATS}:{collector.port}/privacy?lang={lang}")
    assert axe.Axe().run(page).violations_count == 0
    assert complaints == []
    context.close()
