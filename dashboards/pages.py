"""The pages: all sites, one site, and the wait for its first event. Each needs a session, and shows what it may read.

Everything reads without a script; the script only asks again, so that nobody has to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.resources import files
from urllib.parse import quote

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from aggregator.arrivals import last_arrival
from collector.settings import Site
from dashboards.chart import Chart, sparkline
from dashboards.day_or_week import VISITORS_ON
from dashboards.desk import Desk
from dashboards.layout import PAGE_HEADERS, Layout
from dashboards.period import DEFAULT, TODAY, period_of
from dashboards.shown_days import periods
from dashboards.sign_in import SignIn
from dashboards.site_page import SitePage, Today, site_page
from dashboards.stats import stats
from dashboards.waiting import Waiting, is_sealed, mark_of, waiting_page
from dashboards.words import Words

RECENT_DAYS = 30
OF_SEALED_DAYS = ("period", "from", "to", "filter", "compare")


@dataclass(frozen=True)
class Card:
    """One site on the page of all sites: its last sealed day with a number, and the curve of the last days; `told` is
    what the number is."""

    site: Site
    day: date | None
    told: str
    visitors: int
    curve: Chart | None


class Pages:
    """The endpoints; what blocks runs in threads."""

    def __init__(self, desk: Desk, sign_in: SignIn, layout: Layout) -> None:
        self._desk, self._sign_in, self._layout = desk, sign_in, layout

    async def answer_sites(self, request: Request) -> Response:
        """GET /: every site that the reader may see; on to the only one."""
        access = await self._sign_in.reader(request)
        sites = self._desk.sites(access)
        if len(sites) == 1:
            return RedirectResponse(f"/sites/{quote(sites[0].domain)}", 303, PAGE_HEADERS)
        words = self._layout.words(request)
        cards = await run_in_threadpool(self._cards, sites, words)
        return self._layout.page(request, "sites", {"access": access, "cards": cards})

    async def answer_site(self, request: Request) -> Response:
        """GET /sites/{domain}: its numbers, or the wait for the first one."""
        access = await self._sign_in.reader(request)
        site = self._desk.site(access, request.path_params["domain"])
        words = self._layout.words(request)
        shown = await run_in_threadpool(self._site, site, words, dict(request.query_params))
        context = {"access": access, "page": shown, "site": site, "has_others": len(self._desk.sites(access)) > 1}
        return self._layout.page(request, "waiting" if isinstance(shown, Waiting) else "site", context)

    async def answer_waiting(self, request: Request) -> Response:
        """GET /sites/{domain}/waiting.json: whether the wait is over, and a mark that changes with what is said."""
        access = await self._sign_in.reader(request)
        site = self._desk.site(access, request.path_params["domain"])
        told = await run_in_threadpool(self._waiting, site)
        return Response(orjson.dumps(told), 200, PAGE_HEADERS, "application/json")

    def _site(self, site: Site, words: Words, values: dict[str, str]) -> SitePage | Waiting:
        store, _ = self._desk.reading()
        live, default = self._desk.live(site), DEFAULT
        today = live.day if live else self._desk.today(site)
        # Whoever names a period, or asks what only sealed days tell, wants to see it, with or without numbers.
        asks = not values.keys().isdisjoint(OF_SEALED_DAYS)
        if not asks and not is_sealed(store, site, self._desk.zones):
            if live is None or live.totals is None:
                return waiting_page(words, self._desk.settings, site, store)
            default = TODAY
        period = period_of(values, site, today, default, has_today=live is not None)
        answer = stats(store, None, period.question, today, self._desk.zones, tells_today=live is not None)
        arrival = last_arrival(store, site.domain)
        return site_page(words, self._desk.settings, period, answer, Today(today, live), arrival)

    def _waiting(self, site: Site) -> dict[str, object]:
        store, _ = self._desk.reading()
        live = self._desk.live(site)
        if (live is not None and live.totals is not None) or is_sealed(store, site, self._desk.zones):
            return {"waiting": False}
        return {"waiting": True, "mark": mark_of(store, site)}

    def _cards(self, sites: Sequence[Site], words: Words) -> list[Card]:
        store, _ = self._desk.reading()
        days = {site: self._recent(site) for site in sites}
        statement = (files("dashboards") / "statements" / "recent_visitors.sql").read_text()
        period = {"first": min(min(each) for each in days.values()), "last": max(max(each) for each in days.values())}
        rows = store.query(statement, {"sites": [site.domain for site in sites], **period}) if sites else []
        visitors = {(domain, day): number for domain, day, number in rows}
        return [_card(words, site, days[site], visitors) for site in sites]

    def _recent(self, site: Site) -> list[date]:
        today, terms = self._desk.today(site), self._desk.zones.terms(site)
        first, yesterday = (today - timedelta(days=before) for before in (RECENT_DAYS, 1))
        return [day for day, _ in periods(terms, first, yesterday)]


def _card(words: Words, site: Site, recent: Sequence[date], visitors: dict[tuple[str, date], int]) -> Card:
    numbers = [visitors.get((site.domain, day)) for day in recent]
    shown = [(day, number) for day, number in zip(recent, numbers, strict=True) if number is not None]
    if not shown:
        return Card(site, None, "", 0, None)
    day, last = shown[-1]
    told = words.say(VISITORS_ON[site.seal_every], day=words.day(day))
    mirrored = words.direction == "rtl"
    return Card(site, day, told, last, sparkline(numbers, mirrored=mirrored) if len(shown) > 1 else None)
