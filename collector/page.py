"""What may be kept of a page's URL, and of any other text that a site or a visitor wrote.

Place: between the URL of a hit and everything that is stored. Invariants: no user, password or fragment of a URL, no
parameter but those a site allows and those that name a source, and in what remains neither e-mail addresses, nor IP
addresses, nor long tokens (session ids, UUIDs, JSON Web Tokens, telephone and order numbers), which point at a person.

Most text is plain words and short numbers; one possessive pattern finds that out in a microsecond, and only the rest
goes through the costly ones.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote, unquote_plus

MAX_PATH_CHARS = 512
MAX_PARAMETERS = 100
# A host name has 253 characters at most (RFC 1035); before it may stand a user's name, after it a port. Python's IDNA
# codec takes 50 ms of a longer one, which anybody may send as a Host.
MAX_AUTHORITY_CHARS = 600
"""Parameters of a query looked at; the name of the 101st does not matter to anyone honest."""

MAX_PARAMETER_CHARS = 256

SOURCE_PARAMETERS = frozenset(("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term", "source", "ref"))
"""Parameters that name where a visit came from: read by `source`, never part of a path."""

EMAIL = "[email]"
TOKEN = "[token]"  # noqa: S105  # what stands in place of one
ADDRESS = "[address]"


class Page(NamedTuple):
    """`hostname` in lower case without port; `path` scrubbed, decoded, with the allowed parameters, in order; `query`
    the parameters that name a source, decoded, for `source.origin_of`."""

    hostname: str
    path: str
    query: dict[str, str]


_URL = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]{0,31})://([^/?#\\]*)([^?#]*)(?:\?([^#]*))?").match

_NO_PAGES = frozenset(
    (
        *("file", "data", "blob", "javascript", "about", "view-source"),
        # Their hosts are a random id of one installation of an extension, so of one person.
        *("moz-extension", "safari-web-extension"),
    )
)


def page_of(url: str, allowed_parameters: frozenset[str]) -> Page:
    """The page at the absolute `url`, http, https or an app's own scheme.

    Raises `ValueError`, without the value, where it is none or has no host.
    """
    parts = _URL(url)
    if parts is None:
        raise ValueError("not an absolute URL, such as https://example.com/path")
    scheme, authority, path, query = parts.groups()
    if scheme.lower() in _NO_PAGES:
        raise ValueError("not the URL of a web page or an app's screen")
    hostname = hostname_in(authority)
    if not hostname:
        raise ValueError("a URL without a valid host name")
    path = _path(path)
    if not query:
        return Page(hostname, path, {})
    kept, source = _parameters(query, allowed_parameters)
    return Page(hostname, f"{path}?{kept}"[:MAX_PATH_CHARS] if kept else path, source)


_HOSTNAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?|\[[0-9a-f:.]{2,45}\]").fullmatch


def hostname_in(authority: str) -> str:
    """The host in `user:password@host:port`: lower case, punycode, without the root's dot; "" if it is not valid."""
    if len(authority) > MAX_AUTHORITY_CHARS:
        return ""
    host = authority.rpartition("@")[2].lower()
    if host.startswith("["):
        host = host.partition("]")[0] + "]"
    elif ":" in host:
        host = host.partition(":")[0]
    host = host.removesuffix(".")
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            return ""
    return host if _HOSTNAME(host) else ""


def _path(path: str) -> str:
    if "%" in path:
        # Decoded once. A question mark or a fragment sign from inside a segment stays what it was.
        path = unquote(path, errors="replace").replace("?", "%3F").replace("#", "%23")
    if "\\" in path:
        path = path.replace("\\", "/")
    if ";" in path:
        path = _MATRIX_PARAMETERS("", path)
    if "//" in path:
        path = _SLASHES("/", path)
    if "/." in path:
        path = _without_dots(path)
    return scrubbed(path, MAX_PATH_CHARS) or "/"


_MATRIX_PARAMETERS = re.compile(r";[^/=]*=[^/]*").sub  # ;jsessionid=...: parameters that no site allowed
_SLASHES = re.compile("//+").sub


def _without_dots(path: str) -> str:
    """RFC 3986, section 5.2.4."""
    segments = path.split("/")
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            del kept[max(1, len(kept) - 1) :]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/".join(kept)


