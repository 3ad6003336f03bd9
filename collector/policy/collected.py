"""What may be stored, field by field, by the names of its columns, and what becomes of it when a day is over.

Invariant, held by tests/collector/test_policy.py against the migrations: every column of the open day and of the trends
is named here, and no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from collector.noise import Noise

# "groups": only in numbers about groups, from the seal of its day on. "destroyed": with the events of its day.
Afterwards = Literal["groups", "destroyed"]


@dataclass(frozen=True)
class Kept:
    """Fields of one purpose. `name` is their key in every language; `dimensions` the lists of values made of them."""

    name: str
    fields: tuple[str, ...]
    afterwards: Afterwards
    dimensions: tuple[str, ...] = ()


OPEN_DAY = (
    Kept("moment", ("day", "timezone", "at", "inserted"), "groups"),
    Kept("site", ("site",), "groups"),
    Kept("pseudonyms", ("visitor", "network", "generation"), "destroyed"),
    Kept("page", ("path",), "groups", ("page", "entry", "exit", "flow")),
    Kept("host", ("hostname",), "destroyed"),
    Kept("origin", ("source", "channel", "campaign"), "groups", ("source", "channel", "campaign")),
    Kept("country", ("country",), "groups", ("country",)),
    Kept("operator", ("network_operator",), "groups", ("network_operator",)),
    Kept("browser", ("browser", "browser_version"), "groups", ("browser", "browser_version")),
    Kept("system", ("os", "os_version"), "groups", ("os", "os_version")),
    Kept("device", ("device", "screen"), "groups", ("device", "screen")),
    Kept("language", ("language",), "groups", ("language",)),
    Kept("event", ("kind", "name"), "groups", ("event", "error", "missing_page")),
    Kept("properties", ("properties",), "groups", ("slow_page", "lcp", "inp", "cls", "ttfb")),
    Kept("variant", ("variant",), "groups"),
    Kept("loyalty", ("loyalty",), "groups", ("loyalty",)),
    Kept("attention", ("engaged_ms",), "groups"),
    Kept("scroll", ("scroll",), "groups", ("scroll",)),
    Kept("delivery", ("batch", "position"), "destroyed"),
)

# What is kept of groups at every level, of whatever dimension.
_OF_TOTALS = frozenset({"moment", "site"})


def kept_of_open_day(noise: Noise | None) -> tuple[Kept, ...]:
    """The fields of the open day; with `noise` those that no published dimension is made of are destroyed with it."""
    if noise is None:
        return OPEN_DAY
    return tuple(_with_noise(kept, noise) for kept in OPEN_DAY)


def _with_noise(kept: Kept, noise: Noise) -> Kept:
    dimensions = tuple(name for name in kept.dimensions if name in noise.dimensions)
    is_told = bool(dimensions) or kept.name in _OF_TOTALS
    return replace(kept, dimensions=dimensions, afterwards="groups" if is_told else "destroyed")


MEASURES = ("visitors", "visits", "views", "events", "bounces", "engaged_s")
MEASURES_WITH_NOISE = ("visitors", "visits", "views")
_OF_A_DAY = ("day", "timezone", "seal", "keep_until", "site")
TRENDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "trend": (*_OF_A_DAY, "hour", "span", *MEASURES),
        "breakdown": (*_OF_A_DAY, "dimension", "parent", "value", *MEASURES),
        "cross_breakdown": (
            *_OF_A_DAY,
            *("dimension_a", "parent_a", "value_a", "dimension_b", "parent_b", "value_b", "visitors", "visits"),
        ),
        "coverage": ("day", "site", "outcome", "reason", "spool", "requests"),
    }
)

LAST_REQUEST = ("site", "spool", "at", "outcome", "reason", "behind_one_network")
"""What is known of each site's last request, for its operator's page that waits for a first one."""

WITHDRAWAL = ("day", "timezone", "site", "generation", "visitor", "at", "committed_at")
"""What finds the events of somebody who asked for their deletion, until that is done."""

NEVER = (
    "address",
    "user_agent",
    "cookies",
    "user_ids",
    "fragment",
    "query_parameters",
    "referring_page",
    "links_between_days_or_sites",
)
"""What no field has room for; each is a sentence in every language."""
