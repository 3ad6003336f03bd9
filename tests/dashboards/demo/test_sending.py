"""Sending to a collector that is busy, away for a moment, or refuses."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from collector.fault import Fault
from collector.settings import Address
from dashboards.demo.sending import MOST_EVENTS, Sender
from dashboards.demo.traffic import Item

TAKEN = json.dumps({"accepted": 1, "dropped": {}, "invalid": 0, "faults": []})
FAULTY = json.dumps({"accepted": 0, "dropped": {}, "invalid": 1, "faults": [{"index": 0, "error": "u: is required"}]})
ITEM: Item = {"n": "pageview", "u": "https://tea.example/"}


class ScriptedCollector:
    """Answers with each of `answers` in turn (status, Retry-After, body); remembers keys, when they came, and sizes."""

    def __init__(self, *answers: tuple[int, str, str]) -> None:
        self.answers = list(answers)
        self.keys: list[str] = []
        self.times: list[float] = []
        self.sizes: list[int] = []

    @contextlib.contextmanager
    def sender(self) -> Iterator[Sender]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        sender = Sender(Address("127.0.0.1", server.server_address[1]), "token", threading.Event())
        try:
            yield sender
        finally:
            sender.close()
            server.shutdown()
            thread.join()
            server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:  # the name that http.server calls
                items = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                collector.keys.append(self.headers["Idempotency-Key"])
                collector.times.append(time.monotonic())
                collector.sizes.append(len(items))
                status, retry_after, body = collector.answers.pop(0)
                self.send_response(status)
                self.send_header("Retry-After", retry_after)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
                """Says nothing."""

        return Handler


def test_after_a_503_the_same_request_goes_again_when_retry_after_says() -> None:
    collector = ScriptedCollector((503, "1", "{}"), (202, "", TAKEN))
    with collector.sender() as sender:
        sender.send([ITEM], "key")
    assert collector.keys == ["key/0", "key/0"]
    assert collector.times[1] - collector.times[0] >= 1.0
    assert sender.outcomes["accepted"] == 1


def test_a_large_day_goes_in_parts_with_keys_of_their_own() -> None:
    collector = ScriptedCollector((202, "", TAKEN), (202, "", TAKEN))
    with collector.sender() as sender:
        sender.send([ITEM] * (MOST_EVENTS + 1), "day")
    assert collector.sizes == [MOST_EVENTS, 1]
    assert collector.keys == ["day/0", "day/1"]


def test_any_other_refusal_is_a_fault() -> None:
    collector = ScriptedCollector((401, "", "{}"))
    with collector.sender() as sender, pytest.raises(Fault, match="answered 401"):
        sender.send([ITEM], "key")


def test_a_faulty_event_is_a_fault_and_not_a_number() -> None:
    collector = ScriptedCollector((202, "", FAULTY))
    with collector.sender() as sender, pytest.raises(Fault, match="u: is required"):
        sender.send([ITEM], "key")


def test_nothing_is_sent_where_there_is_nothing() -> None:
    collector = ScriptedCollector()
    with collector.sender() as sender:
        sender.send([], "key")
    assert collector.keys == []
