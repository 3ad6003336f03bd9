"""Which hits are no visits: pages fetched ahead of time, bots, and senders that do not say what they are.

Place: after consent, before anything is derived. A refusal is a drop: a reason that is counted, never an exception.

Known bots come from the maintained list of the crawler-user-agents package. Its 1,500 patterns run in ua-parser's
compiled matcher, which finds candidates by their literal parts: 1.5 microseconds for a User-Agent, where one joined
pattern in `re` takes 900.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache

import crawleruseragents
import ua_parser_rs

PREFETCH = "prefetch"
BOT = "bot"
NO_USER_AGENT = "no_user_agent"
ABSURD_USER_AGENT = "absurd_user_agent"
REASONS = (PREFETCH, BOT, NO_USER_AGENT, ABSURD_USER_AGENT)

MAX_USER_AGENT_CHARS = 1024
"""The longest of 2,900 real ones (tests/data/user_agents.json.gz) has 334; in-app browsers reach about twice that."""

VERDICTS_KEPT = 4096
"""User-Agents whose verdict is remembered: more than a busy site sees in an hour, a few megabytes at most."""

_AHEAD_OF_TIME = re.compile(rb"prefetch|prerender|preview|instant", re.IGNORECASE).search

# What no browser sends: attempts at templates, scripts, shells and databases, and placeholders left unfilled.
_ABSURD = re.compile(
    r"""
      [\x00-\x08\x0a-\x1f\x7f-\x9f]
    | \$\{ | \#\{ | \{\{ | \{% | %\{ | <% | <\? | <!-- | <\s*/?\s*[a-z]+[\s/>]      # ${jndi:...}, {{7*7}}, <script>
    | \(\)\s*\{ | \$\( | ` | \|\|                                                   # () { :; }; /bin/sh
    | \.\./ | /etc/passwd | \bunion\b.{1,20}\bselect\b | \bselect\b.{1,60}\bfrom\b | \bsleep\s*\( | \bwaitfor\s+delay\b
    | ['"]\s*(?:or|and)\s+['"\d]
    """,
    re.VERBOSE | re.IGNORECASE,
).search
_LETTER = re.compile("[A-Za-z]").search
_PLACEHOLDERS = frozenset(
    (
        *("mozilla", "mozilla/4.0", "mozilla/5.0", "browser", "user-agent", "useragent", "unknown", "default", "test"),
        *("undefined", "null", "none", "nil", "nan"),
    )
)

# Bots that the list does not know yet give themselves away by their trade, by an address to complain to, or by the bare
# name of a library.
# CUBOT makes phones.
_SELF_DECLARED = re.compile(
    r"(?<!cu)bots?(?![a-z])|crawl|spider|scrap(?:er|ing)|\bslurp\b|headless|phantomjs|\+https?://"
    r"|^(?:python-?[a-z0-9]*|java|ruby|php|perl|guzzlehttp|postmanruntime|insomnia|undici|reqwest|hyper)/",
    re.IGNORECASE,
).search


def refusal_of(headers: Mapping[bytes, bytes], user_agent: str) -> str | None:
    """Why this hit is no visit, one of `REASONS`, or None. `headers` by their lower-case names, as ASGI has them."""
    if not user_agent:
        return NO_USER_AGENT
    if _is_ahead_of_time(headers):
        return PREFETCH
    if len(user_agent) > MAX_USER_AGENT_CHARS:
        return ABSURD_USER_AGENT
    return _verdict(user_agent)


def _is_ahead_of_time(headers: Mapping[bytes, bytes]) -> bool:
    """Whether nobody may be looking: Sec-Purpose (Fetch standard), and what browsers sent before it."""
    for name in (b"sec-purpose", b"purpose", b"x-purpose", b"x-moz"):
        value = headers.get(name)
        if value is not None and _AHEAD_OF_TIME(value):
            return True
    return False


@lru_cache(maxsize=VERDICTS_KEPT)
def _verdict(user_agent: str) -> str | None:
    stripped = user_agent.strip()
    if not stripped:
        return NO_USER_AGENT
    if not _LETTER(stripped) or stripped.lower() in _PLACEHOLDERS or _ABSURD(stripped):
        return ABSURD_USER_AGENT
    if _known_bots().extract(stripped) is not None or _SELF_DECLARED(stripped):
        return BOT
    return None


@cache
def _known_bots() -> ua_parser_rs.UserAgentExtractor:
    """The list, compiled when the first User-Agent comes (20 ms)."""
    return ua_parser_rs.UserAgentExtractor(
        (crawler["pattern"], BOT, None, None, None, None) for crawler in crawleruseragents.CRAWLER_USER_AGENTS_DATA
    )
