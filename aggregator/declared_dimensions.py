"""The dimensions that a site declares (collector/declared.py), as rows of the table of dimensions.

These groups overlap and nest: a visit has several values of a property and reaches several goals. So none of them is
divided or added up, and they show visitors and visits alone (docs/subtraction.md, "Groups within groups").

Texts of the configuration become texts of SQL here and nowhere else, by `quoted`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from aggregator.dimensions import DIMENSIONS, Dimension
from collector.declared import Declared, Experiment, Funnel, Goal
from collector.settings import Site

# A page's path without its parameters.
_PATH = "splitByChar('?', path)[1]"


def dimensions_of(site: Site) -> tuple[Dimension, ...]:
    """Every dimension by which the site's days are sealed. Rows of one name are one dimension, each a value of it."""
    return (*DIMENSIONS, *declared_dimensions(site.declared))


def names_of(site: Site) -> tuple[str, ...]:
    """The names of `dimensions_of`, each once."""
    return (*(each.name for each in DIMENSIONS), *site.declared.dimensions)


def declared_dimensions(declared: Declared) -> tuple[Dimension, ...]:
    """The rows for what a site declares."""
    rows = [*map(_of_property, declared.properties), *map(_of_goal, declared.goals)]
    rows += [row for place, funnel in enumerate(declared.funnels, 1) for row in _of_funnel(place, funnel)]
    rows += [row for experiment in declared.experiments for row in _of_experiment(experiment, declared.goals)]
    return tuple(rows)


def matching(declared: Declared) -> str:
    """What sql/journeys.sql looks for: of each funnel a number with bit n set where a row is its step n + 1. "" where
    nothing that a site declares is of more than one row."""
    if not declared.funnels and not declared.experiments:
        return ""
    bits = [
        " + ".join(f"{2**place} * ({reaches(step)})" for place, step in enumerate(funnel.steps))
        for funnel in declared.funnels
    ]
    return f"[{', '.join(bits)}]::Array(UInt16)"


def _of_funnel(place: int, funnel: Funnel) -> Iterator[Dimension]:
    """Each step is a value, `FUNNEL/STEP`, of which every visit is that came so far or farther."""
    for step in range(1, len(funnel.steps) + 1):
        value = f"if(reached[{place}] >= {step}, {quoted(f'{funnel.name}/{step}')}, '')"
        yield Dimension("funnel", value, quoted(funnel.name), ("view", "event"), one_of="none", is_live=False)


def _of_experiment(experiment: Experiment, goals: Iterable[Goal]) -> Iterator[Dimension]:
    """The variants, and within each the goals that its visitors reached after they had met it."""
    variant = f"arrayFirst(each -> startsWith(each, {quoted(f'{experiment.name}/')}), met)"
    yield Dimension("variant", variant, quoted(experiment.name), ("view", "event"), one_of="none", is_live=False)
    for goal in goals:
        value = f"if({variant} != '' AND {reaches(goal)}, {quoted(goal.name)}, '')"
        yield Dimension("variant_goal", value, variant, ("view", "event"), one_of="none", is_live=False)


def _of_property(key: str) -> Dimension:
    return Dimension(
        f"prop:{key}", f"properties[{quoted(key)}]", "name", ("view", "event"), one_of="none", is_open=True
    )


def _of_goal(goal: Goal) -> Dimension:
    kind = "view" if goal.page else "event"
    return Dimension("goal", f"if({reaches(goal)}, {quoted(goal.name)}, '')", kinds=(kind,), one_of="none")


def reaches(goal: Goal) -> str:
    """The ClickHouse condition under which a counted row reaches a goal."""
    if goal.page:
        return f"kind = 'view' AND match({_PATH}, {quoted(pattern(goal.page))})"
    with_value = f" AND properties[{quoted(goal.key)}] = {quoted(goal.value)}" if goal.key else ""
    return f"kind = 'event' AND name = {quoted(goal.event)}{with_value}"


def pattern(page: str) -> str:
    """A path in which * stands for any text, as an RE2 pattern of the whole path."""
    return "^(?s:" + ".*".join(map(re.escape, page.split("*"))) + ")$"


def quoted(text: str) -> str:
    """`text` as a string of ClickHouse's SQL."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
