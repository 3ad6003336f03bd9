"""Simulated sites, from 3 to 500,000 visitors a day, as arrays: a day of a million events is made in a second.

What is skewed in the world is skewed here: User-Agents by their real frequencies (dashboards/demo/user_agents.tsv),
pages, sources and campaigns by Zipf's law, many countries, a twentieth of all people behind one network and others
sharing theirs, visitors who return during the day, some who do far too much, a key lost in mid-day (two generations),
rows without a visitor.

Text is kept as codes, places in the lists of `Words`; the store gets both and puts them together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from collector import days
from collector.user_agent import UserAgents
from tests.aggregator.simulate import directory
from tests.collector.collecting import ROOT

VIEW, EVENT, LEAVE, ERROR = 1, 2, 3, 4
MOST_PAGES = 6_000
FOLDERS = ("/", "/blog/", "/blog/2024/", "/shop/a/", "/docs?v=1/")
# As RowBinary has it, little-endian and packed.
ROW = np.dtype(
    [
        ("site", "<u2"),
        ("at", "<i8"),
        ("generation", "<u8"),
        ("visitor", "<u8"),
        ("network", "<u8"),
        ("kind", "u1"),
        ("name", "u1"),
        ("path", "<u4"),
        ("origin", "u1"),
        ("campaign", "<u2"),
        ("country", "u1"),
        ("look", "<u2"),
        ("screen", "u1"),
        ("language", "u1"),
        ("engaged_ms", "<u4"),
        ("scroll", "u1"),
        ("position", "<u4"),
    ]
)
Rows = npt.NDArray[np.void]
Integers = npt.NDArray[np.int64]


class Look(NamedTuple):
    """What a User-Agent says."""

    browser: str
    browser_version: str
    os: str
    os_version: str
    device: str


@dataclass(frozen=True)
class Words:
    """The texts that codes stand for. `origins` are (source, channel); code 0 is "" in `names` and `campaigns`."""

    names: tuple[str, ...]
    paths: tuple[str, ...]
    origins: tuple[tuple[str, str], ...]
    campaigns: tuple[str, ...]
    countries: tuple[str, ...]
    looks: tuple[Look, ...]
    screens: tuple[str, ...]
    languages: tuple[str, ...]

    def cells(self, dimension: str) -> list[tuple[str, str]]:
        """(parent, value) of each code of a dimension, as trends name them; a value '' does not count."""
        of_looks: dict[str, Callable[[Look], tuple[str, str]]] = {
            "browser": lambda look: ("", look.browser or "(unknown)"),
            "browser_version": lambda look: _version(look.browser, look.browser_version),
            "os": lambda look: ("", look.os or "(unknown)"),
            "os_version": lambda look: _version(look.os, look.os_version),
            "device": lambda look: ("", look.device or "(unknown)"),
        }
        if dimension in of_looks:
            return [of_looks[dimension](look) for look in self.looks]
        if dimension in ("page", "entry", "exit"):
            return [(directory(path), path) for path in self.paths]
        if dimension == "source":
            return [(channel or "direct", source or "(direct)") for source, channel in self.origins]
        if dimension == "channel":
            return [("", channel or "direct") for _, channel in self.origins]
        if dimension == "scroll":
            return [("", quarter) for quarter in ("", "0-25", "25-50", "50-75", "75-100")]
        plain = {
            "campaign": self.campaigns,
            "event": self.names,
            "country": tuple(text or "(unknown)" for text in self.countries),
            "screen": tuple(text or "(unknown)" for text in self.screens),
            "language": tuple(text or "(unknown)" for text in self.languages),
        }
        return [("", text) for text in plain[dimension]]


def _version(name: str, version: str) -> tuple[str, str]:
    known = name or "(unknown)"
    return known, f"{known} {version}".strip()


@cache
def words() -> Words:
    """One list of words for all crowds."""
    channels = ("search", "social", "referral", "e-mail", "ai")
    return Words(
        names=("", "signup", "download", "play", "(other)", "rare"),
        paths=tuple(f"{FOLDERS[n % 5]}{'' if n < 3 else n}" for n in range(MOST_PAGES)),
        origins=(("", ""), *((f"site-{n}.example", channels[n % 5]) for n in range(60))),
        campaigns=("", *(f"spring-{n}" for n in range(300))),
        countries=(
            *("DE", "US", "FR", "GB", "IT", "ES", "NL", "PL", "IN", "BR", "SE", "IS", "MT", "LI", ""),
            *(f"{first}{second}" for first in "QXZ" for second in "ABCDEFGHIJKLMNO"),
        ),
        looks=_looks(),
        screens=("small", "medium", "large", ""),
        languages=("de", "en", "fr", "it", "es", "pl", "is", "", "nl", "sv", "pt", "ja", "zh", "tr", "uk"),
    )


def _looks() -> tuple[Look, ...]:
    agents = UserAgents()
    return tuple(Look(*agents.client_of(agent)[:5]) for _, agent in user_agents())


@cache
def user_agents() -> tuple[tuple[int, str], ...]:
    """Real User-Agents with how often each was seen."""
    lines = (ROOT / "dashboards/demo/user_agents.tsv").read_text().splitlines()
    fields = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return tuple((int(share), agent) for share, _, agent in fields)


@dataclass(frozen=True)
class Crowd:
    """A site's day with about `people` visitors; `k` is the site's."""

    site: str
    people: int
    k: int = 5
    seed: int = 1


@dataclass(frozen=True)
class OpenDay:
    """The open rows of some crowds; `site` in `rows` is the place in `crowds`. At most 65,000 crowds."""

    day: date
    timezone: str
    crowds: tuple[Crowd, ...]
    rows: Rows

    @property
    def starts_ms(self) -> int:
        return int(days.starts_at(self.day, self.timezone)) * 1000


def open_day(day: date, timezone: str, crowds: Sequence[Crowd]) -> OpenDay:
    """A day of each crowd, reproducible by the seeds. Rows are numbered in the order in which they come."""
    start = int(days.starts_at(day, timezone)) * 1000
    end = int(days.ends_at(day, timezone)) * 1000
    parts = [_rows_of(crowd, place, start, end) for place, crowd in enumerate(crowds)]
    rows = np.concatenate(parts)
    rows["position"] = np.arange(len(rows))
    return OpenDay(day, timezone, tuple(crowds), rows)


def _rows_of(crowd: Crowd, place: int, start: int, end: int) -> Rows:
    rng = np.random.default_rng((crowd.seed, place, crowd.people))
    people = _people(rng, crowd.people)
    views = _views(rng, crowd.people, people, start, end)
    leaves = views[rng.random(len(views)) < 0.6].copy()
    leaves["kind"], leaves["at"] = LEAVE, leaves["at"] + 20_000
    leaves["engaged_ms"] = np.where(
        rng.random(len(leaves)) < 0.02, rng.integers(0, 2_400_000, len(leaves)), rng.integers(0, 90_000, len(leaves))
    )
    # Not drawn, so that what is drawn after it stays as it was. Many say nothing of it.
    leaves["scroll"] = leaves["engaged_ms"] % 9 // 2 * 25
    events = views[rng.random(len(views)) < 0.08].copy()
    events["kind"], events["at"] = EVENT, events["at"] + 10_000
    events["name"] = 1 + _zipf(rng, len(words().names) - 1, len(events))
    rows = np.concatenate([views, leaves, events, *_strangers(rng, crowd.people, views, start, end)])
    rows["site"] = place
    within = rows[(rows["at"] >= start) & (rows["at"] < end)]
    return within[rng.permutation(len(within))]


def _people(rng: np.random.Generator, count: int) -> Rows:
    """One row for each person: token, network and all that stays the same during a day."""
    people = np.zeros(count, ROW)
    networks = rng.integers(1, 2**62, max(2, count * 7 // 10), dtype=np.uint64) * 2 + 1
    chosen = np.where(rng.random(count) < 0.05, 0, rng.integers(0, len(networks), count))
    shares = np.array([share for share, _ in user_agents()], float)
    people["visitor"] = rng.integers(1, 2**63, count, dtype=np.uint64)
    people["network"] = np.where(np.arange(count) % 50 == 49, 0, networks[chosen])
    people["generation"] = np.where(rng.random(count) < 0.1, 2, 1)
    people["country"] = _zipf(rng, len(words().countries), len(networks))[chosen]
    people["look"] = rng.choice(len(shares), count, p=shares / shares.sum())
    people["screen"] = _zipf(rng, len(words().screens), count)
    people["language"] = _zipf(rng, len(words().languages), count)
    return people


def _views(rng: np.random.Generator, count: int, people: Rows, start: int, end: int) -> Rows:
    """Each view of each visit: visits follow each other by half an hour to two and a half, views by a minute or so."""
    visits = rng.choice((1, 1, 1, 2, 3), count)
    of_person = np.repeat(np.arange(count), visits)
    lengths = np.minimum(rng.geometric(0.45, len(of_person)), 25)
    lengths[of_person % 97 == 5] = 40
    visit = np.repeat(np.arange(len(of_person)), lengths)
    person = of_person[visit]
    opens = np.r_[True, visit[1:] != visit[:-1]]
    gaps = np.where(opens, rng.integers(1_700_000, 9_000_000, len(visit)), rng.integers(25_000, 120_000, len(visit)))
    first = np.r_[True, person[1:] != person[:-1]]
    gaps[first] = 0
    elapsed = np.cumsum(gaps)
    began = np.maximum.accumulate(np.where(first, np.arange(len(visit)), 0))
    rows = people[person].copy()
    rows["at"] = rng.integers(start, end, count)[person] + elapsed - elapsed[began]
    rows["kind"] = VIEW
    rows["path"] = _page(rng, count, len(rows))
    rows["origin"] = np.where(opens, _zipf(rng, len(words().origins), len(rows)), 0)
    campaign = np.where(rng.random(len(rows)) < 0.1, 1 + _zipf(rng, len(words().campaigns) - 1, len(rows)), 0)
    rows["campaign"] = np.where(opens, campaign, 0)
    return rows


def _strangers(rng: np.random.Generator, count: int, views: Rows, start: int, end: int) -> tuple[Rows, Rows]:
    """Rows of no visitor, as servers send them, and a script error, which is no visit."""
    unknown = views[rng.integers(0, len(views), count // 20)].copy()
    unknown["visitor"], unknown["network"] = 0, 0
    unknown["at"] = rng.integers(start, end, len(unknown))
    error = views[:1].copy()
    error["kind"], error["visitor"], error["network"] = ERROR, 2**63 + 9, 2**62 + 9
    return unknown, error


def _page(rng: np.random.Generator, people: int, count: int) -> Integers:
    pages = min(MOST_PAGES, max(4, people // 2))
    drawn: Integers = np.exp(rng.random(count) * np.log(pages)).astype(np.int64)
    return drawn


def _zipf(rng: np.random.Generator, of: int, count: int) -> Integers:
    weights = 1 / (np.arange(of) + 1) ** 1.5
    chosen: Integers = rng.choice(of, count, p=weights / weights.sum())
    return chosen
