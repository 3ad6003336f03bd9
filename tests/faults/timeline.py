"""An installation in one process and a store beside it, by clocks that a test sets; and what is known of each event.

`World` is a collector's worker asked over ASGI, a drainer and a sealer, which are the real ones; the store is the real
front in a process of its own. Its `steps` are what may happen in time: events, a clock that is set, a day that passes,
a time zone that changes in the configuration, a restart, a round of draining or sealing. Nothing happens between two.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from aggregator.drain import Drainer
from aggregator.guard import ClockGuard, newest_event
from aggregator.ledger import Ledger, read_ledger
from aggregator.seal import Sealer, Surroundings
from aggregator.store import Store
from collector.app import App
from collector.keys import FAIL_SAFE_S, Keys
from collector.settings import Settings, load
from collector.spool_file import connect
from tests.collector.collecting import FIREFOX, TOKEN, sha256, spooled_lines
from tests.faults.own_clock import OwnClock

GRACE_S = 900.0
HOUR_S, DAY_S = 3_600.0, 86_400.0
BEATS_WITHIN_S = 30.0
# Rows are marked every ten minutes; the sealer rounds down to seconds.
TOLERANCE_S = 900.0
SITES = ("one.example", "two.example", "three.example")
ZONES = (
    "Europe/Berlin",
    "America/Los_Angeles",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
    "America/Havana",
)


@dataclass
class World:
    """`zones` is what the configuration says of each site now."""

    folder: Path
    key_dir: Path
    clock: OwnClock
    store: Store
    zones: dict[str, str]
    patience_s: float = 0.0
    # Each accepted event by its name: its site and its time; where it counts; when it was accepted, by the boot clock.
    accepted: dict[str, tuple[str, float]] = field(default_factory=dict)
    counted_on: dict[str, tuple[date, str]] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)
    # When the sealer first looked at a store that has it.
    open_since: dict[str, float] = field(default_factory=dict)
    # When each key was first seen.
    born: dict[tuple[date, str], float] = field(default_factory=dict)
    # Events, and keys, that were found past their time.
    kept: set[str] = field(default_factory=set)
    refused: int = 0

    def __post_init__(self) -> None:
        self.settings = self._settings()
        self.keys = Keys(self.key_dir, GRACE_S, self.clock)
        self.drainer = Drainer(self.settings, self.store, self.keys, self.clock)
        guard = ClockGuard(self.clock, self.store.now, partial(newest_event, self.store))
        around = Surroundings(sealed=self.keys.destroy, step=self._let_parts_go, patience_s=self.patience_s)
        self.sealer = Sealer(self.store, self.settings, self.clock, guard, around)
        self._life: contextlib.AsyncExitStack = contextlib.AsyncExitStack()
        self._client: httpx.AsyncClient | None = None

    def _let_parts_go(self, step: str) -> None:
        """The engine removes a dropped part a second later, by its clock."""
        if step == "dropped":
            self.clock.pass_time(2.0)

    @property
    def spool_dir(self) -> Path:
        return self.settings.collector.spool_dir

    @property
    def client(self) -> httpx.AsyncClient:
        assert self._client is not None
        return self._client

    def _settings(self) -> Settings:
        token = f'[[site.ingest_tokens]]\nname = "a"\nsha256 = "{sha256(TOKEN)}"\ntrusted_addresses = true\n'
        sites = "".join(
            f'[[site]]\ndomain = "{site}"\ntimezone = "{zone}"\n{token.replace(sha256(TOKEN), sha256(TOKEN + site))}'
            for site, zone in self.zones.items()
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "footfall.toml"
        file.write_text(f'[privacy]\nkey_dir = "{self.key_dir}"\ngrace_minutes = {GRACE_S / 60}\n{sites}')
        return load(file, self.folder / "data", {})

    async def start(self) -> None:
        """The worker, by the configuration of now."""
        self.settings = self._settings()
        self._client = await self._life.enter_async_context(answering(App(self.settings, self.clock)))

    async def restart(self) -> None:
        """A worker that starts believes the wall clock: what it finds is three days old three days later at most."""
        await self._life.aclose()
        for text in spooled_lines(self.spool_dir):
            self.since[json.loads(text)["name"]] = self.clock.boot()
        await self.start()

    async def stop(self) -> None:
        await self._life.aclose()
        self.drainer.close()

    async def change_zone(self, site: str, zone: str) -> None:
        """In the configuration, which a worker reads as it starts."""
        self.zones[site] = zone
        await self.restart()

    def restart_drainer(self) -> None:
        self.drainer.close()
        self.drainer = Drainer(self.settings, self.store, self.keys, self.clock)

    async def send(self, site: str, ago_s: float = 0.0) -> str:
        """One event, by its site's server where it is of the past, then of another network each; returns its name."""
        name = f"e{len(self.accepted) + self.refused}"
        at = self.clock.wall() - ago_s
        body = {"n": name, "u": f"https://{site}/", "d": site, "c": "1"}
        someone = {"ip": f"192.{len(self.accepted) % 200}.2.1", "ua": FIREFOX, "time": at}
        if ago_s:
            headers = {"Authorization": f"Bearer {TOKEN}{site}"}
            answer = await self.client.post("/api/events", content=json.dumps([{**body, **someone}]), headers=headers)
            is_accepted = answer.status_code == 202 and answer.json()["accepted"] == 1
        else:
            answer = await self.client.post("/api/event", content=json.dumps(body))
            is_accepted = answer.headers.get("footfall") == "accepted"
        if is_accepted:
            self.accepted[name], self.since[name] = (site, at), self.clock.boot()
            self.note()
        else:
            self.refused += 1
        return name

    async def beat(self) -> None:
        """Returns when the worker has kept house at this hour: its thread does so after a commit."""
        deadline = time.monotonic() + BEATS_WITHIN_S
        while time.monotonic() < deadline:
            await self.client.post("/api/event", content=b'{"n":"x","u":"https://other.example/","d":"other.example"}')
            if abs(self._heartbeat() - self.clock.wall()) < 5.0:
                return
            await asyncio.sleep(0.005)
        raise AssertionError("the worker's heart does not beat")

    def _heartbeat(self) -> float:
        with contextlib.closing(connect(self.spool_dir / "spool-0.sqlite")) as connection:
            found = connection.execute("SELECT value FROM facts WHERE name = 'heartbeat'").fetchone()
        return float(found[0]) if found else 0.0

    def note(self) -> None:
        """Which (day, time zone) the events that wait in the spool count on."""
        for text in spooled_lines(self.spool_dir):
            line = json.loads(text)
            self.counted_on.setdefault(line["name"], (date.fromisoformat(line["day"]), line["timezone"]))

    def drain(self) -> None:
        self.drainer.round()

    async def seal(self) -> None:
        """A round of the sealer; then nothing may be there that is past its fail-safe."""
        for (name,) in self.store.query("SELECT DISTINCT name FROM open_events"):
            self.open_since.setdefault(name, self.clock.boot())
        self.sealer.seal_due()
        await self.beat()
        now = self.clock.boot()
        self._note_overdue_keys(now)
        for (name,) in self.store.query("SELECT DISTINCT name FROM open_events"):
            if now - self.open_since[name] > FAIL_SAFE_S + TOLERANCE_S:
                self.kept.add(name)
        for text in spooled_lines(self.spool_dir):
            if now - self.since[json.loads(text)["name"]] > FAIL_SAFE_S + TOLERANCE_S:
                self.kept.add(json.loads(text)["name"])

    def _note_overdue_keys(self, now: float) -> None:
        """None may have had more of the boot clock than its day has, grace and fail-safe included."""
        self.born = {at: self.born.get(at, now) for at in self.keys.days()}
        overdue = [at for at, born in self.born.items() if now - born > FAIL_SAFE_S + GRACE_S]
        self.kept |= {f"the key of {day} in {zone}" for day, zone in overdue}

    async def settle(self) -> None:
        """Time passes, evenly, until every event has found its end."""
        for _ in range(200):
            await self.beat()
            self.drain()
            await self.seal()
            if not spooled_lines(self.spool_dir) and not self.store.query("SELECT 1 FROM open_events LIMIT 1"):
                return
            self.clock.pass_time(3 * HOUR_S)
        raise AssertionError(f"not sealed: {self.sealer.waiting}")

    def ledger(self) -> Ledger:
        return read_ledger(self.spool_dir, self.store)

    # What must never be.

    def days_in_two_zones(self) -> list[tuple[str, date]]:
        """Days of a site that have events under two time zones, hence in two seals."""
        zones: defaultdict[tuple[str, date], set[str]] = defaultdict(set)
        for name, (day, zone) in self.counted_on.items():
            zones[self.accepted[name][0], day].add(zone)
        return [of for of, found in zones.items() if len(found) > 1]

    def days_that_go_back(self) -> list[str]:
        """Events that count on an earlier day than one that happened before."""
        back: list[str] = []
        latest: dict[str, date] = {}
        for name in sorted(self.counted_on, key=lambda name: self.accepted[name][1]):
            site, day = self.accepted[name][0], self.counted_on[name][0]
            if day < latest.setdefault(site, day):
                back.append(name)
            latest[site] = max(day, latest[site])
        return back

    def doubled(self) -> int:
        """Events that are in the store twice, in batches of two seals, or of days with two seals."""
        twice = self.store.query(
            "SELECT name, count() FROM open_events GROUP BY name HAVING count() > 1"
            " UNION ALL SELECT toString(batch), max(events) FROM batches WHERE outcome = 'sealed'"
            " AND seal IN (SELECT seal FROM committed_seals) GROUP BY batch HAVING uniqExact(seal) > 1"
            " UNION ALL SELECT toString(day), sum(events) FROM seals GROUP BY day, timezone HAVING count() > 1"
        )
        return sum(int(number) for _, number in twice)


