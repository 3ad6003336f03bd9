"""A real installation, `footfall serve` with all its processes, in a folder of its own on free ports.

Tests start, kill, restart and stop it, and read what it counted from its spools and its store.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from aggregator.endpoint import Announced
from aggregator.ledger import Ledger, read_ledger
from aggregator.store import Store
from tests.collector.collecting import MEMORY, ROOT, asked, descendants, environment, is_running, sha256, until

Part = Literal["store", "collector", "worker", "drain", "seal", "dashboards"]

INGEST_TOKEN = "footfall_ingest_only-for-tests-of-an-installation"
RECOVERY_S = 60.0
# Below what the kernel hands out to connections: while a port is free because its owner was killed, nobody takes it.
PORTS = range(20_000, 32_000)
COMMANDS: dict[Part, str] = {
    "store": "footfall store",
    "collector": "footfall collect",
    "drain": "--job drain",
    "seal": "--job seal",
    "dashboards": "footfall dashboard",
}


def spare_port() -> int:
    """A port that nobody listens on, and that no outgoing connection gets."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@dataclass(frozen=True)
class ToldLedger:
    """What `footfall doctor --ledger` printed: each term of the sum by its name, and the exit status."""

    status: int
    text: str

    @property
    def terms(self) -> dict[str, int]:
        return {
            term: int(number) for term, number in re.findall(r"^ok      ([a-z ]+): (\d+) ", self.text, re.MULTILINE)
        }

    @property
    def is_balanced(self) -> bool:
        """Whether the printed numbers add up, and the command says so, too."""
        terms = self.terms
        received = terms.pop("received")
        return received == sum(terms.values()) and self.status == 0 and "\nok      ledger: received" in self.text


