"""A real collector on a free port of the loopback, with a folder of its own, and what its spool holds.

`Collector` runs `footfall collect` in a process, as an operator would; tests ask it over HTTP and read
its spool files through `collector.spool` and `aggregator.backlog`.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aggregator.backlog import opened
from collector.spool_file import connect

ROOT = Path(__file__).resolve().parents[2]
MEMORY = Path("/dev/shm")
DEADLINE_S = 30.0
POLL_S = 0.01
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
TOKEN = "footfall_ingest_only-for-tests"
VOUCHING_TOKEN = "footfall_ingest_only-for-tests-whose-addresses-count"
OTHER_TOKEN = "footfall_ingest_only-for-tests-of-the-other-site"

Outcome = tuple[str, str, str]


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


SITES = f"""
[[site]]
domain = "example.com"
timezone = "UTC"
allowed_parameters = ["tab"]
properties = ["plan", "url", "0", "1", "2", "3", "4", "5", "6"]
[[site.ingest_tokens]]
name = "server"
sha256 = "{sha256(TOKEN)}"
[[site.ingest_tokens]]
name = "proxy"
sha256 = "{sha256(VOUCHING_TOKEN)}"
trusted_addresses = true

[[site]]
domain = "example.org"
timezone = "UTC"
[[site.ingest_tokens]]
name = "server"
sha256 = "{sha256(OTHER_TOKEN)}"

[[site]]
domain = "versioned.example"
policy_version = "2026-05"

[[site]]
domain = "assumed.example"
consent = {{field = true, assumed = true}}

[[site]]
domain = "assumed-alone.example"
consent = {{field = false, assumed = true}}

[[site]]
domain = "tracked.example"
consent = {{respect_dnt = false}}
"""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class Answer:
    """One HTTP answer; `headers` by lower-case name, the last one where several have a name."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def footfall(self) -> str:
        return self.headers.get("footfall", "")

    @property
    def error(self) -> str:
        """The sentence of a refusal."""
        told: str = json.loads(self.body)["error"]
        return told


