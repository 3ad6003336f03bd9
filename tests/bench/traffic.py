"""Requests as a busy site sees them: real browsers by their frequencies, Zipf's law for pages, the same on each run."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from collector.refuse import refusal_of

DATA = Path(__file__).resolve().parents[1] / "data"
SITE = "example.com"
# Different requests; a worker that remembers what repeats sees about as many of these as on a real site in a minute.
REQUESTS = 4_000
PAGES = 2_000
LANGUAGES = ("de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7", "en-US,en;q=0.9", "en-GB,en;q=0.5", "fr-FR,fr;q=0.9", "de,en;q=0.5")
REFERRERS = (
    "",
    f"https://{SITE}/",
    "https://www.google.com/",
    "https://t.co/",
    "https://duckduckgo.com/",
    "https://news.example.net/2026/03/a-long-read",
    "https://www.bing.com/",
)
WIDTHS = (1920, 390, 1536, 412, 1440, 360, 2560, 820)
_CHROMIUM = re.compile(r"Chrome/(\d+)")


def requests(number: int = REQUESTS) -> list[bytes]:
    """Whole HTTP/1.1 requests for POST /api/event, each to be accepted by the site `SITE` without conditions."""
    chance = random.Random(1)
    agents, weights = user_agents()
    addresses = [line.split(",")[0] for line in _addresses()]
    return [
        _request(chance, agent, chance.choice(addresses)) for agent in chance.choices(agents, weights=weights, k=number)
    ]


def user_agents() -> tuple[list[str], list[float]]:
    """Real User-Agents that are no bots, and how often each is seen."""
    rows = json.loads(gzip.decompress((DATA / "user_agents.json.gz").read_bytes()))["rows"]
    seen = [(agent, weight) for agent, _, weight in rows if weight > 0 and refusal_of({}, agent) is None]
    return [agent for agent, _ in seen], [weight for _, weight in seen]


def _addresses() -> Iterator[str]:
    lines = gzip.decompress((DATA / "routed_addresses.csv.gz").read_bytes()).decode().splitlines()
    return (line for line in lines if line and not line.startswith("#"))


def _request(chance: random.Random, agent: str, address: str) -> bytes:
    """One request with the headers, and in the order, of a browser that runs a beacon."""
    body = json.dumps(_fields(chance), separators=(",", ":")).encode()
    headers = {
        "Host": f"stats.{SITE}",
        "Connection": "keep-alive",
        "Content-Length": str(len(body)),
        **_hints(agent),
        "User-Agent": agent,
        "Content-Type": "text/plain;charset=UTF-8",
        "Accept": "*/*",
        "Origin": f"https://{SITE}",
        "Sec-Fetch-Site": "same-site",
        "Sec-Fetch-Mode": "no-cors",
        "Sec-Fetch-Dest": "empty",
        "Referer": f"https://{SITE}/",
        "Accept-Encoding": "gzip, deflate, br, zstd",
        "Accept-Language": _zipf(chance, LANGUAGES),
        "X-Forwarded-For": address,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /api/event HTTP/1.1\r\n{lines}\r\n".encode("latin-1", "replace") + body


def _hints(agent: str) -> dict[str, str]:
    """The Client Hints that Chromium sends unasked."""
    version = _CHROMIUM.search(agent)
    if version is None:
        return {}
    platform = next((name for name in ("Windows", "Android", "Mac") if name in agent), "Linux")
    return {
        "sec-ch-ua-platform": '"macOS"' if platform == "Mac" else f'"{platform}"',
        "sec-ch-ua": f'"Chromium";v="{version[1]}", "Google Chrome";v="{version[1]}", "Not_A Brand";v="24"',
        "sec-ch-ua-mobile": "?1" if "Mobile" in agent else "?0",
    }


def _fields(chance: random.Random) -> dict[str, object]:
    page = int(chance.paretovariate(0.8)) % PAGES
    query = chance.choice(("", "", "", "", "?utm_source=newsletter&utm_medium=email&utm_campaign=spring"))
    fields: dict[str, object] = {
        "n": "pageview",
        "u": f"https://{SITE}/shelf-{page % 40}/article-about-things-{page}{query}",
        "d": SITE,
        "r": _zipf(chance, REFERRERS),
        "w": _zipf(chance, WIDTHS),
        "c": 1,
    }
    kind = chance.random()
    if kind < 0.1:
        fields |= {"n": "engagement", "e": chance.randrange(1, 90_000), "sd": chance.randrange(100)}
    elif kind < 0.15:
        fields |= {"n": "signup", "p": {"plan": chance.choice(("small", "large"))}}
    return fields


def _zipf(chance: random.Random, of: Sequence[object]) -> object:
    return chance.choices(of, [1 / rank for rank in range(1, len(of) + 1)])[0]
