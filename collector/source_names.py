"""Well-known sources: the services behind hosts and behind what sites write into `utm_source`, and their channels.

Search engines and social networks are Matomo's (data/sources.tsv, built by `data/build_sources.py`, which explains its
lines). Ours is what that list lacks: AI assistants, mail, services younger than its release, apps, and what else is
worth a name. Where both know a host, ours decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

Channel = Literal["direct", "search", "social", "ai", "email", "referral", "campaign"]

LIST = Path(__file__).with_name("data") / "sources.tsv"

_SEARCH = {
    # Other services of Google's stand beside these: none of the names speaks for what is below it.
    "Google": "lens.google.{} m.google.{} encrypted.google.{}",
    "Yahoo": "yahoo.com yahoo.co.jp",
    "Yandex": "yandex.ru yandex.com ya.ru m.yandex.{}",
    "Qwant": "qwant.com",
    "Kagi": "kagi.com",
    "Naver": "naver.com",
    "Daum": "daum.net",
    "Seznam": "seznam.cz",
    "360 Search": "so.com",
    "Swisscows": "swisscows.com",
    "Mojeek": "mojeek.com",
    "MetaGer": "metager.org",
    "AOL": "aol.com",
    "Dogpile": "dogpile.com",
    "Presearch": "presearch.com",
    "Marginalia": "marginalia-search.com",
}
_SOCIAL = {
    "Facebook": "fb.com facebookcorewwwi.onion com.facebook.katana",
    "Messenger": "messenger.com",
    "Instagram": "com.instagram.android",
    "Threads": "threads.net threads.com",
    "X": "x.com com.twitter.android",
    "LinkedIn": "com.linkedin.android",
    "Reddit": "redd.it com.reddit.frontpage",
    "YouTube": "com.google.android.youtube",
    "TikTok": "com.zhiliaoapp.musically",
    "Pinterest": "pinterest.it pinterest.{} pin.it",
    "WhatsApp": "whatsapp.com web.whatsapp.com wa.me",
    "Telegram": "telegram.org t.me",
    "Discord": "discord.com discordapp.com",
    "Slack": "slack.com com.slack",
    "Mastodon": "mastodon.online mas.to hachyderm.io org.joinmastodon.android",
    "Bluesky": "bsky.app go.bsky.app",
    "Hacker News": "hn.algolia.com",
    "Lobsters": "lobste.rs",
    "Product Hunt": "producthunt.com",
    "VK": "vk.ru",
    "OK": "ok.ru",
    "Weibo": "weibo.cn",
    "WeChat": "weixin.qq.com mp.weixin.qq.com",
    "Quora": "quora.com",
    "Twitch": "twitch.tv",
    "Medium": "medium.com",
    "LINE": "line.me",
    "KakaoTalk": "kakao.com",
    "Zhihu": "zhihu.com",
    "Nextdoor": "nextdoor.com",
    "Lemmy": "lemmy.world lemmy.ml",
}
_AI = {
    "ChatGPT": "chatgpt.com chat.openai.com openai.com",
    "Perplexity": "perplexity.ai pplx.ai",
    "Claude": "claude.ai",
    "Gemini": "gemini.google.com bard.google.com",
    "Copilot": "copilot.microsoft.com copilot.com copilot.cloud.microsoft",
    "Le Chat": "chat.mistral.ai",
    "DeepSeek": "chat.deepseek.com deepseek.com",
    "Grok": "grok.com x.ai",
    "Meta AI": "meta.ai",
    "You.com": "you.com",
    "Phind": "phind.com",
    "Poe": "poe.com",
    "Kimi": "kimi.com kimi.moonshot.cn",
    "Doubao": "doubao.com",
    "Qwen": "chat.qwen.ai",
    "NotebookLM": "notebooklm.google.com",
    "Duck.ai": "duck.ai",
}
_EMAIL = {
    "Gmail": "mail.google.com com.google.android.gm",
    "Outlook": "outlook.live.com outlook.office.com outlook.office365.com outlook.com",
    "Yahoo Mail": "mail.yahoo.com mail.yahoo.co.jp",
    "Proton Mail": "mail.proton.me mail.protonmail.com",
    "GMX": "gmx.net gmx.de gmx.com deref-gmx.net",
    "WEB.DE": "web.de deref-web.de",
    "Fastmail": "fastmail.com app.fastmail.com",
    "iCloud Mail": "icloud.com",
    "Mail.ru": "e.mail.ru",
    "Yandex Mail": "mail.yandex.ru mail.yandex.com",
    "Zoho Mail": "mail.zoho.com mail.zoho.eu",
    "Mailchimp": "mailchi.mp list-manage.com campaign-archive.com",
    "Substack": "substack.com",
}
_REFERRAL = {
    # Among Matomo's social networks; but people come from there to read, as from any other page.
    "GitHub": "github.com",
    "Wikipedia": "wikipedia.org",
    "Stack Overflow": "stackoverflow.com",
    "Google News": "news.google.com",
    "Google Docs": "docs.google.com drive.google.com",
    "Google Classroom": "classroom.google.com",
    "Google Sites": "sites.google.com",
    "Google Maps": "maps.google.com",
    "Google Translate": "translate.google.com",
    "Google Ads": "googleadservices.com googleads.g.doubleclick.net tpc.googlesyndication.com ads.google.com",
    "Google accounts": "accounts.google.com",
}
_BY_CHANNEL: tuple[tuple[Channel, dict[str, str]], ...] = (
    ("search", _SEARCH),
    ("social", _SOCIAL),
    ("ai", _AI),
    ("email", _EMAIL),
    ("referral", _REFERRAL),
)

_OURS = {name: (channel, hosts) for channel, services in _BY_CHANNEL for name, hosts in services.items()}


def _listed() -> Iterator[tuple[Channel, str, str]]:
    """Channel, name and hosts of each service of Matomo's."""
    for line in LIST.read_text(encoding="utf-8").splitlines():
        channel, name, hosts = line.split("\t")
        yield "search" if channel == "search" else "social", name, hosts


