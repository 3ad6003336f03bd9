"""A real Chromium, a real server of small pages on another origin than the collector, and what reached the spool.

Pages are read from tests/collector/pages; `{{collector}}` in them is the collector's origin, `{{collector_port}}` its
port, `{{port}}` that of the pages and `{{site}}` the site of the test. Chromium resolves every `*.test` to this
machine, so a page can stand on several hosts.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from collector.spool_file import connect
from tests.collector.collecting import DEADLINE_S, Collector, Outcome, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Playwright

PAGES = Path(__file__).with_name("pages")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
# A headless Chromium says so in its User-Agent, and the collector refuses it as a bot. Given to the whole browser: what
# Playwright sets for a page does not reach the requests that outlive it.
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36"
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP *.test 127.0.0.1"),
    f"--user-agent={USER_AGENT}",
]
# Playwright switches the back-forward cache off, which visitors have.
KEPT = ["--disable-back-forward-cache"]

TRIALS = 100
"""Sites to test with, one for each test: what a page of an earlier test sends late is not taken for another's."""

FENCE_SITE = "localhost"
SITES = f"""
[[site]]
domain = "{FENCE_SITE}"

[[site]]
domain = "versioned.test"
policy_version = "2026-05"
""" + "".join(
    f"""
[[site]]
domain = "trial-{number}.test"
allowed_parameters = ["tab"]
properties = ["plan", "url"]
loyalty = true
[[site.experiment]]
name = "button"
variants = ["blue", "green"]
"""
    for number in range(1, TRIALS + 1)
)


@dataclass
class PageServer:
    """Serves the pages; `asked` are the paths asked for, in order, with what the request said of its purpose.

    `/gate` answers once `gate` is set: a page that no driver may touch waits there for the test.
    """

    collector: str
    asked: list[tuple[str, str]] = field(default_factory=list)
    port: int = 0
    trial: int = 0
    gate: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def running(self) -> Iterator[PageServer]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            self.gate.set()
            server.shutdown()
            thread.join()
            server.server_close()

    @property
    def site(self) -> str:
        """The site of the test that runs."""
        return f"trial-{self.trial}.test"

    def url(self, page: str, host: str = "localhost") -> str:
        return f"http://{host}:{self.port}/{page}"

    def times_asked(self, path: str) -> int:
        return sum(asked == path for asked, _ in self.asked)

    def text(self, page: str) -> bytes | None:
        file = PAGES / page
        if not file.is_file():
            return None
        text, port = file.read_text(), self.collector.rpartition(":")[2]
        for name, value in (
            ("collector", self.collector),
            ("collector_port", port),
            ("port", str(self.port)),
            ("site", self.site),
        ):
            text = text.replace(f"{{{{{name}}}}}", value)
        return text.encode()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        pages = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # the name that http.server calls
                pages.asked.append((self.path, self.headers.get("Sec-Purpose", "")))
                if self.path == "/gate":
                    pages.gate.wait(DEADLINE_S)
                text = pages.text(self.path.partition("?")[0].removeprefix("/"))
                missing = text is None
                body = (pages.text("missing.html") or b"") if text is None else text
                self.send_response(404 if missing else 200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                # no-cache and not no-store, which could keep a page from the back-forward cache.
                self.send_header("Cache-Control", "no-cache")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
                """Says nothing."""

        return Handler


@dataclass(frozen=True)
class Arrivals:
    """What reached the collector of one `site`."""

    collector: Collector
    pages: PageServer
    site: str

    @classmethod
    def of_next_trial(cls, collector: Collector, pages: PageServer) -> Arrivals:
        pages.trial += 1
        return cls(collector, pages, pages.site)

    def events(self) -> list[dict[str, Any]]:
        return [event for event in self.collector.events() if event["site"] == self.site]

    def seen(self) -> list[tuple[str, str]]:
        """Kind and path of each event, in the order of arrival; of custom events the name."""
        return [(event["name"] or event["kind"], event["path"]) for event in self.events()]

    def requests(self) -> Counter[Outcome]:
        return Counter({key: count for key, count in self.collector.counters().items() if key[0] == self.site})

    def withdrawals(self) -> list[tuple[int, int]]:
        """Generation and visitor of each withdrawal that waits for a drainer."""
        found: list[tuple[int, int]] = []
        for file in sorted(self.collector.spool_dir.glob("spool-*.sqlite")):
            with contextlib.closing(connect(file)) as connection:
                rows = connection.execute("SELECT generation, visitor FROM withdrawals WHERE site = ?", (self.site,))
                found += [(int(generation), int(visitor)) for generation, visitor in rows]
        return found

    def wait_for(self, count: int) -> None:
        until(lambda: len(self.events()) >= count, f"{count} events arrived, not {self.seen()}")

    def end(self, page: Page, count: int = 0) -> list[tuple[str, str]]:
        """All that `page` led to, once `count` events have come: leaves it, which is when the last things are sent.

        Then one more request goes the same way, for another site; when it is answered, more than `count` has come too.
        """
        page.goto(self.pages.url("plain.html", "elsewhere.test"))
        self.wait_for(count)
        fence = json.dumps({"n": "fence", "u": self.pages.url(""), "d": FENCE_SITE, "c": "1"})
        answer = page.evaluate(
            "([url, body]) => fetch(url, {method: 'POST', body}).then(answer => answer.headers.get('footfall'))",
            [f"{self.pages.collector}/api/event", fence],
        )
        assert answer == "accepted"
        return self.seen()

    def leaves(self) -> list[dict[str, Any]]:
        return [event for event in self.events() if event["kind"] == "leave"]


def chromium() -> str:
    """The browser's path; skips the test where there is none."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (Debian: apt install chromium)")
    return CHROMIUM


def launched(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(executable_path=chromium(), args=FLAGS, ignore_default_args=KEPT)


@contextlib.contextmanager
def profile(playwright: Playwright, folder: Path, preferences: Mapping[str, object]) -> Iterator[BrowserContext]:
    """A browser of its own whose user has chosen `preferences` in its settings."""
    (folder / "Default").mkdir(parents=True)
    (folder / "Default" / "Preferences").write_text(json.dumps(preferences))
    context = playwright.chromium.launch_persistent_context(
        str(folder), executable_path=chromium(), args=FLAGS, ignore_default_args=KEPT
    )
    try:
        yield context
    finally:
        context.close()


@contextlib.contextmanager
def undriven(folder: Path, url: str) -> Iterator[None]:
    """A browser of its own at `url` that nobody drives, for what a browser does not do under a driver."""
    command = [chromium(), "--headless", *FLAGS, f"--user-data-dir={folder}", "--remote-debugging-port=0", url]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        yield
    finally:
        # Its helper processes are in the same group.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
