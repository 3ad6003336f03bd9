"""Who answers on the internal side: the settings, the people, and the store, opened at the first question.

The dashboards start without waiting for the store; a failed opening is tried again at the next question. Every method
blocks, so requests call it in threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date

from starlette.exceptions import HTTPException

from aggregator.live import Live, LiveView
from aggregator.migrate import is_migrated
from aggregator.store import Store
from collector.clock import Clock
from collector.days import parts_of
from collector.settings import Settings, Site
from collector.zones import Zones
from dashboards.access import Access, People
from dashboards.question import question_of, single_values, site_of
from dashboards.stats import Stats, stats

# RFC 6750, section 3.
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="footfall"'}


class Desk:
    """What every page and every answer is made from."""

    def __init__(self, settings: Settings, people: People, open_store: Callable[[], Store], clock: Clock) -> None:
        self.settings, self.people, self.clock = settings, people, clock
        self.zones = Zones(settings.collector.spool_dir)
        self._open_store = open_store
        self._opening = threading.Lock()
        self._opened: tuple[Store, LiveView] | None = None

    def answer(self, access: Access, pairs: Sequence[tuple[str, str]]) -> Stats:
        """What the fields of a query string ask for. Raises `HTTPException`, `BadQuestion` and what `Store` raises."""
        values = single_values(pairs)
        # Asked before whether the site is known: a token of one site does not tell which others there are.
        if "site" in values and not access.may_read(values["site"]):
            raise HTTPException(403, "this token is for another site")
        site = self._as_counted(site_of(values, self.settings))
        today = self.today(site)
        question = question_of(values, site, today)
        store, live = self.reading()
        if not self.shows_today:
            return stats(store, None, question, today, self.zones, tells_today=False)
        return stats(store, live, question, today, self.zones)

    def site(self, access: Access, domain: str) -> Site:
        """The site at `domain`; 403 for one of others, there or not, and 404 for one that is not there."""
        if not access.may_read(domain):
            raise HTTPException(403)
        if domain not in self.settings.sites:
            raise HTTPException(404)
        return self._as_counted(self.settings.sites[domain])

    def sites(self, access: Access) -> tuple[Site, ...]:
        """All that `access` may read, in the order of the configuration."""
        return tuple(self._as_counted(site) for site in self.settings.sites.values() if access.may_read(site.domain))

    def today(self, site: Site) -> date:
        """The day that an event of the site counts on now."""
        return self.zones.day(site, self.clock.wall()).day

    @property
    def shows_today(self) -> bool:
        """Whether there is a live view; without one nothing at all is told of today."""
        return self.settings.privacy.live_view

    def live(self, site: Site) -> Live | None:
        """Today so far, or None where it is not shown. Raises what `Store` raises."""
        return self.reading()[1].of(site) if self.shows_today else None

    def _as_counted(self, site: Site) -> Site:
        """`site` with the calendar that it is counted by now: a changed one waits for the end of a day or week."""
        timezone, every = parts_of(self.zones.day(site, self.clock.wall()).timezone)
        return replace(site, timezone=timezone, seal_every=every)

    def reading(self) -> tuple[Store, LiveView]:
        """The store and the one live view of it. Raises what `Store` raises."""
        with self._opening:
            if self._opened is None:
                store = self._open_store()
                self._opened = (store, LiveView(store, self.clock, zones=self.zones))
            return self._opened

    def is_ready(self) -> bool:
        """Whether the store answers and has all its tables. Raises what `Store` raises."""
        return is_migrated(self.reading()[0])
