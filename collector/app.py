"""The public side of one worker: routes, what the endpoints share, and its life from start to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from collector.beacon import BeaconEndpoint
from collector.body import Bodies, Receive
from collector.bulk import BulkEndpoint
from collector.client import Clients
from collector.clock import Clock
from collector.committer import Committer
from collector.country import Countries
from collector.endpoints import Collecting, EventEndpoint, HealthEndpoint, PixelEndpoint, Scope, Send
from collector.keys import Keys
from collector.network_operator import Operators
from collector.pipeline import Parts
from collector.places import Places
from collector.policy import endpoint as policy
from collector.settings import Settings
from collector.withdrawal import WithdrawalEndpoint
from collector.zones import Zones, declare

log = logging.getLogger(__name__)

# A full disk may have room again; and what was remembered by another worker is looked at.
ZONES_EVERY_S = 2.0


class App:
    """The application of one worker.

    `/api/event` goes straight to its endpoint; the rest goes through Starlette, whose middleware and
    routing cost 14 us an event, against 36 us for an empty handler (`make bench`).
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Raises `OSError` or `ValueError` for a bad file of networks, `KeyStorageError` for a bad key folder."""
        self._settings, self._clock = settings, clock
        self._keys = Keys(settings.privacy.key_dir, settings.privacy.grace_minutes * 60, clock)
        countries, file = Countries(settings.collector.country_file), settings.collector.operator_file
        places = Places(countries, settings.collector.trusted_proxies, Operators(file) if file else None)
        self._parts = Parts(places, Clients(), self._keys, zones=Zones(settings.collector.spool_dir))
        self._event: EventEndpoint | None = None
        self._rest = Starlette(lifespan=self._life, exception_handlers={HTTPException: _tell})
        self._rest.router.redirect_slashes = False

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if self._event is not None and scope["type"] == "http" and scope["path"] == "/api/event":
            return self._event(scope, receive, send)
        return self._rest(scope, receive, send)

    @contextlib.asynccontextmanager
    async def _life(self, app: Starlette) -> AsyncIterator[None]:
        """From start to stop: the committer needs the running loop, the endpoints need the committer."""
        collector = self._settings.collector
        committer = Committer(
            collector.spool_dir, collector.spool_max_bytes, self._keys, self._clock, self._parts.arrivals
        )
        bodies = Bodies()
        collecting = Collecting(self._settings, self._parts, committer, bodies, self._clock)
        self._event = EventEndpoint(collecting)
        app.router.routes.extend(
            [
                Route("/api/events", BulkEndpoint(collecting), methods=["POST"]),
                Route("/api/withdraw", WithdrawalEndpoint(collecting)),
                Route("/pixel.gif", PixelEndpoint(collecting), methods=["GET"]),
                Route("/beacon.js", BeaconEndpoint(), methods=["GET"]),
                *policy.routes(collecting),
                Route("/healthz", HealthEndpoint(committer, readiness=False), methods=["GET"]),
                Route("/readyz", HealthEndpoint(committer, readiness=True), methods=["GET"]),
            ]
        )
        has_declared = await asyncio.to_thread(self._has_declared_zones)
        tasks = [asyncio.create_task(bodies.sweep()), asyncio.create_task(self._follow_zones(has_declared))]
        yield
        for task in tasks:
            task.cancel()
        await committer.close()

    async def _follow_zones(self, has_declared: bool) -> None:
        while True:
            self._parts.zones.refresh()
            await asyncio.sleep(ZONES_EVERY_S)
            has_declared = has_declared or await asyncio.to_thread(self._has_declared_zones)

    def _has_declared_zones(self) -> bool:
        """Remembers the sites' time zones; where that cannot be written, what was remembered before goes on."""
        try:
            declare(self._settings.collector.spool_dir, self._settings.sites.values(), self._clock.wall())
        except OSError as fault:
            log.error("cannot remember the sites' time zones: %s; trying again", fault.strerror)
            return False
        return True


async def _tell(request: Request, error: Exception) -> Response:
    """A path or a method that is not served here, in the form of every other fault."""
    assert isinstance(error, HTTPException)  # noqa: S101  Starlette calls by class
    return JSONResponse({"error": f"request: {error.detail.lower()}"}, error.status_code, error.headers)
