"""Sends events to `/api/events`, each exactly once: what got no answer is sent again under the same Idempotency-Key.

A 503 is waited for as long as its `Retry-After` says, a collector that is away for as long as it takes. Any other
refusal is a `Fault`: sending the same again would not help.
"""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Iterator, Sequence

import orjson

from collector.fault import Fault
from collector.settings import Address
from dashboards.demo.traffic import Item

# Below the collector's 10,000 events and 4 MiB of one request: a day of the demo fits in one or two.
MOST_EVENTS = 5_000
TIMEOUT_S = 30.0
RETRY_S = 1.0
LONGEST_RETRY_S = 30.0


class Sender:
    """Sends with one ingest token to the collector at `address`, until `stopping` is set."""

    def __init__(self, address: Address, token: str, stopping: threading.Event) -> None:
        self._address, self._stopping = address, stopping
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._connection: http.client.HTTPConnection | None = None
        self.outcomes: Counter[str] = Counter()

    def send(self, items: Sequence[Item], key: str) -> None:
        """Returns once all are taken; `key` names these items, and no others ever. Raises `Fault`."""
        for number, part in enumerate(_parts(items)):
            self._note(self._answer(orjson.dumps(part), f"{key}/{number}"))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _answer(self, body: bytes, key: str) -> bytes:
        while not self._stopping.is_set():
            try:
                status, retry_after, answer = self._asked(body, key)
            except (OSError, http.client.HTTPException):
                self.close()
                self._stopping.wait(RETRY_S)
                continue
            if status == 202:
                return answer
            if status not in (429, 503):
                raise Fault(f"the collector answered {status} to a bulk request of the demo; see its log")
            self._stopping.wait(_seconds(retry_after))
        return b""

    def _asked(self, body: bytes, key: str) -> tuple[int, str | None, bytes]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._address.host, self._address.port, timeout=TIMEOUT_S)
        self._connection.request("POST", "/api/events", body, {**self._headers, "Idempotency-Key": key})
        response = self._connection.getresponse()
        return response.status, response.getheader("Retry-After"), response.read()

    def _note(self, answer: bytes) -> None:
        if not answer:
            return
        told = orjson.loads(answer)
        if told["invalid"]:
            raise Fault(f"the collector found events of the demo faulty: {told['faults'][0]['error']}")
        self.outcomes["accepted"] += told["accepted"]
        self.outcomes["dropped"] += sum(told["dropped"].values())


def _parts(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), MOST_EVENTS):
        yield items[start : start + MOST_EVENTS]


def _seconds(retry_after: str | None) -> float:
    """What a `Retry-After` says in seconds; one that is a date or absurd counts as the usual pause."""
    seconds = float(retry_after) if retry_after is not None and retry_after.isdigit() else RETRY_S
    return min(seconds, LONGEST_RETRY_S)
