"""A real `footfall demo` in a folder of its own on free ports, small enough for a test."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from aggregator.endpoint import Announced
from aggregator.store import Store
from dashboards.access import People
from dashboards.demo.folder import SITE
from tests.collector.collecting import MEMORY, environment, until
from tests.installation import spare_port

DAYS = 3
VISITS_PER_DAY = 120
# A quiet machine takes 25 s; the tests of others may run beside this.
READY_S = 240.0
TOKEN_NAME = "tests of the demo"


@dataclass
class Demonstration:
    """One demo, and what it answers."""

    folder: Path
    port: int = field(default_factory=spare_port)
    dashboards_port: int = field(default_factory=spare_port)
    shop_port: int = field(default_factory=spare_port)
    keys: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="footfall-test-", dir=MEMORY)))
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def data(self) -> Path:
        return self.folder / "footfall-demo"

    @property
    def shop(self) -> str:
        return f"http://127.0.0.1:{self.shop_port}"

    @property
    def collector(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def said(self) -> str:
        return (self.folder / "out").read_text()

    @contextlib.contextmanager
    def running(self) -> Iterator[Demonstration]:
        """From its start, once it has said that it is ready, to its end by Ctrl-C."""
        listen = [
            *("--listen", f"127.0.0.1:{self.port}", "--dashboards", f"127.0.0.1:{self.dashboards_port}"),
            *("--shop", f"127.0.0.1:{self.shop_port}"),
        ]
        size = ["--days", str(DAYS), "--visits-per-day", str(VISITS_PER_DAY)]
        # A setting of another installation must not reach the demo: with this one it would not be k = 5.
        surroundings = {"FOOTFALL_PRIVACY__KEY_DIR": str(self.keys), "FOOTFALL_PRIVACY__K": "7"}
        with (self.folder / "out").open("wb") as out, (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "footfall", "demo", *listen, *size],
                cwd=self.folder,
                stdout=out,
                stderr=log,
                env={**environment(), **surroundings},
            )
        try:
            until(self._is_ready, f"the demo is ready; see {self.folder}", READY_S)
            yield self
        finally:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(60.0)
            finally:
                if self.process.poll() is None:
                    os.kill(self.process.pid, signal.SIGKILL)
                shutil.rmtree(self.keys, ignore_errors=True)

    def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()[-4_000:]
        return "Ready." in self.said()

    def stats(self, first: date, last: date, dimension: str = "page") -> dict[str, Any]:
        """The answer of `/api/stats`."""
        people = People(self.data)
        people.remove_token(TOKEN_NAME)
        token = people.add_token(TOKEN_NAME, "viewer", SITE)
        asked = {"site": SITE, "from": first.isoformat(), "to": last.isoformat(), "dimension": dimension}
        status, body = self.get(
            self.dashboards_port, f"/api/stats?{urlencode(asked)}", {"Authorization": f"Bearer {token}"}
        )
        assert status == 200, body
        answer: dict[str, Any] = json.loads(body)
        return answer

    def get(self, port: int, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30.0)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.read()

    @contextlib.contextmanager
    def store(self) -> Iterator[Store]:
        with contextlib.closing(Store(Announced(self.data / "run" / "store.json"))) as store:
            yield store
