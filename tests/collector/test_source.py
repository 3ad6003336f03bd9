from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.page import page_of
from collector.source import MAX_CAMPAIGN_CHARS, MAX_SOURCE_CHARS, Origin, origin_of
from collector.source_names import ALIASES, ALONE, CHANNELS, HOSTS
from tests.collector.collecting import ROOT

OWN = ("example.com", "www.example.com")


@pytest.mark.parametrize(
    ("referrer", "source", "channel"),
    [
        ("", "", "direct"),
        ("https://www.example.com/a", "", "direct"),
        ("https://example.com/", "", "direct"),
        ("https://shop.example.com/a", "", "direct"),
        ("https://notexample.com/a", "notexample.com", "referral"),
        ("https://www.google.com/", "Google", "search"),
        ("https://www.google.co.uk/search?q=SECRET", "Google", "search"),
        ("https://google.com.br/", "Google", "search"),
        ("android-app://com.google.android.googlequicksearchbox/", "Google", "search"),
        ("https://www.bing.com/", "Bing", "search"),
        ("https://duckduckgo.com/", "DuckDuckGo", "search"),
        ("https://de.search.yahoo.com/", "Yahoo", "search"),
        ("https://yandex.com.tr/", "Yandex", "search"),
        ("https://www.ecosia.org/", "Ecosia", "search"),
        ("https://www.baidu.com/link?url=SECRET", "Baidu", "search"),
        ("https://mail.google.com/", "Gmail", "email"),
        ("android-app://com.google.android.gm/", "Gmail", "email"),
        ("https://docs.google.com/document/d/SECRET", "Google Docs", "referral"),
        ("https://calendar.google.com/", "calendar.google.com", "referral"),
        ("https://gemini.google.com/", "Gemini", "ai"),
        ("https://chatgpt.com/", "ChatGPT", "ai"),
        ("https://www.perplexity.ai/", "Perplexity", "ai"),
        ("https://claude.ai/", "Claude", "ai"),
        ("https://copilot.microsoft.com/", "Copilot", "ai"),
        ("https://l.facebook.com/l.php?u=SECRET", "Facebook", "social"),
        ("https://m.facebook.com/", "Facebook", "social"),
        ("https://l.instagram.com/", "Instagram", "social"),
        ("https://t.co/abc", "X", "social"),
        ("https://old.reddit.com/r/x", "Reddit", "social"),
        ("https://news.ycombinator.com/item?id=1", "Hacker News", "social"),
        ("https://out.linkedin.com/", "LinkedIn", "social"),
        ("https://m.youtube.com/", "YouTube", "social"),
        ("https://github.com/x/y", "GitHub", "referral"),
        ("https://de.wikipedia.org/wiki/X", "Wikipedia", "referral"),
        ("https://google.evil.test/", "google.evil.test", "referral"),
        ("https://blog.other.org/post/SECRET?x=SECRET#SECRET", "blog.other.org", "referral"),
        ("https://user:SECRET@other.org:8080/", "other.org", "referral"),
        ("http://192.0.2.7/", "[address]", "referral"),
        ("http://[2001:db8::7]/", "[address]", "referral"),
        ("SECRET", "", "direct"),
        ("about:blank", "", "direct"),
        ("https://", "", "direct"),
        ("https://SEC RET/", "", "direct"),
    ],
)
def test_a_referrer_is_a_service_or_a_host(referrer: str, source: str, channel: str) -> None:
    origin = origin_of(referrer, {}, OWN)
    assert (origin.source, origin.channel, origin.campaign) == (source, channel, "")


@pytest.mark.parametrize(
    ("query", "origin"),
    [
        ("utm_source=newsletter&utm_medium=email&utm_campaign=May+2026", Origin("newsletter", "email", "May 2026")),
        ("utm_source=Partner", Origin("partner", "campaign", "")),
        ("utm_source=google&utm_medium=cpc&utm_campaign=brand", Origin("Google", "campaign", "brand")),
        ("utm_source=google&utm_medium=organic", Origin("Google", "search", "")),
        ("utm_source=GOOGLE", Origin("Google", "search", "")),
        ("utm_source=facebook&utm_medium=paid_social", Origin("Facebook", "campaign", "")),
        ("utm_source=fb&utm_medium=social", Origin("Facebook", "social", "")),
        ("utm_source=somewhere&utm_medium=social", Origin("somewhere", "social", "")),
        ("utm_source=chatgpt.com", Origin("ChatGPT", "ai", "")),
        ("utm_source=l.facebook.com", Origin("Facebook", "social", "")),
        ("ref=producthunt", Origin("Product Hunt", "social", "")),
        ("ref=somebody", Origin("somebody", "referral", "")),
        ("source=www.other.org", Origin("other.org", "referral", "")),
        ("utm_source=a&ref=b&source=c", Origin("a", "campaign", "")),
        ("utm_source=bob%40example.com", Origin("[email]", "campaign", "")),
        ("utm_source=y&utm_campaign=550e8400-e29b-41d4-a716-446655440000", Origin("y", "campaign", "[token]")),
        ("utm_source=", Origin("Bing", "search", "")),
        ("utm_campaign=spring", Origin("Bing", "campaign", "spring")),
        ("utm_medium=email", Origin("Bing", "email", "")),
        ("gclid=SECRET&fbclid=SECRET&msclkid=SECRET", Origin("Bing", "search", "")),
        ("utm_content=SECRET&utm_term=SECRET", Origin("Bing", "search", "")),
    ],
)
def test_what_the_site_says_wins_over_the_referrer(query: str, origin: Origin) -> None:
    page = page_of(f"https://example.com/?{query}", frozenset())
    assert origin_of("https://www.bing.com/", page.query, OWN) == origin


