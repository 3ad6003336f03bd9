"""More clients than a collector can serve: `python -m tests.faults.crowd PORT CONNECTIONS SECONDS`, which prints JSON.

Each client sends a request and, however it is answered, the next one at once: it heeds no Retry-After and never tires.
In the end every request under way is waited for, so what the crowd counted is all that was ever sent.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import cycle

from tests.bench.load import is_whole
from tests.bench.traffic import requests

# Whoever waits for longer than this for an answer has been forgotten.
PATIENCE_S = 60.0


@dataclass
class Told:
    """What the crowd was told, over all its requests.

    `answers` by status, those 202 that were not `accepted` under `dropped`; `without_retry_after` are refusals that do
    not say when to come back; `cut` had no answer, the server having closed or reset; `silent` none by the end.
    """

    seconds: float = 0.0
    answers: Counter[str] = field(default_factory=Counter)
    without_retry_after: int = 0
    refused_connections: int = 0
    cut: int = 0
    silent: int = 0
    longest_s: float = 0.0

    @property
    def accepted(self) -> int:
        return self.answers["202"]

    @property
    def answered(self) -> int:
        return sum(self.answers.values())

    def note(self, answer: bytes) -> None:
        status = answer[9:12].decode()
        is_accepted = status != "202" or b"footfall: accepted\r\n" in answer
        self.answers[status if is_accepted else "dropped"] += 1
        self.without_retry_after += status in {"429", "503"} and b"retry-after: " not in answer


class Client:
    """One connection with one request under way."""

    __slots__ = ("received", "sent_at", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.sent_at = 0.0

    def send(self, request: bytes) -> None:
        self.received, self.sent_at = b"", time.perf_counter()
        self.socket.sendall(request)


class Crowd:
    """`connections` clients of one port."""

    def __init__(self, port: int, connections: int) -> None:
        self.told = Told()
        self._port, self._following = port, cycle(requests())
        self._poll = select.epoll()
        self._clients: dict[int, Client] = {}
        self._missing = connections

    def press(self, seconds: float) -> Told:
        """Sends for `seconds`, then waits for what is under way."""
        began_at = time.perf_counter()
        until = began_at + seconds
        while time.perf_counter() < until:
            self._come()
            self._listen(goes_on=True)
        self.told.seconds = time.perf_counter() - began_at
        until = time.perf_counter() + PATIENCE_S
        while self._clients and time.perf_counter() < until:
            self._listen(goes_on=False)
        self.told.silent = len(self._clients)
        return self.told

    def _come(self) -> None:
        """Some of those who are not connected connect: all at once they would fill the kernel's queue themselves."""
        for _ in range(min(self._missing, 64)):
            try:
                client = Client(self._port)
            except OSError:
                self.told.refused_connections += 1
                return
            self._missing -= 1
            self._clients[client.socket.fileno()] = client
            self._poll.register(client.socket, select.EPOLLIN)
            self._ask(client)

    def _listen(self, *, goes_on: bool) -> None:
        for descriptor, _ in self._poll.poll(0.05):
            client = self._clients[descriptor]
            try:
                more = client.socket.recv(65_536)
            except OSError:
                more = b""
            if not more:
                self._leave(client)
                continue
            client.received += more
            if not is_whole(client.received):
                continue
            self.told.longest_s = max(self.told.longest_s, time.perf_counter() - client.sent_at)
            self.told.note(client.received)
            if goes_on:
                self._ask(client)
            else:
                self._dismiss(client)

    def _ask(self, client: Client) -> None:
        try:
            client.send(next(self._following))
        except OSError:
            self._leave(client)

    def _leave(self, client: Client) -> None:
        """Whose connection was closed while a request was under way."""
        self.told.cut += 1
        self._dismiss(client)
        self._missing += 1

    def _dismiss(self, client: Client) -> None:
        del self._clients[client.socket.fileno()]
        with contextlib.suppress(OSError):
            self._poll.unregister(client.socket)
        client.socket.close()


def told_by(text: str) -> Told:
    """What a crowd printed."""
    found = json.loads(text)
    return Told(**{**found, "answers": Counter(found["answers"])})


def main() -> None:
    port, connections = map(int, sys.argv[1:3])
    print(json.dumps(vars(Crowd(port, connections).press(float(sys.argv[3])))))


if __name__ == "__main__":
    main()
