"""A backlog of millions of events drains while new ones keep coming, and whoever sends those does not notice.

The real programs: the collector's worker goes on with the spool file that has the backlog, so it shares the file with
the drainer, and the processors with drainer and store. Nothing is sealed here: every event is found in its open day.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date, timedelta
from itertools import cycle, islice
from pathlib import Path

import pytest

from aggregator.backlog import opened
from aggregator.endpoint import Announced
from aggregator.presence import doubled_batches
from aggregator.store import Store, StoreUnavailable
from collector.days import day_of
from collector.group import Counted, Group
from collector.settings import Settings, load
from collector.spool import open_spool
from tests.bench import days
from tests.bench.collecting import configuration
from tests.bench.running import ROOT, free_port
from tests.bench.traffic import SITE
from tests.collector.collecting import descendants, environment, until
from tests.faults.figures import IS_SOAK, Figures
from tests.faults.flowing import Flowed

# Of the day at hand and of some that are over, in two time zones.
ZONES = (days.TIMEZONE, "America/New_York")
DAYS_AGO = (0, 1, 2)
# What gathers in some milliseconds under load.
GROUP = 250
DISTINCT = 20_000
RATE = 150.0
MOST_MIB = 256.0
# 10,000,000 events take 5 GB.
ROOM = {"FOOTFALL_COLLECTOR__SPOOL_MAX_BYTES": str(16 << 30)}
ON_DISK = Path("/var/tmp")
DRAINED_WITHIN_S = 3_600.0
# Below this a scheduler's turn decides, not Footfall.
LEAST_P99_MS = 10.0


class Programs:
    """`footfall collect`, `store` and `aggregate --job drain` over one data folder, each started when told."""

    def __init__(self, folder: Path, keys: Path) -> None:
        self.data = folder / "data"
        self.data.mkdir()
        self.port, self._folder = free_port(), folder
        self._config = configuration(self.data, keys, self.port)
        self.settings = load(self._config, self.data, ROOM)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *words: str) -> None:
        command = [sys.executable, str(ROOT / "footfall.py"), *words]
        with (self._folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [*command, "--config", str(self._config), "--data", str(self.data)],
                stdout=log,
                stderr=log,
                env=environment() | ROOM,
                cwd=self._folder,
            )

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def peak_mib(self, name: str) -> float:
        """The most memory that the program, with its workers, ever had resident, shared pages counted each time."""
        family = [self.processes[name].pid, *descendants(self.processes[name].pid)]
        return sum(_peak_kib(pid) for pid in family) / 1024


def _peak_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


@contextmanager
def programs() -> Iterator[Programs]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="footfall-backlog-", dir=ON_DISK)))
        keys = Path(tempfile.mkdtemp(prefix="footfall-test-", dir="/dev/shm"))
        stack.callback(shutil.rmtree, keys, ignore_errors=True)
        started = Programs(folder, keys)
        stack.callback(started.stop)
        yield started


def fill(settings: Settings, number: int) -> Counter[tuple[date, str]]:
    """A spool file of `number` events, as a worker leaves it; returns how many there are of each day."""
    made = Counter[tuple[date, str]]()
    places = list(_places(settings))
    now = time.time()
    spool = open_spool(settings.collector.spool_dir, settings.collector.spool_max_bytes)
    for (day, timezone), lines in cycle(places):
        size = min(GROUP, number - made.total())
        if size == 0:
            break
        group = Group()
        group.add(day, timezone, b"".join(islice(lines, size)), size)
        group.count(Counted(day.isoformat(), SITE, "accepted", ""), size)
        spool.commit(group, now)
        made[day, timezone] += size
    spool.close()
    return made


def _places(settings: Settings) -> Iterator[tuple[tuple[date, str], Iterator[bytes]]]:
    """Each day and time zone with an endless sequence of its lines."""
    models = days.models(settings)
    for timezone in ZONES:
        today = day_of(time.time(), timezone)
        for ago in DAYS_AGO:
            day = today - timedelta(days=ago)
            made = days.events(models, day, DISTINCT, DISTINCT // 10)
            lines = [event.line().replace(days.TIMEZONE.encode(), timezone.encode()) for event in made]
            yield (day, timezone), cycle(lines)


def flow(port: int, seconds: float, stop: Path | None = None) -> subprocess.Popen[bytes]:
    arguments: Sequence[str] = [str(port), str(RATE), str(seconds), *([str(stop)] if stop else [])]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.flowing", *arguments], cwd=ROOT, stdout=subprocess.PIPE, env=environment()
    )


def flowed(process: subprocess.Popen[bytes]) -> Flowed:
    told, _ = process.communicate()
    assert process.returncode == 0
    return Flowed(**json.loads(told))


def waiting(settings: Settings) -> int:
    with opened(settings.collector.spool_dir) as backlogs:
        return sum(backlog.ledger()["waiting"] for backlog in backlogs)


def drains_unnoticed(number: int, idle_s: float, figures: Figures) -> tuple[Flowed, Flowed]:
    """The whole proof; returns what the senders saw before and meanwhile."""
    with programs() as run:
        made = fill(run.settings, number)
        run.start("collect", "collect")
        until(lambda: _answers(run.port), "the collector answers")
        flowed(flow(run.port, min(idle_s, 2.0)))
        idle = flowed(flow(run.port, idle_s))
        until(lambda: waiting(run.settings) > number, "what came meanwhile waits, too")
        run.start("store", "store")
        store = Store(Announced(run.data / "run" / "store.json"))
        until(lambda: _is_up(store), "the store answers", 60)
        run.start("drain", "aggregate", "--job", "drain")
        until(lambda: waiting(run.settings) < number, "draining has begun", 120)
        stop, began_at = run.data / "stop", time.monotonic()
        flowing = flow(run.port, DRAINED_WITHIN_S, stop)
        until(lambda: waiting(run.settings) <= GROUP, "the backlog is drained", DRAINED_WITHIN_S)
        rate = number / (time.monotonic() - began_at)
        stop.touch()
        during = flowed(flowing)
        until(lambda: waiting(run.settings) == 0, "all is drained", 120)
        _count(run, store, made, figures)
        peaks = {name: run.peak_mib(name) for name in ("collect", "drain", "store")}
        store.close()
    drained = f"While {number:,} events drained, {rate:,.0f} a second"
    figures.remarks += [
        f"Answers at {RATE:.0f} requests a second, idle: p50 {idle.p50_ms:.1f} ms, p99 {idle.p99_ms:.1f} ms.",
        f"{drained}: p50 {during.p50_ms:.1f} ms, p99 {during.p99_ms:.1f} ms, the longest {during.longest_ms:.0f} ms.",
        "Most memory resident: " + ", ".join(f"{name} {peak:.0f} MiB" for name, peak in peaks.items()) + ".",
    ]
    assert peaks["collect"] <= MOST_MIB
    assert peaks["drain"] <= MOST_MIB
    return idle, during


def _count(run: Programs, store: Store, made: Counter[tuple[date, str]], figures: Figures) -> None:
    """Every acknowledged event is in its open day, once."""
    row = figures.row("a backlog drains")
    with opened(run.settings.collector.spool_dir) as backlogs:
        accepted = sum(backlog.ledger()["accepted"] for backlog in backlogs)
    held = Counter(
        {
            (day, timezone): events
            for day, timezone, events in store.query("SELECT day, timezone, count() FROM open_events GROUP BY 1, 2")
        }
    )
    row.rounds += 1
    row.acknowledged += accepted
    row.lost += max(0, accepted - held.total()) + sum((made - held).values())
    row.doubled += max(0, held.total() - accepted)
    row.doubled += sum(len(doubled_batches(store, *at)) for at in held)


def _is_up(store: Store) -> bool:
    try:
        store.query("SELECT 1")
    except StoreUnavailable:
        return False
    return True


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


def test_a_backlog_drains_while_new_events_keep_coming(capsys: pytest.CaptureFixture[str]) -> None:
    """A small one: its counts are exact; so short a look says little about latencies."""
    figures = Figures("backlog_short", is_kept_looked_for=False)
    drains_unnoticed(100_000, 1.0, figures)
    with capsys.disabled():
        print(f"\n{figures}")
    assert figures.faults == 0


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.skipif(not IS_SOAK, reason="some minutes: make soak")
def test_a_backlog_of_millions_drains_while_new_events_keep_coming(capsys: pytest.CaptureFixture[str]) -> None:
    figures = Figures("backlog", is_kept_looked_for=False)
    idle, during = drains_unnoticed(int(os.environ.get("FOOTFALL_BACKLOG", "10000000")), 60.0, figures)
    with capsys.disabled():
        figures.tell()
    assert figures.faults == 0
    assert during.p99_ms <= 2 * max(idle.p99_ms, LEAST_P99_MS)
