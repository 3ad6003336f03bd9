"""Whatever anyone sends, the answer is 202 or a 4xx that names field and limit, and the collector lives on.

Ten thousand generated requests go to one real collector over HTTP; each test then checks that the
spool counted every one of them under what it was told.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, Verbosity, assume, given, settings
from hypothesis import strategies as st

from collector.server import BUFFER_BYTES
from tests.collector.collecting import FIREFOX, TOKEN, Answer, Collector, asked, event_body, running

CANARY = "cAnAry-5f1b"
TOLD = re.compile(r"[A-Za-z-]+(?: [a-z0-9]+)?: [^\n]{1,150}")
USUAL = {"User-Agent": FIREFOX}


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """One collector for the module; no test may leave it broken, which each of them checks."""
    with running(Collector(tmp_path_factory.mktemp("bad-input"))) as collector:
        yield collector


@dataclass
class Barrage:
    """Many requests on one kept connection; every answer is checked and tallied."""

    collector: Collector
    connection: http.client.HTTPConnection
    tally: Counter[str] = field(default_factory=Counter)

    def send(self, method: str, path: str, body: bytes | None, headers: dict[str, str] | None = None) -> Answer:
        try:
            answer = asked(self.connection, method, path, body, {**USUAL, **(headers or {})})
        except (ConnectionError, http.client.HTTPException):
            # The collector may close a connection after an answer; it may not refuse the next one.
            self.connection.close()
            answer = asked(self.connection, method, path, body, {**USUAL, **(headers or {})})
        self.check(answer)
        return answer

    def check(self, answer: Answer) -> None:
        told = b"".join([answer.body, *(value.encode() for value in answer.headers.values())])
        assert CANARY.encode() not in told
        assert answer.status in {202, 400, 404, 405, 413, 415}, answer
        if answer.status == 202:
            self.tally[answer.footfall.partition(";")[0]] += 1
        elif answer.status != 405:
            self.tally["invalid"] += 1
            if "json" in answer.headers["content-type"]:
                assert TOLD.fullmatch(answer.error), answer.error


@contextlib.contextmanager
def barrage(collector: Collector) -> Iterator[Barrage]:
    """Afterwards an honest event is accepted and the spool's counters have moved by exactly what was told."""
    before = collector.ledger()
    with collector.connection() as connection:
        sent = Barrage(collector, connection)
        yield sent
        assert collector.event().footfall == "accepted"
        sent.tally["accepted"] += 1
    after = collector.ledger()
    moved = {outcome: after[outcome] - before[outcome] for outcome in ("accepted", "dropped", "invalid")}
    assert moved == {outcome: sent.tally[outcome] for outcome in moved}
    assert after["waiting"] - before["waiting"] == moved["accepted"]
    print(f"\n{sum(sent.tally.values())} requests: {dict(sent.tally)}")


def cases(number: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return settings(
        max_examples=number,
        deadline=None,
        database=None,
        verbosity=Verbosity.quiet,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


TEXTS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["", " ", "\0", "\ud800", "\udfff\ud800", "\u202e", "a" * 3_000, "é" * 1_100, "🦊" * 600]),
    st.sampled_from(["https://example.com/", "//", "https://[::1", "http://%", "javascript:alert(1)", "https://@:80/"]),
    st.sampled_from(["pageview", "engagement", "example.com", "www.EXAMPLE.com", "example.org", "1", "0", "null"]),
).map(lambda text: text + CANARY if len(text) % 2 else text)
NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([2**31, 2**53, 2**63, 2**64, -(2**63) - 1, 10**30, 10**400, -1, 1e308, 5e-324]),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=8,
)
NAMES = ["n", "u", "d", "r", "w", "p", "c", "v", "e", "sd", "m", "name", "url", "domain", "referrer", "props", "meta"]
SERVER_NAMES = ["ip", "ua", "time", "language", "user_agent", "screen_width"]
FIELDS = st.dictionaries(st.one_of(st.sampled_from([*NAMES, *SERVER_NAMES]), TEXTS), VALUES, max_size=5)
FAULTY_EVENTS = st.tuples(st.booleans(), FIELDS).map(
    lambda given: (
        {**({"n": "pageview", "u": "https://example.com/", "d": "example.com", "c": 1} if given[0] else {})} | given[1]
    )
)
BODIES = st.one_of(
    st.binary(max_size=200).map(lambda raw: raw + CANARY.encode()),
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.integers(1, 20_000).map(lambda depth: b"[" * depth),
    st.integers(1, 10_000).map(lambda depth: b'{"p":' * depth + b"1" + b"}" * depth),
    st.sampled_from(
        [b"", b"null", b"[]", b"{}", b"\xef\xbb\xbf{}", b"NaN", b"[1e999]", b'{"n":"\\ud800"}', b"\xff\xfe{"]
    ),
    st.binary(max_size=12).map(lambda raw: b'{"n":"a","d":"example.com","c":1,"u":"https://example.com/' + raw + b'"}'),
    st.sampled_from([65_537, 70_000]).map(lambda size: b" " * size),
)