@dataclass
class Installation:
    """One installation with the site example.com in `timezone`; `grace_minutes` and `k` as in the configuration.

    `others` are further sites, by domain with their time zones. `level` is that of all. `root` is the checkout that
    runs. `settings` are further lines of [collector].
    """

    folder: Path
    timezone: str = "UTC"
    grace_minutes: float = 15.0
    k: int = 3
    workers: int = 2
    others: Mapping[str, str] = field(default_factory=dict)
    level: str = "rounded"
    root: Path = ROOT
    settings: str = ""
    port: int = field(default_factory=spare_port)
    dashboards_port: int = field(default_factory=spare_port)
    keys: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="footfall-test-", dir=MEMORY)))
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _stores: list[Store] = field(default_factory=list, init=False)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def spool_dir(self) -> Path:
        return self.data / "spool"

    @property
    def config(self) -> Path:
        return self.folder / "footfall.toml"

    @property
    def log(self) -> Path:
        return self.folder / "serve.log"

    def start(self) -> None:
        """Starts `footfall serve` and returns once every part runs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        sites = {"example.com": self.timezone, **self.others}
        self.config.write_text(
            f'[collector]\nlisten = "127.0.0.1:{self.port}"\n{self.settings}\n'
            f'[dashboards]\nlisten = "127.0.0.1:{self.dashboards_port}"\n'
            f'[privacy]\nk = {self.k}\nlevel = "{self.level}"\n'
            f'grace_minutes = {self.grace_minutes}\nkey_dir = "{self.keys}"\n'
            + "".join(_site(domain, timezone) for domain, timezone in sites.items())
        )
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command("serve"), cwd=self.folder, stdout=log, stderr=log, env=self._environment()
            )
        self.wait_until_ready()

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "footfall", *words, "--config", str(self.config), "--data", str(self.data)]

    def _environment(self) -> dict[str, str]:
        workers = {"FOOTFALL_COLLECTOR__WORKERS": str(self.workers)}
        return {**environment(), **workers, "PYTHONPATH": str(self.root)}

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """One command of the real command line beside the running service, to its end."""
        return subprocess.run(
            self._command(*words), cwd=self.folder, env=self._environment(), capture_output=True, text=True, check=False
        )

    def told_ledger(self) -> ToldLedger:
        """What `footfall doctor --ledger` says of it now."""
        done = self.run("doctor", "--ledger")
        return ToldLedger(done.returncode, done.stdout + done.stderr)

    def wait_until_ready(self) -> None:
        """Every part runs, and the collector answers from each of its workers."""
        until(self._is_ready, f"all parts run; see {self.log}", RECOVERY_S)

    def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-4_000:]
        parts = self.parts()
        is_listening = len(parts["worker"]) >= self.workers and _answers(self.port)
        return is_listening and all(parts.values()) and _is_served(self.dashboards_port)

    def parts(self) -> dict[Part, list[int]]:
        """The process ids of each part that runs now."""
        assert self.process is not None
        family = descendants(self.process.pid)
        found: dict[Part, list[int]] = {part: [] for part in (*COMMANDS, "worker")}
        for part, words in COMMANDS.items():
            found[part] = [pid for pid in family if words in _command_line(pid) and is_running(pid)][:1]
        for collector in found["collector"]:
            found["worker"] = [pid for pid in descendants(collector) if _is_worker(pid)]
        return found

    def kill(self, part: Part) -> bool:
        """kill -9 of one process of `part`; False where none runs now."""
        running = self.parts()[part]
        if running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(random.choice(running), signal.SIGKILL)
        return bool(running)

    def kill_supervisor(self) -> list[int]:
        """kill -9 of `serve` alone; returns the processes that it had."""
        assert self.process is not None
        family = descendants(self.process.pid)
        self.process.kill()
        self.process.wait()
        return family

    def kill_all(self) -> None:
        """kill -9 of every process, as when the machine stops, but for what the kernel has to write."""
        assert self.process is not None
        family = descendants(self.process.pid)
        self.process.send_signal(signal.SIGSTOP)  # So that nothing is started again meanwhile.
        for pid in [*family, *descendants(self.process.pid), self.process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        until(lambda: not any(is_running(pid) for pid in family), "all processes are gone")

    def stop(self) -> int:
        """SIGTERM, as a service manager would; returns the exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(RECOVERY_S)

    def store(self) -> Store:
        """A client of its store, closed by `remove`."""
        self._stores.append(Store(Announced(self.data / "run" / "store.json")))
        return self._stores[-1]

    def ledger(self, store: Store) -> Ledger:
        return read_ledger(self.spool_dir, store)

    def keys_kept(self) -> list[str]:
        """The names of the keys that live now: `DAY@TIME%2FZONE`."""
        return sorted(file.name for file in self.keys.glob("????-??-??@*"))

    def remove(self) -> None:
        """Leaves neither a process nor keys."""
        if self.process is not None and self.process.poll() is None:
            self.kill_all()
        for store in self._stores:
            store.close()
        shutil.rmtree(self.keys, ignore_errors=True)


def _site(domain: str, timezone: str) -> str:
    return (
        f'[[site]]\ndomain = "{domain}"\ntimezone = "{timezone}"\n'
        f'[[site.ingest_tokens]]\nname = "server"\nsha256 = "{sha256(token_of(domain))}"\ntrusted_addresses = true\n'
    )


def token_of(domain: str) -> str:
    """The ingest token of a site; a token is of one site alone."""
    return INGEST_TOKEN if domain == "example.com" else f"{INGEST_TOKEN}-{domain}"


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _is_worker(pid: int) -> bool:
    """Granian's workers are forked or spawned; Python's resource tracker beside them is none."""
    return is_running(pid) and "resource_tracker" not in _command_line(pid)


def _is_served(port: int) -> bool:
    """Whether the dashboards are ready there, and so the store, with all its tables."""
    try:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5.0)) as connection:
            return asked(connection, "GET", "/readyz").status == 200
    except (OSError, http.client.HTTPException):
        return False


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


__all__ = ["INGEST_TOKEN", "RECOVERY_S", "ROOT", "Installation", "Part", "ToldLedger", "spare_port", "token_of"]
