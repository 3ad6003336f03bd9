"""The one table of dimensions: by what a site's day is broken down.

A dimension is one row here, plus one column of `open_events` and the function of the collector that derives it. `value`
and `parent` are ClickHouse expressions over the columns of sql/counted_rows.sql. A row whose value is '' does not count
in that dimension, so each expression says what an empty column means.

Invariant: no expression yields anything but what the event itself says: nothing about the visitor or the network.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# What k rule and limit did not let through; also the reason why a page or source really called so is never shown alone.
OTHER = "(other)"


@dataclass(frozen=True)
class Dimension:
    """`parent` is the value one step up, '' where there is none; `kinds` are the kinds of event that count.

    `within` is the dimension whose values the parents are: each of these is then a whole that this one's values divide.
    """

    name: str
    value: str
    parent: str = "''"
    kinds: tuple[str, ...] = ("view", "event", "leave")
    within: str = ""


def _known(column: str, absent: str = "(unknown)") -> str:
    return f"if({column} = '', '{absent}', {column})"


def _versioned(column: str) -> str:
    return f"trimRight(concat({_known(column)}, ' ', {column}_version))"


DIMENSIONS = (
    # "/blog/2024/x" lies in "/blog/2024/", that in "/blog/", "/x" in "/", and "/" in nothing.
    Dimension("page", "path", r"replaceRegexpOne(splitByChar('?', path)[1], '[^/]*/?$', '')", ("view", "leave")),
    Dimension("source", _known("source", "(direct)"), "channel"),
    Dimension("campaign", "campaign"),
    Dimension("country", _known("country")),
    Dimension("browser", _known("browser")),
    Dimension("browser_version", _versioned("browser"), _known("browser"), within="browser"),
    Dimension("os", _known("os")),
    Dimension("os_version", _versioned("os"), _known("os"), within="os"),
    Dimension("device", _known("device")),
    Dimension("screen", _known("screen")),
    Dimension("language", _known("language")),
    Dimension("event", "name", kinds=("event",)),
)

NESTED = [each.name for each in DIMENSIONS if each.within]


def cells(dimensions: Iterable[Dimension] = DIMENSIONS) -> str:
    """The ClickHouse tuples (dimension, parent, value) in which one counted row takes part, one for each dimension."""
    return ",\n".join(f"('{each.name}', toString({each.parent}), {_counted(each)})" for each in dimensions)


def _counted(dimension: Dimension) -> str:
    kinds = ", ".join(f"'{kind}'" for kind in dimension.kinds)
    return f"if(kind IN ({kinds}), toString({dimension.value}), '')"