@dataclass
class Collector:
    """One collector over one folder; `settings` are lines for [collector], `privacy` for [privacy]."""

    folder: Path
    settings: str = ""
    privacy: str = ""
    sites: str = SITES
    workers: int = 1
    spool: Path | None = None
    command: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    keys: Path = field(default_factory=lambda: MEMORY / f"footfall-collecting-{secrets.token_hex(6)}")
    process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def spool_dir(self) -> Path:
        return self.spool or self.data / "spool"

    @property
    def log(self) -> Path:
        return self.folder / "collector.log"

    @property
    def config(self) -> Path:
        return self.folder / "footfall.toml"

    def start(self) -> None:
        """Starts and returns once it is ready."""
        self.write_config()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, *self.arguments()], cwd=self.folder, stdout=log, stderr=log, env=environment()
            )
        self.wait_until_ready()

    def write_config(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        spool = f'spool_dir = "{self.spool_dir}"'
        self.config.write_text(
            f'[collector]\nlisten = "127.0.0.1:{self.port}"\nworkers = {self.workers}\n{spool}\n{self.settings}\n'
            f'[privacy]\nkey_dir = "{self.keys}"\n{self.privacy}\n{self.sites}'
        )

    def arguments(self) -> list[str]:
        return [sys.executable, "-m", "footfall", "collect", "--config", str(self.config), "--data", str(self.data)]

    def wait_until_ready(self) -> None:
        """Every worker has its spool file, and one has answered."""

        def is_ready() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()
            with contextlib.suppress(OSError, http.client.HTTPException):
                with opened(self.spool_dir) as made:
                    has_all = len(made) >= len(self.taken_spools()) == self.workers
                return has_all and self.ask("GET", "/readyz").status == 200
            return False

        until(is_ready, "the collector is ready")

    def taken_spools(self) -> list[str]:
        """The spool files that a worker holds, by the kernel's list: asking for a lock could keep a worker from it."""
        held = {line.split()[-3].rpartition(":")[2] for line in Path("/proc/locks").read_text().splitlines()}
        return [file.stem for file in self.spool_dir.glob("spool-*.lock") if str(file.stat().st_ino) in held]

    def stop(self) -> None:
        """Asks it to end, and leaves neither a process nor keys."""
        if self.process is not None and self.process.poll() is None:
            # Under a tracer, the collector is the child.
            os.kill(descendants(self.process.pid)[0] if self.command else self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self.keys, ignore_errors=True)

    def kill(self) -> None:
        """kill -9 of the collector and of all its workers."""
        assert self.process is not None
        family = [self.process.pid, *descendants(self.process.pid)]
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        until(lambda: not any(is_running(pid) for pid in family), "the workers are gone")

    def worker_pids(self) -> list[int]:
        """The processes below the collector's own; its Python helpers, such as resource trackers, are among them."""
        assert self.process is not None
        return descendants(self.process.pid)

    @contextlib.contextmanager
    def connection(self, timeout_s: float = DEADLINE_S) -> Iterator[http.client.HTTPConnection]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            yield connection
        finally:
            connection.close()

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request on a connection of its own."""
        with self.connection() as connection:
            return asked(connection, method, path, body, headers)

    def event(self, fields: Mapping[str, object] | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        """One event of a visitor with Firefox who consents, with `fields` instead of or besides the usual ones."""
        return self.ask("POST", "/api/event", event_body(fields), {"User-Agent": FIREFOX, **(headers or {})})

    def bulk(self, body: bytes, token: str = TOKEN, headers: Mapping[str, str] | None = None) -> Answer:
        return self.ask("POST", "/api/events", body, {"Authorization": f"Bearer {token}", **(headers or {})})

    def events(self) -> list[dict[str, Any]]:
        """All events that wait in the spool files, in order."""
        return [json.loads(line) for line in spooled_lines(self.spool_dir)]

    def counters(self) -> Counter[Outcome]:
        """Requests by (site, outcome, reason), over all spool files."""
        counts: Counter[Outcome] = Counter()
        for file in sorted(self.spool_dir.glob("spool-*.sqlite")):
            with contextlib.closing(connect(file)) as connection:
                for site, outcome, reason, requests in connection.execute(
                    "SELECT site, outcome, reason, requests FROM counters"
                ):
                    counts[site, outcome, reason] += requests
        return counts

    def ledger(self) -> Counter[str]:
        """Requests by outcome and events by what became of them, over all spool files."""
        total: Counter[str] = Counter()
        with opened(self.spool_dir) as backlogs:
            for backlog in backlogs:
                total.update(backlog.ledger())
        return total

    def spool_bytes(self) -> bytes:
        """Every byte of every file of the spool folder, write-ahead logs included."""
        return b"".join(file.read_bytes() for file in sorted(self.spool_dir.iterdir()) if file.is_file())


@contextlib.contextmanager
def running(collector: Collector) -> Iterator[Collector]:
    """`collector`, started for the time of a `with` block."""
    try:
        collector.start()
        yield collector
    finally:
        collector.stop()


def event_body(fields: Mapping[str, object] | None = None) -> bytes:
    usual = {"n": "pageview", "u": "https://example.com/", "d": "example.com", "c": "1"}
    return json.dumps({**usual, **(fields or {})}).encode()


def asked(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request and its whole answer on `connection`, which stays open where both sides want it."""
    connection.request(method, path, body, dict(headers or {}))
    response = connection.getresponse()
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


def spooled_lines(folder: Path) -> list[bytes]:
    """The lines of all rows of all spool files of `folder`."""
    lines: list[bytes] = []
    for file in sorted(folder.glob("spool-*.sqlite")):
        with contextlib.closing(connect(file)) as connection:
            for (row,) in connection.execute("SELECT lines FROM rows ORDER BY id"):
                lines.extend(row.splitlines())
    return lines


def until(is_so: Callable[[], bool], claim: str, deadline_s: float = DEADLINE_S) -> None:
    """Returns when `is_so`; fails with the `claim` that did not come true by the deadline."""
    deadline = time.monotonic() + deadline_s
    while not is_so():
        assert time.monotonic() < deadline, f"not within {deadline_s:.0f} s: {claim}"
        time.sleep(POLL_S)


def environment() -> dict[str, str]:
    """This process's environment without settings of an installation, and with the code under test."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FOOTFALL_")}
    return {**kept, "PYTHONPATH": str(ROOT)}


def descendants(pid: int) -> list[int]:
    """The processes below `pid`, by /proc."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found, seen = [pid], 0
    while seen < len(found):
        found += [child for child, parent in parents.items() if parent == found[seen]]
        seen += 1
    return found[1:]


def is_running(pid: int) -> bool:
    """Whether `pid` is a process that has not ended; zombies have."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False
