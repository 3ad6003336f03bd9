"""What a site declares of its own to be counted: keys of properties, goals, funnels and experiments, from its table of
`footfall.toml`.

Invariants:
- What is not declared is not kept: the collector drops other properties before the spool.
- Names are checked so that each can stand in a list of values and in an address: none is `(other)`, none has a slash.
- What could never come true is a fault: an event's name that is stored otherwise, a property that no event keeps.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from collector.hit import BREAKAGES, MAX_NAME_CHARS, MAX_PROPERTY_VALUE_CHARS
from collector.page import MAX_PATH_CHARS, scrubbed
from collector.toml_table import Table, matching

# Each key is a list of values on the page, and one more for the seal to count.
MAX_PROPERTIES = 10
MAX_GOALS = 20
MAX_FUNNELS = 10
STEPS = (2, 8)
MAX_EXPERIMENTS = 10
VARIANTS = (2, 10)
PROPERTY_KEY = re.compile(r"[A-Za-z0-9_.-]{1,40}")
NAME = re.compile(r"\w(?:[\w .:+-]{0,38}[\w.+-])?")
MUST_BE_NAME = "1 to 40 letters, digits, spaces and _.:+-, no space at an end"
# A path without its parameters: what the parameters of a page are is each site's matter.
PATTERN = re.compile(rf"/[^\s?#]{{0,{MAX_PATH_CHARS - 1}}}")
# What the collector knows as something else than an event of the site's own.
NO_EVENTS = frozenset({"pageview", "engagement", *BREAKAGES})


@dataclass(frozen=True)
class Goal:
    """What a visit can reach: an `event`, one with `value` as its `key` where `key` is not "", or a page that matches
    `page`, a path in which each * stands for any text. One of `event` and `page` is ""."""

    name: str
    event: str = ""
    key: str = ""
    value: str = ""
    page: str = ""


@dataclass(frozen=True)
class Funnel:
    """Steps that a visit takes one after the other; a step that is a page and no declared goal is named by its path."""

    name: str
    steps: tuple[Goal, ...]


@dataclass(frozen=True)
class Experiment:
    """Variants of a page, of which a visitor is shown one. The first is what the others are compared with."""

    name: str
    variants: tuple[str, ...]


@dataclass(frozen=True)
class Declared:
    """All that one site declares."""

    properties: tuple[str, ...] = ()
    goals: tuple[Goal, ...] = ()
    funnels: tuple[Funnel, ...] = ()
    experiments: tuple[Experiment, ...] = ()

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The lists of values that this adds to a site's."""
        goals = ("goal",) if self.goals else ()
        funnels = ("funnel",) if self.funnels else ()
        variants = ("variant",) if self.experiments else ()
        both = ("variant_goal",) if self.experiments and self.goals else ()
        return (*(f"prop:{key}" for key in self.properties), *goals, *funnels, *variants, *both)

    @cached_property
    def variants(self) -> frozenset[str]:
        """Every variant as events say it: EXPERIMENT/VARIANT."""
        return frozenset(f"{each.name}/{variant}" for each in self.experiments for variant in each.variants)


def read_declared(site: Table) -> Declared:
    """What the table of a site declares; each fault is noted there."""
    properties = _read_properties(site)
    goals = _read_goals(site, properties)
    return Declared(properties, goals, _read_funnels(site, goals), _read_experiments(site))


def _read_properties(site: Table) -> tuple[str, ...]:
    # None: what events carry besides their name is the site's knowledge, and may be a person's.
    keys = site.each("properties", "1 to 40 letters, digits and _.-", lambda text: matching(PROPERTY_KEY, text))
    _check_list(site, "properties", keys, MAX_PROPERTIES)
    return keys


def _read_goals(site: Table, properties: tuple[str, ...]) -> tuple[Goal, ...]:
    goals = tuple(_read_goal(table, properties) for table in site.tables("goal"))
    _check_list(site, "goal", tuple(goal.name for goal in goals), MAX_GOALS)
    return goals


def _read_goal(table: Table, properties: tuple[str, ...]) -> Goal:
    goal = Goal(
        _read_name(table),
        table.take("event", str, "", "an event's name as it is stored, none of Footfall's own", _event),
        table.take("property", str, "", "a key that the site's properties declare", _one_of(properties)),
        table.take("value", str, "", "a property's value as it is stored", _value),
        table.take("page", str, "", "a path such as /thanks or /docs/*, without ? and #", _path_pattern),
    )
    table.close()
    if bool(goal.event) == bool(goal.page):
        table.faults.append(f"{table.name}: must have either event or page")
    if bool(goal.key) != bool(goal.value) or (goal.key and not goal.event):
        table.faults.append(f"{table.name}: must have property and value together, with event, or neither")
    return goal


def _read_funnels(site: Table, goals: tuple[Goal, ...]) -> tuple[Funnel, ...]:
    funnels = []
    known = {goal.name: goal for goal in goals}
    for table in site.tables("funnel"):
        must = "the name of a goal of the site, or a path such as /cart, without ? and #"
        steps = table.each("steps", must, lambda text: known[text] if text in known else _page_step(text))
        funnels.append(Funnel(_read_name(table), steps))
        table.close()
        _check_length(table, "steps", len(steps), STEPS)
    _check_list(site, "funnel", tuple(funnel.name for funnel in funnels), MAX_FUNNELS)
    return tuple(funnels)


def _page_step(text: str) -> Goal:
    return Goal(text, page=_path_pattern(text))


def _read_experiments(site: Table) -> tuple[Experiment, ...]:
    experiments = []
    for table in site.tables("experiment"):
        variants = table.each("variants", MUST_BE_NAME, lambda text: matching(NAME, text))
        experiments.append(Experiment(_read_name(table), variants))
        table.close()
        _check_length(table, "variants", len(variants), VARIANTS)
        _check_list(table, "variants", variants, len(variants))
    _check_list(site, "experiment", tuple(each.name for each in experiments), MAX_EXPERIMENTS)
    return tuple(experiments)


def _read_name(table: Table) -> str:
    if not table.has("name"):
        table.faults.append(f"{table.name}.name: is missing; it is what lists call it")
    return table.take("name", str, "", MUST_BE_NAME, lambda text: matching(NAME, text))


def _path_pattern(text: str) -> str:
    return matching(PATTERN, text)


def _check_length(table: Table, name: str, length: int, limits: tuple[int, int]) -> None:
    if not limits[0] <= length <= limits[1]:
        table.faults.append(f"{table.name}.{name}: must be {limits[0]} to {limits[1]}")


def _check_list(site: Table, name: str, names: tuple[str, ...], most: int) -> None:
    if len(names) > most:
        site.faults.append(f"{site.name}.{name}: must be {most} at most")
    known = [each for each in names if each]
    if len(set(known)) < len(known):
        site.faults.append(f"{site.name}.{name}: two have one name; rename one")


def _one_of(known: tuple[str, ...]) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in known:
            raise ValueError("unknown")
        return text

    return check


def _event(text: str) -> str:
    if text in NO_EVENTS:
        raise ValueError("not an event")
    return _as_stored(text, MAX_NAME_CHARS)


def _value(text: str) -> str:
    return _as_stored(text, MAX_PROPERTY_VALUE_CHARS)


def _as_stored(text: str, limit: int) -> str:
    if not text or scrubbed(text, limit) != text:
        raise ValueError("stored otherwise")
    return text
