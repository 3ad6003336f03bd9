"""Who comes to the demo shop: people of some fifty countries, in networks that are really there, with real browsers.

Addresses are drawn from the networks that the shipped country database knows for a country, so that the collector finds
the same country again. Their last parts are random; nobody's own address is meant. Browsers come from
`user_agents.tsv`, with the frequencies of its source.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from collector.country import Countries

# Of visitors from a country with networks of both kinds here. Google measures nearly half among its users, but the few
# IPv6 networks that are drawn should not stand for so many people.
IPV6_SHARE = 0.25
# Drawn and looked up at the start, 3 us each: enough that even a small country has some dozens of networks.
IPV4_LOOKUPS = 60_000
IPV6_LOOKUPS = 40_000
# Where the registries give out IPv6 (IANA, IPv6 Global Unicast Address Assignments).
IPV6_BLOCKS = tuple(range(0x2400, 0x2410)) + tuple(range(0x2600, 0x2610)) + tuple(range(0x2A00, 0x2A10))
# Browsers that ask for English, whatever the country.
ENGLISH_SHARE = 0.12
USER_AGENTS = "user_agents.tsv"

# Real ones, as they introduce themselves: sites that count on their servers get them too, and the collector drops them.
BOTS = (
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
)


@dataclass(frozen=True)
class Country:
    """Where visitors come from: `weight` of each thousand or so, its time zone, the languages its browsers ask for."""

    code: str
    weight: float
    timezone: str
    language: str


# A shop in Berlin that writes English and sends everywhere: made up, but no country is larger than one would expect.
COUNTRIES = (
    Country("DE", 230, "Europe/Berlin", "de-DE,de;q=0.9,en;q=0.7"),
    Country("US", 150, "America/Chicago", "en-US,en;q=0.9"),
    Country("GB", 105, "Europe/London", "en-GB,en;q=0.9"),
    Country("FR", 52, "Europe/Paris", "fr-FR,fr;q=0.9,en;q=0.6"),
    Country("AT", 44, "Europe/Vienna", "de-AT,de;q=0.9,en;q=0.7"),
    Country("NL", 42, "Europe/Amsterdam", "nl-NL,nl;q=0.9,en;q=0.8"),
    Country("CH", 38, "Europe/Zurich", "de-CH,de;q=0.9,fr;q=0.6"),
    Country("IT", 30, "Europe/Rome", "it-IT,it;q=0.9,en;q=0.5"),
    Country("ES", 28, "Europe/Madrid", "es-ES,es;q=0.9,en;q=0.5"),
    Country("CA", 26, "America/Toronto", "en-CA,en;q=0.9,fr;q=0.5"),
    Country("PL", 26, "Europe/Warsaw", "pl-PL,pl;q=0.9,en;q=0.6"),
    Country("IN", 24, "Asia/Kolkata", "en-IN,en;q=0.9,hi;q=0.6"),
    Country("JP", 22, "Asia/Tokyo", "ja,en-US;q=0.6"),
    Country("SE", 20, "Europe/Stockholm", "sv-SE,sv;q=0.9,en;q=0.8"),
    Country("AU", 20, "Australia/Sydney", "en-AU,en;q=0.9"),
    Country("BE", 18, "Europe/Brussels", "nl-BE,nl;q=0.9,fr;q=0.7"),
    Country("BR", 17, "America/Sao_Paulo", "pt-BR,pt;q=0.9,en;q=0.5"),
    Country("DK", 15, "Europe/Copenhagen", "da-DK,da;q=0.9,en;q=0.8"),
    Country("CZ", 14, "Europe/Prague", "cs-CZ,cs;q=0.9,en;q=0.6"),
    Country("NO", 13, "Europe/Oslo", "nb-NO,nb;q=0.9,en;q=0.8"),
    Country("FI", 12, "Europe/Helsinki", "fi-FI,fi;q=0.9,en;q=0.7"),
    Country("IE", 12, "Europe/Dublin", "en-IE,en;q=0.9"),
    Country("TR", 12, "Europe/Istanbul", "tr-TR,tr;q=0.9,en;q=0.5"),
    Country("KR", 12, "Asia/Seoul", "ko-KR,ko;q=0.9,en;q=0.5"),
    Country("PT", 11, "Europe/Lisbon", "pt-PT,pt;q=0.9,en;q=0.6"),
    Country("TW", 11, "Asia/Taipei", "zh-TW,zh;q=0.9,en;q=0.5"),
    Country("MX", 10, "America/Mexico_City", "es-MX,es;q=0.9,en;q=0.5"),
    Country("UA", 9, "Europe/Kyiv", "uk-UA,uk;q=0.9,en;q=0.6"),
    Country("CN", 8, "Asia/Shanghai", "zh-CN,zh;q=0.9"),
    Country("RO", 8, "Europe/Bucharest", "ro-RO,ro;q=0.9,en;q=0.6"),
    Country("GR", 7, "Europe/Athens", "el-GR,el;q=0.9,en;q=0.6"),
    Country("HU", 7, "Europe/Budapest", "hu-HU,hu;q=0.9,en;q=0.6"),
    Country("SG", 7, "Asia/Singapore", "en-SG,en;q=0.9,zh;q=0.6"),
    Country("NZ", 6, "Pacific/Auckland", "en-NZ,en;q=0.9"),
    Country("IL", 6, "Asia/Jerusalem", "he-IL,he;q=0.9,en;q=0.7"),
    Country("ZA", 6, "Africa/Johannesburg", "en-ZA,en;q=0.9"),
    Country("AR", 6, "America/Argentina/Buenos_Aires", "es-AR,es;q=0.9"),
    Country("HK", 5, "Asia/Hong_Kong", "zh-HK,zh;q=0.9,en;q=0.7"),
    Country("EG", 5, "Africa/Cairo", "ar-EG,ar;q=0.9,en;q=0.5"),
    Country("AE", 5, "Asia/Dubai", "ar-AE,ar;q=0.9,en;q=0.8"),
    Country("SA", 5, "Asia/Riyadh", "ar-SA,ar;q=0.9,en;q=0.5"),
    Country("ID", 5, "Asia/Jakarta", "id-ID,id;q=0.9,en;q=0.5"),
    Country("CL", 4, "America/Santiago", "es-CL,es;q=0.9"),
    Country("TH", 4, "Asia/Bangkok", "th-TH,th;q=0.9,en;q=0.5"),
    Country("VN", 4, "Asia/Ho_Chi_Minh", "vi-VN,vi;q=0.9"),
    Country("CO", 4, "America/Bogota", "es-CO,es;q=0.9"),
    Country("MY", 4, "Asia/Kuala_Lumpur", "ms-MY,ms;q=0.9,en;q=0.8"),
    Country("MA", 3, "Africa/Casablanca", "fr-MA,fr;q=0.9,ar;q=0.7"),
    Country("KE", 3, "Africa/Nairobi", "en-KE,en;q=0.9,sw;q=0.6"),
    Country("IS", 2, "Atlantic/Reykjavik", "is-IS,is;q=0.9,en;q=0.8"),
)


@dataclass(frozen=True)
class Browser:
    """One User-Agent of the table, its share in millionths, and the widths of its windows with their weights."""

    user_agent: str
    share: int
    widths: tuple[int, ...]
    width_weights: tuple[int, ...]


@dataclass(frozen=True)
class Visitor:
    """One person at one device."""

    country: Country
    address: str
    user_agent: str
    width: int
    language: str


class Networks(NamedTuple):
    """Some networks of one country: the first three numbers of IPv4 ones, the first 48 bits of IPv6 ones."""

    old: list[str]
    new: list[str]


class Audience:
    """Draws visitors; the same ones from the same `random.Random`, `country_file` None is the shipped database."""

    def __init__(self, seed: int, country_file: Path | None = None) -> None:
        chance = random.Random(f"{seed}/networks")  # noqa: S311  visitors, not secrets
        self._networks = networks_by_country(chance, country_file)
        self._browsers = read_browsers()
        self._browser_weights = list(accumulate(browser.share for browser in self._browsers))
        self._countries = [country for country in COUNTRIES if self._networks[country.code].old]
        self._country_weights = list(accumulate(country.weight for country in self._countries))

    def visitor(self, chance: random.Random) -> Visitor:
        country = chance.choices(self._countries, cum_weights=self._country_weights)[0]
        browser = chance.choices(self._browsers, cum_weights=self._browser_weights)[0]
        networks = self._networks[country.code]
        of_family = networks.new if networks.new and chance.random() < IPV6_SHARE else networks.old
        return Visitor(
            country,
            address_in(chance.choice(of_family), chance),
            browser.user_agent,
            chance.choices(browser.widths, browser.width_weights)[0],
            "en-US,en;q=0.9" if chance.random() < ENGLISH_SHARE else country.language,
        )


def address_in(network: str, chance: random.Random) -> str:
    """An address in one of the networks of `Networks`."""
    if ":" in network:
        return f"{network}:{chance.randrange(1, 256):x}::{chance.randrange(1, 1 << 16):x}"
    return f"{network}.{chance.randrange(1, 255)}"


def networks_by_country(chance: random.Random, country_file: Path | None = None) -> dict[str, Networks]:
    """Random networks of each country, as the database has them.

    Walking all of its 460,000 networks would take 2 s; drawing and asking takes 0.3 s.
    """
    wanted = {country.code for country in COUNTRIES}
    countries = Countries(country_file)
    old = _drawn(countries, wanted, [_ipv4_network(chance) for _ in range(IPV4_LOOKUPS)])
    new = _drawn(countries, wanted, [_ipv6_network(chance) for _ in range(IPV6_LOOKUPS)])
    countries.close()
    return {code: Networks(old[code], new[code]) for code in wanted}


def _drawn(countries: Countries, wanted: Collection[str], networks: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {code: [] for code in wanted}
    for network in networks:
        code = countries.country_of(f"{network}::" if ":" in network else f"{network}.0")
        if code in found:
            found[code].append(network)
    return found


def _ipv4_network(chance: random.Random) -> str:
    bits = chance.randrange(1 << 16, 224 << 16)
    return f"{bits >> 16}.{bits >> 8 & 255}.{bits & 255}"


def _ipv6_network(chance: random.Random) -> str:
    return f"{chance.choice(IPV6_BLOCKS):x}:{chance.randrange(1, 1 << 16):x}:{chance.randrange(1, 1 << 16):x}"


def read_browsers() -> list[Browser]:
    """The table of User-Agents, the most frequent first."""
    lines = Path(__file__).with_name(USER_AGENTS).read_text(encoding="utf-8").splitlines()
    return [_browser(*line.split("\t")) for line in lines]


def _browser(share: str, widths: str, user_agent: str) -> Browser:
    pairs = [pair.split(":") for pair in widths.split(",")]
    return Browser(
        user_agent, int(share), tuple(int(width) for width, _ in pairs), tuple(int(weight) for _, weight in pairs)
    )
