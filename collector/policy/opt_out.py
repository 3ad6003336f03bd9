"""The opt-out by a button: the cookie that says no, where it can work, and what may be said of it afterwards.

The cookie is the beacon's own, `footfall_optout=1`: a constant, never an id. Set here it has to be seen by the pages of
the site, so it needs a domain above both hosts. Whether that domain is one that several owners share (a public suffix,
such as co.uk), the browser knows and no list here does: it refuses such a cookie, so "you are opted out" is said only
when the cookie has come back.

Invariants: nothing but the two POST requests sets a cookie; another site can at most make a browser opt out, never in.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from itertools import takewhile
from typing import Literal

from collector.consent import OPT_OUT_COOKIE, has_opted_out
from collector.page import hostname_in
from collector.policy.facts import OPT_OUT_DAYS

NAME = OPT_OUT_COOKIE.decode()
MAX_AGE_S = OPT_OUT_DAYS * 86_400

# "none": no objection is stored here. "out": the browser brought it along. "refused": it was asked to store one and
# brought none. "back": the objection was taken back.
Standing = Literal["none", "out", "refused", "back"]


def scope_of(host: str, domain: str) -> str | None:
    """The longest domain above (or equal to) the collector's `host` and the site's `domain`, of two labels at least.

    "" is a cookie for this host alone, where both are one name that has no domain. None: no cookie from here can be
    seen there.
    """
    if host and host == domain and (_is_address(host) or "." not in host):
        return ""
    if _is_address(host) or _is_address(domain):
        return None
    pairs = zip(reversed(host.split(".")), reversed(domain.split(".")), strict=False)
    shared = [label for label, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
    return ".".join(reversed(shared)) if len(shared) >= 2 else None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def setting(scope: str) -> list[str]:
    """The Set-Cookie value that opts out. The page's script has to read it, also over plain HTTP, and it is no secret:
    so neither HttpOnly nor Secure."""
    return [_cookie("1", MAX_AGE_S, scope)]


def deleting(scope: str) -> list[str]:
    """The Set-Cookie values that opt in: the cookie of `scope`, and one that a script set for this host alone."""
    return [_cookie("0", 0, each) for each in dict.fromkeys((scope, ""))]


def _cookie(value: str, age_s: int, scope: str) -> str:
    domain = f"; Domain={scope}" if scope else ""
    return f"{NAME}={value}; Path=/; Max-Age={age_s}; SameSite=Lax{domain}"


def standing_of(cookies: bytes, asked: str | None) -> Standing:
    """What a page may say; `cookies` as the collector reads them, `asked` is "out" or "in" right after the button."""
    if has_opted_out(cookies):
        return "out"
    if asked == "out":
        return "refused"
    return "back" if asked == "in" else "none"


def is_own_request(headers: Mapping[bytes, bytes], host: str) -> bool:
    """Whether a page of this very host sent the request, by Fetch metadata, else by Origin; without either it did not.

    Ports and schemes are not compared: a proxy in front may speak of others than the browser did.
    """
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site == b"same-origin"
    _, separator, authority = headers.get(b"origin", b"").decode("latin-1").partition("://")
    return bool(separator and host) and hostname_in(authority) == host
