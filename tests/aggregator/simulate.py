"""Simulated sites, and the truth about them in plain Python: an oracle that shares no code with the roll-up.

The crowd is what k rules find hardest: pages and countries with long tails, several visitors behind one network, some
who come back after an hour, a few who do far too much, people seen by two generations, rows without a visitor.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import TypeVar

import orjson

from aggregator.store import Store
from collector import days

T = TypeVar("T")
MEASURES = ("visitors", "visits", "views", "events", "bounces", "engaged_s")
OTHER = "(other)"


@dataclass(frozen=True)
class Row:
    """A row of `open_events`; `at_ms` is Unix milliseconds."""

    day: date
    timezone: str
    site: str
    at_ms: int
    generation: int = 1
    visitor: int = 0
    network: int = 0
    kind: str = "view"
    name: str = ""
    path: str = "/"
    source: str = ""
    channel: str = ""
    campaign: str = ""
    country: str = "DE"
    browser: str = "Firefox"
    browser_version: str = "140"
    os: str = "Linux"
    os_version: str = ""
    device: str = "desktop"
    screen: str = "large"
    language: str = "de"
    variant: str = ""
    loyalty: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)
    engaged_ms: int = 0
    scroll: int = 0
    inserted: int | None = None
    batch: int = 1
    position: int = 0

    def line(self) -> bytes:
        fields = asdict(self)
        fields["at"] = fields.pop("at_ms") / 1000
        if fields["inserted"] is None:
            del fields["inserted"]
        return orjson.dumps(fields) + b"\n"


def insert(store: Store, rows: Sequence[Row], batch: int = 1) -> list[Row]:
    """Insert `rows` as one batch of their day, numbered as given; returns them as inserted."""
    numbered = [replace(row, batch=batch, position=position) for position, row in enumerate(rows)]
    lines = b"".join(row.line() for row in numbered)
    assert store.insert_lines("open_events", lines, tag=f"test-{batch}", token=f"test-{batch}") == len(rows)
    return numbered


@dataclass
class Crowd:
    """A day of a site with about `people` visitors, reproducible by `seed`."""

    day: date
    timezone: str
    site: str
    people: int
    seed: int = 1

    def rows(self) -> list[Row]:
        self._random = random.Random(f"{self.seed}/{self.site}")
        self._start_ms = int(days.starts_at(self.day, self.timezone)) * 1000
        self._end_ms = int(days.ends_at(self.day, self.timezone)) * 1000
        networks = [self._random.getrandbits(63) | 1 for _ in range(max(2, self.people * 7 // 10))]
        rows = [row for number in range(self.people) for row in self._person(number, networks)]
        rows += [self._row(kind="view", path=self._page()) for _ in range(self.people // 20)]
        rows += [self._row(kind="error", visitor=2**63 + 9, network=2**62 + 9, name="TypeError")]
        self._random.shuffle(rows)
        return [row for row in rows if self._start_ms <= row.at_ms < self._end_ms]

    def _person(self, number: int, networks: list[int]) -> list[Row]:
        rng = self._random
        look = self._row(
            visitor=rng.getrandbits(64) | 1,
            # A twentieth is behind one and the same network; one in fifty has none that counts.
            network=0 if number % 50 == 49 else networks[0] if rng.random() < 0.05 else rng.choice(networks),
            generation=2 if rng.random() < 0.2 else 1,
            country=self._zipf(
                ("DE", "US", "FR", "GB", "IT", "ES", "NL", "PL", "IN", "BR", "SE", "IS", "MT", "LI", "")
            ),
            browser=self._zipf(("Chrome", "Safari", "Firefox", "Edge", "Opera", "")),
            browser_version=str(140 - int(rng.expovariate(0.3))) if rng.random() < 0.9 else "",
            os=self._zipf(("Windows", "Android", "iOS", "macOS", "Linux", "")),
            os_version=self._zipf(("", "11", "10", "15", "18", "7")),
            device=self._zipf(("mobile", "desktop", "tablet", "tv")),
            screen=self._zipf(("small", "medium", "large", "")),
            language=self._zipf(("de", "en", "fr", "it", "is")),
        )
        at_ms = rng.randrange(self._start_ms, self._end_ms)
        rows: list[Row] = []
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            entry = self._entry(look)
            for view in range(self._views(number)):
                page = replace(entry if view == 0 else look, path=self._page())
                rows.append(replace(page, at_ms=at_ms))
                if rng.random() < 0.6:
                    engaged_ms = rng.randrange(0, 2_400_000 if rng.random() < 0.02 else 90_000)
                    leave = replace(page, at_ms=at_ms + 20_000, kind="leave", engaged_ms=engaged_ms)
                    # Not drawn, so that what is drawn after it stays as it was.
                    rows.append(replace(leave, scroll=at_ms // 1000 % 5 * 25))
                if rng.random() < 0.08:
                    name = self._zipf(("signup", "download", "play", OTHER, "rare"))
                    rows.append(replace(page, at_ms=at_ms + 10_000, kind="event", name=name))
                at_ms += rng.randrange(25_000, 120_000)
            at_ms += rng.randrange(1_700_000, 9_000_000)
        return rows

    def _views(self, number: int) -> int:
        return (
            40 if number % 97 == 5 else int(self._random.expovariate(0.7)) + (0 if self._random.random() < 0.03 else 1)
        )

    def _entry(self, look: Row) -> Row:
        source, channel = self._zipf(
            (("", ""), ("google", "search"), ("t.co", "social"), ("bing", "search"), ("x.org", "referral"))
        )
        campaign = f"spring-{self._random.randrange(8)}" if self._random.random() < 0.1 else ""
        return replace(look, source=source, channel=channel, campaign=campaign)

    def _page(self) -> str:
        number = int(math.exp(self._random.random() * math.log(max(4, self.people // 2))))
        return f"{('/', '/blog/', '/blog/2024/', '/shop/a/', '/docs?v=1/')[number % 5]}{'' if number < 3 else number}"

    def _zipf(self, of: Sequence[T]) -> T:
        return self._random.choices(of, [1 / (rank + 1) ** 1.7 for rank in range(len(of))])[0]

    def _row(self, **fields: object) -> Row:
        at_ms = self._random.randrange(self._start_ms, self._end_ms)
        return replace(Row(self.day, self.timezone, self.site, at_ms), **fields)  # type: ignore[arg-type]  # names above


@dataclass(frozen=True)
class Counted:
    """A row that counts, and what the oracle knows of it. `visit` is None without a visitor."""

    row: Row
    visit: tuple[int, int, int] | None
    origin: tuple[str, str, str]
    entry: str
    exit: str
    bounced: bool
    engaged_ms: int
    scrolled: int = 0
    came_from: str = ""


@dataclass(frozen=True)
class Truth:
    """The exact numbers of a group, and how many networks of its largest generation share each of them."""

    visitors: int
    visits: int
    views: int
    events: int
    bounces: int
    engaged_s: int
    networks: int
    viewing: int
    acting: int
    bouncing: int
    staying: int
    engaging: int


def counted(rows: Iterable[Row], *, by_arrival: bool = False) -> tuple[list[Counted], int]:
    """The rows that count, by the rules of design.md section 11, and how many are over a bound."""
    people: dict[tuple[str, int, int], list[Row]] = defaultdict(list)
    result = []
    for row in rows:
        if row.visitor:
            people[row.site, row.generation, row.visitor].append(row)
        elif row.kind == "view":
            result.append(Counted(row, None, _origin_of(row), row.path, row.path, bounced=True, engaged_ms=0))
    over = 0
    for of_one in people.values():
        of_one.sort(key=_arrival if by_arrival else _time)
        used, bounded = _of_person(of_one)
        result += used
        over += bounded
    return result, over


def _time(row: Row) -> tuple[int, int, int]:
    return row.at_ms, row.batch, row.position


def _arrival(row: Row) -> tuple[int, int, int]:
    return row.inserted or 0, row.batch, row.position


def _of_person(rows: list[Row]) -> tuple[list[Counted], int]:
    number, last_ms, views, events, over = 0, 0, 0, 0, 0
    pages: list[str] = []
    origins: list[tuple[str, str, str]] = []
    visits: dict[int, list[Row]] = defaultdict(list)
    used: list[tuple[int, Row]] = []
    for row in rows:
        if row.kind in ("view", "event") and (number == 0 or row.at_ms - last_ms > 1_800_000):
            number += 1
        last_ms = row.at_ms
        visits[number].append(row)
        if row.kind == "view":
            views += 1
            if row.path not in pages and len(pages) < 10:
                pages.append(row.path)
        events += row.kind == "event"
        bound = (
            (row.kind == "view" and views > 30)
            or (row.kind == "event" and events > 5)
            or (row.kind in ("view", "leave") and row.path not in pages)
        )
        if number:
            origin = _origin_of(visits[number][0])
            if origin not in origins and len(origins) < 2:
                origins.append(origin)
            bound = bound or origin not in origins
        over += bound
        if number and not bound and row.kind != "error":
            used.append((number, row))
    deepest = {
        number: max((row.scroll for row in of_one if row.path in pages), default=0) for number, of_one in visits.items()
    }
    moved = _moves(used)
    return [
        replace(_counted(number, row, visits[number]), scrolled=deepest[number], came_from=moved.get(id(row), ""))
        for number, row in used
    ], over


def _moves(used: Sequence[tuple[int, Row]]) -> dict[int, str]:
    """From which other page each view of a visit came, by the view's id."""
    moved, last = {}, (0, "")
    for number, row in used:
        if row.kind == "view":
            if last[0] == number and last[1] != row.path:
                moved[id(row)] = last[1]
            last = (number, row.path)
    return moved


