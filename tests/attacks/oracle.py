"""The truth about a simulated day, counted in numpy by the rules of design.md section 11, without the product's SQL.

`counted` finds visits, bounces and bounds; `Counted.group` says of any grouping of its rows the exact numbers, and how
many networks of the largest generation share each of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tests.attacks.crowds import ERROR, EVENT, LEAVE, VIEW, Integers, Rows

Flags = npt.NDArray[np.bool_]
SILENCE_MS = 1_800_000
MOST_ENGAGED_MS = 1_800_000
MOST_VIEWS, MOST_PAGES, MOST_EVENTS, MOST_ENTRIES = 30, 10, 5, 2
NETWORKS, VIEWING, ACTING, BOUNCING, STAYING, ENGAGING = range(6)


@dataclass(frozen=True)
class Tally:
    """Of each group: the exact numbers, and networks[kind][group] for the six kinds above."""

    visitors: Integers
    visits: Integers
    views: Integers
    events: Integers
    bounces: Integers
    engaged_s: Integers
    networks: Integers

    def numbers(self) -> Integers:
        """The six measures, in the order in which trends have them, by group."""
        measures = (self.visitors, self.visits, self.views, self.events, self.bounces, self.engaged_s)
        return np.stack(measures, axis=1)

    def allowed(self, k: Integers) -> Integers:
        """`numbers` with those as 0 that k networks do not share."""
        networks = self.networks >= k
        split = (self.networks[STAYING] == 0) | networks[STAYING]
        allowed: Integers = self.numbers() * networks[NETWORKS][:, None]
        shown = (networks[VIEWING], networks[ACTING], networks[BOUNCING] & split & (self.visits >= 4 * k))
        for place, may in zip((2, 3, 4, 5), (*shown, networks[ENGAGING]), strict=True):
            allowed[:, place] *= may
        return allowed

    def published(self, k: Integers) -> Integers:
        """`allowed` as level `rounded` shows it: what is over the measure before is rounded down, each by itself."""
        visitors, visits, views, events, bounces, engaged_s = self.allowed(k).T
        shown_visitors = _down(visitors, k)
        shown_visits = shown_visitors + _down(visits - visitors, k)
        few = np.minimum(_down(views, k), np.maximum(shown_visits - k, 0))
        shown_views = np.where(views < visits, few, shown_visits + _down(views - visits, k))
        only_events = (views == 0) & (events >= visits)
        shown_events = np.where(only_events, shown_visits + _down(events - visits, k), _down(events, k))
        rest = (_down(bounces, k), _down(engaged_s, k))
        shown = (np.where(views > 0, shown_views, 0), np.where(events > 0, shown_events, 0), *rest)
        return np.stack((shown_visitors, shown_visits, *shown), axis=1)


def _down(numbers: Integers, k: Integers) -> Integers:
    rounded: Integers = numbers // k * k
    return rounded


@dataclass(frozen=True)
class Counted:
    """The rows that count. `actor` and `visit` are numbers of their own; both -1 without a visitor."""

    rows: Rows
    actor: Integers
    visit: Integers
    origin: Integers
    campaign: Integers
    entry: Integers
    exit: Integers
    bounced: Flags
    engaged_ms: Integers
    deepest: Integers
    # Of a view the page that its visitor came from, -1 for none.
    came_from: Integers
    bounded: int

    def codes(self, dimension: str) -> Integers:
        """Of each row its code in a dimension (`Words.cells`), -1 where it does not count there."""
        kind = self.rows["kind"]
        if dimension == "page":
            return np.where(kind != EVENT, self.rows["path"].astype(np.int64), -1)
        if dimension == "event":
            return np.where(kind == EVENT, self.rows["name"].astype(np.int64), -1)
        if dimension in ("source", "channel"):
            return self.origin
        if dimension in ("entry", "exit"):
            return self.entry if dimension == "entry" else self.exit
        if dimension in ("scroll", "campaign"):
            told = self.deepest if dimension == "scroll" else self.campaign
            return np.where(told > 0, told, -1)
        column = dimension if dimension in ("country", "screen", "language") else "look"
        codes: Integers = self.rows[column].astype(np.int64)
        return codes

    def group(self, groups: Integers, count: int) -> Tally:
        """The tally of `count` groups; `groups` names each row's, -1 for none."""
        kept = groups >= 0
        rows, of = self.rows[kept], groups[kept]
        kind, engaged, bounced = rows["kind"], self.engaged_ms[kept], self.bounced[kept]
        known = (self.actor[kept] >= 0) & (kind != LEAVE)

        def summed(which: Flags) -> Integers:
            return np.bincount(of[which], minlength=count)

        return Tally(
            visitors=_distinct(of[known], self.actor[kept][known], count),
            visits=_distinct(of[known], self.visit[kept][known], count),
            views=summed(kind == VIEW),
            events=summed(kind == EVENT),
            bounces=summed((kind == VIEW) & bounced & (self.actor[kept] >= 0)),
            engaged_s=np.bincount(of, weights=engaged, minlength=count).astype(np.int64) // 1000,
            networks=_networks(rows, of, bounced, engaged, count),
        )