def test_any_fields_of_an_event_get_a_202_or_a_4xx_that_names_the_field(collector: Collector) -> None:
    with barrage(collector) as sent:

        @cases(3_600)
        @given(FAULTY_EVENTS)
        def case(fields: dict[str, object]) -> None:
            sent.send("POST", "/api/event", json.dumps(fields).encode())

        case()


def test_any_bytes_as_a_body_get_a_202_or_a_4xx_that_names_the_body(collector: Collector) -> None:
    with barrage(collector) as sent:

        @cases(1_800)
        @given(BODIES)
        def case(body: bytes) -> None:
            sent.send("POST", "/api/event", body)

        case()


def test_any_headers_get_a_202_or_a_4xx(collector: Collector) -> None:
    names = ["Content-Type", "Content-Encoding", "Cookie", "Sec-GPC", "DNT", "Accept-Language", "X-Forwarded-For"]
    names += ["Sec-CH-UA", "Sec-CH-UA-Mobile", "Sec-CH-UA-Platform", "Sec-Purpose", "User-Agent", "Referer"]
    values = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=300)
    strange = values.map(lambda text: text.strip() + CANARY)
    with barrage(collector) as sent:

        @cases(1_500)
        @given(st.dictionaries(st.sampled_from(names), strange, max_size=4))
        def case(headers: dict[str, str]) -> None:
            sent.send("POST", "/api/event", event_body(), headers)

        case()


