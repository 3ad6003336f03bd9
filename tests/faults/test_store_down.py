"""While the store is down, the collector goes on and everything waits in the spool; the memory of all does not grow.

The real programs under more load than they can take: as many connections as never leave the collector without work.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from aggregator.backlog import opened
from aggregator.ledger import read_ledger
from tests.aggregator.front_process import FrontProcess
from tests.bench.load import Loaded
from tests.bench.running import descendants, memory_mib
from tests.collector.collecting import environment, until
from tests.faults.figures import IS_SOAK, Figures
from tests.faults.test_backlog_of_millions import Programs, programs

MOST_MIB = 256.0
LOOK_EVERY_S = 0.2
CONNECTIONS = 1_000
DRAINED_WITHIN_S = 1_800.0


class Watch:
    """The most memory that each program had at one time: resident, shared pages divided (Pss)."""

    def __init__(self, run: Programs) -> None:
        self._run = run
        self.peaks: dict[str, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._ended.set()
            self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            for name, process in self._run.processes.items():
                with contextlib.suppress(OSError):
                    family = [process.pid, *descendants(process.pid)]
                    held = sum(memory_mib(pid, "Pss") or 0.0 for pid in family)
                    self.peaks[name] = max(held, self.peaks.get(name, 0.0))


def loaded(run: Programs, seconds: float) -> Loaded:
    worker = descendants(run.processes["collect"].pid)[-1]
    arguments = [str(run.port), str(worker), str(CONNECTIONS), "0.5", str(seconds)]
    command = [sys.executable, "-m", "tests.bench.load", *arguments]
    told = subprocess.run(command, env=environment(), stdout=subprocess.PIPE, check=True).stdout
    return Loaded(**json.loads(told))


def goes_on_without_store(seconds: float, figures: Figures) -> None:
    with programs() as run:
        run.start("collect", "collect")
        until(lambda: _has_a_spool(run), "the collector has its spool")
        run.start("drain", "aggregate", "--job", "drain")
        run.start("seal", "aggregate", "--job", "seal")
        watch = Watch(run)
        with watch.looking():
            answered = loaded(run, seconds)
        row = figures.row("the store is down")
        row.rounds += 1
        front = FrontProcess(run.data)
        front.start()
        try:
            store = front.store()
            until(lambda: _waiting(run) == 0, "the backlog is drained", DRAINED_WITHIN_S)
            ledger = read_ledger(run.settings.collector.spool_dir, store, 5.0)
            store.close()
        finally:
            front.stop()
        row.acknowledged += ledger.accepted
        row.lost += max(0, answered.accepted - ledger.accepted, ledger.accepted - ledger.accounted)
        row.doubled += max(0, ledger.accounted - ledger.accepted)
    peaks = ", ".join(f"{name} {peak:.0f} MiB" for name, peak in watch.peaks.items())
    figures.remarks.append(
        f"With the store down, {CONNECTIONS:,} connections, {answered.accepted / answered.seconds:,.0f} events a second"
        f" accepted: most memory (PSS) {peaks}."
    )
    assert all(peak <= MOST_MIB for peak in watch.peaks.values()), peaks
    assert answered.accepted > 0


def _has_a_spool(run: Programs) -> bool:
    with opened(run.settings.collector.spool_dir) as made:
        return bool(made)


def _waiting(run: Programs) -> int:
    with opened(run.settings.collector.spool_dir) as backlogs:
        return sum(backlog.ledger()["waiting"] for backlog in backlogs)


def test_the_collector_goes_on_while_the_store_is_down(capsys: pytest.CaptureFixture[str]) -> None:
    figures = Figures("store_down_short")
    goes_on_without_store(1.0, figures)
    with capsys.disabled():
        print(f"\n{figures}")
    assert figures.faults == 0


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.skipif(not IS_SOAK, reason="some minutes: make soak")
def test_memory_stays_bounded_for_five_minutes_without_a_store(capsys: pytest.CaptureFixture[str]) -> None:
    figures = Figures("store_down", is_kept_looked_for=False)
    goes_on_without_store(300.0, figures)
    with capsys.disabled():
        figures.tell()
    assert figures.faults == 0
