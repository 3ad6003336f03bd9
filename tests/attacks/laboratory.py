"""A real store in which simulated days are sealed, by the product or by a weakened build, and what readers then see.

Each `Scene` is a database of its own in the one store, so that attacks do not see each other.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from types import TracebackType

import httpx
import orjson

from aggregator.endpoint import Announced, Endpoint, Fixed
from aggregator.migrate import migrate
from aggregator.store import Store
from collector import days
from collector.declared import Declared
from collector.noise import Noise
from tests.aggregator.front_process import FrontProcess
from tests.aggregator.simulate import Row, insert
from tests.attacks.crowds import OpenDay, words
from tests.attacks.weakened import Build, Weakening

BERLIN = "Europe/Berlin"
DAY = date(2027, 5, 4)
NOON = days.starts_at(DAY, BERLIN) + 12 * 3600
MEASURES = "visitors, visits, views, events, bounces, engaged_s"
CROSSED = "dimension_a, parent_a, value_a, dimension_b, parent_b, value_b, visitors, visits"
STAGED = (
    "site UInt16, at Int64, generation UInt64, visitor UInt64, network UInt64, kind UInt8, name UInt8, path UInt32,"
    " origin UInt8, campaign UInt16, country UInt8, look UInt16, screen UInt8, language UInt8, engaged_ms UInt32,"
    " scroll UInt8, position UInt32"
)
FROM_STAGED = """
INSERT INTO open_events (day, timezone, site, at, batch, position, generation, visitor, network, kind, name, path,
    source, channel, campaign, country, browser, browser_version, os, os_version, device, screen, language, engaged_ms,
    scroll)
WITH {texts}
SELECT {{day:Date}}, {{timezone:String}}, sites[staged.site + 1], fromUnixTimestamp64Milli(staged.at, 'UTC'),
    1, staged.position, staged.generation, staged.visitor, staged.network,
    CAST(staged.kind, 'Enum8(\\'view\\' = 1, \\'event\\' = 2, \\'leave\\' = 3, \\'error\\' = 4)'),
    names[staged.name + 1], paths[staged.path + 1], sources[staged.origin + 1], channels[staged.origin + 1],
    campaigns[staged.campaign + 1], countries[staged.country + 1], browsers[staged.look + 1],
    browser_versions[staged.look + 1], systems[staged.look + 1], system_versions[staged.look + 1],
    devices[staged.look + 1], screens[staged.screen + 1], languages[staged.language + 1], staged.engaged_ms,
    staged.scroll
