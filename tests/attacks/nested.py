"""Groups within groups, for the attacks: goals and a funnel that every simulated site declares, moves from page to
page, which rows are of each, and which group holds which."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

import numpy as np

from aggregator.dimensions import OTHER
from collector.declared import Declared, Funnel, Goal
from tests.attacks.crowds import EVENT, VIEW, Integers, words
from tests.attacks.laboratory import Key
from tests.attacks.oracle import Counted, Flags

HOME, BLOG, SHOP = Goal("Home", page="/"), Goal("Blog", page="/blog/*"), Goal("Shop", page="/shop/*")
SIGN_UP = Goal("Sign-up", event="signup")
DECLARED = Declared(goals=(HOME, BLOG, SHOP, SIGN_UP), funnels=(Funnel("read", (HOME, BLOG, BLOG, SIGN_UP)),))
GOALS = tuple(("goal", "", goal.name) for goal in DECLARED.goals)
STEPS = tuple(
    ("funnel", funnel.name, f"{funnel.name}/{step}")
    for funnel in DECLARED.funnels
    for step in range(1, len(funnel.steps) + 1)
)
# The first two measures: visitors and visits are all that is shown of these groups.
SHOWN = 2


def rows_of(truth: Counted) -> Mapping[Key, Flags]:
    """Of each goal and step the rows that are counted in it."""
    found = {key: _matching(truth, goal) for key, goal in zip(GOALS, DECLARED.goals, strict=True)}
    for funnel in DECLARED.funnels:
        acts = (truth.visit >= 0) & np.isin(truth.rows["kind"], (VIEW, EVENT))
        visit = np.where(acts, truth.visit, 0)
        place = np.arange(len(truth.rows))
        came = np.full(int(truth.visit.max(initial=0)) + 1, -1)
        for number, step in enumerate(funnel.steps, 1):
            matches = acts & _matching(truth, step) & (place > came[visit])
            came = np.full(len(came), len(place))
            np.minimum.at(came, visit[matches], place[matches])
            found["funnel", funnel.name, f"{funnel.name}/{number}"] = acts & (place >= came[visit])
    return found


def moves_of(truth: Counted, key: Key) -> Flags:
    """The rows that are counted in a move from one page to another."""
    _, came_from, path = key
    codes = {text: code for code, text in enumerate(words().paths)}
    moves: Flags = (truth.came_from == codes[came_from]) & (truth.rows["path"] == codes[path])
    return moves


def _matching(truth: Counted, goal: Goal) -> Flags:
    kind = truth.rows["kind"]
    if goal.event:
        matching: Flags = (kind == EVENT) & (truth.rows["name"] == words().names.index(goal.event))
        return matching
    of_path = np.isin(truth.rows["path"], _paths(goal))
    of_pages: Flags = (kind == VIEW) & of_path
    return of_pages


@cache
def _paths(goal: Goal) -> Integers:
    return np.array([code for code, path in enumerate(words().paths) if is_page_of(goal, path)])


def is_page_of(goal: Goal, path: str) -> bool:
    """Whether a goal is reached by a path."""
    pattern = ".*".join(map(re.escape, goal.page.split("*")))
    return bool(goal.page) and re.fullmatch(pattern, path.partition("?")[0]) is not None


def chains(shown: Iterable[Key]) -> Iterator[tuple[Key, Key | None]]:
    """Every (part, whole) that a reader knows; None is the day. Of pages, moves and events those that are `shown`."""
    known = set(shown)
    pages = {page[2]: page for page in known if page[0] == "page" and page[2] != OTHER}
    for move in [key for key in known if key[0] == "flow" and key[2] != OTHER]:
        yield move, None
        yield from ((move, pages[path]) for path in move[1:] if path in pages)
    for goal, key in zip(DECLARED.goals, GOALS, strict=True):
        yield key, None
        yield from ((page, key) for page in known if page[0] == "page" and is_page_of(goal, page[2]))
        yield from ((event, key) for event in known if event == ("event", "", goal.event))
    for place, key in enumerate(STEPS):
        yield key, STEPS[place - 1] if place else None
        yield key, ("goal", "", DECLARED.funnels[0].steps[place].name)
