"""Ten times the clients that a worker can serve, for five minutes: every answer is honest, and nothing grows.

What it can take is measured first, with as many clients as it needs to be busy all the time. Then ten times as many
come, each with its next request at once whatever it was told. (Ten times the requests a second, sent whether or not
there is an answer, would be 140,000 on a fast machine, more than any client beside the worker can send. Once a worker
is saturated there is no difference: what counts is how many wait for it at the same time.)

Near the end the disk stalls for some seconds, too, so that more requests wait than a worker lets wait, however fast it
is. An honest visitor asks all the while, whose answers tell of latency before, during and after.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import resource
import select
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from collector.committer import MAX_WAITING
from tests.collector.collecting import FIREFOX, asked, event_body, until
from tests.faults.accounting import balanced, told
from tests.faults.crowd import Told, told_by
from tests.faults.figures import Figures
from tests.installation import ROOT, Installation

# Enough for a worker to be busy all the time.
ENOUGH = 512
# What a client under way costs a worker in memory, at most. After seconds, not all of them may have come.
CLIENT_BYTES = 40_000
TIMES = 10
RECOVERY_S = 10.0
# The same latency as before, on a machine that others use, too: the kernel may have just written the backlog to disk.
USUAL_TIMES, USUAL_S = 3.0, 0.1
# Answers by which latency before the load is known.
USUAL_ANSWERS = 100
ASK_EVERY_S = 0.01
# Less than a worker waits for its file, and enough for all clients to ask once.
LONGEST_STALL_S = 8.0
REFUSED_WITHIN_S = 0.2


@dataclass
class Visitor(contextlib.AbstractContextManager["Visitor"]):
    """Sends an event every 10 ms and notes when, how long the answer took and what it was."""

    port: int
    times: list[tuple[float, float]] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Visitor:
        self.thread = threading.Thread(target=self._ask)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.thread.join()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while not self.stopping.wait(ASK_EVERY_S):
            asked_at = time.monotonic()
            try:
                answer = asked(connection, "POST", "/api/event", event_body(), {"User-Agent": FIREFOX})
            except (OSError, http.client.HTTPException) as fault:
                self.faults.append(str(fault))
                connection.close()
                continue
            self.times.append((asked_at, time.monotonic() - asked_at))
            self.answers[answer.status] += 1
        connection.close()

    def p99_s(self, since: float, until: float = float("inf"), least: int = 20) -> float:
        """The 99th percentile of the answers to what was asked in that time; infinite where fewer than `least` were."""
        found = sorted(took for at, took in self.times if since <= at < until)
        return found[len(found) * 99 // 100] if len(found) >= least else float("inf")


@dataclass(frozen=True)
class Durations:
    """How long each stage takes, in seconds.

    Within the load, the worker's memory is looked at `early`, and from then on it may gain `growth_bytes`; the disk
    stalls at `stall`.
    """

    before: float
    capacity: float
    early: float
    stall: float
    load: float
    growth_bytes: int


@dataclass(frozen=True)
class Withstood:
    """What was seen: what the crowd was told, how fast, how large the worker was, when latency was usual again."""

    capacity: float
    told: Told
    usual_s: float
    loaded_s: float
    recovered_after_s: float
    early_bytes: int
    late_bytes: int


def press(port: int, clients: int, seconds: float) -> subprocess.Popen[str]:
    """A crowd in a process of its own."""
    command = [sys.executable, "-m", "tests.faults.crowd", str(port), str(clients), str(seconds)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def outcome_of(crowd: subprocess.Popen[str]) -> Told:
    text, _ = crowd.communicate()
    assert crowd.returncode == 0
    return told_by(text)


@contextlib.contextmanager
def stalled(spool: Path) -> Iterator[None]:
    """A disk on which no commit of the worker gets through: somebody else holds the file's write lock."""
    with contextlib.closing(sqlite3.connect(spool, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        yield
        holder.execute("ROLLBACK")


def stall_until_refusing(installation: Installation) -> int:
    """Stalls the disk until a request is refused at once; returns how many of those asked until then were accepted."""
    waiting: list[http.client.HTTPConnection] = []
    statuses: list[int] = []
    with stalled(installation.spool_dir / "spool-0.sqlite"):
        deadline = time.monotonic() + LONGEST_STALL_S
        while 503 not in statuses and time.monotonic() < deadline:
            connection = http.client.HTTPConnection("127.0.0.1", installation.port, timeout=60)
            connection.request("POST", "/api/event", event_body(), {"User-Agent": FIREFOX})
            if select.select([connection.sock], [], [], REFUSED_WITHIN_S)[0]:
                statuses.append(status_of(connection))
            else:
                waiting.append(connection)
    statuses += [status_of(connection) for connection in waiting]
    return statuses.count(202)


def status_of(connection: http.client.HTTPConnection) -> int:
    with contextlib.closing(connection):
        return connection.getresponse().status


def resident_bytes(pid: int) -> int:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def withstand(installation: Installation, durations: Durations, visitor: Visitor) -> tuple[Withstood, int]:
    """Measures, presses and waits for usual latency; also returns how many events the crowds had accepted."""
    (worker,) = installation.parts()["worker"]
    began_at = time.monotonic()
    until(lambda: time.monotonic() > began_at + durations.before, "a while has passed", 2 * durations.before)
    until(lambda: len(visitor.times) >= USUAL_ANSWERS, "a visitor was answered often enough")
    usual_s = visitor.p99_s(began_at, time.monotonic())
    capacity = outcome_of(press(installation.port, ENOUGH, durations.capacity))
    pressed_at = time.monotonic()
    crowd = press(installation.port, TIMES * ENOUGH, durations.load)
    until(lambda: time.monotonic() > pressed_at + durations.early, "all clients are there", durations.load)
    early_bytes = resident_bytes(worker)
    until(lambda: time.monotonic() > pressed_at + durations.stall, "the load is nearly over", durations.load)
    asked_meanwhile = stall_until_refusing(installation)
    late_bytes = resident_bytes(worker)
    until(lambda: time.monotonic() > pressed_at + durations.load, "the load is over", durations.load)
    ended_at = time.monotonic()
    overloaded = outcome_of(crowd)
    seen = Withstood(
        capacity.accepted / capacity.seconds,
        overloaded,
        usual_s,
        visitor.p99_s(pressed_at, pressed_at + durations.load, least=1),
        recovery(visitor, usual_s, ended_at),
        early_bytes,
        late_bytes,
    )
    return seen, capacity.accepted + overloaded.accepted + asked_meanwhile


def recovery(visitor: Visitor, usual_s: float, ended_at: float) -> float:
    """Seconds from `ended_at` until a whole second began in which answers were as fast as usual."""
    limit_s = max(USUAL_TIMES * usual_s, USUAL_S)

    def is_usual() -> bool:
        now = time.monotonic()
        return now > ended_at + 1 and visitor.p99_s(now - 1) <= limit_s

    with contextlib.suppress(AssertionError):
        until(is_usual, "latency is usual", RECOVERY_S + 2)
    return time.monotonic() - ended_at - 1


def overload(folder: Path, durations: Durations, figures: Figures) -> None:
    installation = Installation(folder, workers=1)
    try:
        installation.start()
        with Visitor(installation.port) as visitor:
            seen, accepted = withstand(installation, durations, visitor)
        figures.remarks += remarks_on(seen)
        accepted += visitor.answers[202]
        row = figures.row(f"{TIMES} times the load")
        row.rounds, row.acknowledged = row.rounds + 1, row.acknowledged + accepted
        ledger = balanced(installation, installation.store())
        row.lost += max(accepted - ledger.accounted, 0)
        row.doubled += max(ledger.accounted - accepted, 0)
        judge(seen, visitor, durations.growth_bytes)
        printed = installation.told_ledger()
        assert printed.is_balanced, printed.text
        assert printed.terms["open"] == accepted
    finally:
        installation.remove()


def judge(seen: Withstood, visitor: Visitor, growth_bytes: int) -> None:
    crowd = seen.told
    assert set(crowd.answers) <= {"202", "429", "503"}, crowd.answers
    assert crowd.without_retry_after == 0
    assert (crowd.cut, crowd.silent, crowd.refused_connections) == (0, 0, 0)
    assert set(visitor.answers) <= {202, 429, 503}, visitor.answers
    assert not visitor.faults
    assert crowd.answers["503"] > 0, f"{TIMES * ENOUGH} clients are more than {MAX_WAITING}"
    assert crowd.accepted / crowd.seconds > seen.capacity / 3, "a worker that refuses still takes"
    assert seen.late_bytes - seen.early_bytes < growth_bytes, (seen.early_bytes, seen.late_bytes)
    assert seen.recovered_after_s <= RECOVERY_S, f"p99 was {seen.usual_s:.3f} s before"


def remarks_on(seen: Withstood) -> list[str]:
    crowd = seen.told
    refused: float = crowd.answers["503"] + crowd.answers["429"]
    took, refused = crowd.accepted / crowd.seconds, refused / crowd.seconds
    unanswered, after_s = crowd.cut + crowd.silent + crowd.refused_connections, max(seen.recovered_after_s, 0)
    return [
        f"One worker took {seen.capacity:,.0f} events/s from {ENOUGH} clients.",
        f"Of {TIMES * ENOUGH:,} it took {took:,.0f} and refused {refused:,.0f} a second for {crowd.seconds:,.0f} s.",
        f"{unanswered} requests had no answer; the longest answer took {crowd.longest_s:.1f} s.",
        f"A visitor's p99 was {1e3 * seen.usual_s:.0f} ms before, {1e3 * seen.loaded_s:.0f} ms meanwhile.",
        f"It was as before {after_s:.1f} s after the load.",
        f"The worker's memory was {seen.early_bytes >> 20} MiB, and {seen.late_bytes >> 20} MiB at the end.",
    ]


@pytest.fixture(autouse=True)
def _many_connections() -> Iterator[None]:
    """Each client is a descriptor of the crowd and one of the worker; both inherit this limit."""
    needed = TIMES * ENOUGH + 1_024
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"this machine allows {hard} open files, {needed} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def assert_withstood(folder: Path, durations: Durations, capsys: pytest.CaptureFixture[str]) -> None:
    figures = Figures("overload", is_kept_looked_for=False)
    with told(figures, capsys):
        overload(folder, durations, figures)


def test_ten_times_the_load_is_refused_honestly_and_leaves_no_trace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_withstood(
        tmp_path,
        Durations(before=1.0, capacity=1.5, early=2.5, stall=3.0, load=6.0, growth_bytes=TIMES * ENOUGH * CLIENT_BYTES),
        capsys,
    )


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.skipif("FOOTFALL_SOAK" not in os.environ, reason="takes six minutes: make soak")
def test_five_minutes_of_ten_times_the_load_are_refused_honestly_and_leave_no_trace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_withstood(
        tmp_path,
        Durations(before=10.0, capacity=20.0, early=60.0, stall=290.0, load=300.0, growth_bytes=32 << 20),
        capsys,
    )
