"""A thousand clients that trickle or idle lock nobody out, and each is ended by its deadline."""

from __future__ import annotations

import contextlib
import resource
import selectors
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from collector.body import BODY_DEADLINE_S
from collector.server import HEADER_DEADLINE_MS
from tests.collector.collecting import FIREFOX, Collector, asked, event_body, running

EACH = 250
TRICKLE_EVERY_S = 1.0
HONEST_S = 5.0
# A deadline, the sweep that finds what is past it, and a busy test machine.
SLACK_S = 8.0
USUAL = {"User-Agent": FIREFOX}
HEAD = f"POST /api/event HTTP/1.1\r\nHost: x\r\nUser-Agent: {FIREFOX}\r\n".encode()


@dataclass
class Slow:
    """One slow connection: what it still has to say, a byte a second."""

    kind: str
    connection: socket.socket
    rest: bytes
    begun: float
    sent: int = 0
    answer: bytes = b""
    ended_after_s: float | None = None


@dataclass
class Crowd:
    """Slow connections, looked after by one thread."""

    port: int
    members: list[Slow] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def join(self, kind: str, first: bytes, rest: bytes) -> None:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        connection.sendall(first)
        self.members.append(Slow(kind, connection, rest, time.monotonic()))

    def trickle(self) -> None:
        """Sends a byte of each a second and notes who was ended when."""
        with selectors.DefaultSelector() as selector:
            for member in self.members:
                member.connection.setblocking(False)
                selector.register(member.connection, selectors.EVENT_READ, member)
            next_byte = time.monotonic()
            while selector.get_map() and not self.stopping.is_set():
                for key, _ in selector.select(timeout=0.05):
                    if self._has_ended(key.data):
                        selector.unregister(key.fileobj)
                if time.monotonic() >= next_byte:
                    next_byte += TRICKLE_EVERY_S
                    self._send_a_byte_each()

    def _has_ended(self, member: Slow) -> bool:
        try:
            received = member.connection.recv(65_536)
        except ConnectionError:
            received = b""
        member.answer += received
        if not received:
            member.ended_after_s = time.monotonic() - member.begun
        return not received

    def _send_a_byte_each(self) -> None:
        for member in self.members:
            if member.ended_after_s is None and member.sent < len(member.rest):
                with contextlib.suppress(OSError):
                    member.sent += member.connection.send(member.rest[member.sent : member.sent + 1])

    def close(self) -> None:
        for member in self.members:
            member.connection.close()


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4 * EACH + 500:
        pytest.skip(f"this machine allows {hard} open files, too few for {4 * EACH} connections")
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8_192), hard))
    with running(Collector(tmp_path)) as collector:
        yield collector


def honest(collector: Collector, seconds: float) -> tuple[list[float], Counter[int]]:
    """Events over new connections and over a kept one, in turn: how long each took, and the answers."""
    took: list[float] = []
    answers: Counter[int] = Counter()
    ends = time.monotonic() + seconds
    with collector.connection() as kept:
        while time.monotonic() < ends:
            begun = time.monotonic()
            answers[asked(kept, "POST", "/api/event", event_body(), USUAL).status] += 1
            took.append(time.monotonic() - begun)
            begun = time.monotonic()
            answers[collector.event().status] += 1
            took.append(time.monotonic() - begun)
    return took, answers


def told(name: str, took: list[float]) -> str:
    percentiles = statistics.quantiles(took, n=100)
    return f"{name}: {len(took)} requests, p50 {percentiles[49] * 1e3:.2f} ms, p99 {percentiles[98] * 1e3:.2f} ms"


def gather(collector: Collector) -> Crowd:
    """250 each: headers a byte a second; nothing at all; idle after an answer; bodies a byte a second."""
    crowd = Crowd(collector.port)
    body = event_body()
    for _ in range(EACH):
        crowd.join("trickling header", HEAD, b"X-Slow: " + b"a" * 200)
        crowd.join("silent", b"", b"")
        crowd.join("idle after an answer", HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body, b"")
        crowd.join("trickling body", HEAD + b"Content-Length: 1000\r\n\r\n{", b" " * 999)
    return crowd


def test_honest_requests_are_all_answered_beside_1000_slow_ones_which_are_ended_in_time(collector: Collector) -> None:
    honest(collector, 1.0)
    alone, answers = honest(collector, HONEST_S)
    assert set(answers) == {202}
    crowd = gather(collector)
    trickling = threading.Thread(target=crowd.trickle)
    trickling.start()
    try:
        beside, answers = honest(collector, HONEST_S)
        held = Counter(member.kind for member in crowd.members if member.ended_after_s is None)
        assert set(answers) == {202}
        assert sum(held.values()) >= 3 * EACH
        # Until the last trickling one is ended, and beyond: nobody honest is ever turned away.
        bound_s = max(HEADER_DEADLINE_MS / 1e3, BODY_DEADLINE_S) + SLACK_S
        while time.monotonic() < crowd.members[-1].begun + bound_s and trickling_of(crowd):
            _, answers = honest(collector, 0.5)
            assert set(answers) == {202}
        assert trickling_of(crowd) == Counter()
    finally:
        crowd.stopping.set()
        trickling.join()
        crowd.close()
    print("", told("alone", alone), told("beside 1,000 slow connections", beside), sep="\n")
    bodies = [member for member in crowd.members if member.kind == "trickling body"]
    assert {member.answer[:12] for member in bodies} == {b"HTTP/1.1 408"}
    answered = [member for member in crowd.members if member.kind == "idle after an answer"]
    assert {member.answer[:12] for member in answered} == {b"HTTP/1.1 202"}
    assert not any(b"HTTP/1.1 5" in member.answer for member in crowd.members)
    assert collector.event().footfall == "accepted"


def trickling_of(crowd: Crowd) -> Counter[str]:
    """Those who trickle and are still connected."""
    return Counter(
        member.kind for member in crowd.members if member.ended_after_s is None and member.kind.startswith("trickling")
    )
