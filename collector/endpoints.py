"""The endpoints for one event, written as plain ASGI because each event has microseconds.

An answer is sent after the commit that counts its request, so a 202 means: on disk, synced, counted.
Accepted and dropped are both 202, told apart by the header `Footfall`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import orjson

from collector.body import Bodies, Receive, Refused
from collector.calendar import local_day
from collector.clock import Clock
from collector.committer import BusyError, Committer
from collector.group import Counted, Outcome
from collector.hit import BadRequest, Hit, event_fields, hit_of, pixel_fields
from collector.pipeline import Dropped, Parts, event_of
from collector.settings import Settings
from collector.spool_fault import SpoolError

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

# The 1x1 transparent GIF89a, 43 bytes (https://www.w3.org/Graphics/GIF/spec-gif89a.txt).
GIF = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")
RETRY_AFTER_S = b"5"
TEXT = (b"content-type", b"text/plain; charset=utf-8")
JSON = (b"content-type", b"application/json")
PIXEL: Headers = [
    (b"content-type", b"image/gif"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"cross-origin"),
]
WITH_ORIGIN: Headers = [
    (b"access-control-allow-credentials", b"true"),
    (b"access-control-expose-headers", b"footfall"),
    (b"vary", b"origin"),
]
PREFLIGHT: Headers = [
    (b"access-control-allow-methods", b"POST, OPTIONS"),
    (b"access-control-allow-headers", b"content-type"),
    (b"access-control-max-age", b"86400"),
    (b"allow", b"POST, OPTIONS"),
]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request is told: a status, the value of the `Footfall` header, a sentence for a person."""

    status: int
    footfall: bytes
    sentence: str = ""


ACCEPTED = Answer(202, b"accepted")
UNKNOWN_SITE = Answer(404, b"invalid; field=d", "d: is not a site of this collector")
UNAVAILABLE = Answer(503, b"unavailable", "cannot store durably now; send it again later")
BUSY = Answer(503, b"unavailable; reason=busy", "too many requests are waiting to be stored; send it again later")


# What an accepted event is told, but for the headers that depend on its page.
TOLD_ACCEPTED: Headers = [(b"footfall", ACCEPTED.footfall), TEXT, (b"content-length", b"2")]
BODY_OK: MutableMapping[str, Any] = {"type": "http.response.body", "body": b"ok"}


@dataclass(frozen=True)
class Collecting:
    """What the endpoints share within one worker."""

    settings: Settings
    parts: Parts
    committer: Committer
    bodies: Bodies
    clock: Clock

    async def take(self, hit: Hit) -> Answer:
        """Decides on one hit and returns once that is durable; raises `BadRequest` and `SpoolError`."""
        answer = self.decide(hit)
        await self.committer.committed()
        return answer

    def decide(self, hit: Hit) -> Answer:
        """Puts what becomes of one hit into the group that is gathering; the answer is for after its commit."""
        site = self.settings.sites.get(hit.site)
        if site is None:
            self.count("", "UTC", hit.at, "invalid", "unknown_site")
            return UNKNOWN_SITE
        try:
            event = event_of(hit, site, self.parts)
        except BadRequest:
            self.parts.arrivals.note(site, hit.at, "invalid", "")
            raise
        if isinstance(event, Dropped):
            self.parts.arrivals.note(site, hit.at, "dropped", event.reason)
            counted = Counted(self.parts.zones.day(site, hit.at).date_iso, site.domain, "dropped", event.reason)
            self.committer.group().count(counted)
            return Answer(202, b"dropped; reason=" + event.reason.encode())
        group = self.committer.group()
        day = self.parts.zones.day(site, hit.at)
        group.add(day.day, event.timezone, event.line())
        group.count(Counted(day.date_iso, site.domain, "accepted", ""))
        self.parts.arrivals.note(site, hit.at, "accepted", "")
        return ACCEPTED

    def count(self, site: str, timezone: str, at: float, outcome: Outcome, reason: str) -> None:
        """Counts a request that leaves no event in the group that is gathering."""
        self.committer.group().count(Counted(local_day(at, timezone).iso, site, outcome, reason))

    async def refuse(self, status: int, field: str, sentence: str) -> Answer:
        """Counts a malformed request under the field at fault."""
        known = field if field.isascii() and len(field) <= 24 else "body"
        self.count("", "UTC", self.clock.wall(), "invalid", known)
        await self.committer.committed()
        return Answer(status, b"invalid; field=" + known.encode(), sentence)


