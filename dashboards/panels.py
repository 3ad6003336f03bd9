"""The lists of a site's page: each dimension's values, named in words, versions below what they are versions of.

What was folded stands as one line that says so; within a parent it says which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

from aggregator.dimensions import OTHER
from aggregator.live import Cell, Measures
from dashboards.rates import Rate
from dashboards.stats import ValueKey
from dashboards.words import Words, marked

# What shows before a list is unfolded.
SHORT = 8
# Measures with their headings.
Columns = tuple[tuple[str, str], ...]
VERSIONS = {"browser": "browser_version", "os": "os_version"}


@dataclass(frozen=True)
class Row:
    """One value. `share` is of the largest of its list, in percent; `is_text` where it stands as the site wrote it;
    `note` is said beside it; `rows` are the versions of it; `address` is that of the page narrowed to it, or "";
    `before` is the first number in the days that are compared with."""

    label: str
    note: str
    is_text: bool
    is_folded: bool
    numbers: tuple[int, ...]
    share: float
    rows: tuple[Row, ...] = ()
    address: str = ""
    before: str = ""


@dataclass(frozen=True)
class Panel:
    """One dimension. The first column orders; `more` is what shows once it is unfolded."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    more: tuple[Row, ...]


@dataclass(frozen=True)
class _Kind:
    """A dimension's title, the measures of its columns with their headings, and its form."""

    title: str
    columns: Columns = (("visitors", marked("Visitors")),)


KINDS = {
    "page": _Kind(marked("Pages"), (("visitors", marked("Visitors")), ("views", marked("Views")))),
    "entry": _Kind(marked("Entry pages"), (("visits", marked("Visits")),)),
    "exit": _Kind(marked("Exit pages"), (("visits", marked("Visits")),)),
    "flow": _Kind(marked("From page to page"), (("visitors", marked("Visitors")), ("visits", marked("Visits")))),
    "scroll": _Kind(marked("Scrolled to"), (("visits", marked("Visits")),)),
    "channel": _Kind(marked("Channels")),
    "source": _Kind(marked("Sources")),
    "country": _Kind(marked("Countries")),
    "language": _Kind(marked("Languages")),
    "device": _Kind(marked("Devices")),
    "browser": _Kind(marked("Browsers")),
    "os": _Kind(marked("Systems")),
    "screen": _Kind(marked("Screens")),
    "campaign": _Kind(marked("Campaigns")),
    "event": _Kind(marked("Events"), (("visitors", marked("Visitors")), ("events", marked("Events")))),
    "goal": _Kind(marked("Goals"), (("visitors", marked("Visitors")), ("visits", marked("Visits")))),
    "loyalty": _Kind(marked("New and returning")),
    "network_operator": _Kind(marked("Network operators")),
    "missing_page": _Kind(marked("Missing pages"), (("visitors", marked("Visitors")), ("events", marked("Times")))),
    "error": _Kind(marked("Script errors"), (("visitors", marked("Visitors")), ("events", marked("Times")))),
    "slow_page": _Kind(marked("Slow pages"), (("visitors", marked("Visitors")), ("events", marked("Times")))),
    "lcp": _Kind(marked("Loading (LCP)"), (("events", marked("Times")),)),
    "inp": _Kind(marked("Answering (INP)"), (("events", marked("Times")),)),
    "cls": _Kind(marked("Shifting (CLS)"), (("events", marked("Times")),)),
    "ttfb": _Kind(marked("First byte (TTFB)"), (("events", marked("Times")),)),
}
OF_VISITS = marked("%(least)s to %(most)s of visits")
# The dimension of a property is this and its key.
PROPERTY = "prop:"
VISITORS: Columns = (("visitors", marked("Visitors")),)
PEOPLE: Columns = (*VISITORS, ("visits", marked("Visits")))
KIND_OF_PROPERTY = _Kind("", PEOPLE)
RATINGS = {
    "good": marked("Good"),
    "needs-improvement": marked("Needs improvement"),
    "poor": marked("Poor"),
}
NAMES: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys(("lcp", "inp", "cls", "ttfb"), RATINGS),
    "loyalty": {
        "first": marked("First visit on this device"),
        "month": marked("First visit this month"),
        "week": marked("First visit this week"),
        "day": marked("Also here this week"),
    },
    "device": {
        "desktop": marked("Desktop"),
        "mobile": marked("Phone"),
        "tablet": marked("Tablet"),
        "tv": marked("Television"),
        "other": marked("Other devices"),
    },
    "screen": {
        "xs": marked("Below 576 px wide"),
        "sm": marked("576 to 767 px"),
        "md": marked("768 to 991 px"),
        "lg": marked("992 to 1439 px"),
        "xl": marked("1440 px and wider"),
    },
    "scroll": {
        "0-25": marked("The first quarter of a page"),
        "25-50": marked("The second quarter"),
        "50-75": marked("The third quarter"),
        "75-100": marked("The end of a page"),
    },
    "channel": {
        "direct": marked("Direct"),
        "search": marked("Search"),
        "social": marked("Social media"),
        "ai": marked("AI assistants"),
        "email": marked("E-mail"),
        "referral": marked("Links on other sites"),
        "campaign": marked("Campaigns"),
    },
}
# As the site, a browser's maker or a campaign wrote it.
AS_WRITTEN = frozenset(
    {
        "page",
        "entry",
        "exit",
        "flow",
        "source",
        "campaign",
        "event",
        "goal",
        "error",
        "missing_page",
        "slow_page",
        "network_operator",
        "browser",
        "os",
        "browser_version",
        "os_version",
    }
)


