"""ClickHouse's HTTP interface over the embedded engine, as far as its clients use it: no sessions, no compression.

Promises: nobody without the secret gets an answer; an insert's body is read whole before the engine sees a byte of it,
so that a connection cut in mid-body leaves nothing; no statement, value or body is ever logged.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import select
import socket
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from aggregator.engine import DATABASE, Engine, Outcome, Refusal, Request

USER = "footfall"

MAX_BODY_BYTES = 256 << 20  # twice a batch's limit of 128 MiB
MAX_CONCURRENT = 16  # statements in the engine; more wait, because two cores gain nothing from them
MAX_WAIT_S = 5.0
IDLE_TIMEOUT_S = 300.0

# What ClickHouse's HTTP interface takes for itself; every other parameter of the URL is a setting.
_TRANSPORT = {
    *("query", "user", "password", "database", "default_format", "query_id", "wait_end_of_query", "role", "quota_key"),
    *("session_id", "session_timeout", "session_check", "close_session", "client_protocol_version", "stacktrace"),
    *("compress", "decompress", "buffer_size"),
}
# ClickHouse's own mapping (HTTPHandler, exceptionCodeToHTTPStatus): what the caller got wrong is 4xx, the rest is 500.
_STATUS: Mapping[int, int] = {
    **dict.fromkeys((6, 26, 27, 38, 41, 43, 47, 53, 62, 72, 115, 117, 130, 349, 376, 392, 441, 456, 457, 467), 400),
    **dict.fromkeys((36, 60, 81, 46, 15, 16), 404),
    **dict.fromkeys((192, 193, 194, 497, 516), 403),
    202: 503,
    307: 413,
    381: 411,
}


class Server(ThreadingHTTPServer):
    """One thread to a connection; statements beyond MAX_CONCURRENT wait, then are refused as ClickHouse does it."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, engine: Engine, secret: str) -> None:
        self.engine = engine
        self.secret = secret
        self._places = threading.BoundedSemaphore(MAX_CONCURRENT)
        self._idle = threading.Condition()
        self._running = 0
        super().__init__(("127.0.0.1", 0), Handler)

    def run(self, request: Request, is_abandoned: Callable[[], bool]) -> Outcome | None:
        """None where the client went away before its statement's turn: it may be asking elsewhere already."""
        with self._counted(), self._place(request):
            return None if is_abandoned() else self.engine.run(request)

    def wait_until_idle(self) -> None:
        with self._idle:
            self._idle.wait_for(lambda: self._running == 0)

    def is_known(self, user: str, password: str) -> bool:
        return hmac.compare_digest(f"{user}:{password}".encode(), f"{USER}:{self.secret}".encode())

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection's failure, by its kind alone: texts of exceptions may quote what was sent."""
        kind = sys.exc_info()[0]
        if kind is not None and not issubclass(kind, (ConnectionError, TimeoutError)):
            sys.stderr.write(f"store: a connection failed: {kind.__name__}\n")

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._idle:
            self._running += 1
        try:
            yield
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()

    @contextmanager
    def _place(self, request: Request) -> Iterator[None]:
        if (request.query or request.body)[:5].upper() == b"KILL ":  # a full house must be able to throw somebody out
            yield
            return
        if not self._places.acquire(timeout=MAX_WAIT_S):
            raise Refusal(
                (202, "TOO_MANY_SIMULTANEOUS_QUERIES"), f"Too many simultaneous queries. Maximum: {MAX_CONCURRENT}."
            )
        try:
            yield
        finally:
            self._places.release()


@dataclass(frozen=True)
class _Answer:
    status: int
    body: bytes
    headers: Mapping[str, str]


