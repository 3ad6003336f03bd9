"""What may be said about a browser: the type `Client`, and the finite lists that its names come from.

`BROWSERS` and `SYSTEMS` translate ua-parser's families (which may quote the User-Agent, so no other family is ever
passed on), `BRANDS` and `PLATFORMS` what Client Hints say. One product has one name, on whatever device.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Device = Literal["desktop", "mobile", "tablet", "tv", "other"]


class Client(NamedTuple):
    """What is kept about a browser: names from finite lists, major versions as text, "" for unknown.

    A version that the browser froze is a lower bound and says so: "10+".
    """

    browser: str
    browser_version: str
    os: str
    os_version: str
    device: Device


SAFARI_IN_APP = "Safari (in-app)"
ANDROID_WEBVIEW = "Android WebView"

BROWSERS = {
    "Chrome": "Chrome",
    "Chrome Mobile": "Chrome",
    "Chrome Mobile iOS": "Chrome",
    "Chrome Mobile WebView": ANDROID_WEBVIEW,
    "Chromium": "Chromium",
    "HeadlessChrome": "Chrome",
    "Safari": "Safari",
    "Mobile Safari": "Safari",
    "Mobile Safari UI/WKWebView": SAFARI_IN_APP,
    "Apple Mail": SAFARI_IN_APP,
    "Firefox": "Firefox",
    "Firefox Mobile": "Firefox",
    "Firefox iOS": "Firefox",
    "Firefox ESR": "Firefox",
    "Firefox Alpha": "Firefox",
    "Firefox Beta": "Firefox",
    "Iceweasel": "Firefox",
    "Firefox Focus": "Firefox Focus",
    "Firefox Klar": "Firefox Focus",
    "Edge": "Edge",
    "Edge Mobile": "Edge",
    "Edge Webview2": "Edge",
    "IE": "Internet Explorer",
    "IE Mobile": "Internet Explorer",
    "Samsung Internet": "Samsung Internet",
    "Opera": "Opera",
    "Opera Mobile": "Opera",
    "Opera Touch": "Opera",
    "Opera GX": "Opera",
    "Opera Tablet": "Opera",
    "Opera Coast": "Opera",
    "Opera Neon": "Opera",
    "Opera Mini": "Opera Mini",
    "Android": "Android Browser",
    "Yandex Browser": "Yandex Browser",
    "UC Browser": "UC Browser",
    "QQ Browser": "QQ Browser",
    "QQ Browser Mobile": "QQ Browser",
    "QQ Browser Mini": "QQ Browser",
    "MiuiBrowser": "Mi Browser",
    "Huawei Browser": "Huawei Browser",
    "HeyTap Browser": "HeyTap Browser",
    "VivoBrowser": "Vivo Browser",
    "Vivo Browser": "Vivo Browser",
    "Vivaldi": "Vivaldi",
    "Brave": "Brave",
    "DuckDuckGo": "DuckDuckGo",
    "DuckDuckGo Mobile": "DuckDuckGo",
    "Ecosia": "Ecosia",
    "Ecosia Android": "Ecosia",
    "Ecosia iOS": "Ecosia",
    "Aloha Browser": "Aloha",
    "Whale": "Whale",
    "Coc Coc": "Coc Coc",
    "Maxthon": "Maxthon",
    "Sogou Explorer": "Sogou Explorer",
    "Iron": "Iron",
    "AVG": "AVG Secure Browser",
    "Avast": "Avast Secure Browser",
    "Avast Secure Browser": "Avast Secure Browser",
    "Puffin": "Puffin",
    "Sleipnir": "Sleipnir",
    "Amazon Silk": "Silk",
    "Silk": "Silk",
    "Oculus Browser": "Oculus Browser",
    "BlackBerry WebKit": "BlackBerry",
    "BlackBerry": "BlackBerry",
    "NokiaBrowser": "Nokia Browser",
    "Epiphany": "GNOME Web",
    "Konqueror": "Konqueror",
    "Falkon": "Falkon",
    "QupZilla": "Falkon",
    "Pale Moon": "Pale Moon",
    "SeaMonkey": "SeaMonkey",
    "Waterfox": "Waterfox",
    "LibreWolf": "LibreWolf",
    "Basilisk": "Basilisk",
    "Electron": "Electron",
    "Lynx": "Lynx",
    "w3m": "w3m",
    # Browsers inside other apps
    "Google": "Google app",
    "Facebook": "Facebook",
    "Facebook Messenger": "Facebook",
    "Instagram": "Instagram",
    "Threads": "Threads",
    "Twitter": "X",
    "TikTok": "TikTok",
    "Snapchat": "Snapchat",
    "Pinterest": "Pinterest",
    "LinkedIn": "LinkedIn",
    "WeChat Browser": "WeChat",
    "WeChat": "WeChat",
    "Line": "LINE",
    "KakaoTalk": "KakaoTalk",
    "Baidu Box App": "Baidu",
    "Baidu Explorer": "Baidu",
    "Baidu Browser": "Baidu",
    "BaiduBoxApp": "Baidu",
    "Slack": "Slack",
    "Flipboard": "Flipboard",
    "Outlook": "Outlook",
    "Thunderbird": "Thunderbird",
}

BRANDS = {
    "Google Chrome": "Chrome",
    "HeadlessChrome": "Chrome",
    "Microsoft Edge": "Edge",
    "Microsoft Edge WebView2": "Edge",
    "Opera": "Opera",
    "OperaMobile": "Opera",
    "Opera GX": "Opera",
    "Opera Air": "Opera",
    "Opera Mini Android": "Opera Mini",
    "OperaMini": "Opera Mini",
    "Brave": "Brave",
    "Brave Browser": "Brave",
    "Vivaldi": "Vivaldi",
    "Samsung Internet": "Samsung Internet",
    "YaBrowser": "Yandex Browser",
    "Yandex": "Yandex Browser",
    "DuckDuckGo": "DuckDuckGo",
    "Whale": "Whale",
    "CocCoc": "Coc Coc",
    "Huawei Browser": "Huawei Browser",
    "HuaweiBrowser": "Huawei Browser",
    "Miui Browser": "Mi Browser",
    "XiaoMi Browser": "Mi Browser",
    "HeyTapBrowser": "HeyTap Browser",
    "Ecosia": "Ecosia",
    "Avast Secure Browser": "Avast Secure Browser",
    "AVG Secure Browser": "AVG Secure Browser",
    "Oculus Browser": "Oculus Browser",
    "Meta Quest Browser": "Oculus Browser",
    "Silk": "Silk",
    "Amazon Silk": "Silk",
    "Android WebView": ANDROID_WEBVIEW,
}

GREASE = "NotABrand"
"""The letters of the brand that Chromium makes up, so that nobody relies on the list: `Not?A_Brand`, `(Not(A:Brand`."""

UNVERSIONED_BROWSERS = frozenset((SAFARI_IN_APP, "GNOME Web"))
"""Where the version in the User-Agent is that of WebKit."""

SYSTEMS = {
    "Windows": "Windows",
    "Mac OS X": "macOS",
    "macOS": "macOS",
    "Mac OS": "macOS",
    "iOS": "iOS",
    "Android": "Android",
    "Chrome OS": "Chrome OS",
    "Linux": "Linux",
    "Ubuntu": "Linux",
    "Kubuntu": "Linux",
    "Debian": "Linux",
    "Fedora": "Linux",
    "Red Hat": "Linux",
    "CentOS": "Linux",
    "Arch Linux": "Linux",
    "Gentoo": "Linux",
    "Linux Mint": "Linux",
    "Mandriva": "Linux",
    "Mageia": "Linux",
    "openSUSE": "Linux",
    "SUSE": "Linux",
    "Slackware": "Linux",
    "Raspbian": "Linux",
    "FreeBSD": "FreeBSD",
    "OpenBSD": "OpenBSD",
    "NetBSD": "NetBSD",
    "Solaris": "Solaris",
    "Windows Phone": "Windows Phone",
    "Windows Mobile": "Windows Phone",
    "KaiOS": "KaiOS",
    "HarmonyOS": "HarmonyOS",
    "Tizen": "Tizen",
    "webOS": "webOS",
    "WebTV": "webOS",
    "tvOS": "tvOS",
    "ATV OS X": "tvOS",
    "WatchOS": "watchOS",
    "watchOS": "watchOS",
    "BlackBerry OS": "BlackBerry",
    "BlackBerry Tablet OS": "BlackBerry",
    "Symbian OS": "Symbian",
    "Firefox OS": "Firefox OS",
    "Fire OS": "Android",
    "Chromecast": "Chromecast",
    "Roku": "Roku",
}

PLATFORMS = {
    "Windows": "Windows",
    "macOS": "macOS",
    "Mac OS X": "macOS",
    "Linux": "Linux",
    "Chrome OS": "Chrome OS",
    "Chromium OS": "Chrome OS",
    "Android": "Android",
    "iOS": "iOS",
    "Fuchsia": "Linux",
}

DESKTOP_SYSTEMS = frozenset(("Windows", "macOS", "Linux", "Chrome OS", "FreeBSD", "OpenBSD", "NetBSD", "Solaris"))

VERSIONED_SYSTEMS = frozenset(
    ("Android", "Chrome OS", "KaiOS", "HarmonyOS", "Tizen", "webOS", "Windows Phone", "tvOS", "watchOS")
)
"""Systems whose major version says something; macOS, iOS and Windows have rules of their own."""