class EventEndpoint:
    """POST /api/event: one event as JSON, whatever Content-Type it says."""

    def __init__(self, collecting: Collecting) -> None:
        self._collecting = collecting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One coroutine from the body to the answer: each call between the two waits costs on both of them."""
        collecting, headers = self._collecting, headers_of(scope)
        if scope["method"] != "POST":
            is_preflight = scope["method"] == "OPTIONS"
            await respond(send, 204 if is_preflight else 405, [*cors(headers), *PREFLIGHT], b"")
            return
        try:
            body = await collecting.bodies.read(receive, headers, collecting.settings.collector.max_body_bytes)
            collecting.committer.admit()  # Before anything is parsed. A body left unread would cost the connection.
            at = collecting.clock.wall()
            hit = hit_of(event_fields(body), at=at, address=peer_of(scope), headers=headers)
            answer = collecting.decide(hit)
            await collecting.committer.committed()
        except (Refused, BadRequest, SpoolError) as fault:
            answer = await fault_answer(collecting, fault)
        if answer is ACCEPTED:
            await send({"type": "http.response.start", "status": 202, "headers": [*TOLD_ACCEPTED, *cors(headers)]})
            await send(BODY_OK)
        else:
            await tell(send, answer, cors(headers))


class PixelEndpoint:
    """GET /pixel.gif: the same fields in the query string; the answer is always an image, the header says the rest."""

    def __init__(self, collecting: Collecting) -> None:
        self._collecting = collecting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        collecting, headers = self._collecting, headers_of(scope)
        try:
            collecting.committer.admit()
            fields = pixel_fields(scope["query_string"], headers.get(b"referer"))
            at = collecting.clock.wall()
            answer = await collecting.take(hit_of(fields, at=at, address=peer_of(scope), headers=headers))
        except (BadRequest, SpoolError) as fault:
            answer = await fault_answer(collecting, fault)
        await respond(send, answer.status, [*_footfall(answer), *PIXEL], GIF)


async def fault_answer(collecting: Collecting, fault: Refused | BadRequest | SpoolError) -> Answer:
    """The answer to a request that was not taken, counted where the spool still can."""
    if isinstance(fault, BusyError):
        return BUSY
    try:
        if isinstance(fault, BadRequest):
            return await collecting.refuse(400, fault.field, str(fault))
        if isinstance(fault, Refused):
            return await collecting.refuse(fault.status, "body", fault.sentence)
    except SpoolError:
        return UNAVAILABLE
    return UNAVAILABLE


def headers_of(scope: Scope) -> Mapping[bytes, bytes]:
    """The headers by lower-case name; repeated ones are joined, so that no refusal hides behind a second header."""
    given = scope["headers"]
    headers = dict(given)
    if len(headers) != len(given):
        for name in headers:
            joint = b"; " if name == b"cookie" else b", "
            headers[name] = joint.join(value for other, value in given if other == name)
    return headers


def peer_of(scope: Scope) -> str | None:
    client = scope.get("client")
    return None if client is None else client[0]


def cors(headers: Mapping[bytes, bytes]) -> Headers:
    """Any page may send and read the answer, which holds no secret; with cookies, for the opt-out must reach us."""
    origin = headers.get(b"origin")
    return [] if origin is None else [(b"access-control-allow-origin", origin), *WITH_ORIGIN]


async def respond(send: Send, status: int, headers: Headers, body: bytes) -> None:
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _footfall(answer: Answer) -> Headers:
    headers = [(b"footfall", answer.footfall)]
    if answer.status == UNAVAILABLE.status:
        headers.append((b"retry-after", RETRY_AFTER_S))
    elif answer.footfall.startswith(b"dropped"):
        headers.append((b"x-plausible-dropped", b"1"))
    return headers


async def tell(send: Send, answer: Answer, extra: Headers) -> None:
    if answer.sentence:
        body, kind = orjson.dumps({"error": answer.sentence}), JSON
    else:
        body, kind = b"ok", TEXT
    await respond(send, answer.status, [*_footfall(answer), kind, *extra], body)


class HealthEndpoint:
    """GET /healthz: the process answers. GET /readyz: it can store durably."""

    def __init__(self, committer: Committer, *, readiness: bool) -> None:
        self._committer = committer
        self._readiness = readiness

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault = self._committer.fault if self._readiness else None
        if fault is None:
            await respond(send, 200, [TEXT], b"ok")
        else:
            await respond(send, 503, [TEXT, (b"retry-after", RETRY_AFTER_S)], f"not ready: {fault}".encode())