def test_any_query_of_the_pixel_gets_a_202_or_a_4xx(collector: Collector) -> None:
    texts = TEXTS.map(lambda text: quote(text.encode("utf-8", "surrogatepass")))
    raw = st.binary(max_size=30).map(lambda given: quote(given, safe="%&=;+"))
    pairs = st.lists(st.tuples(st.sampled_from(NAMES), st.one_of(texts, raw)), max_size=6)
    with barrage(collector) as sent:

        @cases(1_400)
        @given(pairs)
        def case(given: list[tuple[str, str]]) -> None:
            usual = "d=example.com&c=1&u=https://example.com/&"
            query = usual + "&".join(f"{name}={value}" for name, value in given)
            assume(len(query) < BUFFER_BYTES // 2)  # More than the buffer is refused by the server: below.
            answer = sent.send("GET", f"/pixel.gif?{query}", None)
            assert answer.body.startswith(b"GIF89a")

        case()


def test_headers_larger_than_the_buffer_are_refused_and_the_service_lives_on(collector: Collector) -> None:
    with collector.connection() as connection:
        answer = asked(connection, "GET", "/pixel.gif?" + "a" * 8 * BUFFER_BYTES, None, USUAL)
    assert answer.status in {414, 431}
    assert collector.event().footfall == "accepted"


def test_any_items_of_a_bulk_request_are_told_one_by_one_or_refused_together(collector: Collector) -> None:
    authorised = {"Authorization": f"Bearer {TOKEN}"}
    items = st.lists(st.one_of(FAULTY_EVENTS, VALUES), max_size=2)
    with barrage(collector) as sent:

        @cases(1_700)
        @given(items, st.booleans())
        def case(events: list[object], as_lines: bool) -> None:
            lines = [json.dumps(event) for event in events]
            # A body that starts with a bracket is an array.
            is_array = not as_lines or "".join(lines).startswith("[")
            body = f"[{','.join(lines)}]" if is_array else "\n".join(lines)
            answer = sent.send("POST", "/api/events", body.encode(), authorised)
            if answer.status == 202:
                told = json.loads(answer.body)
                dropped = sum(told["dropped"].values())
                assert told["accepted"] + dropped + told["invalid"] == len(events)
                assert all(TOLD.fullmatch(fault["error"]) for fault in told["faults"])
                # The request itself is none of its events.
                sent.tally.update(accepted=told["accepted"] - 1, dropped=dropped, invalid=told["invalid"])

        case()


# --- what a client library will not send ----------------------------------------------------------------------------


def raw_answer(collector: Collector, request: bytes, *, close: bool = False) -> bytes:
    """What comes back on a connection of its own for these very bytes; `close`: after sending we send no more."""
    with socket.create_connection(("127.0.0.1", collector.port), timeout=15) as connection:
        connection.sendall(request)
        if close:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while chunk := connection.recv(65_536):
                answer += chunk
        return answer


def request_bytes(*headers: str, body: bytes = b"", method: str = "POST", path: str = "/api/event") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"User-Agent: {FIREFOX}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


BROKEN_REQUESTS = {
    "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300),
    "no version": b"GET /\r\n\r\n",
    "two lengths": request_bytes("Content-Length: 5", "Content-Length: 6", body=b"hello!"),
    "a length that is no number": request_bytes("Content-Length: 5x", body=b"hello"),
    "a negative length": request_bytes("Content-Length: -1", body=b"hello"),
    "length and chunks": request_bytes("Content-Length: 4", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "broken chunk size": request_bytes("Transfer-Encoding: chunked", body=b"zz\r\n{}\r\n0\r\n\r\n"),
    "unknown transfer coding": request_bytes("Transfer-Encoding: gzip", body=b"{}"),
    "a NUL in a header": request_bytes("X-A: a\0b"),
    "a folded header": request_bytes("X-A: a\r\n b", body=b""),
    "a header of 100 KB": request_bytes(f"X-A: {'a' * 100_000}"),
    "a target of 100 KB": request_bytes(path="/" + "a" * 100_000),
    "a thousand headers": request_bytes(*(f"X-{number}: 1" for number in range(1_000))),
}


@pytest.mark.parametrize("name", BROKEN_REQUESTS)
def test_a_request_that_is_no_http_is_ended_and_never_a_5xx(collector: Collector, name: str) -> None:
    answer = raw_answer(collector, BROKEN_REQUESTS[name])
    assert re.match(rb"HTTP/1\.[01] (4\d\d|202) |$", answer), answer
    assert collector.event().footfall == "accepted"


@pytest.mark.parametrize("chunk_bytes", [1, 7, 100_000])
def test_a_chunked_body_is_read_whole(collector: Collector, chunk_bytes: int) -> None:
    body = event_body()
    pieces = [body[start : start + chunk_bytes] for start in range(0, len(body), chunk_bytes)]
    chunks = b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces) + b"0\r\n\r\n"
    answer = raw_answer(collector, request_bytes("Transfer-Encoding: chunked", body=chunks))
    assert b"footfall: accepted" in answer.lower()


def test_a_chunked_body_over_the_limit_is_413(collector: Collector) -> None:
    chunk = b"2000\r\n" + b" " * 0x2000 + b"\r\n"
    answer = raw_answer(collector, request_bytes("Transfer-Encoding: chunked", body=chunk * 9 + b"0\r\n\r\n"))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"body: at most 65536 bytes" in answer


def test_a_content_length_over_the_limit_is_413_before_the_body_is_sent(collector: Collector) -> None:
    answer = raw_answer(collector, request_bytes("Content-Length: 65537"))
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_body_shorter_than_its_content_length_is_no_event(collector: Collector) -> None:
    accepted = collector.ledger()["accepted"]
    body = event_body()
    answer = raw_answer(collector, request_bytes(f"Content-Length: {len(body) + 1}", body=body), close=True)
    assert re.match(rb"HTTP/1\.1 4\d\d |$", answer), answer
    assert collector.event().footfall == "accepted"
    assert collector.ledger()["accepted"] == accepted + 1


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "gzip, identity", ""])
def test_a_compressed_body_is_415(collector: Collector, encoding: str) -> None:
    with barrage(collector) as sent:
        answer = sent.send("POST", "/api/event", event_body(), {"Content-Encoding": encoding})
    assert answer.status == 415
    assert answer.error.startswith("Content-Encoding: ")


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "application/x-www-form-urlencoded", "x"])
def test_the_content_type_does_not_matter(collector: Collector, content_type: str) -> None:
    assert collector.event(headers={"Content-Type": content_type}).footfall == "accepted"


@pytest.mark.parametrize(
    ("method", "path"),
    [(method, "/api/event") for method in ("GET", "PUT", "PATCH", "DELETE", "HEAD", "PROPFIND")]
    + [(method, path) for method in ("PUT", "DELETE") for path in ("/pixel.gif", "/api/events", "/healthz")]
    + [("GET", "/api/events"), ("POST", "/pixel.gif")],
)
def test_another_method_is_405_and_says_which_are_allowed(collector: Collector, method: str, path: str) -> None:
    answer = collector.ask(method, path)
    assert answer.status == 405
    assert answer.headers["allow"]


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/", "/api/event/", "/api//event", "/pixel", "/..%2f..%2fetc/passwd"]
)
def test_another_path_is_404(collector: Collector, path: str) -> None:
    assert collector.ask("POST", path, event_body(), USUAL).status == 404


