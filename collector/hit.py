"""A hit: one raw request as received, parsed within bounds. It lives in memory only and is never logged.

Every bound is here. A body that breaks one raises `BadRequest`, which names the field and the limit
and never the value. The fields are those of Plausible's Events API (short names win over long ones)
plus `c` (consent) and `v` (policy version), so that its clients need only another address, and:

- `b`, breakage, in words of fixed lists, so that neither an error's message nor a measured time has room in it:
  `"n": "error", "b": "TypeError"` is a script error by its name (`ERRORS`; else it is kept as "other"), or "resource",
  something that did not load; `"n": "vitals", "b": {"lcp": "good"}` is how fast the page was, by the web vitals
  (`VITALS`) in their classes (`RATINGS`). Together with `"n": "404"`, a missing page, these are the kind `error`: they
  count neither as views nor as events and open no visit; of `p` nothing is kept. Without `b` an event called error is
  like any other.
- `x`, the variants of experiments that the page shows: `EXPERIMENT/VARIANT`, several with commas between. A property
  called like an experiment says the same, for trackers that have no other way.
- `l`, loyalty, with a first view of a day: one of `LOYALTIES`, by what the device itself remembers (`loyalty`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

import orjson

from collector.loyalty import LOYALTIES

MAX_NAME_CHARS = 120
MAX_URL_BYTES = 2_048
MAX_DOMAIN_CHARS = 253  # RFC 1035
MAX_PROPERTIES = 30
MAX_PROPERTY_NAME_CHARS = 64
MAX_PROPERTY_VALUE_CHARS = 512
MAX_VARIANT_CHARS = 1_024
MAX_WIDTH_PX = 100_000
MAX_ENGAGED_MS = 30 * 86_400_000
MAX_POLICY_VERSION_CHARS = 64
MAX_ADDRESS_CHARS = 64
MAX_USER_AGENT_CHARS = 2_048
MAX_BULK_EVENTS = 10_000

MISSING_PAGE = "404"
RESOURCE = "resource"
OTHER_ERROR = "other"
ERRORS = frozenset(
    (
        # ECMAScript's own, those of the DOM that scripts meet (Web IDL, section 2.8.1), and of a page's loader.
        *("Error", "AggregateError", "EvalError", "InternalError", "RangeError", "ReferenceError", "SyntaxError"),
        *("TypeError", "URIError", "AbortError", "DataCloneError", "InvalidStateError", "NetworkError"),
        *("NotAllowedError", "NotFoundError", "NotSupportedError", "QuotaExceededError", "SecurityError"),
        *("TimeoutError", "ChunkLoadError", RESOURCE, OTHER_ERROR),
    )
)
VITALS = ("lcp", "inp", "cls", "ttfb")
RATINGS = ("good", "needs-improvement", "poor")
# Server-side events may be up to so old (design.md section 7); a clock may be ahead by the second figure.
MAX_EVENT_AGE_S = 400 * 86_400.0
MAX_CLOCK_AHEAD_S = 60.0


class BadRequest(Exception):
    """A malformed request; the message names the field and the limit, never the value."""

    def __init__(self, field: str, limit: str) -> None:
        super().__init__(f"{field}: {limit}")
        self.field = field
        self.limit = limit


@dataclass(frozen=True, slots=True)
class Breakage:
    """What went wrong on a page: "404", one of `ERRORS`, or "vitals" with the class of each vital that was told."""

    name: str
    ratings: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Hit:
    """A request as received. `address` and `user_agent` are None where a server-side event has neither."""

    at: float
    address: str | None
    user_agent: str | None
    headers: Mapping[bytes, bytes]
    name: str
    url: str
    site: str
    referrer: str
    width: int | None
    properties: dict[str, str]
    consent: object
    policy_version: str | None
    engaged_ms: int
    scroll: int
    breakage: Breakage | None = None
    loyalty: str = ""
    variant: str = ""
    # Whether the address was asserted by a token holder who may do so for counting networks.
    asserted: bool = False
    trusted_address: bool = True


def parsed_json(body: bytes) -> object:
    """The JSON value of a body, whatever its Content-Type says: sendBeacon sends text/plain."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest("body", f"must be JSON in UTF-8 (fault near byte {error.pos})") from None


def event_fields(body: bytes) -> object:
    """The fields of one event. A body that says `c` twice has said no: a refusal anywhere wins."""
    fields = parsed_json(body)
    if body.count(b'"c"') > 1 and isinstance(fields, dict) and _says_consent_twice(body):
        fields["c"] = 0
    return fields


def _says_consent_twice(body: bytes) -> bool:
    try:
        pairs = json.loads(body, object_pairs_hook=list)
    except RecursionError:  # Deeper than any event of ours: what cannot be read is no consent.
        return True
    return [name for name, _ in pairs].count("c") > 1