def _origin_of(row: Row) -> tuple[str, str, str]:
    return row.source, row.channel, row.campaign


def _counted(number: int, row: Row, visit: list[Row]) -> Counted:
    views = sum(one.kind == "view" for one in visit)
    events = sum(one.kind == "event" for one in visit)
    before = visit[: next(place for place, one in enumerate(visit) if one is row)]
    spent = sum(one.engaged_ms for one in before if one.kind == "leave")
    engaged_ms = min(spent + row.engaged_ms, 1_800_000) - min(spent, 1_800_000) if row.kind == "leave" else 0
    bounced = views <= 1 and events == 0
    pages = [one.path for one in visit if one.kind in ("view", "event")]
    of = (row.generation, row.visitor, number)
    return Counted(row, of, _origin_of(visit[0]), pages[0], pages[-1], bounced, engaged_ms)


def truth(group: Sequence[Counted]) -> Truth:
    """The exact numbers of a group of rows that count."""
    present = [one for one in group if one.row.kind != "leave"]
    return Truth(
        visitors=len({(one.row.generation, one.row.visitor) for one in present if one.visit}),
        visits=len({one.visit for one in present if one.visit}),
        views=sum(one.row.kind == "view" for one in group),
        events=sum(one.row.kind == "event" for one in group),
        bounces=sum(one.row.kind == "view" and one.bounced and one.visit is not None for one in group),
        engaged_s=sum(one.engaged_ms for one in group) // 1000,
        networks=networks(present),
        viewing=networks(one for one in group if one.row.kind == "view"),
        acting=networks(one for one in group if one.row.kind == "event"),
        bouncing=networks(one for one in present if one.bounced),
        staying=networks(one for one in present if not one.bounced),
        engaging=networks(one for one in group if one.engaged_ms > 0),
    )


