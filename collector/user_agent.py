"""A User-Agent read: browser, system, kind of device.

Place: the first half of `client`, which corrects the result by Client Hints where the browser sends them. Names come
from ua-parser's compiled matcher, the device from user-agents' rules on its result (`user_agents.parse` itself takes
2 ms on an unseen User-Agent, this 25 microseconds), both corrected where the present has overtaken them.
"""

from __future__ import annotations

import re

import ua_parser
from user_agents.parsers import (
    TABLET_DEVICE_FAMILIES,
    UserAgent,
    parse_browser,
    parse_device,
    parse_operating_system,
)

from collector.client_names import (
    BROWSERS,
    DESKTOP_SYSTEMS,
    SAFARI_IN_APP,
    SYSTEMS,
    UNVERSIONED_BROWSERS,
    VERSIONED_SYSTEMS,
    Client,
    Device,
)


class UserAgents:
    """A reader of User-Agents. It remembers none: `client.Clients` does."""

    def __init__(self) -> None:
        """Compiles ua-parser's patterns: about 150 ms and 30 MB, once per process."""
        if ua_parser.RegexResolver is None:  # its pure Python matcher takes milliseconds on an unseen User-Agent
            raise ImportError("ua-parser's compiled matcher is missing: install ua-parser[regex]")
        self._matcher = ua_parser.RegexResolver(ua_parser.load_lazy_builtins())

    def client_of(self, user_agent: str) -> Client:
        """What `user_agent` says; never raises, whatever the text."""
        result = self._matcher(user_agent, ua_parser.Domain.ALL).complete()
        browser, version = _browser(user_agent, result.user_agent)
        os, os_version = _system(user_agent, result.os)
        return Client(browser, version, os, os_version, _device(user_agent, result, os))


def major(version: str | None) -> str:
    """The plausible major version in `version`, one to three digits, or ""."""
    return version if version and len(version) <= 3 and version.isascii() and version.isdigit() else ""


# What an unknown product is built on.
_CHROMIUM = re.compile(r"Chrom(?:e|ium)/(\d{1,3})\b").search
_GECKO = re.compile(r"Firefox/(\d{1,3})\b").search
_SAFARI = re.compile(r"Version/(\d{1,3})\b.* Safari/").search
_WEBKIT_IN_APP = re.compile(r"\((?:iPhone|iPad|iPod|Macintosh)\b.*AppleWebKit/").search


def _browser(user_agent: str, product: ua_parser.UserAgent | None) -> tuple[str, str]:
    if product is not None and (name := BROWSERS.get(product.family)):
        return name, "" if name in UNVERSIONED_BROWSERS else major(product.major)
    for name, engine in (("Chromium", _CHROMIUM), ("Firefox", _GECKO), ("Safari", _SAFARI)):
        if found := engine(user_agent):
            return name, found[1]
    return (SAFARI_IN_APP, "") if _WEBKIT_IN_APP(user_agent) else ("", "")


def _system(user_agent: str, system: ua_parser.OS | None) -> tuple[str, str]:
    name = SYSTEMS.get(system.family, "") if system is not None else ""
    if system is None or not name:
        return _system_of_its_own(user_agent)
    if name == "iOS":
        return _ios(user_agent, major(system.major))
    if name == "Windows":
        return name, _windows_version(system.major or "")
    if name == "macOS":
        return name, _macos_version(system)
    if name == "Android" and "Android 10; K)" in user_agent:
        return name, "10+"  # the User-Agent of Chrome 110 and later, on every Android
    return name, major(system.major) if name in VERSIONED_SYSTEMS else ""


_HARMONY = re.compile(r"OpenHarmony (\d{1,3})").search


def _system_of_its_own(user_agent: str) -> tuple[str, str]:
    """Systems that ua-parser does not know."""
    if found := _HARMONY(user_agent):
        return "HarmonyOS", found[1]
    return ("webOS", "") if "Web0S" in user_agent else ("", "")


_SAFARI_VERSION = re.compile(r"Version/(\d{1,3})\.").search


def _ios(user_agent: str, version: str) -> tuple[str, str]:
    # Safari 26 froze iOS at 18 in its User-Agent, but Safari and iOS have one number since.
    if (safari := _SAFARI_VERSION(user_agent)) and int(safari[1]) >= 26:
        version = safari[1]
    is_ipad = "iPad" in user_agent and version and int(version) >= 13
    return "iPadOS" if is_ipad else "iOS", version


_WINDOWS_VERSIONS = frozenset(("XP", "Vista", "7", "8", "95", "98", "2000", "ME"))


def _windows_version(release: str) -> str:
    if release in ("10", "11"):
        return "10+"  # Windows 11 says 10.0 as well
    return release if release in _WINDOWS_VERSIONS else ""


def _macos_version(system: ua_parser.OS) -> str:
    if system.major == "10":
        return "10+" if system.minor in ("15", "16") else "10"  # where Safari, Chrome and Firefox froze it
    return major(system.major)


_TELEVISION = re.compile(
    r"smart-?tv|\btv\b|googletv|apple ?tv|hbbtv|netcast|web0s|webos\.tv|bravia|viera|aquos|\broku\b|\bcrkey\b"
    r"|\baft[a-z]{1,4}\b|mibox|nexus player|philipstv|dtv\b",
    re.IGNORECASE,
).search
_CONSOLE_WATCH_OR_CAR = re.compile(
    r"playstation|xbox|nintendo|oculusbrowser|\bquest\b|watch ?os|\btesla/|qtcarbrowser", re.IGNORECASE
).search


def special_device(text: str) -> Device | None:
    """What a User-Agent or a model names outright: "tv", or "other" for consoles, watches, cars and headsets."""
    if _CONSOLE_WATCH_OR_CAR(text):
        return "other"
    return "tv" if _TELEVISION(text) else None


class _DeviceRules(UserAgent):  # type: ignore[misc]  # ships no types
    """user-agents' device rules over a result of the compiled matcher."""

    def __init__(self, user_agent: str, result: ua_parser.Result) -> None:
        # Not super().__init__, which is the slow path: it parses again, with ua-parser's pure Python matcher.
        product, system, device = result.user_agent, result.os, result.device
        self.ua_string = user_agent
        self.browser = parse_browser(product.family if product else "Other")
        self.os = parse_operating_system(system.family, system.major) if system else parse_operating_system("Other")
        self.device = parse_device(device.family if device else "Other", None, None)


def _device(user_agent: str, result: ua_parser.Result, os: str) -> Device:
    if special := special_device(user_agent):
        return special
    rules = _DeviceRules(user_agent, result)
    # The rules take each Android without "Mobile Safari" for a tablet; Opera Mini and in-app browsers are none.
    says_mobile = "Mobi" in user_agent or "Opera Mini" in user_agent
    if rules.device.family in TABLET_DEVICE_FAMILIES or (rules.is_tablet and not says_mobile) or "Tablet" in user_agent:
        return "tablet"
    if rules.is_mobile or rules.is_tablet:
        return "mobile"
    if rules.is_pc or os in DESKTOP_SYSTEMS:
        return "desktop"
    return "mobile" if says_mobile else "other"