def panels(
    words: Words,
    lists: Mapping[str, Sequence[Cell]],
    rates: Mapping[str, Rate] = MappingProxyType({}),
    address: Callable[[str, str], str] = lambda _dimension, _value: "",
    *,
    columns: Columns = (),
    before: Mapping[ValueKey, Measures] | None = None,
) -> tuple[Panel, ...]:
    """Every dimension that has values, in the order of the page; the properties that a site declares come last.

    `address` is where a value leads. With `columns` every list has these. `before` is what values had in the days that
    are compared with, None without a comparison.
    """
    properties = sorted(name for name in lists if name.startswith(PROPERTY))
    notes = {goal: told_rate(words, rate) for goal, rate in rates.items()}
    listed = [name for name in (*KINDS, *properties) if lists.get(name)]
    kinds = {name: KINDS.get(name, KIND_OF_PROPERTY) for name in listed}
    if columns:
        kinds = {name: replace(kind, columns=columns) for name, kind in kinds.items()}
    shown = (_panel(words, name, kinds[name], lists, notes, partial(address, name)) for name in listed)
    if before is None:
        return tuple(shown)
    return tuple(_with_before(words, panel, kinds[panel.name], lists[panel.name], before) for panel in shown)


def told_rate(words: Words, rate: Rate, sentence: str = OF_VISITS) -> str:
    """A rate as the range that the rounded numbers leave; `sentence` says of what."""
    if rate.at_least == rate.at_most:
        return words.percent(rate.at_least / 100)
    least, most = words.percent(rate.at_least / 100), words.percent(rate.at_most / 100)
    return words.say(sentence, least=least, most=most)


def _panel(
    words: Words,
    name: str,
    kind: _Kind,
    lists: Mapping[str, Sequence[Cell]],
    notes: Mapping[str, str],
    address: Callable[[str], str],
) -> Panel:
    cells = lists[name]
    of = tuple(measure for measure, _ in kind.columns)
    ordered = _ordered(cells)
    versions = lists.get(VERSIONS.get(name, ""), ())
    most = max((cell.measures.visitors for cell in cells if cell.value != OTHER), default=0)
    rows = [replace(_row(words, name, cell, of, most, versions), address=address(cell.value)) for cell in ordered]
    if name == "goal":
        rows = [replace(row, note=notes.get(row.label, "")) for row in rows]
    columns = tuple(words.say(heading) for _, heading in kind.columns)
    short = len(rows) if len(rows) <= SHORT + 1 else SHORT
    return Panel(name, title_of(words, name), columns, tuple(rows[:short]), tuple(rows[short:]))


