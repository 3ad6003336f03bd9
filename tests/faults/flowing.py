"""Events that keep coming, as many a second as told: `python -m tests.faults.flowing PORT RATE SECONDS`, prints JSON.

Requests are sent by the clock, whether or not earlier ones were answered (an open loop), and a latency counts from when
its request was due: a server that stops for a second has a second's worth of slow answers, not one.
"""

from __future__ import annotations

import json
import select
import sys
import time
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path

from tests.bench.load import Connection, Window
from tests.bench.traffic import requests


@dataclass(frozen=True)
class Flowed:
    """What became of the requests: sent, answered with 202, and their latencies in milliseconds."""

    sent: int
    accepted: int
    p50_ms: float
    p99_ms: float
    longest_ms: float


class Flow:
    """Connections that are opened as they are needed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._poll = select.epoll()
        self._busy: dict[int, tuple[Connection, float]] = {}
        self._free: list[Connection] = []
        self._window = Window()
        self._latencies_s: list[float] = []

    def run(self, rate: float, seconds: float, stop: Path | None = None) -> Flowed:
        """Sends for `seconds`, or until the file `stop` is there; waits for the last answers."""
        following, began_at, sent = cycle(requests()), time.perf_counter(), 0
        while time.perf_counter() - began_at < seconds and not (stop and stop.exists()):
            due_at = began_at + sent / rate
            self._take(until=due_at)
            self._send(next(following), due_at)
            sent += 1
        deadline = time.perf_counter() + 30.0
        while self._busy and time.perf_counter() < deadline:
            self._take(until=time.perf_counter() + 0.1)
        found = sorted(self._latencies_s)
        p50, p99, longest = (1e3 * found[place] for place in (len(found) // 2, len(found) * 99 // 100, -1))
        return Flowed(sent, self._window.accepted, p50, p99, longest)

    def _send(self, request: bytes, due_at: float) -> None:
        if not self._free:
            self._free.append(Connection(self._port))
            self._poll.register(self._free[-1].socket, select.EPOLLIN)
        connection = self._free.pop()
        self._busy[connection.socket.fileno()] = (connection, due_at)
        connection.send(request)

    def _close(self, descriptor: int) -> None:
        """The server has ended a connection that nobody needed for a while."""
        self._poll.unregister(descriptor)
        for connection in [each for each in self._free if each.socket.fileno() == descriptor]:
            self._free.remove(connection)
            connection.socket.close()

    def _take(self, until: float) -> None:
        while True:
            for descriptor, _ in self._poll.poll(max(0.0, until - time.perf_counter())):
                if descriptor not in self._busy:
                    self._close(descriptor)
                    continue
                connection, due_at = self._busy[descriptor]
                if connection.take(self._window):
                    self._latencies_s.append(time.perf_counter() - due_at)
                    self._free.append(self._busy.pop(descriptor)[0])
            if time.perf_counter() >= until:
                return


if __name__ == "__main__":
    port, rate, seconds = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    print(json.dumps(asdict(Flow(port).run(rate, seconds, Path(sys.argv[4]) if sys.argv[4:] else None))))