def networks(group: Iterable[Counted]) -> int:
    """Distinct networks of the generation that has most of them."""
    by_generation: dict[int, set[int]] = defaultdict(set)
    for one in group:
        if one.row.network:
            by_generation[one.row.generation].add(one.row.network)
    return max(map(len, by_generation.values()), default=0)


def allowed(group: Truth, k: int) -> dict[str, int]:
    """The numbers of a group that may be shown, before rounding: a measure that k networks do not share is 0."""
    splits = group.bouncing >= k and (group.staying == 0 or group.staying >= k) and group.visits >= 4 * k
    return {
        "visitors": group.visitors,
        "visits": group.visits,
        "views": group.views if group.viewing >= k else 0,
        "events": group.events if group.acting >= k else 0,
        "bounces": group.bounces if splits else 0,
        "engaged_s": group.engaged_s if group.engaging >= k else 0,
    }


def as_shown(group: Truth, k: int, step: int) -> dict[str, int]:
    """What is shown of a group: what is over the measure before is rounded down to multiples of `step`, by itself."""
    may = allowed(group, k)
    visitors = may["visitors"] // step * step
    visits = visitors + _over(may["visits"], may["visitors"], step)
    if 0 < may["views"] < may["visits"]:
        views = min(may["views"] // step * step, max(visits - step, 0))
    else:
        views = visits + _over(may["views"], may["visits"], step) if may["views"] else 0
    stands_alone = may["views"] or may["events"] < may["visits"]
    events = may["events"] // step * step if stands_alone else visits + _over(may["events"], may["visits"], step)
    rest = {measure: may[measure] // step * step for measure in ("bounces", "engaged_s")}
    return {"visitors": visitors, "visits": visits, "views": views, "events": events, **rest}


def _over(number: int, base: int, step: int) -> int:
    return (number - base) // step * step


def components(group: Truth, k: int) -> tuple[int, ...]:
    """The numbers of a group as they are rounded: each measure over the one it depends on."""
    may = allowed(group, k)
    visits, views, events = may["visits"], may["views"], may["events"]
    return (
        may["visitors"],
        visits - may["visitors"],
        views if views < visits else views - visits,
        events if views or events < visits else events - visits,
        may["bounces"],
        may["engaged_s"],
    )


def cells(group: Iterable[Counted]) -> dict[tuple[str, str, str], list[Counted]]:
    """The rows of each (dimension, parent, value) of one site."""
    found: dict[tuple[str, str, str], list[Counted]] = defaultdict(list)
    for one in group:
        for cell in _cells_of(one):
            if cell[2]:
                found[cell].append(one)
    return found


def _cells_of(one: Counted) -> list[tuple[str, str, str]]:
    row, (source, channel, campaign) = one.row, one.origin
    browser, os = row.browser or "(unknown)", row.os or "(unknown)"
    return [
        ("page", directory(row.path), row.path if row.kind in ("view", "leave") else ""),
        ("entry", directory(one.entry), one.entry),
        ("exit", directory(one.exit), one.exit),
        ("flow", one.came_from, row.path if one.came_from else ""),
        ("scroll", "", ("", "0-25", "25-50", "50-75", "75-100")[-(-one.scrolled // 25)]),
        ("channel", "", channel or "direct"),
        ("source", channel or "direct", source or "(direct)"),
        ("campaign", "", campaign),
        ("country", "", row.country or "(unknown)"),
        ("browser", "", browser),
        ("browser_version", browser, f"{browser} {row.browser_version}".strip()),
        ("os", "", os),
        ("os_version", os, f"{os} {row.os_version}".strip()),
        ("device", "", row.device or "(unknown)"),
        ("screen", "", row.screen or "(unknown)"),
        ("language", "", row.language or "(unknown)"),
        ("event", "", row.name if row.kind == "event" else ""),
    ]


def directory(path: str) -> str:
    """Where a page lies: "/blog/2024/" for "/blog/2024/x", "/blog/" for that, nothing for "/"."""
    page = path.split("?", maxsplit=1)[0]
    return page.rstrip("/").rpartition("/")[0] + "/" if page.strip("/") else ""
