"""Clients of an installation that is being killed: they note what was acknowledged, and what was left in doubt.

Every event has a name of its own, so that it can be found again, or found twice. A single event that lost its answer
is not sent again: it may be counted or not. A bulk request is sent again under its Idempotency-Key until answered.
"""

from __future__ import annotations

import http.client
import itertools
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.collector.collecting import FIREFOX, Answer, asked
from tests.installation import token_of

ANSWER_TIMEOUT_S = 10.0
PAUSE_S = 0.005
RETRY_S = 0.05
# An installation that has been struck answers again within a minute; who is told to stop asks for no longer than this.
PATIENCE_S = 120.0
EVENTS_PER_WITHDRAWAL = 20
WITHDRAWING = FIREFOX.replace("128", "127")
REFUSALS = (429, 503)
RUNS = itertools.count()
VISITORS = itertools.count()


@dataclass
class Sent:
    """What the senders know. `acknowledged` and `doubtful` hold names of single events, with the mark of their time."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    doubtful: dict[str, str] = field(default_factory=dict)
    # Names of events of the visitor who withdraws consent again and again.
    withdrawing: set[str] = field(default_factory=set)
    doubtfully_withdrawing: set[str] = field(default_factory=set)
    # Names of bulk events, all acknowledged, and how many requests needed more than one attempt.
    bulk: dict[str, str] = field(default_factory=dict)
    repeated: int = 0
    # Single events that were refused, by status: nothing of them may be counted.
    refused: Counter[int] = field(default_factory=Counter)
    # Names of those among them that were answered 503: where the disk itself failed, it may have kept them.
    unpromised: dict[str, str] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)


class Senders:
    """In a `with` block: `singles` threads that send single events of today, and `bulks` that send such of `past_days`.

    `withdrawers` send events of today as one visitor of their own, who withdraws all of them now and then, and at last.
    Bulk requests are for any of the sites `domains`; `pause_s` is what a sender of single events waits before each.
    """

    def __init__(
        self,
        port: int,
        singles: int,
        bulks: int,
        past_times: Callable[[], float],
        withdrawers: int = 0,
        *,
        domains: Sequence[str] = ("example.com",),
        pause_s: Callable[[], float] = lambda: PAUSE_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.sent = Sent()
        self.mark = ""
        self._port, self._past_times, self._domains, self._pause_s = port, past_times, domains, pause_s
        self._stopping, self._abandoned = threading.Event(), threading.Event()
        self._patience_s = patience_s
        # No two runs of a process share names or keys: an address in memory is used again.
        self._run = next(RUNS)
        self._threads = [threading.Thread(target=self._singles, args=(number,)) for number in range(singles)]
        self._threads += [threading.Thread(target=self._bulks, args=(number,)) for number in range(bulks)]
        self._threads += [threading.Thread(target=self._withdrawals, args=(number,)) for number in range(withdrawers)]

    def __enter__(self) -> Senders:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Returns once every bulk request and the last withdrawal are answered, or after `patience_s`.

        After a fault, for which nobody may answer any more, it waits for no answers.
        """
        if kind is not None:
            self._abandoned.set()
        self._stopping.set()
        gives_up_at = time.monotonic() + self._patience_s
        for thread in self._threads:
            thread.join(max(0.0, gives_up_at - time.monotonic()))
        self._abandoned.set()
        for thread in self._threads:
            thread.join()

    def _singles(self, sender: int) -> None:
        number, client = 0, _Client(self._port)
        while not self._stopping.wait(self._pause_s()):
            number += 1
            name, mark = f"s{sender}-{self._run}-{number}", self.mark
            body = {"n": name, "u": "https://example.com/", "d": "example.com", "c": "1"}
            try:
                answer = client.post("/api/event", json.dumps(body).encode(), {"User-Agent": FIREFOX})
            except ConnectionRefusedError:
                time.sleep(RETRY_S)
            except (OSError, http.client.HTTPException):
                self.sent.doubtful[name] = mark
                time.sleep(RETRY_S)
            else:
                self._note(answer, name, mark)
        client.close()

    def _note(self, answer: Answer, name: str, mark: str) -> None:
        if answer.status == 202 and answer.footfall == "accepted":
            self.sent.acknowledged[name] = mark
        elif answer.status in REFUSALS and "retry-after" in answer.headers:  # It says that nothing of it is kept.
            self.sent.refused[answer.status] += 1
            self.sent.unpromised[name] = mark
        else:
            self.sent.unexpected.append(f"{answer.status} {answer.footfall}")

    def _withdrawals(self, sender: int) -> None:
        number, client = 0, _Client(self._port)
        while not self._stopping.wait(4 * PAUSE_S):
            number += 1
            name = f"w{sender}-{self._run}-{number}"
            if number % EVENTS_PER_WITHDRAWAL == 0:
                self._withdraw(client)
            body = {"n": name, "u": "https://example.com/", "d": "example.com", "c": "1"}
            try:
                answer = client.post("/api/event", json.dumps(body).encode(), {"User-Agent": WITHDRAWING})
            except ConnectionRefusedError:
                time.sleep(RETRY_S)
            except (OSError, http.client.HTTPException):
                self.sent.doubtfully_withdrawing.add(name)
                time.sleep(RETRY_S)
            else:
                if answer.status == 202:
                    self.sent.withdrawing.add(name)
        while not self._withdraw(client):
            if self._abandoned.wait(RETRY_S):
                self.sent.unexpected.append("a withdrawal was not answered")
                break
        client.close()

    @staticmethod
    def _withdraw(client: _Client) -> bool:
        """Whether it was acknowledged; one that was not may be carried out or not."""
        try:
            answer = client.post("/api/withdraw", b'{"d": "example.com"}', {"User-Agent": WITHDRAWING})
        except (OSError, http.client.HTTPException):
            return False
        return answer.footfall == "withdrawn"

    def _bulks(self, sender: int) -> None:
        number, client = 0, _Client(self._port)
        while not self._stopping.wait(4 * self._pause_s()):
            number += 1
            key, mark = f"b{sender}-{self._run}-{number}", self.mark
            at = self._past_times()
            names = [f"{key}-{place}" for place in range(random.randint(1, 40))]
            items = [self._item(name, at, place) for place, name in enumerate(names)]
            domain = random.choice(self._domains)
            accepted = self._until_answered(client, json.dumps(items).encode(), key, domain)
            if accepted != len(names):  # Or the installation was given up: then nobody asks.
                self.sent.unexpected.append(f"bulk: {accepted} of {len(names)}")
            self.sent.bulk.update(dict.fromkeys(names, mark))
        client.close()

    @staticmethod
    def _item(name: str, at: float, place: int) -> Mapping[str, object]:
        url = f"https://example.com/shelf/{place % 3}"
        return {"n": name, "u": url, "c": "1", "time": at, "ip": _address(next(VISITORS)), "ua": FIREFOX}

    def _until_answered(self, client: _Client, body: bytes, key: str, domain: str) -> int:
        headers = {"Authorization": f"Bearer {token_of(domain)}", "Idempotency-Key": key}
        for attempt in itertools.count():
            if attempt and self._abandoned.wait(RETRY_S):
                break
            try:
                answer = client.post("/api/events", body, headers)
            except (OSError, http.client.HTTPException):
                continue
            if answer.status == 202:
                self.sent.repeated += attempt > 0
                return int(json.loads(answer.body)["accepted"])
            if answer.status not in REFUSALS:
                self.sent.unexpected.append(f"bulk: {answer.status} {answer.body[:200]!r}")
        return 0


def _address(visitor: int) -> str:
    """Each visitor of a bulk request is alone in a network of its own, of which there are five million here."""
    return f"{11 + (visitor >> 16) % 80}.{visitor >> 8 & 255}.{visitor & 255}.7"


class _Client:
    """One connection at a time, made anew after each fault."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: http.client.HTTPConnection | None = None

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        if self._connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_TIMEOUT_S)
            connection.connect()
            self._connection = connection
        try:
            return asked(self._connection, "POST", path, body, headers)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
