"""The product, or a weakened copy of it, as a program that the attacks ask: one JSON request a line, one answer a line.

Whoever starts it puts the copy into PYTHONPATH (`weakened.Build`). What it runs are the product's own functions; this
file holds no rule of the product.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from aggregator import crosses
from aggregator.coverage import HourlyCoverage
from aggregator.declared_dimensions import declared_dimensions, matching
from aggregator.destroy import drop, vanished
from aggregator.dimensions import DIMENSIONS
from aggregator.draw import Draws, Terms
from aggregator.endpoint import Endpoint, Fixed
from aggregator.gathering import events_held, gathered
from aggregator.guard import ClockGuard
from aggregator.live import LiveView
from aggregator.retention import Retention
from aggregator.rollup import Period, SiteRules, read, write
from aggregator.sites import remove
from aggregator.store import Store
from collector.address import truncate
from collector.clock import SystemClock
from collector.declared import Declared, Funnel, Goal
from collector.keys import Keys
from collector.noise import Noise
from collector.settings import Settings, SettingsError, load

Request = Mapping[str, Any]  # JSON


@dataclass
class Clock:
    """Wall and boot time as told: a live result costs nothing, and is never kept for the next request."""

    wall_s: float = 0.0
    boot_s: float = 0.0

    def wall(self) -> float:
        return self.wall_s

    def boot(self) -> float:
        return self.boot_s


class Worker:
    """Answers requests over one store."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._store = Store(Fixed(endpoint))
        self._clock = Clock()
        self._live = LiveView(self._store, self._clock)
        self._coverage = HourlyCoverage(self._store)

    def seal(self, request: Request) -> object:
        """Rolls a day up under the seal that the request names; `sites` are [domain, k, exact], all of which declare
        `goals` [[name, event, page], ...] and `funnels` [[name, names of goals], ...]."""
        day = date.fromisoformat(request["day"])
        goals = {name: Goal(name, event=event, page=page) for name, event, page in request["goals"]}
        funnels = tuple(Funnel(name, tuple(goals[step] for step in steps)) for name, steps in request["funnels"])
        declared = Declared(goals=tuple(goals.values()), funnels=funnels)
        by = (*DIMENSIONS, *declared_dimensions(declared)), matching(declared)
        rules = {site: SiteRules(k, exact, date(2149, 6, 6), *by) for site, k, exact in request["sites"]}
        period = Period(day, request["timezone"])
        with gathered(self._store, period, request["seal"], {site: of.matching for site, of in rules.items()}):
            reading = read(self._store, request["seal"], rules.__getitem__, max(rule.k for rule in rules.values()))
            write(self._store, period, request["seal"], reading, rules.__getitem__)
            crosses.write(self._store, period, request["seal"], reading, rules.__getitem__)
        return {"events": reading.events, "bounded": reading.bounded}

    def draw(self, request: Request) -> object:
        """Publishes a day of sites of level dp, `ks` [[domain, k], ...], under the seal that the request names."""
        from aggregator import noisy_trends

        period = Period(date.fromisoformat(request["day"]), request["timezone"])
        epsilon, delta, dimensions = request["promised"]
        ks = tuple((site, k) for site, k in request["ks"])
        with gathered(self._store, period, request["seal"]):
            events = events_held(self._store, request["seal"])
            terms = Terms(events, ks, Noise(epsilon, delta, tuple(dimensions)))
            draws = Draws(Path(request["folder"]), self._clock)
            drawn = noisy_trends.published(self._store, period, request["seal"], terms, draws)
            noisy_trends.write(self._store, period, request["seal"], drawn, {site: date(2149, 6, 6) for site, _ in ks})
            draws.destroy(period)
        return {"events": events}

    def live(self, request: Request) -> object:
        """The live view of one site at `now`: [[dimension, parent, value, six numbers], ...].

        With `fresh` it is that of a process that has shown nothing yet.
        """
        if request["fresh"]:
            self._live = LiveView(self._store, self._clock)
        settings = load(Path(request["config"]), Path(request["config"]).parent, {})
        self._clock.wall_s = request["now"]
        self._clock.boot_s += 1
        live = self._live.of(settings.sites[request["site"]])
        cells = [(name, cell.parent, cell.value, cell.measures) for name, of in live.lists.items() for cell in of]
        cells += [("", "", "(all)", live.totals)] if live.totals else []
        return [[name, parent, value, *asdict(measures).values()] for name, parent, value, measures in cells]

    def starts(self, request: Request) -> object:
        """Whether an installation would start with a configuration and an environment."""
        try:
            load(Path(request["config"]), Path(request["config"]).parent, request["environment"])
        except SettingsError:
            return False
        return True

    def destroy(self, request: Request) -> object:
        """Drops an open day as a seal does in the end; returns what is told to be left."""
        ((partition_id,),) = self._store.query(
            "SELECT DISTINCT _partition_id FROM open_events WHERE day = {day:Date}", {"day": request["day"]}
        )
        drop(self._store, partition_id)
        return vanished(self._store, partition_id, on_this_disk=True)

    def retain(self, request: Request) -> object:
        """The day's look at what is past its retention; returns the rows deleted."""
        clock = Clock(self._store.now())
        guard = ClockGuard(clock, clock.wall, lambda: None)
        return Retention(self._store, self._settings(request), guard).round()

    def coverage(self, request: Request) -> object:
        """The sealer's round at `now`; with `fresh` that of a sealer that was started just now."""
        if request["fresh"]:
            self._coverage = HourlyCoverage(self._store)
        return self._coverage.round(request["now"])

    def remove(self, request: Request) -> object:
        """`footfall site remove` of a site that the configuration does not have."""
        return list(remove(self._settings(request), self._store, SystemClock(), request["site"]))

    @staticmethod
    def _settings(request: Request) -> Settings:
        return load(Path(request["config"]), Path(request["config"]).parent / "data", {})

    def tokens(self, request: Request) -> object:
        """Of each [day, site, address, user agent] what a collector would keep and see: tokens and the cut address."""
        keys = Keys(Path(request["folder"]), 900.0, SystemClock())
        made = []
        for day, site, address, agent in request["visitors"]:
            cut = truncate(address)
            assert cut is not None
            tokens = keys.tokens(date.fromisoformat(day), "UTC", site, cut.host, cut.network, agent)
            made.append([*tokens, cut.host, cut.network])
        return made


def main() -> None:
    worker = Worker(Endpoint(**json.loads(sys.argv[1])))
    requests: Mapping[str, Callable[[Request], object]] = {
        "seal": worker.seal,
        "draw": worker.draw,
        "live": worker.live,
        "starts": worker.starts,
        "destroy": worker.destroy,
        "retain": worker.retain,
        "remove": worker.remove,
        "coverage": worker.coverage,
        "tokens": worker.tokens,
    }
    for line in sys.stdin:
        request = json.loads(line)
        # What the product prints is not an answer.
        with contextlib.redirect_stdout(sys.stderr):
            answer = requests[request["do"]](request)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