def hit_of(fields: object, *, at: float, address: str | None, headers: Mapping[bytes, bytes]) -> Hit:
    """A hit from the fields of one event; raises `BadRequest`."""
    if not isinstance(fields, dict):
        raise BadRequest("body", "must be a JSON object")
    url = _text(fields, "u", "url", MAX_URL_BYTES, required=True)
    agent = headers.get(b"user-agent")
    name = _name(fields)
    engaged_ms, scroll = _engagement(fields) if name == "engagement" else (0, 0)
    # By position, in the order of the fields: names would cost 0.5 us.
    return Hit(
        round(at, 3),  # As it is stored: an instant that rounds into the next day belongs there.
        address,
        None if agent is None else agent.decode("latin-1"),
        headers,
        name,
        url,
        _site(fields, url),
        _text(fields, "r", "referrer", MAX_URL_BYTES),
        _integer(fields, "w", "screen_width", MAX_WIDTH_PX),
        _properties(fields),
        fields.get("c"),
        _policy_version(fields),
        engaged_ms,
        scroll,
        _breakage(fields, name) if name in BREAKAGES else None,
        _loyalty(fields) if "l" in fields else "",
        _text(fields, "x", "x", MAX_VARIANT_CHARS) if "x" in fields else "",
    )


def site_field(fields: object) -> str:
    """The site alone, from the field `d`; raises `BadRequest`."""
    if not isinstance(fields, dict):
        raise BadRequest("body", "must be a JSON object")
    return _site(fields, "")


def pixel_fields(query: bytes, referer: bytes | None) -> dict[str, object]:
    """The same fields from a pixel's query string; without `u` the page is the one that embeds the pixel."""
    if len(query) > 4 * MAX_URL_BYTES:
        raise BadRequest("query string", f"at most {4 * MAX_URL_BYTES} bytes")
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=64)
    except (UnicodeDecodeError, ValueError):
        raise BadRequest("query string", "must be at most 64 percent-encoded UTF-8 fields") from None
    fields: dict[str, object] = dict(pairs)
    if [name for name, _ in pairs].count("c") > 1:
        fields["c"] = 0
    fields.setdefault("n", "pageview")
    for number in ("w", "e", "sd", "screen_width"):
        if number in fields:
            fields[number] = _digits(str(fields[number]), number)
    if "u" not in fields and "url" not in fields and referer is not None:
        fields["u"] = referer.decode("latin-1")
    return fields


def server_hit_of(fields: object, *, now: float, trusted_address: bool) -> Hit:
    """A hit that a site's own server or app reports, with the visitor's `ip`, `ua` and `time` where it has them."""
    if not isinstance(fields, dict):
        raise BadRequest("event", "must be a JSON object")
    address = _text(fields, "ip", "ip", MAX_ADDRESS_CHARS) or None
    agent = _text(fields, "ua", "user_agent", MAX_USER_AGENT_CHARS) or None
    headers = {b"accept-language": _text(fields, "language", "language", 128).encode("utf-8", "replace")}
    hit = hit_of(fields, at=_time(fields, now), address=address, headers=headers)
    hit.user_agent = agent
    hit.asserted = True
    hit.trusted_address = trusted_address
    return hit


def bulk_fields(body: bytes) -> list[object]:
    """The events of a bulk body: a JSON array, or NDJSON (one JSON object a line); items may each be faulty."""
    stripped = body.lstrip()
    items: object
    if stripped.startswith(b"["):
        items = parsed_json(body)
    else:
        items = [_line(number, line) for number, line in enumerate(stripped.splitlines(), 1) if line.strip()]
    if not isinstance(items, list) or not items:
        raise BadRequest("body", "must hold at least one event")
    if len(items) > MAX_BULK_EVENTS:
        raise BadRequest("body", f"at most {MAX_BULK_EVENTS} events")
    return items


def _line(number: int, line: bytes) -> object:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        raise BadRequest(f"line {number}", "must be one JSON object in UTF-8") from None


def _field(fields: Mapping[str, object], short: str, long: str) -> object:
    value = fields.get(short)
    return fields.get(long) if value is None else value


def _text(fields: Mapping[str, object], short: str, long: str, limit: int, *, required: bool = False) -> str:
    value = fields.get(short)
    if value is None and (value := fields.get(long)) is None:
        if required:
            raise BadRequest(short, "is required")
        return ""
    if not isinstance(value, str):
        raise BadRequest(short, "must be a string")
    if len(value) > limit or (not value.isascii() and len(value.encode("utf-8", "replace")) > limit):
        raise BadRequest(short, f"at most {limit} bytes")
    if required and not value:
        raise BadRequest(short, "must not be empty")
    return value


def _name(fields: Mapping[str, object]) -> str:
    value = fields.get("n") or _field(fields, "n", "name")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is None:
        raise BadRequest("n", "is required")
    if not isinstance(value, str):
        raise BadRequest("n", "must be a string")
    if not value.strip() or len(value) > MAX_NAME_CHARS:
        raise BadRequest("n", f"must have 1 to {MAX_NAME_CHARS} characters")
    return value


def _site(fields: Mapping[str, object], url: str) -> str:
    domain = fields.get("d") or _field(fields, "d", "domain")
    if domain is None:
        try:
            domain = urlsplit(url).hostname or ""
        except ValueError:
            raise BadRequest("u", "must be an absolute URL") from None
    if not isinstance(domain, str):
        raise BadRequest("d", "must be a string")
    if not domain or len(domain) > MAX_DOMAIN_CHARS:
        raise BadRequest("d", f"must have 1 to {MAX_DOMAIN_CHARS} characters")
    return domain.lower().removeprefix("www.")