# --- boundaries in pairs --------------------------------------------------------------------------------------------

Pair = tuple[str, dict[str, object], dict[str, object], str]
ENGAGED: dict[str, object] = {"n": "engagement"}
MONTH_MS = 30 * 86_400_000

EVENT_PAIRS: tuple[Pair, ...] = (
    ("name", {"n": "a" * 120}, {"n": "a" * 121}, "n: must have 1 to 120 characters"),
    ("short name", {"n": "a"}, {"n": ""}, "n: must have 1 to 120 characters"),
    ("blank name", {"n": 7}, {"n": " "}, "n: must have 1 to 120 characters"),
    ("name's type", {"n": 7}, {"n": True}, "n: must be a string"),
    (
        "url",
        {"u": "https://example.com/" + "a" * 2_028},
        {"u": "https://example.com/" + "a" * 2_029},
        "u: at most 2048 bytes",
    ),
    (
        "url in bytes",
        {"u": "https://example.com/" + "é" * 1_014},
        {"u": "https://example.com/" + "é" * 1_015},
        "u: at most 2048 bytes",
    ),
    ("url's type", {"u": "https://example.com/"}, {"u": 1}, "u: must be a string"),
    ("referrer", {"r": "a" * 2_048}, {"r": "a" * 2_049}, "r: at most 2048 bytes"),
    ("width", {"w": 100_000}, {"w": 100_001}, "w: must be from 0 to 100000"),
    ("least width", {"w": 0}, {"w": -1}, "w: must be from 0 to 100000"),
    ("width's type", {"w": 5}, {"w": 5.5}, "w: must be a whole number"),
    (
        "properties",
        {"p": dict.fromkeys(map(str, range(30)), 1)},
        {"p": dict.fromkeys(map(str, range(31)), 1)},
        "p: at most 30 properties",
    ),
    (
        "property's name",
        {"p": {"a" * 64: 1}},
        {"p": {"a" * 65: 1}},
        "p: a property's name must have 1 to 64 characters",
    ),
    ("empty property's name", {"p": {"a": 1}}, {"p": {"": 1}}, "p: a property's name must have 1 to 64 characters"),
    (
        "property's value",
        {"p": {"a": "b" * 512}},
        {"p": {"a": "b" * 513}},
        "p: a property's value may have at most 512 characters",
    ),
    ("properties as text", {"p": '{"a":1}'}, {"p": "[1]"}, "p: must be a JSON object"),
    ("policy version", {"v": "a" * 64}, {"v": "a" * 65}, "v: must be a string of at most 64 characters"),
    ("policy version's type", {"v": 7}, {"v": [7]}, "v: must be a string of at most 64 characters"),
    ("engaged time", {**ENGAGED, "e": MONTH_MS}, {**ENGAGED, "e": MONTH_MS + 1}, f"e: must be from 0 to {MONTH_MS}"),
    ("engaged time in digits", {**ENGAGED, "e": "9" * 12}, {**ENGAGED, "e": "9" * 13}, "e: must be a whole number"),
    ("scroll depth", {**ENGAGED, "sd": 1_000_000}, {**ENGAGED, "sd": 1_000_001}, "sd: must be from 0 to 1000000"),
    ("engagement", {**ENGAGED, "sd": 0}, ENGAGED, "e: an engagement needs e (milliseconds) or sd (percent)"),
)


@pytest.mark.parametrize("pair", EVENT_PAIRS, ids=lambda pair: str(pair[0]).replace(" ", "-"))
def test_the_limit_passes_and_one_more_is_400_naming_it(collector: Collector, pair: Pair) -> None:
    _, within, beyond, told = pair
    assert collector.event(within).footfall == "accepted"
    answer = collector.event(beyond)
    assert (answer.status, answer.error) == (400, told)
    assert answer.footfall == f"invalid; field={told.partition(':')[0]}"


def test_a_site_of_253_characters_is_looked_up_and_one_of_254_is_400(collector: Collector) -> None:
    assert collector.event({"d": "a" * 253}).status == 404
    answer = collector.event({"d": "a" * 254})
    assert (answer.status, answer.error) == (400, "d: must have 1 to 253 characters")


def test_an_unknown_site_is_404_and_is_not_repeated(collector: Collector) -> None:
    answer = collector.event({"d": "not-ours.example"})
    assert (answer.status, answer.footfall) == (404, "invalid; field=d")
    assert b"not-ours" not in answer.body