@dataclass
class Schedule:
    """A random one, the same for the same `seed`. `steps` counts what happened, by its name."""

    world: World
    seed: int
    steps: Counter[str] = field(default_factory=Counter)

    async def run(self, number: int) -> None:
        chance = random.Random(self.seed)
        steps = self._steps(chance)
        for name in chance.choices(list(steps), [weight for weight, _ in steps.values()], k=number):
            self.steps[name] += 1
            done = steps[name][1]()
            if done is not None:
                await done

    def _steps(self, chance: random.Random) -> dict[str, tuple[int, Callable[[], Awaitable[object] | None]]]:
        """What may happen, how often, and how it is done."""
        world, clock = self.world, self.world.clock
        past = (600.0, 5 * HOUR_S, 30 * HOUR_S, 5 * DAY_S)
        return {
            "event": (36, lambda: world.send(chance.choice(SITES))),
            "event of the past": (10, lambda: world.send(chance.choice(SITES), chance.choice(past))),
            "drain": (22, world.drain),
            "seal": (8, world.seal),
            "minutes pass": (9, lambda: clock.pass_time(chance.uniform(60.0, HOUR_S))),
            "hours pass": (4, lambda: clock.pass_time(chance.uniform(HOUR_S, 7 * HOUR_S))),
            "a day passes": (1, lambda: clock.pass_time(chance.uniform(20 * HOUR_S, 30 * HOUR_S))),
            "clock set": (3, lambda: clock.step(chance.choice((-DAY_S, -HOUR_S, HOUR_S, DAY_S)))),
            "zone changed": (4, lambda: world.change_zone(chance.choice(SITES), chance.choice(ZONES))),
            "worker restarted": (2, world.restart),
            "drainer restarted": (1, world.restart_drainer),
        }


@contextlib.asynccontextmanager
async def answering(app: App) -> AsyncIterator[httpx.AsyncClient]:
    """One worker's application in this process, from start to stop, asked by a visitor with Firefox."""
    said: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
    heard: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
    life = asyncio.ensure_future(app({"type": "lifespan"}, said.get, heard.put))
    await said.put({"type": "lifespan.startup"})
    assert (await heard.get())["type"] == "lifespan.startup.complete"
    door = httpx.ASGITransport(app, client=("192.0.2.1", 5))
    async with httpx.AsyncClient(transport=door, base_url="http://a.test", headers={"User-Agent": FIREFOX}) as client:
        yield client
    await said.put({"type": "lifespan.shutdown"})
    await life
