"""The pages in a real Chromium: signing in, reading them in light, dark, on a phone, right to left, without a
script, and the first event that shows by itself.

FOOTFALL_PICTURES names a folder for pictures of all pages.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dashboards.access import People
from tests.collector.browsing import chromium, launched
from tests.collector.collecting import FIREFOX, MEMORY, environment, until
from tests.dashboards.serving import EMPTY, FRESH, SHOP, Dashboards
from tests.installation import spare_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

playwright_api = pytest.importorskip(
    "playwright.sync_api", reason="Playwright drives the browser: pip install -e .[browser]"
)
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core: pip install -e .[browser]")

PICTURES = os.environ.get("FOOTFALL_PICTURES")
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 860}
# WCAG 2.2 A and AA, and axe-core's own good practice.
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


@dataclasses.dataclass(frozen=True)
class Look:
    """One way of seeing a page."""

    name: str
    language: str = "en"
    scheme: str = "light"
    is_phone: bool = False


LOOKS = (
    Look("light"),
    Look("dark", scheme="dark"),
    Look("phone", is_phone=True),
    Look("rtl", language="ar"),
    Look("phone-rtl-dark", language="ar", scheme="dark", is_phone=True),
)
PLACES = {"sites": "/", "site": f"/sites/{SHOP}", "waiting": f"/sites/{EMPTY}"}
# What is made of the same parts is looked at once.
OTHER_PLACES = {
    "day": f"/sites/{SHOP}?period=day",
    "year": f"/sites/{SHOP}?period=12m",
    "live": f"/sites/{SHOP}?period=today",
    "narrowed": f"/sites/{SHOP}?filter=country:DE",
    "days": f"/sites/{SHOP}?from=2026-01-01&to=2026-01-02",
    "absent": "/absent",
    "used-link": "/sign-in/used",
}


@pytest.fixture(scope="module")
def dashboards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboards]:
    chromium()
    dashboards = Dashboards(tmp_path_factory.mktemp("dashboards"))
    try:
        dashboards.start()
        dashboards.people.users.add("owner", "admin")
        yield dashboards
    finally:
        dashboards.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium()
    with playwright_api.sync_playwright() as playwright:
        browser = launched(playwright)
        yield browser
        browser.close()


class Reader:
    """Somebody in front of a page; `complaints` is what the browser's console said."""

    def __init__(self, browser: Browser, url: str, look: Look, *, scripts: bool = True) -> None:
        self.url = url
        self.complaints: list[str] = []
        viewport = PHONE if look.is_phone else DESKTOP
        self.context: BrowserContext = browser.new_context(
            color_scheme=look.scheme,  # type: ignore[arg-type]  # its literals
            viewport=viewport,  # type: ignore[arg-type]  # its own dictionary
            locale=look.language,
            java_script_enabled=scripts,
        )
        self.page: Page = self.context.new_page()
        self.page.on("console", lambda said: self._hear(said.text))
        self.page.on("pageerror", lambda fault: self._hear(str(fault)))

    def _hear(self, said: str) -> None:
        # That an answer had another status than 200 is no fault of the page.
        if "status of" not in said:
            self.complaints.append(said)

    def sign_in(self, token: str) -> None:
        self.page.goto(f"{self.url}/sign-in/{token}")
        self.page.locator("main button").click()
        self.page.wait_for_url(re.compile(r"/(sites/.*)?$"))

    def look_at(self, path: str) -> None:
        self.page.goto(f"{self.url}{path}")

    def picture(self, name: str) -> None:
        if PICTURES:
            Path(PICTURES).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)

    def overflow_px(self) -> int:
        """How far one could scroll sideways."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.fixture(params=LOOKS, ids=lambda look: look.name)
def reader(request: pytest.FixtureRequest, browser: Browser, dashboards: Dashboards) -> Iterator[tuple[Reader, Look]]:
    reader = Reader(browser, dashboards.url, request.param)
    yield reader, request.param
    reader.context.close()


def faults(page: Page) -> list[str]:
    """What axe-core finds, a line each."""
    found = axe.Axe().run(page, options=RULES).response["violations"]
    return [f"{fault['id']}: {node['target']} {node['failureSummary']}" for fault in found for node in fault["nodes"]]


def test_every_page_is_readable_in_every_look(reader: tuple[Reader, Look], dashboards: Dashboards) -> None:
    somebody, look = reader
    token = dashboards.people.users.link("owner")
    somebody.look_at(f"/sign-in/{token}")
    found = {"sign-in": (faults(somebody.page), somebody.overflow_px())}
    somebody.picture(f"sign-in-{look.name}")
    somebody.sign_in(token)
    for name, path in (PLACES | (OTHER_PLACES if look.name == "light" else {})).items():
        somebody.look_at(path)
        if name == "day":
            somebody.page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        found[name] = (faults(somebody.page), somebody.overflow_px())
        somebody.picture(f"{name}-{look.name}")
        assert somebody.page.locator("html").get_attribute("lang") == look.language
    assert found == dict.fromkeys(found, ([], 0))
    assert somebody.complaints == []


def test_a_link_signs_in_once_and_signing_out_ends_it(browser: Browser, dashboards: Dashboards) -> None:
    somebody = Reader(browser, dashboards.url, Look("light"))
    token = dashboards.people.users.add("ben", "viewer")
    somebody.sign_in(token)
    assert somebody.page.get_by_role("link", name=re.compile(SHOP)).is_visible()
    assert somebody.page.evaluate("document.cookie") == ""
    other = Reader(browser, dashboards.url, Look("light"))
    other.look_at(f"/sign-in/{token}")
    assert other.page.get_by_role("heading", name="This link does not work any more").is_visible()
    somebody.page.get_by_role("button", name="Sign out").click()
    somebody.look_at("/")
    assert somebody.page.get_by_text("footfall user link owner").is_visible()
    assert somebody.complaints == other.complaints == []


def test_a_form_on_another_site_can_neither_sign_out_nor_in(browser: Browser, dashboards: Dashboards) -> None:
    somebody = Reader(browser, dashboards.url, Look("light"))
    somebody.sign_in(dashboards.people.users.link("owner"))
    own = dashboards.url.removeprefix("http://127.0.0.1")
    token = dashboards.people.users.link("owner")
    for path in ("/sign-out", f"/sign-in/{token}"):
        # The same machine by another name is another site.
        somebody.page.goto(f"http://evil.test{own}/static/footfall.svg")
        somebody.page.evaluate(
            """action => {
                const form = document.documentElement.appendChild(
                    document.createElementNS("http://www.w3.org/1999/xhtml", "form"));
                form.method = "post"; form.action = action; form.submit();
            }""",
            f"{dashboards.url}{path}",
        )
        somebody.page.wait_for_url(f"{dashboards.url}{path}")
        assert somebody.page.get_by_role("heading", name="Not for you").is_visible()
    somebody.look_at("/")
    assert somebody.page.get_by_role("heading", name="Sites").is_visible()
    assert dashboards.people.users.has_link(token)


def test_everything_reads_without_a_script(browser: Browser, dashboards: Dashboards) -> None:
    somebody = Reader(browser, dashboards.url, Look("light"), scripts=False)
    somebody.sign_in(dashboards.people.users.link("owner"))
    somebody.page.get_by_role("link", name=re.compile(SHOP)).click()
    page = somebody.page
    assert page.get_by_role("heading", name="Today, so far").is_visible()
    assert page.locator("#today dd").first.inner_text() == "35"
    page.get_by_text("The same as a table").click()
    assert page.get_by_role("table").get_by_role("row").count() == 31
    page.get_by_text("5 more").click()
    assert page.get_by_text("/help/shipping").is_visible()
    page.get_by_role("link", name="7 days").click()
    assert page.get_by_role("link", name="7 days").get_attribute("aria-current") == "page"
    page.get_by_role("link", name="Deutsch").click()
    assert page.get_by_role("heading", name="Heute, bis jetzt").is_visible()
    assert "period=7d" in page.url


def test_a_day_under_the_pointer_tells_its_number(browser: Browser, dashboards: Dashboards) -> None:
    somebody = Reader(browser, dashboards.url, Look("light"))
    somebody.sign_in(dashboards.people.users.link("owner"))
    somebody.look_at(f"/sites/{SHOP}?period=7d")
    last = somebody.page.locator(".place").last
    assert last.locator("text").evaluate("text => getComputedStyle(text).opacity") == "0"
    last.locator("rect").hover()
    assert last.locator("text").evaluate("text => getComputedStyle(text).opacity") == "1"
    assert re.search(r"\d+ visitors$", last.locator("text").text_content() or "")


class Newcomer:
    """Somebody who runs `footfall serve` in an empty folder."""

    def __init__(self, folder: Path) -> None:
        self.public, internal = f"127.0.0.1:{spare_port()}", f"127.0.0.1:{spare_port()}"
        self.url = f"http://{internal}"
        self.log = folder / "serve.log"
        keys = tempfile.mkdtemp(prefix="footfall-test-", dir=MEMORY)
        command = [sys.executable, "-m", "footfall", "serve", "--listen", self.public, "--dashboards", internal]
        with self.log.open("wb") as log:
            self.serving = subprocess.Popen(
                command, cwd=folder, stdout=log, stderr=log, env={**environment(), "FOOTFALL_PRIVACY__KEY_DIR": keys}
            )
        until(lambda: "See it:" in self.log.read_text(), f"footfall serve is up; see {self.log}", 60.0)

    def link(self) -> str:
        """The token of the link that it printed."""
        found = re.search(rf"^  {re.escape(self.url)}/sign-in/(\S+)$", self.log.read_text(), re.MULTILINE)
        assert found, self.log.read_text()
        return found[1]

    def send(self, agent: str) -> str:
        """A first event, as the page shows the line; returns the answer."""
        event = f'{{"n": "pageview", "u": "http://{FRESH}/welcome", "d": "{FRESH}", "c": "1"}}'
        line = ["curl", "-si", f"http://{self.public}/api/event", "-A", agent, "-d", event]
        return subprocess.run(line, capture_output=True, text=True, check=True, timeout=30).stdout

    def leave(self) -> None:
        self.serving.terminate()
        assert self.serving.wait(30) == 0


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    chromium()
    newcomer = Newcomer(tmp_path_factory.mktemp("newcomer"))
    yield newcomer
    newcomer.leave()


def test_the_page_that_serve_links_to_shows_the_first_event_by_itself(newcomer: Newcomer, browser: Browser) -> None:
    somebody = Reader(browser, newcomer.url, Look("light"))
    somebody.sign_in(newcomer.link())
    page = somebody.page
    assert page.get_by_role("heading", name="Waiting for the first event").is_visible()
    assert newcomer.public in page.locator("#curl").inner_text()
    assert "reason=bot" in newcomer.send("curl/8.0")
    page.get_by_text("Its User-Agent says that it is a bot or a tool").wait_for()
    somebody.picture("dropped-light")
    assert "accepted" in newcomer.send(FIREFOX)
    sent_at = time.monotonic()
    page.get_by_role("heading", name="Today, so far").wait_for()
    took_s = time.monotonic() - sent_at
    assert page.get_by_role("region", name="Pages", exact=True).get_by_text("/welcome").is_visible()
    assert page.locator("#today dd").first.inner_text() == "1"
    print(f"the first event was on the page after {took_s:.2f} s")
    # The promise is 2 s on a machine that is free; this one also runs a browser, and maybe other tests.
    assert took_s < 8
    somebody.picture("first-event-light")
    assert somebody.complaints == []


@contextlib.contextmanager
def shelves(collector: str) -> Iterator[str]:
    """A site of `FRESH` whose every address is a page with the beacon; yields its origin."""
    beacon = f'<script defer src="http://{collector}/beacon.js" data-site="{FRESH}"></script>'
    text = f"<!doctype html><title>Shelf</title>{beacon}".encode()

    class Shelf(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Shelf) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        try:
            yield f"http://{FRESH}:{server.server_address[1]}"
        finally:
            server.shutdown()


def test_a_visit_shows_after_consent_and_never_after_a_refusal_and_goes_with_its_withdrawal(
    newcomer: Newcomer, browser: Browser
) -> None:
    reader = Reader(browser, newcomer.url, Look("light"))
    reader.sign_in(People(newcomer.log.parent / "footfall-data").users.link("owner"))

    def shown() -> str:
        reader.look_at(f"/sites/{FRESH}?period=today")
        return reader.page.locator("main").inner_text()

    with shelves(newcomer.public) as site:
        visitor = browser.new_page()
        visitor.goto(f"{site}/refused")
        visitor.evaluate("footfall.consent(false)")
        visitor.goto(f"{site}/agreed")
        visitor.evaluate("footfall.consent(true)")
        until(lambda: "/agreed" in shown(), "the visit is on the page")
        assert "/refused" not in shown()
        visitor.evaluate("footfall.consent(false)")
        until(lambda: "/agreed" not in shown(), "the visit was taken back")
        visitor.close()
