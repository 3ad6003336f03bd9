"""A store and a drainer as processes of their own, over a spool that the test fills."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from aggregator.ledger import Ledger
from aggregator.store import Store, StoreRefused, StoreUnavailable
from collector.spool_fault import SpoolError
from tests.aggregator.front_process import FrontProcess
from tests.aggregator.spooling import Place, Worker, names_in, place_in
from tests.collector.collecting import ROOT, environment, until

RECOVERY_S = 60.0


@dataclass
class Draining:
    """In one folder. The worker is in this process; what it took has to get into the store."""

    folder: Path
    key_dir: Path
    front: FrontProcess = field(init=False)
    store: Store = field(init=False)
    place: Place = field(init=False)
    worker: Worker = field(init=False)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "data").mkdir(mode=0o700)
        self.front = FrontProcess(self.folder / "data")
        self.front.start()
        self.store = self.front.store()
        self.place = place_in(self.folder, self.key_dir, self.store, time.time())
        self.worker = self.place.worker()
        self.start_drainer()
        self.take(1)
        until(self.is_drained, "the drainer drains", RECOVERY_S)

    @property
    def command(self) -> list[str]:
        files = ["--config", str(self.folder / "footfall.toml"), "--data", str(self.folder / "data")]
        return [sys.executable, "-m", "footfall", "aggregate", "--job", "drain", *files]

    def start_drainer(self) -> None:
        """In the place of one that has ended, if there was one."""
        if self.process is not None:
            self.process.wait()
        with (self.folder / "drain.log").open("ab") as log:
            self.process = subprocess.Popen(self.command, cwd=self.folder, stdout=log, stderr=log, env=environment())

    def take(self, events: int) -> None:
        """Accepts events of today, as a worker does."""
        self.place.clock.move_to(time.time())
        self.worker.take(datetime.now(UTC).date(), events)
        self.beat()

    def beat(self) -> None:
        """As a worker does every two seconds: it leaves a file that has a note."""
        try:
            self.worker.beat()
        except SpoolError:
            self.worker.leave()

    def ledger(self) -> Ledger:
        return self.place.ledger()

    def is_drained(self) -> bool:
        """Whether every event is in the store, by a ledger that balances."""
        self.beat()
        try:
            ledger = self.ledger()
        except (StoreUnavailable, StoreRefused):
            return False
        return ledger.waiting == 0 and not ledger.imbalances and ledger.open == len(self.worker.names)

    def lost_and_doubled(self) -> tuple[int, int]:
        found = names_in(self.store)
        names = Counter(self.worker.names)
        return (names - found).total(), (found - names).total()

    def stop(self) -> None:
        for process in (self.process, self.front.process):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        self.place.close()
        self.store.close()


__all__ = ["ROOT", "Draining"]