def counted(rows: Rows) -> Counted:
    """The rows that count, and how many were over a bound."""
    order = np.lexsort((rows["position"], rows["at"], rows["visitor"], rows["generation"], rows["site"]))
    rows = rows[order]
    known = rows["visitor"] != 0
    seen, strangers = _of_people(rows[known]), rows[~known & (rows["kind"] == VIEW)]
    nobody = np.full(len(strangers), -1)
    return Counted(
        rows=np.concatenate([seen.rows, strangers]),
        actor=np.r_[seen.actor, nobody],
        visit=np.r_[seen.visit, nobody],
        origin=np.r_[seen.origin, strangers["origin"].astype(np.int64)],
        campaign=np.r_[seen.campaign, strangers["campaign"].astype(np.int64)],
        entry=np.r_[seen.entry, strangers["path"].astype(np.int64)],
        exit=np.r_[seen.exit, strangers["path"].astype(np.int64)],
        bounced=np.r_[seen.bounced, np.ones(len(strangers), bool)],
        engaged_ms=np.r_[seen.engaged_ms, np.zeros(len(strangers), np.int64)],
        deepest=np.r_[seen.deepest, np.zeros(len(strangers), np.int64)],
        came_from=np.r_[seen.came_from, nobody],
        bounded=seen.bounded,
    )


