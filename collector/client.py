"""Which browser, system and kind of device a hit came from, and the classes of its screen and language.

Place: after the refusals. Client Hints win over the User-Agent, which browsers froze: Windows 11 says 10 in it, macOS
says 10.15.7, Android says 10. A frozen version is a lower bound, and is written so: "10+".

Invariant: every name is one of a finite list below and every version at most three digits, so nothing that someone
wrote into a User-Agent or a hint can be stored. "" is "unknown".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

from collector.client_names import (
    ANDROID_WEBVIEW,
    BRANDS,
    DESKTOP_SYSTEMS,
    GREASE,
    PLATFORMS,
    VERSIONED_SYSTEMS,
    Client,
    Device,
)
from collector.user_agent import UserAgents, major, special_device

__all__ = ["Client", "Clients", "Hints", "Screen", "hints_of", "language_of", "screen_of"]

MAX_HINT_CHARS = 256
"""A full version list of five brands has 150."""

CLIENTS_KEPT = 4096
"""Combinations of User-Agent and hints remembered: a busy site sees most of its day in these, in about 4 MB."""


class Hints(NamedTuple):
    """Client Hints as sent, structured-header text (W3C User-Agent Client Hints); b"" where one was not."""

    brands: bytes
    mobile: bytes
    platform: bytes
    platform_version: bytes
    full_versions: bytes
    model: bytes


def hints_of(headers: Mapping[bytes, bytes]) -> Hints | None:
    """The Client Hints among `headers` (lower-case names), or None where the browser sends none."""
    brands = headers.get(b"sec-ch-ua")
    if brands is None:
        return None
    return Hints(
        brands[:MAX_HINT_CHARS],
        headers.get(b"sec-ch-ua-mobile", b"")[:MAX_HINT_CHARS],
        headers.get(b"sec-ch-ua-platform", b"")[:MAX_HINT_CHARS],
        headers.get(b"sec-ch-ua-platform-version", b"")[:MAX_HINT_CHARS],
        headers.get(b"sec-ch-ua-full-version-list", b"")[:MAX_HINT_CHARS],
        headers.get(b"sec-ch-ua-model", b"")[:MAX_HINT_CHARS],
    )


class Clients:
    """Clients by User-Agent and hints, the last `size` combinations remembered."""

    def __init__(self, size: int = CLIENTS_KEPT) -> None:
        self._user_agents = UserAgents()
        self._remembered = lru_cache(maxsize=size)(self._derived)

    def client_of(self, user_agent: str, hints: Hints | None) -> Client:
        """What is known of the sender; never raises, whatever the text."""
        return self._remembered(user_agent, hints)

    def _derived(self, user_agent: str, hints: Hints | None) -> Client:
        client = self._user_agents.client_of(user_agent)
        return client if hints is None else _corrected(client, user_agent, hints)


# --- from Client Hints -----------------------------------------------------------------------------------------------

_BRAND = re.compile(r'"((?:[^"\\]|\\.){0,64})"\s*;\s*v="(\d{1,3})(?:[.\d]{0,24})"').findall
_NOT_A_LETTER = re.compile("[^A-Za-z]+")


def _corrected(client: Client, user_agent: str, hints: Hints) -> Client:
    """`client` with what the hints know better."""
    browser, browser_version = _browser(client, hints)
    os, os_version = _system(client, hints)
    return Client(browser, browser_version, os, os_version, _device(client, os, user_agent, hints))


def _browser(client: Client, hints: Hints) -> tuple[str, str]:
    """The most specific brand: a product before the engine, GREASE never. In-app browsers name themselves only in the
    User-Agent: their hints say "Android WebView"."""
    known = client.browser, client.browser_version
    engine = ""
    for brand, version in _BRAND((hints.full_versions or hints.brands).decode("latin-1")):
        if brand == "Chromium":
            engine = version
        elif _NOT_A_LETTER.sub("", brand) != GREASE and (name := BRANDS.get(brand)):
            return known if name == ANDROID_WEBVIEW and client.browser else (name, version)
    # Chrome itself names its brand: what says no more than Chromium is another product of that engine.
    return ("Chromium", engine) if engine and client.browser in ("", "Chrome") else known


def _system(client: Client, hints: Hints) -> tuple[str, str]:
    name = PLATFORMS.get(hints.platform.decode("latin-1").strip('"'), "")
    if not name:
        return client.os, client.os_version
    as_frozen = client.os_version if name == client.os else ""
    release = hints.platform_version.decode("latin-1").strip('"')
    if name == "Windows":
        return name, _windows_version(release) or as_frozen
    has_version = name == "macOS" or name in VERSIONED_SYSTEMS
    return name, (has_version and major(release.partition(".")[0])) or as_frozen


def _windows_version(release: str) -> str:
    """Microsoft's table for Sec-CH-UA-Platform-Version: 13 and later is Windows 11, 1 to 12 is 10, 0.1 to 0.3 are 7 to
    8.1."""
    first, _, rest = release.partition(".")
    if not major(first):
        return ""
    if int(first) == 0:
        return {"1": "7", "2": "8", "3": "8"}.get(rest.partition(".")[0], "")
    return "11" if int(first) >= 13 else "10"


def _device(client: Client, os: str, user_agent: str, hints: Hints) -> Device:
    if client.device == "tv" or (client.device == "other" and special_device(user_agent)):
        return client.device
    if special := special_device(hints.model.decode("latin-1")):
        return special
    if hints.mobile == b"?1":
        return "tablet" if client.device == "tablet" else "mobile"
    if hints.mobile == b"?0" and os == "Android":
        return "tablet"
    return "desktop" if hints.mobile == b"?0" and os in DESKTOP_SYSTEMS else client.device


# --- screen and language ---------------------------------------------------------------------------------------------

Screen = Literal["", "xs", "sm", "md", "lg", "xl"]

MAX_WIDTH_PX = 20_000


def screen_of(width: int | None) -> Screen:
    """The class of a viewport `width` in CSS pixels, by the usual breakpoints; "" where it is unknown or absurd."""
    if width is None or not 0 < width <= MAX_WIDTH_PX:
        return ""
    if width < 768:
        return "xs" if width < 576 else "sm"
    if width < 992:
        return "md"
    return "lg" if width < 1440 else "xl"


_SUBTAG = re.compile(r"\s*([A-Za-z]{2,3})(?=[-,;\s]|$)").match


def language_of(accept_language: str) -> str:
    """The primary subtag (RFC 5646) of the most preferred language, lower case: "de" for "de-AT,en;q=0.5"; else ""."""
    subtag = _SUBTAG(accept_language)
    return subtag[1].lower() if subtag else ""
