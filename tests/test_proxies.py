"""Behind the proxies of deploy/: events arrive, addresses are the visitors', and nothing of them is logged."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.collector.collecting import FIREFOX, Answer, Collector, asked, event_body, running, until
from tests.proxies import Proxy, is_installed

MARKER = "zqxjkvwpyz"
# Addresses of two visitors. The whole of 127.0.0.0/8 is this machine, so a connection may come from either.
VISITOR, OTHER = "127.83.201.77", "127.84.59.12"


@dataclass(frozen=True)
class Front:
    """A collector behind a proxy."""

    collector: Collector
    proxy: Proxy

    def ask(self, method: str, path: str, body: bytes | None = None, **more: str) -> Answer:
        """One request to the proxy, by default from `VISITOR` with a canary in each header."""
        headers = {
            "User-Agent": f"{FIREFOX} {MARKER}",
            "Cookie": f"session={MARKER}",
            "Referer": f"https://example.com/{MARKER}",
            "X-User-Id": MARKER,
        }
        source = more.pop("source", VISITOR)
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.port, timeout=20, source_address=(source, 0))
        with contextlib.closing(connection):
            named = {name.replace("_", "-"): value for name, value in more.items()}
            return asked(connection, method, path, body, {**headers, **named})

    def event(self, **more: str) -> Answer:
        return self.ask("POST", "/footfall/api/event", event_body({"u": f"https://example.com/?s={MARKER}"}), **more)


@pytest.fixture(params=["nginx", "caddy"])
def front(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Front]:
    kind: str = request.param
    if not is_installed(kind):
        pytest.skip(f"{kind} is not installed")
    settings = 'trusted_proxies = ["127.0.0.1/32"]'
    with running(Collector(tmp_path / "collector", settings=settings)) as collector:
        proxy = Proxy(kind, tmp_path / "proxy", collector.port)
        proxy.start()
        try:
            front = Front(collector, proxy)
            until(lambda: answers(proxy.port), f"{kind} listens: {proxy.written()}")
            yield front
        finally:
            proxy.stop()


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def test_the_beacon_and_its_events_pass_under_a_path_of_the_site(front: Front) -> None:
    beacon = front.ask("GET", "/footfall/beacon.js")
    assert (beacon.status, beacon.headers["content-type"].partition(";")[0]) == (200, "text/javascript")
    assert front.event().footfall == "accepted"
    pixel = front.ask("GET", "/footfall/pixel.gif?d=example.com&c=1&u=https://example.com/")
    assert (pixel.status, pixel.footfall) == (202, "accepted")
    assert len(front.collector.events()) == 2


def test_a_refusal_passes_the_proxy(front: Front) -> None:
    assert front.event(Sec_GPC="1").footfall.startswith("dropped")
    assert front.event(DNT="1").footfall.startswith("dropped")
    assert front.event(Cookie="footfall_optout=1").footfall.startswith("dropped")


def test_the_address_that_counts_is_the_one_that_the_proxy_saw(front: Front) -> None:
    """What the client claims in X-Forwarded-For or Forwarded makes it neither another visitor nor another network."""
    forged = {"X_Forwarded_For": "198.51.100.9", "Forwarded": "for=198.51.100.9"}
    for source, headers in ((VISITOR, {}), (VISITOR, forged), (OTHER, {}), (OTHER, forged)):
        assert front.event(source=source, **headers).footfall == "accepted"
    honest, claiming, *others = ((event["visitor"], event["network"]) for event in front.collector.events())
    assert honest == claiming
    assert others[0] == others[1]
    assert honest[0] != others[0][0]
    assert honest[1] != others[0][1]


def test_no_address_header_or_url_of_a_visitor_is_in_any_file_of_the_proxy_or_of_footfall(front: Front) -> None:
    """Faults too: too large, cut off in the middle, and a collector that is down."""
    assert front.event().footfall == "accepted"
    assert front.ask("POST", "/footfall/api/event", MARKER.encode() * 10_000).status == 413
    assert front.ask("GET", f"/footfall/{MARKER}?{MARKER}").status == 404
    assert front.ask("POST", "/footfall/api/event", f'{{"n": "{MARKER}'.encode()).status == 400
    almost = json.dumps(
        {"n": "pageview", "u": f"https://example.com/?s={MARKER}", "d": "example.com", "c": 1, "z": "y" * 60_000}
    )
    assert front.ask("POST", "/footfall/api/event", almost.encode()).footfall == "accepted"
    assert front.ask(
        "GET", f"/footfall/pixel.gif?u=https://example.com/{MARKER}", Cookie=f"{MARKER}=" + "c" * 9_000
    ).status
    break_off(front)
    hang_up(front)
    front.collector.kill()
    assert front.event().status == 502
    assert front.ask("GET", f"/footfall/pixel.gif?u=https://example.com/{MARKER}").status == 502
    break_off(front)

    collected = {str(file): file.read_bytes() for file in front.collector.folder.rglob("*") if file.is_file()}
    written = {**front.proxy.written(), **collected}
    for name, content in written.items():
        for forbidden in (MARKER, VISITOR, VISITOR.rpartition(".")[0]):
            assert forbidden.encode() not in content, f"{forbidden} is in {name}"
    if front.proxy.kind == "nginx":
        # The control: what is asked of the site itself is logged, so this log would have told.
        assert front.ask("GET", f"/{MARKER}").status == 200
        until(lambda: MARKER.encode() in b"".join(front.proxy.written().values()), "the site's own log is written")


def hang_up(front: Front) -> None:
    """Many requests at once, and a connection that is reset before their answers have come."""
    request = f"GET /footfall/privacy HTTP/1.1\r\nHost: {MARKER}.example\r\nX-User-Id: {MARKER}\r\n\r\n"
    for _ in range(5):
        with socket.create_connection(
            ("127.0.0.1", front.proxy.port), timeout=20, source_address=(VISITOR, 0)
        ) as visitor:
            visitor.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            visitor.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
            visitor.sendall(request.encode() * 200)


def break_off(front: Front) -> None:
    """A request that ends in the middle of its body."""
    with socket.create_connection(("127.0.0.1", front.proxy.port), timeout=20, source_address=(VISITOR, 0)) as broken:
        head = f"POST /footfall/api/event HTTP/1.1\r\nHost: example.com\r\nX-User-Id: {MARKER}\r\n"
        broken.sendall(f"{head}Content-Length: 500\r\n\r\n{MARKER}".encode())