def test_every_known_service_is_found_by_host_and_by_name() -> None:
    for host, name in HOSTS.items():
        assert origin_of(f"https://{host}/", {}, OWN) == Origin(name, CHANNELS[name], "")
        assert origin_of(f"https://below.{host}/", {}, OWN).channel == CHANNELS[name]
    for host, name in ALONE.items():
        for country in ("de", "co.uk", "com.br"):
            referrer = f"https://www.{host.replace('{}', country)}/"
            assert origin_of(referrer, {}, OWN).channel == CHANNELS[name]
    for alias, name in ALIASES.items():
        assert origin_of("", {"utm_source": alias}, OWN).source == name


def test_98_in_100_real_referrers_have_the_right_source_and_channel() -> None:
    """The corpus: what browsers and apps send, read from the tests of two other parsers and written down by hand."""
    lines = (ROOT / "tests" / "data" / "referrers.tsv").read_text(encoding="utf-8").splitlines()
    wrong = []
    for referrer, channel, source in (line.split("\t") for line in lines):
        origin = origin_of(referrer, {}, OWN)
        if (origin.channel, origin.source) != (channel, source):
            wrong.append((referrer, origin))
    assert len(wrong) <= 0.02 * len(lines), wrong
    assert len(lines) > 350


def test_what_stands_beside_a_listed_host_is_not_taken_for_it() -> None:
    assert origin_of("https://www.eniro.se/", {}, OWN).channel == "search"
    assert origin_of("https://shop.eniro.se/", {}, OWN) == Origin("shop.eniro.se", "referral", "")


@pytest.mark.parametrize(
    ("referrer", "source"),
    [
        ("https://mail.example.net/", "mail.example.net"),
        ("https://webmail1.some.provider.example/", "webmail1.some.provider.example"),
        ("https://user-4711.mail.provider.example/", "mail.provider.example"),
        ("https://mail.naver.com/", "mail.naver.com"),
    ],
)
def test_web_mail_is_mail_and_nothing_left_of_it_is_kept(referrer: str, source: str) -> None:
    assert origin_of(referrer, {}, OWN) == Origin(source, "email", "")


@pytest.mark.parametrize("host", ["mailer.example.net", "mail.com", "email.example", "hotmail-tips.example.net"])
def test_a_host_that_only_sounds_like_mail_is_a_site_like_any_other(host: str) -> None:
    assert origin_of(f"https://{host}/", {}, OWN) == Origin(host, "referral", "")


@pytest.mark.parametrize("word", ["free", "orange", "goo", "meta.ua"])
def test_a_word_that_is_also_the_name_of_a_small_search_engine_stays_a_word(word: str) -> None:
    assert origin_of("", {"utm_source": word.partition(".")[0]}, OWN).channel == "campaign"


def test_sources_and_campaigns_are_bounded() -> None:
    origin = origin_of("", {"utm_source": "s" * 1000, "utm_campaign": "c" * 1000}, OWN)
    assert (len(origin.source), len(origin.campaign)) == (MAX_SOURCE_CHARS, MAX_CAMPAIGN_CHARS)
    assert len(origin_of(f"https://{'a.' * 100}org/", {}, OWN).source) == MAX_SOURCE_CHARS


QUERIES = st.dictionaries(st.sampled_from(["utm_source", "utm_medium", "utm_campaign", "ref", "source"]), st.text())


@given(st.text() | st.text().map("https://".__add__), QUERIES)
def test_any_referrer_has_an_origin(referrer: str, query: dict[str, str]) -> None:
    origin = origin_of(referrer, query, OWN)
    assert origin.channel in ("direct", "search", "social", "ai", "email", "referral", "campaign")
    assert len(origin.source) <= MAX_SOURCE_CHARS
    f"{origin.source}{origin.campaign}".encode()
