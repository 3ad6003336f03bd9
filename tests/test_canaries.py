"""Nothing that points at a person is in any byte that Footfall writes (P1), faults included.

A whole installation gets thousands of hits with a marker in every field and header that must not be
kept. Then every byte of every file is searched (data folder, spool, store, logs, temporary folders),
in all spellings, and every row of every table, decompressed. The keys' folder is left out: it is memory.

What may be kept carries another marker, which the same search has to find.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import ipaddress
import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from aggregator.store import Store
from tests.collector.collecting import FIREFOX, asked, environment, sha256, until
from tests.installation import INGEST_TOKEN, Installation

FORBIDDEN = "zqxjkvwpyz"
ALLOWED = "yhbgtfcrdx"
HITS = 3_000
# All IPv4 canaries lie in one /16, so that integer forms are found by two of their bytes.
NETWORK = ipaddress.IPv4Network("24.113.0.0/16")
NETWORK_V6 = ipaddress.IPv6Network("2a00:79e1:abc0::/44")
SPOOL_MAX_BYTES = 1 << 20


@dataclass
class Planted:
    """The canaries of one run: text by a shared marker and a number, addresses sent and as many never sent."""

    numbers: Iterator[int] = field(default_factory=itertools.count)
    sent: list[ipaddress.IPv4Address] = field(default_factory=list)
    never_sent: list[ipaddress.IPv4Address] = field(default_factory=list)
    sent_v6: list[ipaddress.IPv6Address] = field(default_factory=list)

    @classmethod
    def make(cls) -> Planted:
        chosen = random.sample(range(256, 2**16), 2 * HITS)
        addresses = [NETWORK[number] for number in chosen]
        return cls(sent=addresses[:HITS], never_sent=addresses[HITS:])

    def text(self) -> str:
        """A canary of letters alone, which no rule about numbers or tokens hides."""
        number = next(self.numbers)
        return FORBIDDEN + "".join(chr(ord("a") + digit) for digit in number.to_bytes(4) if digit < 26)

    def token(self) -> str:
        """A canary that looks like a session id: the marker in hex and a random rest."""
        return FORBIDDEN.encode().hex() + random.randbytes(8).hex()

    def mail(self) -> str:
        return f"{self.text()}@example.net"

    def address(self, number: int) -> str:
        """One of the IPv4 canaries, in one of the forms that it has on the way; or an IPv6 one."""
        v4 = self.sent[number]
        if number % 5 == 4:
            self.sent_v6.append(NETWORK_V6[random.getrandbits(80)])
            return str(self.sent_v6[-1])
        packed = v4.packed
        forms = (str(v4), f"{v4}:4711", f"::ffff:{v4}", str(ipaddress.IPv6Address(b"\x20\x02" + packed + bytes(10))))
        return forms[number % 5]


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """`footfall serve` with small spools, a proxy to name clients, and a temporary folder of its own."""
    installation = Installation(tmp_path / "installation", grace_minutes=0, workers=1)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    installation.folder.mkdir()
    config = installation.folder / "footfall.toml"
    config.write_text(
        f'[collector]\nlisten = "127.0.0.1:{installation.port}"\ntrusted_proxies = ["127.0.0.1/32"]\n'
        f"workers = 1\nspool_max_bytes = {SPOOL_MAX_BYTES}\n"
        f'[dashboards]\nlisten = "127.0.0.1:{installation.dashboards_port}"\n'
        f'[privacy]\nk = 3\ngrace_minutes = 0\nkey_dir = "{installation.keys}"\n'
        f'[[site]]\ndomain = "example.com"\nallowed_parameters = ["tab"]\n'
        f'properties = ["plan", "order", "client", "0", "1", "2", "3", "4", "5", "6"]\n'
        f'[[site.ingest_tokens]]\nname = "server"\nsha256 = "{sha256(INGEST_TOKEN)}"\ntrusted_addresses = true\n'
        f'[[site]]\ndomain = "versioned.example"\npolicy_version = "2026-05"\n'
    )
    with installation.log.open("ab") as log:
        installation.process = subprocess.Popen(
            [sys.executable, "-m", "footfall", "serve", "--config", str(config), "--data", str(installation.data)],
            cwd=installation.folder,
            stdout=log,
            stderr=log,
            env={**environment(), "TMPDIR": str(temporary)},
        )
    try:
        installation.wait_until_ready()
        yield installation
    finally:
        installation.remove()


# --- planting -------------------------------------------------------------------------------------------------------


def hit(planted: Planted, number: int) -> tuple[dict[str, object], dict[str, str]]:
    """An honest page view with a canary wherever one must not be kept, and an allowed one in its parameter."""
    text, token = planted.text, planted.token
    url = (
        f"https://{text()}:{text()}@example.com:8443/area/{number % 7};jsessionid={text()}/{token()}/{planted.mail()}"
        f"?secret={text()}&tab={ALLOWED}&gclid={text()}&email={planted.mail()}&utm_source={token()}"
        f"&utm_campaign={planted.mail()}#{text()}"
    )
    fields: dict[str, object] = {
        "n": "pageview" if number % 2 else f"signup {planted.mail()} {token()}",
        "u": url,
        "d": "example.com",
        "r": f"https://{text()}:{text()}@www.google.com/{text()}?q={text()}#{text()}",
        "w": 1_200,
        "p": {"plan": planted.mail(), "order": token(), "client": planted.address(number)},
        "c": 1,
        "user_id": text(),
        text(): text(),
        "extra": {"deep": [text(), {"deeper": text()}]},
    }
    headers = {
        "User-Agent": f"{FIREFOX} {text()}",
        "X-Forwarded-For": planted.address(number),
        "Cookie": f"session={text()}; {text()}=1",
        "Authorization": f"Bearer {text()}",
        "Referer": f"https://example.com/{text()}?{text()}#{text()}",
        "Origin": f"https://{text()}.example",
        "X-User-Id": text(),
        "X-Real-IP": planted.address(number),
        "Forwarded": f"for={planted.address(number)}",
        "Accept-Language": f"en-x-{text()[:8]}, de;q={text()}",
        "Sec-CH-UA": f'"{text()}";v="9", "Chromium";v="128"' if number % 3 else f'"{text()}";v="{text()}"',
        "Sec-CH-UA-Model": f'"{text()}"',
        "Sec-CH-UA-Platform": '"Linux"' if number % 3 else f'"{text()}"',
        "Sec-CH-UA-Platform-Version": f'"{text()}"',
        "Sec-CH-UA-Full-Version-List": f'"{text()}";v="9.{text()}"',
        "If-None-Match": f'"{text()}"',
        "traceparent": f"00-{token()}-01",
    }
    return fields, headers


def plant_hits(installation: Installation, planted: Planted) -> None:
    with installation_connection(installation) as connection:
        for number in range(HITS):
            fields, headers = hit(planted, number)
            answer = asked(connection, "POST", "/api/event", json.dumps(fields).encode(), headers)
            assert answer.footfall == "accepted", answer
            assert FORBIDDEN.encode() not in answer.body


def plant_faults(installation: Installation, planted: Planted) -> None:
    """Requests that are dropped, refused, unknown, malformed or forged, each with canaries in it."""
    text = planted.text
    event = {"n": "pageview", "u": "https://example.com/", "d": "example.com", "c": 1}
    agent = {"User-Agent": f"{FIREFOX} {text()}", "X-Forwarded-For": planted.address(1)}
    refusals: tuple[object, ...] = (0, None, text(), {})
    bodies: list[object] = [
        *({**event, "c": refusal, "u": f"https://example.com/{text()}", "n": text()} for refusal in refusals),
        {**event, "d": f"{text()}.example"},
        {**event, "d": "versioned.example", "v": text()},
        {**event, "n": {text(): text()}},
        {**event, "u": [text()]},
        {**event, "u": f"{text()}:{text()}"},
        {**event, "u": f"https://example.com/{text() * 300}"},
        {**event, "p": {text() * 10: text()}},
        {**event, "p": text()},
        {**event, "w": text()},
        {**event, "v": [text()]},
        {"n": text()},
        [text()],
        text(),
    ]
    raw = [json.dumps(body).encode() for body in bodies]
    raw += [f'{{"n":"{text()}'.encode(), text().encode(), f"{text()} \xff".encode("latin-1"), text().encode() * 10_000]
    with installation_connection(installation) as connection:
        for body in raw:
            answer = asked(connection, "POST", "/api/event", body, agent)
            assert answer.footfall != "accepted"
            assert FORBIDDEN.encode() not in answer.body
            connection.close()
        for agent_text in (f"Googlebot/2.1 {text()}", f"${{jndi:{text()}}}", f"{text()} " * 200):
            asked(connection, "POST", "/api/event", json.dumps(event).encode(), {**agent, "User-Agent": agent_text})
        for path in (f"/{text()}", f"/pixel.gif?{text()}={text()}", f"/pixel.gif?d={text()}", f"/api/event/{text()}"):
            asked(connection, "GET", path, None, agent)
        asked(
            connection, "GET", f"/pixel.gif?d=example.com&c=1&u=https://example.com/?s={text()}&q={text()}", None, agent
        )
        asked(connection, text().upper(), "/api/event", None, agent)


def plant_bulk(installation: Installation, planted: Planted, at: float) -> int:
    """Server-side events of a past day, so that a day is sealed, and forged requests; returns the accepted ones."""
    text = planted.text
    events = [
        {
            "n": "pageview",
            "u": f"https://example.com/past?secret={text()}&tab={ALLOWED}#{text()}",
            "c": 1,
            "ip": str(planted.sent[number]),
            "ua": f"{FIREFOX} {text()}",
            "time": at,
            "user_id": text(),
        }
        for number in range(200)
    ]
    faulty = [{"n": text(), "w": text()}, {"u": text()}, text(), {"n": text(), "u": text(), "time": text()}]
    body = json.dumps([*events, *faulty]).encode()
    with installation_connection(installation) as connection:
        for authorization in (f"Bearer {text()}", text(), f"Basic {text()}"):
            assert asked(connection, "POST", "/api/events", body, {"Authorization": authorization}).status == 401
            connection.close()
        headers = {"Authorization": f"Bearer {INGEST_TOKEN}", "Idempotency-Key": text()}
        answer = asked(connection, "POST", "/api/events", body, headers)
        assert FORBIDDEN.encode() not in answer.body
        assert asked(connection, "POST", "/api/events", body, headers).body == answer.body
        accepted: int = json.loads(answer.body)["accepted"]
        return accepted


def plant_questions(installation: Installation, planted: Planted) -> None:
    """Questions to the internal side with forged tokens and nonsense in them."""
    text = planted.text
    with installation_connection(installation, installation.dashboards_port) as connection:
        for path in (f"/api/stats?site={text()}", f"/{text()}", f"/api/stats?site=example.com&{text()}={text()}"):
            headers = {"Authorization": f"Bearer {text()}", "Cookie": f"a={text()}", "User-Agent": text()}
            assert asked(connection, "GET", path, None, headers).status in {400, 401, 403, 404}


def fill_spool(installation: Installation, planted: Planted) -> None:
    """Until the collector answers 503; what is refused carries canaries too."""
    ballast = {str(number): "茶" * 510 for number in range(7)}
    with installation_connection(installation) as connection:
        for number in range(200):
            fields, headers = hit(planted, number)
            fields["p"] = {**ballast, "plan": planted.mail()}
            if asked(connection, "POST", "/api/event", json.dumps(fields).encode(), headers).status == 503:
                return
    pytest.fail("the spool never said that it is full")


@contextlib.contextmanager
def installation_connection(
    installation: Installation, port: int | None = None
) -> Iterator[http.client.HTTPConnection]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port or installation.port, timeout=30)) as opened:
        yield opened


# --- searching ------------------------------------------------------------------------------------------------------


def spellings(marker: str) -> list[bytes]:
    """`marker` in lower case as text, hex, base64 (each of its three phases), percent-encoded and in UTF-16."""
    raw = marker.encode()
    percent = "".join(f"%{byte:02x}" for byte in raw).encode()
    phases = [in_base64(text, phase).lower() for text in (raw, raw.upper()) for phase in range(3)]
    return [raw, raw.hex().encode(), percent, marker.encode("utf-16-le"), *phases]


def in_base64(text: bytes, phase: int) -> bytes:
    """The characters of `text` in base64 when `phase` bytes stand before it, without those that neighbours decide."""
    encoded = base64.b64encode(bytes(phase) + text)
    first, last = -(-8 * phase // 6), 8 * (phase + len(text)) // 6
    return encoded[first:last]


def found_spellings(content: bytes, marker: str) -> list[bytes]:
    lower = content.lower()
    return [spelling for spelling in spellings(marker) if spelling in lower]


@dataclass
class Search:
    """What is written, at one moment: files by path, and tables by name, decompressed."""

    contents: dict[str, bytes] = field(default_factory=dict)

    def take_files(self, folder: Path) -> None:
        """Every file below `folder`, and the names of all; the store merges its parts as we look."""
        names: list[bytes] = []
        for inner, _, files in os.walk(folder):
            for path in (Path(inner) / file for file in files):
                names.append(os.fsencode(path))
                with contextlib.suppress(FileNotFoundError):
                    self.contents[str(path)] = path.read_bytes()
        self.contents["names"] = b"\n".join(names)

    def take_tables(self, store: Store) -> None:
        tables = store.query(
            "SELECT database, name FROM system.tables"
            " WHERE database = currentDatabase() OR (database = 'system' AND name LIKE '%\\_log')"
        )
        for database, name in tables:
            rows = store.query(f"SELECT toJSONString(tuple(*)) FROM {database}.{name}")
            self.contents[f"table {database}.{name}"] = "\n".join(str(row) for (row,) in rows).encode()

    def found(self, marker: str) -> dict[str, list[bytes]]:
        """Where `marker` is, in which spellings."""
        return {name: hits for name, content in self.contents.items() if (hits := found_spellings(content, marker))}

    def written_addresses(self, addresses: Iterable[ipaddress.IPv4Address]) -> list[tuple[str, bytes]]:
        """Places that spell one of `addresses`, whole or cut to its /24, in dots, dashes or colons."""
        wanted = {b".".join(str(octet).encode() for octet in address.packed[:3]) for address in addresses}
        parts = re.compile(rb"(?<![\d.])(24[.-]113[.-]\d{1,3})(?=[.-]\d)")
        return [
            (name, found)
            for name, content in self.contents.items()
            for found in parts.findall(content)
            if found.replace(b"-", b".") in wanted
        ]

    def integer_addresses(self, addresses: Iterable[ipaddress.IPv4Address]) -> int:
        """How often one of `addresses` stands as four bytes, in either order, or as a decimal or hexadecimal number."""
        packed = {address.packed for address in addresses}
        decimal = {str(int(address)).encode() for address in addresses}
        text = {address.packed.hex().encode() for address in addresses}
        prefix = NETWORK.network_address.packed[:2]
        found = 0
        for content in self.contents.values():
            found += sum(
                content[at.start() : at.start() + 4] in packed for at in re.finditer(re.escape(prefix), content)
            )
            backwards = re.finditer(re.escape(prefix[::-1]), content)
            found += sum(content[at.start() - 2 : at.end()][::-1] in packed for at in backwards if at.start() >= 2)
            found += sum(number in decimal for number in re.findall(rb"(?<!\d)41\d{7}(?!\d)", content))
            found += sum(number in text for number in re.findall(rb"(?<![0-9a-f])1871[0-9a-f]{4}(?![0-9a-f])", content))
        return found

    def written_v6(self, addresses: Iterable[ipaddress.IPv6Address]) -> list[tuple[str, bytes]]:
        """Places with the /48 of one of `addresses`, as text or as six bytes."""
        forms: set[bytes] = set()
        for address in addresses:
            cut = address.packed[:6]
            forms |= {cut, cut.hex().encode(), b":".join(cut[at : at + 2].hex().encode() for at in (0, 2, 4))}
        return [(name, form) for name, content in self.contents.items() for form in forms if form in content.lower()]


def check(search: Search, planted: Planted, moment: str) -> None:
    """No canary in any spelling; integer forms of addresses no more often than by chance."""
    assert search.found(FORBIDDEN) == {}, moment
    assert search.written_addresses(planted.sent) == [], moment
    assert search.written_v6(planted.sent_v6) == [], moment
    assert not [name for name, content in search.contents.items() if INGEST_TOKEN.encode() in content], moment
    sent, never_sent = (search.integer_addresses(group) for group in (planted.sent, planted.never_sent))
    size = sum(map(len, search.contents.values()))
    print(f"{moment}: {len(search.contents)} files and tables, {size / 2**20:.1f} MiB;", end=" ")
    print(f"integer forms of addresses: {sent} of those sent, {never_sent} of as many never sent")
    # Chance is Poisson: three standard deviations of the difference, and one where both are near 0.
    assert sent - never_sent <= 3 * (sent + never_sent) ** 0.5 + 1, moment


# --- the test -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["text", "upper", "hex", "percent", "base64", "base64 +1", "base64 +2", "utf-16"])
def test_the_search_finds_each_spelling(spelling: str) -> None:
    value = f"a{FORBIDDEN}b".encode()
    spelt = {
        "text": value,
        "upper": value.upper(),
        "hex": value.hex().upper().encode(),
        "percent": "".join(f"%{byte:02X}" for byte in value).encode(),
        "base64": base64.b64encode(value),
        "base64 +1": base64.b64encode(b"x" + value),
        "base64 +2": base64.b64encode(b"xy" + value),
        "utf-16": value.decode().encode("utf-16-le"),
    }
    assert found_spellings(b"before " + spelt[spelling] + b" after", FORBIDDEN)
    assert not found_spellings(base64.b64encode(random.randbytes(50_000)), FORBIDDEN)


def test_no_canary_is_in_any_byte_written_while_faults_are_provoked(installation: Installation, tmp_path: Path) -> None:
    planted = Planted.make()
    yesterday = time.time() - 86_400 * 3
    plant_hits(installation, planted)
    plant_faults(installation, planted)
    plant_questions(installation, planted)
    assert installation.kill("store")
    plant_faults(installation, planted)
    installation.wait_until_ready()
    store = installation.store()

    (drain,) = installation.parts()["drain"]
    os.kill(drain, signal.SIGSTOP)
    fill_spool(installation, planted)
    search = Search()
    search.take_files(tmp_path)
    check(search, planted, "spool full")
    in_the_spool = [name for name in search.found(ALLOWED) if "spool" in name]
    assert in_the_spool, "the search does not find what is there"
    os.kill(drain, signal.SIGCONT)

    until(lambda: installation.ledger(store).waiting == 0, "everything is drained")
    accepted = plant_bulk(installation, planted, yesterday)
    until(lambda: installation.ledger(store).open > HITS, "the events are in the open day")
    search = Search()
    search.take_files(tmp_path)
    search.take_tables(store)
    check(search, planted, "open day")
    assert "table default.open_events" in search.found(ALLOWED) or any(
        "open_events" in name for name in search.found(ALLOWED)
    )

    until(lambda: installation.ledger(store).sealed == accepted, "the past day is sealed", 60)
    search = Search()
    search.take_files(tmp_path)
    search.take_tables(store)
    check(search, planted, "sealed")
    assert any("breakdown" in name for name in search.found(ALLOWED))

    store.close()
    installation.stop()
    search = Search()
    search.take_files(tmp_path)
    check(search, planted, "stopped")
