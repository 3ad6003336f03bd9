"""A front in a process of its own, as the tests start, kill and stop it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aggregator.endpoint import Announced
from aggregator.store import Store, StoreUnavailable

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 60.0
POLL_S = 0.01
MEMORY_LIMIT_BYTES = 4 << 30

PROGRAM = """
import sys
from pathlib import Path
from aggregator.front import FrontFault, run_front
try:
    run_front(Path(sys.argv[1]), memory_limit_bytes=int(sys.argv[2]))
except FrontFault as fault:
    sys.exit(str(fault))
"""


@dataclass
class FrontProcess:
    """A front of one's own, to be started, killed and started again over one data folder.

    `surroundings` are further variables of its environment.
    """

    data: Path
    surroundings: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def announcement(self) -> Path:
        return self.data / "run" / "store.json"

    @property
    def log(self) -> Path:
        """What the process printed; beside the data folder, not in it."""
        return self.data.with_suffix(".log")

    @property
    def elsewhere(self) -> Path:
        """The temporary folder that the process is told of, where nothing may appear."""
        return self.data.with_suffix(".tmp")

    @property
    def endpoint(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.announcement.read_text())
        return content

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.endpoint['port']}"

    def spawn(self) -> subprocess.Popen[bytes]:
        """The process, started and not waited for."""
        self.elsewhere.mkdir(exist_ok=True)
        environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(self.elsewhere), "TZ": "Asia/Kolkata"}
        environment |= self.surroundings
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(self.data), str(MEMORY_LIMIT_BYTES)],
                stdout=log,
                stderr=log,
                env=environment,
                cwd=self.data.parent,
            )

    def start(self) -> None:
        """Start, and return when it answers."""
        self.process = self.spawn()
        store = self.store()
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                assert self.endpoint["pid"] == self.process.pid
                store.query("SELECT 1")
                store.close()
                return
            except (AssertionError, FileNotFoundError, StoreUnavailable):
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, "the front does not answer"
                time.sleep(POLL_S)

    def store(self) -> Store:
        return Store(Announced(self.announcement))

    def kill(self) -> None:
        """As a power cut would, but for what the kernel holds."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end, and return its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)
