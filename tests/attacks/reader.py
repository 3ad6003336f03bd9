"""Everything that is put out about a site: trends by SQL, the JSON interface, the page, coverage.

The application is the product's own, in this process, over the scene's store.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from aggregator.dimensions import DIMENSIONS
from collector import days
from dashboards.sql import select
from tests.attacks.laboratory import BERLIN, DAY, Scene
from tests.clock import SetClock
from tests.dashboards.asking import Installation

DAYS = f"from={DAY}&to={DAY}"


class Reader:
    """Somebody with a token, a session and analysts' SQL, on the day after `DAY`."""

    def __init__(self, scene: Scene, folder: Path, sites: dict[str, int]) -> None:
        config = "".join(f'[[site]]\ndomain = "{site}"\ntimezone = "{BERLIN}"\nk = {k}\n' for site, k in sites.items())
        self._scene, self._sites = scene, sites
        clock = SetClock(days.ends_at(DAY, BERLIN) + timedelta(hours=12).total_seconds())
        self._dashboards = Installation(folder, lambda: scene.store, clock, config)

    def api(self, query: str) -> dict[str, object]:
        """The answer of `/api/stats`."""
        status, answer = self._dashboards.get(f"/api/stats?{query}")
        assert status == 200, answer
        return answer

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        """The answer to an analyst."""
        return select(self._scene.store, statement)

    def everything(self) -> str:
        """All outputs about the sealed day in one text."""
        told = [
            str(self.sql(f"SELECT * FROM {table}"))
            for table in ("trend", "breakdown", "cross_breakdown", "flow", "coverage")
        ]
        for site in self._sites:
            told.append(self._dashboards.page(f"/sites/{site}?{DAYS}").text)
            told += [
                str(self.api(f"site={site}&{DAYS}&dimension={dimension.name}&limit=2000")) for dimension in DIMENSIONS
            ]
        return "\n".join(told)


@contextmanager
def reading(scene: Scene, sites: dict[str, int]) -> Iterator[Reader]:
    """A reader of a scene; what the application keeps of its people is gone afterwards."""
    with tempfile.TemporaryDirectory(dir=scene.folder) as folder:
        yield Reader(scene, Path(folder), sites)
