"""On a fresh machine, by README alone: `make serve`, the link that it prints, the first event on the page."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.collector.browsing import chromium, launched
from tests.collector.collecting import MEMORY, ROOT, environment, until
from tests.installation import spare_port

playwright_api = pytest.importorskip(
    "playwright.sync_api", reason="Playwright drives the browser: pip install -e .[browser]"
)

INSTALL_S = 400.0
START_S = 60.0
CACHES = (".venv", "__pycache__", ".*_cache", ".git", ".hypothesis", "footfall-data", "footfall-demo")


class Machine:
    """A checkout of its own in which nothing has been installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "footfall"
        shutil.copytree(ROOT, self.folder, ignore=shutil.ignore_patterns(*CACHES))
        self.public, self.internal = f"127.0.0.1:{spare_port()}", f"127.0.0.1:{spare_port()}"
        self.keys = tempfile.mkdtemp(prefix="footfall-test-", dir=MEMORY)
        self.log = folder / "serve.log"
        self.process: subprocess.Popen[bytes] | None = None

    def make_serve(self) -> None:
        """`make serve`; returns when it has installed, and what is left is to start."""
        settings = {
            "FOOTFALL_COLLECTOR__LISTEN": self.public,
            "FOOTFALL_DASHBOARDS__LISTEN": self.internal,
            "FOOTFALL_PRIVACY__KEY_DIR": self.keys,
        }
        kept = {name: value for name, value in environment().items() if name != "PYTHONPATH"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["make", "serve", f"PYTHON={sys.executable}"],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                env={**kept, **settings},
                start_new_session=True,
            )
        stamp = self.folder / ".venv" / ".installed-serve"
        until(lambda: stamp.exists() or self.process is None or self.process.poll() is not None, "installed", INSTALL_S)
        assert stamp.exists(), self.log.read_text()

    def told(self, pattern: str) -> str:
        """What `serve` prints that matches `pattern`, once it does."""
        until(lambda: re.search(pattern, self.log.read_text()) is not None, f"serve tells {pattern}", START_S)
        found = re.search(pattern, self.log.read_text())
        assert found is not None
        return found[0]

    def leave(self) -> None:
        if self.process is not None and self.process.poll() is None:
            # make passes no signal on; a terminal's Ctrl-C reaches the whole group.
            os.killpg(self.process.pid, signal.SIGINT)
            self.process.wait(START_S)
        shutil.rmtree(self.keys, ignore_errors=True)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    chromium()
    machine = Machine(tmp_path)
    try:
        yield machine
    finally:
        machine.leave()


def test_from_a_fresh_checkout_to_the_first_event_on_the_page_in_a_minute(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.make_serve()
    installed_at = time.monotonic()
    link = machine.told(r"http://\S+/sign-in/\S+")
    with playwright_api.sync_playwright() as playwright, launched(playwright) as browser:
        page = browser.new_page()
        page.goto(link)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_text("Waiting for the first event").wait_for()
        (send,) = re.findall(r"```sh\n(curl -i.*?)```", (machine.folder / "README.md").read_text(), re.DOTALL)
        line = send.replace("127.0.0.1:8000", machine.public)
        sent = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True, timeout=30)
        assert "footfall: accepted" in sent.stdout.lower()
        sent_at = time.monotonic()
        page.get_by_role("heading", name="Today, so far").wait_for()
        shown_at = time.monotonic()
        assert [number.inner_text() for number in page.locator("section:has(#today-heading) dd").all()] == [
            "1",
            "1",
            "1",
        ]
    took_s, waited_s = shown_at - installed_at, shown_at - sent_at
    with capsys.disabled():
        told = f"\nthe first event showed {took_s:.1f} s after the downloads, {waited_s:.1f} s after it was sent"
        print(told, file=sys.stderr)  # What reaches the terminal where test files run in parallel.
    assert took_s < 60
