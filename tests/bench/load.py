"""The load generator: `python -m tests.bench.load PORT WORKER CONNECTIONS WARM_UP_S SECONDS`, which prints JSON.

Each connection sends a request, waits for its answer and sends the next (a closed loop), so no more requests wait than
there are connections. One thread over epoll(7) without a framework: about 10 us a request, less than any server here.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from dataclasses import asdict, dataclass, field
from itertools import cycle

from tests.bench.running import cpu_s
from tests.bench.traffic import requests


@dataclass
class Loaded:
    """What a measured window of `seconds` gave: answers, those 202, CPU of the worker, latencies in milliseconds."""

    seconds: float
    answered: int
    accepted: int
    cpu_s: float
    p50_ms: float
    p99_ms: float


@dataclass
class Window:
    """What is counted between two looks at the clock."""

    latencies_s: list[float] = field(default_factory=list)
    accepted: int = 0


class Connection:
    """One keep-alive connection with one request under way."""

    __slots__ = ("_received", "_sent_at", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self._sent_at = 0.0

    def send(self, request: bytes) -> None:
        self._sent_at = time.perf_counter()
        self.socket.sendall(request)

    def take(self, window: Window) -> bool:
        """Reads what has come; whether the answer is complete."""
        more = self.socket.recv(65_536)
        if not more:
            raise ConnectionError("the server closed a connection")
        received = self._received + more
        if not is_whole(received):
            self._received = received
            return False
        self._received = b""
        window.latencies_s.append(time.perf_counter() - self._sent_at)
        window.accepted += received.startswith(b"HTTP/1.1 202")
        return True


def is_whole(answer: bytes) -> bool:
    """Whether `answer` has the body that its Content-Length says; none of the servers here sends chunks."""
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return False
    at = answer.find(b"content-length: ", 0, end)
    length = int(answer[at + 16 : answer.index(b"\r", at)]) if at >= 0 else 0
    return len(answer) - end - 4 >= length


def load(port: int, worker: int, connections: int, warm_up_s: float, seconds: float) -> Loaded:
    """Sends for `warm_up_s + seconds`, tells what happened in the latter; raises `OSError` where the server fails."""
    following = cycle(requests())
    poll = select.epoll()
    opened = {}
    for _ in range(connections):
        connection = Connection(port)
        opened[connection.socket.fileno()] = connection
        poll.register(connection.socket, select.EPOLLIN)
    for connection in opened.values():
        connection.send(next(following))

    def exchange(duration_s: float) -> Window:
        window = Window()
        until = time.perf_counter() + duration_s
        while time.perf_counter() < until:
            for descriptor, _ in poll.poll(1.0):
                connection = opened[descriptor]
                if connection.take(window):
                    connection.send(next(following))
        return window

    exchange(warm_up_s)
    before, started = cpu_s(worker), time.perf_counter()
    window = exchange(seconds)
    spent, elapsed = cpu_s(worker) - before, time.perf_counter() - started
    latencies = sorted(window.latencies_s)
    return Loaded(
        elapsed,
        len(latencies),
        window.accepted,
        spent,
        latencies[len(latencies) // 2] * 1e3,
        latencies[len(latencies) * 99 // 100] * 1e3,
    )


if __name__ == "__main__":
    port, worker, connections = map(int, sys.argv[1:4])
    print(json.dumps(asdict(load(port, worker, connections, *map(float, sys.argv[4:6])))))