def _ordered(cells: Iterable[Cell]) -> list[Cell]:
    """What was folded comes last: it is many values, and no rival of a single one."""
    return sorted(cells, key=lambda cell: cell.value == OTHER)


def _with_before(
    words: Words, panel: Panel, kind: _Kind, cells: Iterable[Cell], before: Mapping[ValueKey, Measures]
) -> Panel:
    """Each row with what its first number was; a value that had none may have been folded, and has none now either."""
    measure = kind.columns[0][0]
    numbers = [getattr(before.get((panel.name, cell.parent, cell.value)), measure, 0) for cell in _ordered(cells)]
    rows = [
        replace(row, before=words.number(number) if number else "–")
        for row, number in zip((*panel.rows, *panel.more), numbers, strict=True)
    ]
    return replace(panel, rows=tuple(rows[: len(panel.rows)]), more=tuple(rows[len(panel.rows) :]))


def title_of(words: Words, name: str) -> str:
    """What the list of a dimension is called."""
    if name in KINDS:
        return words.say(KINDS[name].title)
    return words.say(marked("Property: %(key)s"), key=name.removeprefix(PROPERTY))


def _row(words: Words, name: str, cell: Cell, of: Iterable[str], most: int, versions: Iterable[Cell] = ()) -> Row:
    numbers = tuple(int(getattr(cell.measures, measure)) for measure in of)
    below = tuple(
        _row(words, VERSIONS[name], version, of, most)
        for version in versions
        if version.parent == cell.value and cell.value != OTHER
    )
    is_folded = cell.value == OTHER
    share = min(100.0, 100 * cell.measures.visitors / most) if most else 0.0
    return Row(
        _folded(words, name, cell.parent) if is_folded else label_of(words, name, cell.value),
        _note(words, name, cell),
        (name in AS_WRITTEN or name.startswith(PROPERTY)) and not is_folded and not cell.value.startswith("("),
        is_folded,
        numbers,
        round(share, 1),
        below if any(row.label != cell.value for row in below) else (),
    )


def label_of(words: Words, name: str, value: str) -> str:
    """A value of a dimension in words."""
    if value == "(unknown)":
        return words.say(marked("Unknown"))
    if value == "(direct)":
        return words.say(marked("Direct, or not told"))
    if name == "country":
        return words.country(value)
    if name == "language":
        return words.language_name(value)
    named = NAMES.get(name, {}).get(value)
    return words.say(named) if named else value


def _folded(words: Words, name: str, parent: str) -> str:
    if name in VERSIONS.values():
        return words.say(marked("Other versions"))
    if not parent:
        return words.say(marked("All others"))
    if name == "source":
        return words.say(marked("Others: %(parent)s"), parent=_channel(words, parent))
    if name == "flow":
        return words.say(marked("To other pages, from %(parent)s"), parent=parent)
    return words.say(marked("Others in %(parent)s"), parent=parent)


def _note(words: Words, name: str, cell: Cell) -> str:
    if name == "source" and cell.value not in (OTHER, "(direct)"):
        return _channel(words, cell.parent)
    if name == "flow" and cell.value != OTHER:
        return words.say(marked("from %(page)s"), page=cell.parent)
    # The event that a property belongs to; a page view has no name.
    return cell.parent if name.startswith(PROPERTY) and cell.value != OTHER else ""


def _channel(words: Words, channel: str) -> str:
    named = NAMES["channel"].get(channel)
    return words.say(named) if named else channel
