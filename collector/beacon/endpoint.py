"""Serves the beacon, plain or compressed, or says that the client's copy is still good.

Invariant: the entity tag is that of the bytes sent (RFC 9110, section 8.8.3), so each encoding has its own. A query
string, as in `/beacon.js?v=3`, is of no meaning: the route does not look at it.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from collector.body import Receive
from collector.endpoints import Headers, Scope, Send, headers_of

VERSION = "1"
"""That of the script, `footfall.version` in it; part of the entity tag, for whoever looks at a proxy's log."""

SCRIPT = Path(__file__).with_name("footfall.min.js")
# A day: a fault in the script is mended everywhere within one, and a visitor with many pages asks once.
MAX_AGE_S = 86_400

_HEADERS: Headers = [
    (b"content-type", b"text/javascript; charset=utf-8"),
    (b"cache-control", b"public, max-age=%d" % MAX_AGE_S),
    (b"vary", b"accept-encoding"),
    (b"x-content-type-options", b"nosniff"),
    # For sites that isolate themselves, and for those that pin the script with `integrity`, which needs CORS.
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"access-control-allow-origin", b"*"),
]


@dataclass(frozen=True, slots=True)
class Representation:
    """The script in one encoding; `tag` with its quotes."""

    body: bytes
    tag: bytes
    headers: Headers


class BeaconEndpoint:
    """GET and HEAD /beacon.js."""

    def __init__(self) -> None:
        """Reads the script; raises `OSError` where the installation lacks it."""
        script = SCRIPT.read_bytes()
        self._plain = _representation(script, [])
        # mtime=0: the same bytes, and so the same tag, in every worker.
        self._compressed = _representation(gzip.compress(script, 9, mtime=0), [(b"content-encoding", b"gzip")])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = headers_of(scope)
        chosen = self._compressed if _takes_gzip(headers) else self._plain
        status = 304 if _has(headers, chosen.tag) else 200
        length = [(b"content-length", str(len(chosen.body)).encode())] if status == 200 else []
        await send({"type": "http.response.start", "status": status, "headers": [*chosen.headers, *length]})
        has_body = status == 200 and scope["method"] != "HEAD"
        await send({"type": "http.response.body", "body": chosen.body if has_body else b""})


def _representation(body: bytes, encoding: Headers) -> Representation:
    tag = f'"{VERSION}-{hashlib.sha256(body).hexdigest()[:16]}"'.encode()
    return Representation(body, tag, [(b"etag", tag), *_HEADERS, *encoding])


# A weight of nothing, in any of the spellings of RFC 9110 section 12.4.2, refuses.
_GZIP = re.compile(rb"(?:^|,)\s*(?:x-)?gzip\s*(?:,|$|;\s*q\s*=\s*(?!0(?:\.0*)?\s*(?:,|$)))", re.IGNORECASE).search


def _takes_gzip(headers: Mapping[bytes, bytes]) -> bool:
    return _GZIP(headers.get(b"accept-encoding", b"")) is not None


def _has(headers: Mapping[bytes, bytes], tag: bytes) -> bool:
    """Whether If-None-Match names `tag`, by the weak comparison that RFC 9110 section 13.1.2 asks for."""
    known = [name.strip().removeprefix(b"W/") for name in headers.get(b"if-none-match", b"").split(b",")]
    return tag in known or known == [b"*"]