def _parameters(query: str, allowed: frozenset[str]) -> tuple[str, dict[str, str]]:
    """The allowed parameters as they go into a path, sorted, and those that name a source."""
    kept: dict[str, str] = {}
    source: dict[str, str] = {}
    for pair in query.split("&", MAX_PARAMETERS)[:MAX_PARAMETERS]:
        name, _, value = pair.partition("=")
        if name in allowed:
            text = scrubbed(unquote_plus(value[: 4 * MAX_PARAMETER_CHARS]), MAX_PARAMETER_CHARS)
            kept.setdefault(name, text.replace("&", "%26"))
        if (lower := name.lower()) in SOURCE_PARAMETERS:
            source.setdefault(lower, unquote_plus(value[: 4 * MAX_PARAMETER_CHARS])[:MAX_PARAMETER_CHARS])
    return "&".join(f"{name}={kept[name]}" for name in sorted(kept)), source


# --- scrubbing -------------------------------------------------------------------------------------------------------

# Words, and numbers of at most eight digits that touch neither letters nor dots: nothing below can match in these.
# Every step is told by its first character, so it needs no possessive quantifier, which Python before 3.11.5 gets wrong
# (https://github.com/python/cpython/issues/106052).
_PLAIN = re.compile(
    r"[A-Za-z/_ -]*(?:(?:\.(?!\d)|(?<![A-Za-z.0-9])[0-9]{1,8}(?![A-Za-z.0-9]))[A-Za-z/_ -]*)*"
).fullmatch

# Controls, line ends, and the marks that reorder text on a screen; surrogates are no text at all.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+").sub

_MAIL_ADDRESS = re.compile(r"[^\s@/?&=;,:<>()\[\]\"]{1,64}(?:@|%(?:25)*40)[\w.-]{1,190}\.[^\W\d_]{2,63}").sub
_IP_ADDRESS = re.compile(
    r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\d)"
    r"|(?<![0-9a-z:])(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){7}|(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6})?::(?:[0-9a-f]{1,4}"
    r"(?::[0-9a-f]{1,4}){0,6})?(?<=[0-9a-f:]{6}))",
    re.IGNORECASE,
).sub
_UNMISTAKABLE = re.compile(
    r"eyJ[\w-]{6,}(?:\.[\w-]*){1,4}"  # JSON Web Token
    r"|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # UUID
    r"|(?<![0-9a-z])(?=[a-f]*\d)[0-9a-f]{16,}"
    r"|\+\d[\d ().-]{7,}\d"  # telephone, E.164
    r"|\d{9,}",
    re.IGNORECASE,
).sub
_RUN = re.compile(r"[A-Za-z0-9_+=~-]{20,}").sub


def scrubbed(text: str, limit: int) -> str:
    """`text` without what points at a person, at most `limit` characters; scrubbing twice changes nothing."""
    if len(text) <= limit and _PLAIN(text):
        return text
    for _ in range(MAX_PASSES):
        cleaned = _cleaned(text)[:limit]
        if cleaned == text:
            break
        text = cleaned
    return text


MAX_PASSES = 8
"""A cut, or a token gone, can lay open another one; two passes are the rule."""


def _cleaned(text: str) -> str:
    text = _UNPRINTABLE("", text)
    if "@" in text or "40" in text:
        text = _MAIL_ADDRESS(EMAIL, text)
    if "." in text or ":" in text:
        text = _IP_ADDRESS(ADDRESS, text)
    return _RUN(_scrubbed_run, _UNMISTAKABLE(TOKEN, text))


_DIGIT = re.compile("[0-9]").search
_LETTER = re.compile("[A-Za-z]").search
_LONG_PIECES = re.compile("[A-Za-z0-9]{20,}").findall
SWITCHES_OF_A_TOKEN = 4
_SWITCHES = re.compile(r"[A-Za-z](?=\d)|\d(?=[A-Za-z])|[a-z](?=[A-Z])").findall


def _scrubbed_run(run: re.Match[str]) -> str:
    """A long run is a token if it has letters and digits, and either hardly a separator or more switches between
    digits, small letters and capitals than words have: `mp3-to-mp4-converter-2026` is three, 22 random characters have
    nine."""
    text = run[0]
    if not _DIGIT(text) or not _LETTER(text):
        return text
    return TOKEN if _has_mixed_piece(text) or len(_SWITCHES(text)) >= SWITCHES_OF_A_TOKEN else text


def _has_mixed_piece(text: str) -> bool:
    return any(_DIGIT(piece) and _LETTER(piece) for piece in _LONG_PIECES(text))
