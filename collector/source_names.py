"""Well-known sources: the services behind hosts and behind what sites write into `utm_source`, and their channels."""

from __future__ import annotations

from typing import Literal

Channel = Literal["direct", "search", "social", "ai", "email", "referral", "campaign"]

_SEARCH = {
    # Google has a host per country and other services below each: `source` has a pattern for it.
    "Google": "com.google.android.googlequicksearchbox",
    "Bing": "bing.com cn.bing.com",
    "DuckDuckGo": "duckduckgo.com",
    "Yahoo": "search.yahoo.com search.yahoo.co.jp yahoo.com yahoo.co.jp",
    "Yandex": "yandex.ru yandex.com ya.ru",
    "Baidu": "baidu.com",
    "Ecosia": "ecosia.org",
    "Brave Search": "search.brave.com",
    "Qwant": "qwant.com",
    "Startpage": "startpage.com",
    "Kagi": "kagi.com",
    "Naver": "search.naver.com naver.com",
    "Daum": "search.daum.net daum.net",
    "Seznam": "seznam.cz search.seznam.cz",
    "Sogou": "sogou.com",
    "360 Search": "so.com",
    "Swisscows": "swisscows.com",
    "Mojeek": "mojeek.com",
    "MetaGer": "metager.de metager.org",
    "AOL": "search.aol.com aol.com",
    "Ask": "ask.com",
    "Dogpile": "dogpile.com",
    "Coc Coc Search": "coccoc.com",
    "Presearch": "presearch.com",
    "Lilo": "search.lilo.org",
    "Marginalia": "marginalia-search.com",
}
_SOCIAL = {
    "Facebook": "facebook.com fb.com fb.me facebookcorewwwi.onion com.facebook.katana",
    "Messenger": "messenger.com",
    "Instagram": "instagram.com com.instagram.android",
    "Threads": "threads.net threads.com",
    "X": "x.com twitter.com t.co com.twitter.android",
    "LinkedIn": "linkedin.com lnkd.in com.linkedin.android",
    "Reddit": "reddit.com redd.it out.reddit.com com.reddit.frontpage",
    "YouTube": "youtube.com youtu.be com.google.android.youtube",
    "TikTok": "tiktok.com",
    "Pinterest": "pinterest.com pinterest.de pinterest.fr pinterest.co.uk pinterest.es pinterest.it pin.it",
    "Snapchat": "snapchat.com",
    "WhatsApp": "whatsapp.com web.whatsapp.com wa.me",
    "Telegram": "telegram.org t.me web.telegram.org org.telegram.messenger",
    "Discord": "discord.com discordapp.com",
    "Slack": "slack.com com.slack",
    "Mastodon": "mastodon.social mastodon.online fosstodon.org mas.to hachyderm.io",
    "Bluesky": "bsky.app go.bsky.app",
    "Hacker News": "news.ycombinator.com hn.algolia.com",
    "Lobsters": "lobste.rs",
    "Product Hunt": "producthunt.com",
    "VK": "vk.com vk.ru away.vk.com",
    "OK": "ok.ru",
    "Weibo": "weibo.com weibo.cn t.cn",
    "WeChat": "weixin.qq.com mp.weixin.qq.com",
    "Xing": "xing.com",
    "Tumblr": "tumblr.com t.umblr.com",
    "Quora": "quora.com",
    "Twitch": "twitch.tv",
    "Vimeo": "vimeo.com",
    "Medium": "medium.com",
    "LINE": "line.me",
    "KakaoTalk": "kakao.com",
    "Zhihu": "zhihu.com",
    "Nextdoor": "nextdoor.com",
    "Lemmy": "lemmy.world lemmy.ml",
}
_AI = {
    "ChatGPT": "chatgpt.com chat.openai.com openai.com",
    "Perplexity": "perplexity.ai",
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
}
_EMAIL = {
    "Gmail": "mail.google.com com.google.android.gm",
    "Outlook": "outlook.live.com outlook.office.com outlook.office365.com outlook.com",
    "Yahoo Mail": "mail.yahoo.com mail.yahoo.co.jp",
    "Proton Mail": "mail.proton.me mail.protonmail.com",
    "GMX": "gmx.net gmx.de gmx.com",
    "WEB.DE": "web.de",
    "Fastmail": "fastmail.com app.fastmail.com",
    "iCloud Mail": "icloud.com",
    "Mail.ru": "e.mail.ru",
    "Yandex Mail": "mail.yandex.ru mail.yandex.com",
    "Zoho Mail": "mail.zoho.com mail.zoho.eu",
    "Mailchimp": "mailchi.mp list-manage.com campaign-archive.com",
    "Substack": "substack.com",
}
_REFERRAL = {
    "GitHub": "github.com",
    "Wikipedia": "wikipedia.org",
    "Stack Overflow": "stackoverflow.com",
    "Google News": "news.google.com",
    "Google Docs": "docs.google.com drive.google.com",
    "Google Classroom": "classroom.google.com",
    "Google Sites": "sites.google.com",
    "Google Maps": "maps.google.com",
    "Google Translate": "translate.google.com",
    "Google Ads": "googleads.g.doubleclick.net tpc.googlesyndication.com ads.google.com",
    "Google accounts": "accounts.google.com",
}
_BY_CHANNEL: tuple[tuple[Channel, dict[str, str]], ...] = (
    ("search", _SEARCH),
    ("social", _SOCIAL),
    ("ai", _AI),
    ("email", _EMAIL),
    ("referral", _REFERRAL),
)

CHANNELS: dict[str, Channel] = {name: channel for channel, services in _BY_CHANNEL for name in services}
"""Channel by name of the service."""

HOSTS = {host: name for _, services in _BY_CHANNEL for name, hosts in services.items() for host in hosts.split()}
"""Name of the service by its host, which stands for the hosts below it."""

ALIASES = {name.lower(): name for name in CHANNELS} | {
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