_LISTED = {name: (channel, hosts) for channel, name, hosts in _listed()}

CHANNELS: dict[str, Channel] = {name: channel for name, (channel, _) in (_LISTED | _OURS).items()}
"""Channel by name of the service."""

_ENTRIES = {
    entry: name for services in (_LISTED, _OURS) for name, (_, hosts) in services.items() for entry in hosts.split()
}

HOSTS = {entry: name for entry, name in _ENTRIES.items() if not entry.startswith("=") and ".{}" not in entry}
"""Name of the service by its host, which stands for the hosts below it."""

ALONE = {entry.removeprefix("="): name for entry, name in _ENTRIES.items() if entry not in HOSTS}
"""Name of the service by a host that stands for itself alone; `{}` at its end is any country's."""

# The most frequent of all countries needs no pattern.
ALONE |= {host.replace(".{}", ".com"): name for host, name in ALONE.items()}

NATIONAL = frozenset(host.partition(".")[0] for host in ALONE if host.endswith(".{}"))
"""The first labels of hosts that a service has in many countries."""

# Other names of the list, such as Free and Orange, are words that a site may mean otherwise.
_WRITTEN = (
    *("Ask", "Baidu", "Bing", "Coc Coc Search", "DuckDuckGo", "Ecosia", "Lilo", "Sogou", "Startpage", "Brave Search"),
    *("Snapchat", "Tumblr", "Vimeo", "Xing"),
)

ALIASES = {name.lower(): name for name in (*_OURS, *_WRITTEN)} | {
    "fb": "Facebook",
    "facebook.com": "Facebook",
    "ig": "Instagram",
    "insta": "Instagram",
    "twitter": "X",
    "yt": "YouTube",
    "hackernews": "Hacker News",
    "hacker-news": "Hacker News",
    "hn": "Hacker News",
    "producthunt": "Product Hunt",
    "ddg": "DuckDuckGo",
    "openai": "ChatGPT",
    "linked-in": "LinkedIn",
    "pinterest.com": "Pinterest",
    "adwords": "Google Ads",
    "googleads": "Google Ads",
    "google-ads": "Google Ads",
    "google_ads": "Google Ads",
}
"""Name of the service by what sites write into `utm_source`, in lower case."""
