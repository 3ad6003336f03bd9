"""A real HTTP proxy in front of a real store, which misbehaves when told to: at the n-th request, or until told.

A fault is a function from an `Exchange` (a request that came, and the ways to pass it on) to the answer that the client
gets, or None where its connection is reset. What the store does is real; only what lies between is made to fail.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import struct
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlencode, urlsplit

from aggregator.endpoint import Endpoint, Whereabouts

ANSWER_TIMEOUT_S = 120.0
DOWN_S = 0.3
SLOW_S = 0.4
LATE_S = 0.6
LAG_S = 0.8
WRITES = re.compile(r"(INSERT INTO|ALTER TABLE|KILL|CREATE|DROP|TRUNCATE|OPTIMIZE)\b", re.IGNORECASE)
# What the drainer asks before it deletes a batch.
PRESENCE = "SELECT count(), groupBitmap(position)"
HOP = {"connection", "content-length", "transfer-encoding", "keep-alive", "host", "authorization", "date", "server"}
MEMORY_LIMIT = b"Code: 241. DB::Exception: Memory limit (total) exceeded. (MEMORY_LIMIT_EXCEEDED) (version 26.9.2.1)\n"


@dataclass(frozen=True)
class Answer:
    """What the client gets; a trickled one comes in small pieces."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_trickled: bool = False


