"""The one table of dimensions: by what a site's day is broken down.

A dimension is one row here, plus one column of `open_events` and the function of the collector that derives it; what a
site declares makes rows in `declared_dimensions`. `value` and `parent` are ClickHouse expressions over the columns of
sql/counted_rows.sql (of `gathered_visits` and their deeds, when a day is sealed). A row whose value is '' does not
count in that dimension, so each expression says what an empty column means.

Invariant: no expression yields anything but what the event itself says: nothing about the visitor or the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Literal

# What k rule and limit did not let through; also the reason why a page or source really called so is never shown alone.
OTHER = "(other)"


# The kinds of event that make and fill a visit. What counts for all of them is counted once for a visit, and not for
# each of its events: of a large site that is an eighth of the rows.
OF_VISITS = ("view", "event", "leave")
Unit = Literal["visitor", "visit", "view", "event", "error", "none"]
# Which measures (visitors, visits, views, events, bounces, engaged_s) each row of a whole adds to in one place only.
DIVIDED: Mapping[Unit, tuple[int, ...]] = {
    "visitor": (1, 1, 1, 1, 1, 1),
    "visit": (0, 1, 1, 1, 1, 1),
    "view": (0, 0, 1, 0, 1, 1),
    "event": (0, 0, 0, 1, 0, 0),
    "error": (0, 0, 0, 0, 0, 0),
    "none": (0, 0, 0, 0, 0, 0),
}


@dataclass(frozen=True)
class Dimension:
    """`parent` is the value one step up, '' where there is none; `kinds` are the kinds of event that count.

    Of what has exactly one value: each `one_of` (a visitor has one country all day, a visit one source), or none where
    `is_partial`. Where that is "none", values overlap: then visitors and visits are all that is shown of them. `within`
    is the dimension whose values the parents are: each of these is a whole that is divided here.
    """

    name: str
    value: str
    parent: str = "''"
    kinds: tuple[str, ...] = OF_VISITS
    one_of: Unit = "visitor"
    is_partial: bool = False
    within: str = ""
    is_live: bool = True
    # Whether a site's visitors make its values up, so that a day may have a million of them.
    is_open: bool = False

    @property
    def has_many(self) -> bool:
        """Whether one visit may have many of its values."""
        return self.one_of not in ("visitor", "visit")


def _known(column: str, absent: str = "(unknown)") -> str:
    return f"if({column} = '', '{absent}', {column})"


def _versioned(column: str) -> str:
    return f"trimRight(concat({_known(column)}, ' ', {column}_version))"


def _directory(column: str) -> str:
    """ "/blog/2024/x" lies in "/blog/2024/", that in "/blog/", "/x" in "/", and "/" in nothing."""
    return rf"replaceRegexpOne(splitByChar('?', {column})[1], '[^/]*/?$', '')"


# Of a page in percent, as `deepest` counts its quarters.
_SCROLL = "['', '0-25', '25-50', '50-75', '75-100'][deepest + 1]"
_SLOW = "if(name = 'vitals' AND has(mapValues(properties), 'poor'), path, '')"

DIMENSIONS = (
    Dimension("page", "path", _directory("path"), ("view", "leave"), one_of="view", is_open=True),
    Dimension("entry", "entry_page", _directory("entry_page"), one_of="visit", is_open=True),
    Dimension("exit", "exit_page", _directory("exit_page"), one_of="visit", is_live=False, is_open=True),
    # From a page, the parent, to the next one. Moves overlap: a visit makes several.
    Dimension(
        "flow", "if(came_from = '', '', path)", "came_from", ("view",), one_of="none", is_live=False, is_open=True
    ),
    Dimension("scroll", _SCROLL, one_of="visit", is_partial=True, is_live=False),
    Dimension("channel", _known("channel", "direct"), one_of="visit"),
    Dimension(
        "source",
        _known("source", "(direct)"),
        _known("channel", "direct"),
        one_of="visit",
        within="channel",
        is_open=True,
    ),
    Dimension("campaign", "campaign", one_of="visit", is_partial=True, is_open=True),
    Dimension("country", _known("country")),
    Dimension("browser", _known("browser")),
    Dimension("browser_version", _versioned("browser"), _known("browser"), within="browser"),
    Dimension("os", _known("os")),
    Dimension("os_version", _versioned("os"), _known("os"), within="os"),
    Dimension("device", _known("device")),
    Dimension("screen", _known("screen")),
    Dimension("language", _known("language")),
    Dimension("network_operator", "network_operator", is_partial=True),
    Dimension("loyalty", "loyalty", kinds=("view",), is_partial=True),
    Dimension("event", "name", kinds=("event",), one_of="event", is_open=True),
    # Breakage: errors are counted as events are, in cells of their own.
    Dimension("error", "if(name IN ('404', 'vitals'), '', name)", kinds=("error",), one_of="error", is_open=True),
    Dimension(
        "missing_page", "if(name = '404', path, '')", _directory("path"), ("error",), one_of="error", is_open=True
    ),
    Dimension("slow_page", _SLOW, _directory("path"), ("error",), one_of="error", is_open=True),
    *(
        Dimension(vital, f"if(name = 'vitals', properties['{vital}'], '')", kinds=("error",), one_of="error")
        for vital in ("lcp", "inp", "cls", "ttfb")
    ),
)

LIVE = tuple(each for each in DIMENSIONS if each.is_live)
# The day's total, of which every flat dimension is a division.
TOTAL = Dimension("", "'(all)'")


def groups(dimensions: Iterable[Dimension], size: int) -> list[tuple[Dimension, ...]]:
    """The day's total and these dimensions, in their order, so many names at once; rows of one name stay together."""
    by_name: dict[str, list[Dimension]] = {TOTAL.name: [TOTAL]}
    for each in dimensions:
        by_name.setdefault(each.name, []).append(each)
    every = list(by_name.values())
    return [tuple(chain.from_iterable(every[place : place + size])) for place in range(0, len(every), size)]


def sums(dimensions: Iterable[Dimension] = DIMENSIONS) -> dict[str, object]:
    """The parameters of sql/breakdown_cells.sql that say what a reader can add up."""
    of = tuple({each.name: each for each in dimensions}.values())
    return {
        "dimensions": [each.name for each in of],
        "within": [each.within for each in of],
        "divided": [list(DIVIDED[each.one_of]) for each in of],
        "covered": [[0] * 6 if each.is_partial else list(DIVIDED[each.one_of]) for each in of],
        "of_visitors": [int(each.one_of == "visitor") for each in of],
        "overlapping": [each.name for each in of if each.one_of == "none"],
    }


def cells(dimensions: Iterable[Dimension] = DIMENSIONS) -> str:
    """The ClickHouse tuples (dimension, parent, value) in which one counted row takes part, one for each dimension."""
    return ",\n".join(f"('{each.name}', toString({each.parent}), {_counted(each)})" for each in dimensions)


def kinds(dimensions: Iterable[Dimension]) -> str:
    """The kinds of event that count in one of these, as texts of ClickHouse."""
    return ", ".join(f"'{kind}'" for kind in sorted({kind for each in dimensions for kind in each.kinds}))


def _counted(dimension: Dimension) -> str:
    return f"if(kind IN ({kinds([dimension])}), toString({dimension.value}), '')"