class Handler(BaseHTTPRequestHandler):
    """ClickHouse's HTTP interface as far as its clients use it: no sessions, no compression, no files."""

    server: Server
    protocol_version = "HTTP/1.1"
    timeout = IDLE_TIMEOUT_S
    disable_nagle_algorithm = True
    server_version = "Footfall"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(self._handle())

    def do_POST(self) -> None:
        self._answer(self._handle())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it so
        """No request lines: their URLs hold statements and bound values."""

    def _handle(self) -> _Answer | None:
        url = urlsplit(self.path)
        parameters = dict(parse_qsl(url.query, keep_blank_values=True))
        if url.path == "/ping":
            return _Answer(200, b"Ok.\n", {})
        if url.path not in ("", "/"):
            self.close_connection = True
            return _Answer(404, b"There is no handle for this path.\n", {})
        query_id = parameters.get("query_id") or str(uuid.uuid4())
        try:
            if not self._is_authorised(parameters):
                self.close_connection = True
                raise Refusal(
                    (516, "AUTHENTICATION_FAILED"),
                    "Authentication failed: password is incorrect, or there is no user with such name.",
                )
            body = self._body()
            if body is None:
                self.close_connection = True
                return None
            if self.headers.get_content_type() == "multipart/form-data":
                parameters |= _form_fields(self.headers["Content-Type"], body)
                body = b""
            outcome = self.server.run(_request(parameters, body, read_only=self.command == "GET"), self._is_abandoned)
            if outcome is None:
                self.close_connection = True
                return None
            return _answer(outcome, query_id)
        except Refusal as refusal:
            return _refused(refusal, query_id)

    def _is_authorised(self, parameters: Mapping[str, str]) -> bool:
        user, password = self.headers.get("X-ClickHouse-User"), self.headers.get("X-ClickHouse-Key", "")
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                user, _, password = base64.b64decode(token, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                return False
        if user is None:
            user, password = parameters.get("user", ""), parameters.get("password", "")
        return self.server.is_known(user, password)

    def _is_abandoned(self) -> bool:
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and self.connection.recv(1, socket.MSG_PEEK) == b""

    def _body(self) -> bytes | None:
        """The whole body; None where the connection ended before it did."""
        if self.headers.get("Content-Encoding", "identity") != "identity":
            self.close_connection = True
            raise Refusal((89, "UNKNOWN_COMPRESSION_METHOD"), "This store takes bodies without compression only.")
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._chunks()
        length = self.headers.get("Content-Length", "0")
        if not length.isascii() or not length.isdigit():
            self.close_connection = True
            raise Refusal((381, "HTTP_LENGTH_REQUIRED"), "Content-Length is not a number.")
        return self._exactly(self._bounded(int(length)))

    def _chunks(self) -> bytes | None:
        body = bytearray()
        while True:
            line = self.rfile.readline(1024)
            try:
                size = int(line.split(b";")[0], 16)
            except ValueError:
                return None
            chunk = self._exactly(self._bounded(size, len(body)))
            if chunk is None or self.rfile.readline(1024) not in (b"\r\n", b"\n"):
                return None
            if size == 0:
                return bytes(body)
            body += chunk

    def _exactly(self, size: int) -> bytes | None:
        try:
            read = self.rfile.read(size)
        except OSError:
            return None
        return read if len(read) == size else None

    def _bounded(self, size: int, before: int = 0) -> int:
        if size < 0 or before + size > MAX_BODY_BYTES:
            self.close_connection = True
            raise Refusal((307, "TOO_MANY_BYTES"), f"A body may have {MAX_BODY_BYTES} bytes at most.")
        return size

    def _answer(self, answer: _Answer | None) -> None:
        if answer is None:
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)


def _form_fields(content_type: str, body: bytes) -> dict[str, str]:
    """The fields of a form: clients send a query so when its bound values are too long for a URL."""
    message = BytesParser().parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    fields = {}
    for part in message.walk():
        name, content = part.get_param("name", header="Content-Disposition"), part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            fields[name] = content.decode()
    return fields


def _request(parameters: Mapping[str, str], body: bytes, *, read_only: bool) -> Request:
    settings = {
        name: value for name, value in parameters.items() if name not in _TRANSPORT and not name.startswith("param_")
    }
    if read_only:
        settings["readonly"] = "2"  # as ClickHouse does for GET
    return Request(
        query=parameters.get("query", "").encode(),
        body=body,
        database=parameters.get("database") or DATABASE,
        default_format=parameters.get("default_format") or "TabSeparated",
        settings=settings,
        parameters={name[len("param_") :]: value for name, value in parameters.items() if name.startswith("param_")},
    )


def _common_headers(query_id: str) -> dict[str, str]:
    return {
        "X-ClickHouse-Server-Display-Name": "footfall",
        "X-ClickHouse-Query-Id": query_id,
        "X-ClickHouse-Timezone": "UTC",
    }


def _answer(outcome: Outcome, query_id: str) -> _Answer:
    summary = {
        "read_rows": str(outcome.read_rows),
        "read_bytes": str(outcome.read_bytes),
        "written_rows": str(outcome.written_rows),
        "written_bytes": str(outcome.written_bytes),
    }
    headers = _common_headers(query_id) | {"X-ClickHouse-Summary": json.dumps(summary, separators=(",", ":"))}
    if outcome.format is not None:
        headers["X-ClickHouse-Format"] = outcome.format
    headers["Content-Type"] = "application/octet-stream"
    return _Answer(200, outcome.body, headers)


def _refused(refusal: Refusal, query_id: str) -> _Answer:
    headers = _common_headers(query_id) | {
        "X-ClickHouse-Exception-Code": str(refusal.code),
        "Content-Type": "text/plain; charset=UTF-8",
    }
    return _Answer(_STATUS.get(refusal.code, 500), f"{refusal}\n".encode(), headers)