@dataclass(frozen=True)
class Exchange:
    """A request of a client. `kind` is its statement's verb and table, as "insert open_events"."""

    proxy: StoreProxy
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def statement(self) -> str:
        parameters = dict(parse_qsl(urlsplit(self.path).query))
        text = parameters.get("query") or self.body[:4_000].decode("utf-8", "replace")
        return " ".join(line for line in text.splitlines() if not line.startswith("--"))

    @property
    def kind(self) -> str:
        return kind_of(self.statement)

    @property
    def is_write(self) -> bool:
        return WRITES.match(self.statement) is not None

    def forward(self) -> Answer:
        """Passes the request on and waits for the store. Raises OSError and HTTPException."""
        connection = self._sent(self.body)
        try:
            response = connection.getresponse()
            headers = {name: value for name, value in response.getheaders() if name.lower() not in HOP}
            return Answer(response.status, headers, response.read())
        finally:
            connection.close()

    def forward_half(self) -> None:
        """Passes half of the body on, then the connection to the store ends."""
        self._sent(self.body[: len(self.body) // 2]).close()

    def without_deduplication(self) -> Exchange:
        """The same, for a store that has lost its log of tokens."""
        url = urlsplit(self.path)
        kept = [each for each in parse_qsl(url.query) if not each[0].startswith("insert_dedup")]
        return replace(self, path=f"{url.path}?{urlencode([*kept, ('insert_deduplicate', '0')])}")

    def blind(self) -> Exchange:
        """The same question where no row is seen, as by a replica that lags behind."""
        url = urlsplit(self.path)
        parameters = dict(parse_qsl(url.query))
        if "query" in parameters:
            return replace(self, path=f"{url.path}?{urlencode({**parameters, 'query': _nothing(parameters['query'])})}")
        return replace(self, body=_nothing(self.body.decode()).encode())

    def _sent(self, body: bytes) -> http.client.HTTPConnection:
        upstream = self.proxy.upstream.endpoint()
        connection = http.client.HTTPConnection(upstream.host, upstream.port, timeout=ANSWER_TIMEOUT_S)
        connection.connect()
        connection.putrequest(self.method, self.path, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in HOP:
                connection.putheader(name, value)
        connection.putheader("X-ClickHouse-User", upstream.user)
        connection.putheader("X-ClickHouse-Key", upstream.password)
        connection.putheader("Content-Length", str(len(self.body)))
        connection.endheaders(body or None)
        return connection


Fault = Callable[[Exchange], Answer | None]


def _nothing(sql: str) -> str:
    return re.sub(r"\bFROM open_events\s+WHERE\b", "FROM open_events WHERE 0 AND", sql)


def kind_of(statement: str) -> str:
    """Verb and table, which is what a fault is aimed at."""
    words = statement.split()
    verb = words[0].lower() if words else ""
    if verb == "alter":
        return f"{words[3].lower()} {words[2]}"
    if verb == "insert":
        return f"insert {words[2].partition('(')[0]}"
    found = re.search(r"\bFROM\s+([\w.]+)", statement)
    return f"{verb} {found[1]}" if found and verb in {"select", "with"} else verb


class StoreProxy:
    """Listens on a port of the loopback that stays the same, until `close`.

    `aim` sets faults for requests to come; `always` is done with each request that no fault meets.
    """

    def __init__(self, upstream: Whereabouts) -> None:
        self.upstream = upstream
        self.always: Fault = lambda exchange: exchange.forward()
        # What was struck: the fault and the kind of the request.
        self.struck: list[tuple[Fault, str]] = []
        self.kinds: list[str] = []
        self.restart: Callable[[], None] | None = None
        self._aimed: dict[int, Fault] = {}
        self._of_each_kind: Fault | None = None
        self._counting = threading.Lock()
        self._late: list[threading.Thread] = []
        self._lags_until = 0.0
        self._server = _Server(("127.0.0.1", 0), self)
        self.port = int(self._server.server_address[1])

    def endpoint(self, database: str) -> Endpoint:
        """How clients reach the store through here."""
        return Endpoint("http", "127.0.0.1", self.port, "proxied", "proxied", database)

    def aim(self, faults: Mapping[int, Fault]) -> None:
        """The requests with these numbers, from 1 and from now, meet their fault, or the next one that can."""
        with self._counting:
            self._aimed, self._of_each_kind = dict(faults), None
            self.kinds, self.struck = [], []

    def aim_at_each_kind(self, fault: Fault) -> None:
        """The first request of each kind that changes the store meets `fault`."""
        with self._counting:
            self._aimed, self._of_each_kind = {}, fault
            self.kinds, self.struck = [], []

    def relax(self) -> None:
        """No more faults; returns when what was held back has reached the store."""
        self.aim({})
        self.always, self._lags_until = lambda exchange: exchange.forward(), 0.0
        while self._late:
            self._late.pop().join()

    def close(self) -> None:
        self.relax()
        self._server.stop()

    def answer(self, exchange: Exchange) -> Answer | None:
        fault = self._fault_for(exchange)
        with contextlib.suppress(OSError, http.client.HTTPException):
            if time.monotonic() < self._lags_until and PRESENCE in exchange.statement:
                return exchange.blind().forward()
            return (fault or self.always)(exchange)
        return None

    def later(self, exchange: Exchange, delay_s: float) -> None:
        """Passes the request on after a while, whatever became of its client."""

        def deliver() -> None:
            time.sleep(delay_s)
            with contextlib.suppress(OSError, http.client.HTTPException):
                exchange.forward()

        self._late.append(threading.Thread(target=deliver))
        self._late[-1].start()

    def refuse_connections(self, seconds: float) -> None:
        """Nobody listens for so long, and open connections end."""
        self._server.stop()

        def listen() -> None:
            time.sleep(seconds)
            self._server = _Server(("127.0.0.1", self.port), self)

        self._late.append(threading.Thread(target=listen))
        self._late[-1].start()

    def lag(self, seconds: float) -> None:
        """For so long, whoever asks whether a batch is there does so where none is."""
        self._lags_until = time.monotonic() + seconds

    def _fault_for(self, exchange: Exchange) -> Fault | None:
        with self._counting:
            is_first = exchange.is_write and exchange.kind not in self.kinds
            self.kinds.append(exchange.kind)
            if self._of_each_kind is not None and is_first:
                self.struck.append((self._of_each_kind, exchange.kind))
                return self._of_each_kind
            due = [place for place in sorted(self._aimed) if place <= len(self.kinds)]
            fits = [place for place in due if self._aimed[place] not in FOR_WRITES or exchange.is_write]
            if not fits:
                return None
            fault = self._aimed.pop(fits[0])
            self.struck.append((fault, exchange.kind))
            return fault


def refuses_connections(exchange: Exchange) -> None:
    exchange.proxy.refuse_connections(DOWN_S)


def is_slow(exchange: Exchange) -> Answer:
    time.sleep(SLOW_S)
    return replace(exchange.forward(), is_trickled=True)


def resets_before(exchange: Exchange) -> None:
    """The request is read and never passed on."""


def resets_after(exchange: Exchange) -> None:
    exchange.forward()


def cuts_in_the_middle(exchange: Exchange) -> None:
    exchange.forward_half()


def restarts(exchange: Exchange) -> None:
    """The store is killed while it works on the request."""
    working = threading.Thread(target=_forwarded, args=(exchange,))
    working.start()
    time.sleep(0.003)
    if exchange.proxy.restart is not None:
        exchange.proxy.restart()
    working.join()


def _forwarded(exchange: Exchange) -> None:
    with contextlib.suppress(OSError, http.client.HTTPException):
        exchange.forward()


def answers_500_after(exchange: Exchange) -> Answer:
    exchange.forward()
    return Answer(500, {"Content-Type": "text/html"}, b"<html>Internal Server Error</html>")


def answers_503(exchange: Exchange) -> Answer:
    return Answer(503, {"Content-Type": "text/html", "Retry-After": "1"}, b"<html>Service Unavailable</html>")


def refuses(code: int, name: str, status: int = 500) -> Fault:
    """ClickHouse's own refusal, with nothing done."""

    def refuse(exchange: Exchange) -> Answer:
        headers = {**_own_headers(), "X-ClickHouse-Exception-Code": str(code)}
        return Answer(status, headers, f"Code: {code}. DB::Exception: Not now. ({name})\n".encode())

    return refuse


def claims_untruly(exchange: Exchange) -> Answer:
    """ClickHouse's own 200, with as many rows written as were sent, and nothing done."""
    rows = exchange.body.count(b"\n") + (not exchange.body.endswith(b"\n"))
    return Answer(200, {**_own_headers(), "X-ClickHouse-Summary": json.dumps({"written_rows": str(rows)})}, b"")


def claims_untruly_without_summary(exchange: Exchange) -> Answer:
    return Answer(200, _own_headers(), b"")


def gateway_claims_untruly(exchange: Exchange) -> Answer:
    """A 200 of something in between, which also reads as a result without rows."""
    return Answer(200, {"Content-Type": "text/plain"}, b"")


def miscounts(exchange: Exchange) -> Answer:
    answer = exchange.forward()
    return replace(answer, headers={**answer.headers, "X-ClickHouse-Summary": json.dumps({"written_rows": "3"})})


def leaves_the_summary_out(exchange: Exchange) -> Answer:
    answer = exchange.forward()
    return replace(answer, headers={n: v for n, v in answer.headers.items() if n.lower() != "x-clickhouse-summary"})


def fails_in_mid_answer(exchange: Exchange) -> Answer:
    """A read ends in an exception behind a 200, as ClickHouse does it; a write was not done."""
    if exchange.is_write:
        return Answer(200, _own_headers(), MEMORY_LIMIT)
    answer = exchange.forward()
    return replace(answer, body=answer.body[: len(answer.body) // 2] + MEMORY_LIMIT)


def fails_under_a_tag(exchange: Exchange) -> Answer:
    """The same in the form of ClickHouse 25.11 and later: the exception stands between marks that a header names."""
    tag = "abcdefghijklmnop"
    marked = b"__exception__\r\n%b\r\n%b%d %b\r\n__exception__\r\n"
    failure = marked % (tag.encode(), MEMORY_LIMIT, len(MEMORY_LIMIT), tag.encode())
    answer = Answer(200, _own_headers(), b"") if exchange.is_write else exchange.forward()
    half = answer.body[: len(answer.body) // 2]
    return replace(answer, headers={**answer.headers, "X-ClickHouse-Exception-Tag": tag}, body=half + failure)


def is_late(exchange: Exchange) -> Answer:
    """The client hears that it took too long, and asks; then it is done after all."""
    exchange.proxy.later(exchange, LATE_S)
    return Answer(504, {"Content-Type": "text/html"}, b"<html>Gateway Time-out</html>")


def is_late_and_forgetful(exchange: Exchange) -> Answer:
    exchange.proxy.later(exchange.without_deduplication(), LATE_S)
    return Answer(504, {"Content-Type": "text/html"}, b"<html>Gateway Time-out</html>")


def delivers_twice(exchange: Exchange) -> Answer:
    exchange.forward()
    return exchange.forward()


def delivers_twice_forgetfully(exchange: Exchange) -> Answer:
    exchange.without_deduplication().forward()
    return exchange.without_deduplication().forward()


def lags_behind(exchange: Exchange) -> Answer:
    answer = exchange.forward()
    exchange.proxy.lag(LAG_S)
    return answer


FAULTS: Mapping[str, Fault] = {
    "refuses connections": refuses_connections,
    "slow, trickling": is_slow,
    "reset before it is done": resets_before,
    "reset after it was done": resets_after,
    "cut in the middle": cuts_in_the_middle,
    "killed and started again": restarts,
    "TOO_MANY_PARTS": refuses(252, "TOO_MANY_PARTS"),
    "MEMORY_LIMIT_EXCEEDED": refuses(241, "MEMORY_LIMIT_EXCEEDED"),
    "TABLE_IS_READ_ONLY": refuses(242, "TABLE_IS_READ_ONLY"),
    "READONLY": refuses(164, "READONLY"),
    "AUTHENTICATION_FAILED": refuses(516, "AUTHENTICATION_FAILED", 403),
    "503 of a gateway": answers_503,
    "500 after it was done": answers_500_after,
    "200, not done": claims_untruly,
    "200, not done, no summary": claims_untruly_without_summary,
    "200 of a gateway, not done": gateway_claims_untruly,
    "200, wrong number of rows": miscounts,
    "200, no summary": leaves_the_summary_out,
    "exception in a 200": fails_in_mid_answer,
    "exception in a 200, tagged": fails_under_a_tag,
    "timed out, done later": is_late,
    "timed out, done later, tokens lost": is_late_and_forgetful,
    "delivered twice": delivers_twice,
    "delivered twice, tokens lost": delivers_twice_forgetfully,
    "rows seen later": lags_behind,
}
# What says something untrue about a write says nothing about a read.
FOR_WRITES = frozenset(
    (
        claims_untruly,
        claims_untruly_without_summary,
        miscounts,
        is_late,
        is_late_and_forgetful,
        delivers_twice,
        delivers_twice_forgetfully,
        lags_behind,
    )
)


def _own_headers() -> dict[str, str]:
    return {"X-ClickHouse-Query-Id": str(uuid.uuid4()), "X-ClickHouse-Timezone": "UTC"}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], proxy: StoreProxy) -> None:
        self.proxy = proxy
        self._open: set[socket.socket] = set()
        super().__init__(address, _Handler)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Nobody listens any more, and every open connection is reset."""
        self.shutdown()
        self.server_close()
        for connection in list(self._open):
            _reset(connection)

    @contextlib.contextmanager
    def holding(self, connection: socket.socket) -> Iterator[None]:
        self._open.add(connection)
        try:
            yield
        finally:
            self._open.discard(connection)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away, or was thrown out, is what this is for."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle(self) -> None:
        with self.server.holding(self.connection):
            super().handle()

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        body = self._body()
        answer = self.server.proxy.answer(
            Exchange(self.server.proxy, self.command, self.path, dict(self.headers.items()), body)
        )
        if answer is None:
            self.close_connection = True
            _reset(self.connection)
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if answer.is_trickled:
            for start in range(0, len(answer.body), 1 + len(answer.body) // 5):
                self.wfile.write(answer.body[start : start + 1 + len(answer.body) // 5])
                time.sleep(SLOW_S / 5)
        else:
            self.wfile.write(answer.body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        body = bytearray()
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return bytes(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it so
        """Nothing is told."""


def _reset(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)
        connection.close()
