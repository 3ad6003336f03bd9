"""A real store and a real `footfall dashboard` beside it, with a month to look at, for tests over HTTP and Chromium."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import orjson

from aggregator.endpoint import Announced
from aggregator.migrate import migrate
from aggregator.store import Store
from collector.days import day_of
from dashboards.access import People
from tests.aggregator.event_lines import event
from tests.aggregator.front_process import FrontProcess
from tests.collector.collecting import ROOT, environment, until
from tests.dashboards.month import seal_month
from tests.installation import spare_port

SHOP, QUIET, FRESH, EMPTY = "tea.example", "quiet.example", "localhost", "new.example"
TIMEZONE = "Europe/Berlin"
CONFIG = f"""
[[site]]
domain = "{SHOP}"
timezone = "{TIMEZONE}"
properties = ["tea"]
[[site.goal]]
name = "Purchase"
event = "Purchase"
[[site.goal]]
name = "Journal read"
page = "/journal/*"
[[site.goal]]
name = "Account with a newsletter"
event = "Newsletter"
[[site.funnel]]
name = "Checkout"
steps = ["/tea/*", "/basket", "Purchase"]
[[site.experiment]]
name = "button"
variants = ["green", "gold with a rim"]
[[site]]
domain = "{QUIET}"
timezone = "{TIMEZONE}"
[[site]]
domain = "{FRESH}"
timezone = "{TIMEZONE}"
[[site]]
domain = "{EMPTY}"
timezone = "{TIMEZONE}"
policy_version = "2026-05"
"""


@dataclass
class Dashboards:
    """The internal side over `folder`: SHOP has months and a live day, QUIET a few days, FRESH and EMPTY nothing."""

    folder: Path
    port: int = field(default_factory=spare_port)
    front: FrontProcess = field(init=False)
    store: Store = field(init=False)
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def people(self) -> People:
        return People(self.data)

    def start(self) -> None:
        self.data.mkdir(parents=True)
        self.front = FrontProcess(self.data)
        self.front.start()
        self.store = Store(Announced(self.front.announcement))
        migrate(self.store)
        today = day_of(time.time(), TIMEZONE)
        seal_month(self.store, SHOP, TIMEZONE, today)
        seal_month(self.store, QUIET, TIMEZONE, today, days=12, busy=0.1)
        self.visit(SHOP, 37)
        config = self.folder / "footfall.toml"
        config.write_text(f'[dashboards]\nlisten = "127.0.0.1:{self.port}"\n{CONFIG}')
        command = [sys.executable, "-m", "footfall", "dashboard", "--config", str(config), "--data", str(self.data)]
        with (self.folder / "dashboard.log").open("wb") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=environment())
        until(self._answers, "the dashboards answer")

    def visit(self, site: str, networks: int, first: int = 1) -> None:
        """One view each of `networks` networks, today."""
        now = time.time()
        lines = b"".join(
            orjson.dumps(
                event(
                    first,
                    place,
                    site=site,
                    day=day_of(now, TIMEZONE).isoformat(),
                    timezone=TIMEZONE,
                    at=f"{now:.3f}",
                    visitor=place,
                    network=place,
                    path=("/", "/tea/sencha", "/basket")[place % 3],
                    source="",
                    channel="direct",
                    screen="lg",
                )
            )
            + b"\n"
            for place in range(first, first + networks)
        )
        self.store.insert_lines("open_events", lines, tag=f"{site}{first}", token=f"{site}{first}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
        self.store.close()
        self.front.stop()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz").status_code == 200
        except httpx.HTTPError:
            return False