def _of_people(rows: Rows) -> Counted:
    kind, place = rows["kind"], np.arange(len(rows))
    first = np.r_[True, np.any([rows[name][1:] != rows[name][:-1] for name in ("site", "generation", "visitor")], 0)]
    actor, began = np.cumsum(first) - 1, np.maximum.accumulate(np.where(first, place, 0))
    is_view, is_event = kind == VIEW, kind == EVENT
    acts = is_view | is_event
    silent = ~first & (np.r_[0, np.diff(rows["at"])] > SILENCE_MS)
    opens = acts & (silent | (_so_far(acts, began) == 1))
    visit_number = _so_far(opens, began)
    opened = np.maximum.accumulate(np.where(opens, place, 0))
    in_visit = visit_number > 0
    visit = np.cumsum(opens) - 1
    grown = np.bincount(visit[in_visit & is_view], minlength=max(visit.max(initial=0) + 1, 1)) > 1
    grown |= np.bincount(visit[in_visit & is_event], minlength=len(grown)) > 0
    entry = rows["origin"].astype(np.int64) * 1_000 + rows["campaign"]
    page_rank = _rank(actor, rows["path"].astype(np.int64), is_view, began)
    entry_rank = _rank(actor, entry, opens, began)[opened]
    over = is_view & ((_so_far(is_view, began) > MOST_VIEWS) | (page_rank > MOST_PAGES))
    over |= is_event & (_so_far(is_event, began) > MOST_EVENTS)
    over |= (kind == LEAVE) & (page_rank > MOST_PAGES)
    over |= in_visit & (entry_rank > MOST_ENTRIES)
    used = in_visit & ~over & (kind != ERROR)
    last = np.zeros(int(visit.max(initial=0)) + 1, np.int64)
    np.maximum.at(last, visit[in_visit & acts], place[in_visit & acts])
    deepest = np.zeros(int(visit.max(initial=0)) + 1, np.int64)
    told = in_visit & (kind == LEAVE) & (page_rank <= MOST_PAGES)
    np.maximum.at(deepest, visit[told], -(-rows["scroll"][told].astype(np.int64) // 25))
    return Counted(
        rows=rows[used],
        actor=actor[used],
        visit=visit[used],
        origin=rows["origin"][opened][used].astype(np.int64),
        campaign=rows["campaign"][opened][used].astype(np.int64),
        entry=rows["path"][opened][used].astype(np.int64),
        exit=rows["path"][last[visit[used]]].astype(np.int64),
        bounced=~grown[visit[used]],
        engaged_ms=_engaged(rows, began, opens)[used],
        deepest=deepest[visit[used]],
        came_from=_came_from(rows["path"][used].astype(np.int64), visit[used], kind[used] == VIEW),
        bounded=int(over.sum()),
    )


def _came_from(path: Integers, visit: Integers, is_view: Flags) -> Integers:
    """Of each view the page of the view before it, where that is of the same visit and another page; else -1."""
    came_from = np.full(len(path), -1)
    views = np.flatnonzero(is_view)
    before, after = views[:-1], views[1:]
    moves = (visit[before] == visit[after]) & (path[before] != path[after])
    came_from[after[moves]] = path[before[moves]]
    return came_from


def _so_far(which: Flags, began: Integers) -> Integers:
    """How many of `which` the same actor had up to and with each row."""
    total = np.cumsum(which)
    before: Integers = total - total[began] + which[began].astype(np.int64)
    return before


def _rank(actor: Integers, value: Integers, which: Flags, began: Integers) -> Integers:
    """Of each row the rank of its value among the distinct values that its actor had so far in `which` rows, from 1 in
    the order of their first time; more than any bound where it had not."""
    key = actor * (int(value.max(initial=0)) + 1) + value
    unique, inverse = np.unique(key, return_inverse=True)
    first_place = np.full(len(unique), len(key))
    places = np.flatnonzero(which)
    np.minimum.at(first_place, inverse[places], places)
    is_first = np.zeros(len(key), bool)
    is_first[first_place[first_place < len(key)]] = True
    rank_there = _so_far(is_first, began)
    of_value = first_place[inverse]
    had: Flags = of_value <= np.arange(len(key))
    return np.where(had, rank_there[np.where(had, of_value, 0)], 1_000_000)


def _engaged(rows: Rows, began: Integers, opens: Flags) -> Integers:
    """What each leave adds to its visit's engaged time, at most 30 minutes a visit."""
    spent = np.where(rows["kind"] == LEAVE, rows["engaged_ms"].astype(np.int64), 0)
    total = np.cumsum(spent)
    opened = np.maximum(np.maximum.accumulate(np.where(opens, np.arange(len(rows)), 0)), began)
    after = total - total[opened] + spent[opened]
    added: Integers = np.minimum(after, MOST_ENGAGED_MS) - np.minimum(after - spent, MOST_ENGAGED_MS)
    return added


def _distinct(groups: Integers, values: Integers, count: int) -> Integers:
    pairs = np.unique(groups * (int(values.max(initial=0)) + 1) + values)
    return np.bincount(pairs // (int(values.max(initial=0)) + 1), minlength=count)


def _networks(rows: Rows, groups: Integers, bounced: Flags, engaged: Integers, count: int) -> Integers:
    """networks[kind][group]: distinct networks of the generation that has most of them."""
    kind, has_one = rows["kind"], rows["network"] != 0
    present = kind != LEAVE
    kinds = (present, kind == VIEW, kind == EVENT, present & bounced, present & ~bounced, engaged > 0)
    marks = np.zeros(len(rows), np.uint8)
    for bit, which in enumerate(kinds):
        marks |= which.astype(np.uint8) << bit
    _, network = np.unique(rows["network"][has_one], return_inverse=True)
    _, generation = np.unique(rows["generation"][has_one], return_inverse=True)
    generations, width = int(generation.max(initial=0)) + 1, int(network.max(initial=0)) + 1
    key = (groups[has_one] * generations + generation) * width + network
    if not len(key):
        return np.zeros((6, count), np.int64)
    order = np.argsort(key, kind="stable")
    key, marks = key[order], marks[has_one][order]
    starts = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
    joined, of = np.bitwise_or.reduceat(marks, starts), key[starts] // width
    each = [np.bincount(of[(joined >> bit) & 1 == 1], minlength=count * generations) for bit in range(6)]
    return np.stack([one.reshape(count, generations).max(axis=1) for one in each])