def _integer(fields: Mapping[str, object], short: str, long: str, limit: int) -> int | None:
    value = fields.get(short)
    if value is None and (value := fields.get(long)) is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadRequest(short, "must be a whole number")
    if not 0 <= value <= limit:
        raise BadRequest(short, f"must be from 0 to {limit}")
    return value


def _digits(text: str, field: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise BadRequest(field, "must be a whole number")
    return int(text)


def _engagement(fields: Mapping[str, object]) -> tuple[int, int]:
    """Engaged milliseconds and scroll depth in percent of an `engagement` event; at least one must be given."""
    engaged, depth = fields.get("e"), fields.get("sd")
    engaged_ms = _digits(engaged, "e") if isinstance(engaged, str) else _integer(fields, "e", "e", MAX_ENGAGED_MS)
    scroll = _digits(depth, "sd") if isinstance(depth, str) else _integer(fields, "sd", "sd", 1_000_000)
    if engaged_ms is None and scroll is None:
        raise BadRequest("e", "an engagement needs e (milliseconds) or sd (percent)")
    return min(engaged_ms or 0, MAX_ENGAGED_MS), min(scroll or 0, 100)


BREAKAGES = frozenset((MISSING_PAGE, "error", "vitals"))
"""Names of events that may tell of breakage."""


def _breakage(fields: Mapping[str, object], name: str) -> Breakage | None:
    """What `b` tells of an event called `name`, one of `BREAKAGES`; None where that is an event like any other."""
    if name == MISSING_PAGE:
        return Breakage(MISSING_PAGE)
    told = fields.get("b")
    if told is None:
        return None
    if isinstance(told, str) and name == "error":
        return Breakage(told if told in ERRORS else OTHER_ERROR)
    if isinstance(told, dict) and name == "vitals":
        ratings = {vital: told[vital] for vital in VITALS if vital in told}
        if ratings and all(rating in RATINGS for rating in ratings.values()):
            return Breakage(name, ratings)
    raise BadRequest("b", f"must be an error's name, or of vitals each one of {', '.join(RATINGS)}")


def _loyalty(fields: Mapping[str, object]) -> str:
    value = fields["l"]
    if value is None or value in LOYALTIES:
        return str(value or "")
    raise BadRequest("l", f"must be one of {', '.join(LOYALTIES)}")


def _properties(fields: Mapping[str, object]) -> dict[str, str]:
    for name in ("m", "meta", "p", "props"):
        given = fields.get(name)
        if given is not None:
            return _properties_in(given)
    return {}


def _properties_in(given: object) -> dict[str, str]:
    if isinstance(given, str):  # plausible-tracker 0.3 sends them as a JSON string.
        try:
            given = orjson.loads(given)
        except orjson.JSONDecodeError:
            raise BadRequest("p", "must be a JSON object") from None
    if not isinstance(given, dict):
        raise BadRequest("p", "must be a JSON object")
    if len(given) > MAX_PROPERTIES:
        raise BadRequest("p", f"at most {MAX_PROPERTIES} properties")
    return {name: _property(name, value) for name, value in given.items() if isinstance(value, str | int | float)}


def _property(name: str, value: str | int | float) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if not 1 <= len(name) <= MAX_PROPERTY_NAME_CHARS:
        raise BadRequest("p", f"a property's name must have 1 to {MAX_PROPERTY_NAME_CHARS} characters")
    if len(text) > MAX_PROPERTY_VALUE_CHARS:
        raise BadRequest("p", f"a property's value may have at most {MAX_PROPERTY_VALUE_CHARS} characters")
    return text


def _policy_version(fields: Mapping[str, object]) -> str | None:
    value = fields.get("v")
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):  # Plausible's script sends its own version here.
        value = str(value)
    if not isinstance(value, str) or len(value) > MAX_POLICY_VERSION_CHARS:
        raise BadRequest("v", f"must be a string of at most {MAX_POLICY_VERSION_CHARS} characters")
    return value


def _time(fields: Mapping[str, object], now: float) -> float:
    """Unix seconds of a server-side event: `time` as a number of seconds or an RFC 3339 string; now where absent."""
    value = fields.get("time")
    if value is None:
        return now
    at = _instant(value)
    if at is None:
        raise BadRequest("time", "must be Unix seconds or an RFC 3339 time with its offset")
    if not now - MAX_EVENT_AGE_S <= at <= now + MAX_CLOCK_AHEAD_S:
        raise BadRequest(
            "time", f"at most {MAX_EVENT_AGE_S / 86_400:.0f} days ago and {MAX_CLOCK_AHEAD_S:.0f} seconds ahead"
        )
    return min(at, now)


def _instant(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        parsed = datetime.fromisoformat(value)
        return parsed.astimezone(UTC).timestamp() if parsed.tzinfo is not None else None
    except (ValueError, OverflowError):  # OverflowError: an offset that leads out of the years 1 to 9999
        return None