def test_a_body_of_64_kib_passes_and_one_byte_more_is_413(collector: Collector) -> None:
    body = event_body()
    assert collector.ask("POST", "/api/event", body.ljust(65_536), USUAL).footfall == "accepted"
    assert collector.ask("POST", "/api/event", body.ljust(65_537), USUAL).status == 413


def test_a_pixel_query_of_8192_bytes_passes_and_one_byte_more_is_400(collector: Collector) -> None:
    query = "d=example.com&c=1&u=https://example.com/&z="
    assert collector.ask("GET", f"/pixel.gif?{query:a<8192}", None, USUAL).footfall == "accepted"
    assert collector.ask("GET", f"/pixel.gif?{query:a<8193}", None, USUAL).status == 400


def test_a_pixel_query_of_64_fields_passes_and_one_more_is_400(collector: Collector) -> None:
    query = "d=example.com&c=1&u=https://example.com/"
    assert collector.ask("GET", f"/pixel.gif?{query}{'&z=1' * 61}", None, USUAL).footfall == "accepted"
    assert collector.ask("GET", f"/pixel.gif?{query}{'&z=1' * 62}", None, USUAL).status == 400


SERVER_PAIRS: tuple[Pair, ...] = (
    ("address", {"ip": "1" * 64}, {"ip": "1" * 65}, "ip: at most 64 bytes"),
    ("user agent", {"ua": "a" * 2_048}, {"ua": "a" * 2_049}, "ua: at most 2048 bytes"),
    ("language", {"language": "a" * 128}, {"language": "a" * 129}, "language: at most 128 bytes"),
)


@pytest.mark.parametrize("pair", SERVER_PAIRS, ids=lambda pair: str(pair[0]).replace(" ", "-"))
def test_the_limit_of_a_server_side_event_passes_and_one_more_is_told(collector: Collector, pair: Pair) -> None:
    _, within, beyond, told = pair
    usual = {"n": "pageview", "u": "https://example.com/", "c": 1}
    answer = collector.bulk(json.dumps([{**usual, **within}, {**usual, **beyond}]).encode())
    assert answer.status == 202
    counts = json.loads(answer.body)
    assert counts["invalid"] == 1
    assert counts["faults"][0]["index"] == 1
    assert counts["faults"][0]["error"].startswith(told)


def test_a_bulk_of_10000_events_passes_and_one_more_is_400(collector: Collector) -> None:
    event = b'{"n":"pageview","u":"https://example.com/","c":1}'
    answer = collector.bulk(b"\n".join([event] * 10_000))
    assert json.loads(answer.body)["accepted"] == 10_000
    answer = collector.bulk(b"\n".join([event] * 10_001))
    assert (answer.status, answer.error) == (400, "body: at most 10000 events")


def test_an_idempotency_key_of_255_bytes_passes_and_one_more_is_400(collector: Collector) -> None:
    event = b'[{"n":"pageview","u":"https://example.com/","c":1}]'
    assert collector.bulk(event, headers={"Idempotency-Key": "k" * 255}).status == 202
    answer = collector.bulk(event, headers={"Idempotency-Key": "k" * 256})
    assert (answer.status, answer.error) == (400, "Idempotency-Key: must have 1 to 255 bytes")


# --- duplicate keys -------------------------------------------------------------------------------------------------


def test_of_duplicate_keys_no_pair_turns_a_refusal_into_a_grant(collector: Collector) -> None:
    for first, second in (("0", "1"), ("1", "0"), ('"0"', '"1"'), ("false", "true")):
        body = f'{{"n":"pageview","u":"https://example.com/","d":"example.com","c":{first},"c":{second}}}'.encode()
        assert collector.ask("POST", "/api/event", body, USUAL).footfall != "accepted", (first, second)


def test_of_duplicate_fields_of_a_pixel_no_pair_turns_a_refusal_into_a_grant(collector: Collector) -> None:
    for pair in ("c=0&c=1", "c=1&c=0", "c=false&c=1"):
        query = f"d=example.com&u=https://example.com/&{pair}"
        assert collector.ask("GET", f"/pixel.gif?{query}", None, USUAL).footfall != "accepted", pair


def test_the_log_says_nothing_of_what_was_sent(collector: Collector, tmp_path: Path) -> None:
    collector.event({"u": CANARY, "n": CANARY})
    collector.ask("GET", f"/pixel.gif?d={CANARY}")
    assert CANARY not in collector.log.read_text()
    assert "Traceback" not in collector.log.read_text()