FROM staged
"""
NOTHING = Declared()
Key = tuple[str, str, str]
Numbers = tuple[int, ...]
Cross = tuple[Key, Key]


@dataclass(frozen=True)
class Outputs:
    """What a reader sees of one site's sealed day: spans by (hour, span), values by (dimension, parent, value), and of
    every two values, in both directions, visitors and visits."""

    spans: Mapping[tuple[int, int], Numbers]
    values: Mapping[Key, Numbers]
    crosses: Mapping[Cross, Numbers] = field(default_factory=dict)

    @property
    def total(self) -> Numbers | None:
        return self.spans.get((24, 24))


@dataclass
class Scene:
    """One database with all tables; `store` reads it, `builds` seal in it."""

    folder: Path
    endpoint: Endpoint
    store: Store
    builds: dict[str, Build] = field(default_factory=dict)
    seals: int = 0

    def build(self, weakening: Weakening | None = None) -> Build:
        name = weakening.name if weakening else "product"
        if name not in self.builds:
            self.builds[name] = Build(self.endpoint, self.folder / name.replace(" ", "-"), weakening)
        return self.builds[name]

    def fill(self, opened: OpenDay) -> None:
        """Inserts the open rows of simulated sites; what was open before is gone."""
        self.store.command("TRUNCATE TABLE open_events")
        self.store.command(f"CREATE OR REPLACE TABLE staged ({STAGED}) ENGINE = Memory")
        self.store.command("CREATE OR REPLACE TABLE words (list String, code UInt32, text String) ENGINE = Memory")
        lists = _lists(opened)
        self._post("words", "JSONCompactEachRow", _word_lines(lists))
        self._post("staged", "RowBinary", opened.rows.tobytes())
        texts = ", ".join(
            f"(SELECT groupArray(text) FROM (SELECT text FROM words WHERE list = '{name}' ORDER BY code)) AS {name}"
            for name in lists
        )
        self.store.command(FROM_STAGED.format(texts=texts), {"day": opened.day, "timezone": opened.timezone})
        self.store.command("DROP TABLE staged SYNC")

    def plant(self, rows: Sequence[Row], batch: int = 1) -> None:
        """Inserts further open rows."""
        insert(self.store, rows, batch)

    def seal(
        self,
        sites: Mapping[str, int],
        weakening: Weakening | None = None,
        *,
        exact: bool = False,
        day: date = DAY,
        timezone: str = BERLIN,
        declared: Declared = NOTHING,
    ) -> int:
        """Seals `day` for sites with their k by a build, commits, and empties the open day; returns the seal's id. Of
        what is `declared`, goals and funnels of these count."""
        self.seals += 1
        rules = [[site, k, exact] for site, k in sites.items()]
        told = self.build(weakening).ask(
            "seal",
            day=day.isoformat(),
            timezone=timezone,
            seal=self.seals,
            sites=rules,
            goals=[[goal.name, goal.event, goal.page] for goal in declared.goals],
            funnels=[[funnel.name, [step.name for step in funnel.steps]] for funnel in declared.funnels],
        )
        self.commit(self.seals, told["events"], min(sites.values()), day, timezone)
        return self.seals

    def draw(self, sites: Mapping[str, int], promised: Noise, folder: Path, weakening: Weakening | None = None) -> int:
        """Seals the day for sites of level dp with their k by a build, which keeps its draw in `folder`, commits, and
        returns the seal's id."""
        self.seals += 1
        told = self.build(weakening).ask(
            "draw",
            day=DAY.isoformat(),
            timezone=BERLIN,
            seal=self.seals,
            ks=list(sites.items()),
            promised=[promised.epsilon, promised.delta, list(promised.dimensions)],
            folder=str(folder),
        )
        self.commit(self.seals, told["events"], min(sites.values()), DAY)
        return self.seals

    def commit(self, seal: int, events: int, k: int, day: date, timezone: str = BERLIN) -> None:
        """The commit record, as `aggregator.seal` writes it; each seal here has an origin of its own."""
        columns = ("day", "timezone", "origin", "seal", "events", "bounded", "k", "level", "days")
        row = (day, timezone, f"attack {seal}", seal, events, 0, k, "rounded", 1)
        self.store.insert_rows("seals", columns, [row], token=f"{day}/{seal}")

    def forget_trends(self) -> None:
        """Empties the trends, for the next build over the same open day."""
        for table in ("trend_rows", "breakdown_rows", "cross_rows", "seals"):
            self.store.command(f"TRUNCATE TABLE {table}")

    def outputs(self) -> dict[str, Outputs]:
        """What readers see of each site that has a sealed day."""
        spans: dict[str, dict[tuple[int, int], Numbers]] = {}
        values: dict[str, dict[Key, Numbers]] = {}
        for site, hour, span, *numbers in self.store.query(f"SELECT site, hour, span, {MEASURES} FROM trend"):
            spans.setdefault(site, {})[hour, span] = tuple(numbers)
        for site, *rest in self.store.query(f"SELECT site, dimension, parent, value, {MEASURES} FROM breakdown"):
            values.setdefault(site, {})[rest[0], rest[1], rest[2]] = tuple(rest[3:])
        crosses: dict[str, dict[Cross, Numbers]] = {}
        for site, *rest in self.store.query(f"SELECT site, {CROSSED} FROM cross_breakdown"):
            cell = (rest[0], rest[1], rest[2]), (rest[3], rest[4], rest[5])
            assert crosses.setdefault(site, {}).setdefault(cell, tuple(rest[6:])) == tuple(rest[6:])
        return {
            site: Outputs(spans.get(site, {}), values.get(site, {}), crosses.get(site, {}))
            for site in spans.keys() | values.keys()
        }

    def _post(self, table: str, form: str, body: bytes) -> None:
        where = self.endpoint
        answer = httpx.post(
            f"{where.interface}://{where.host}:{where.port}/",
            params={"query": f"INSERT INTO {table} FORMAT {form}", "database": where.database},
            content=body,
            auth=(where.user, where.password),
            timeout=300,
        )
        assert answer.status_code == 200, answer.text


def _lists(opened: OpenDay) -> dict[str, Sequence[str]]:
    known = words()
    return {
        "sites": [crowd.site for crowd in opened.crowds],
        "names": known.names,
        "paths": known.paths,
        "sources": [source for source, _ in known.origins],
        "channels": [channel for _, channel in known.origins],
        "campaigns": known.campaigns,
        "countries": known.countries,
        "browsers": [look.browser for look in known.looks],
        "browser_versions": [look.browser_version for look in known.looks],
        "systems": [look.os for look in known.looks],
        "system_versions": [look.os_version for look in known.looks],
        "devices": [look.device for look in known.looks],
        "screens": known.screens,
        "languages": known.languages,
    }


def _word_lines(lists: Mapping[str, Iterable[str]]) -> bytes:
    rows = [(name, code, text) for name, texts in lists.items() for code, text in enumerate(texts)]
    return b"\n".join(map(orjson.dumps, rows))


class Laboratory:
    """One real store for all scenes; a context manager that leaves no process and no file."""

    def __enter__(self) -> Laboratory:
        self.folder = Path(tempfile.mkdtemp(prefix="footfall-attacks-"))
        (self.folder / "data").mkdir()
        self.front = FrontProcess(self.folder / "data")
        self.front.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.front.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def scene(self) -> Iterator[Scene]:
        """A migrated database of its own, dropped in the end with all builds ended."""
        where = dataclasses.replace(
            Announced(self.front.announcement).endpoint(), database=f"attack_{uuid.uuid4().hex}"
        )
        store = Store(Fixed(where))
        migrate(store)
        folder = self.folder / where.database
        folder.mkdir()
        scene = Scene(folder, where, store)
        try:
            yield scene
        finally:
            for build in scene.builds.values():
                build.close()
            store.command(f"DROP DATABASE {where.database} SYNC")
            store.close()
