"""HTTP of the internal side: `/api/stats` for bearers of a token, `/healthz` and `/readyz` for those who run it.

Invariants: every answer but a probe's needs a token; an error is `{"error": "one sentence"}` and repeats nothing of the
request; a store that does not answer is a 503, never a number; nothing is cached by whoever stands between.

Store calls block, so they run in threads. Prometheus' `/metrics` is not here yet.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from aggregator.live import LiveView
from aggregator.store import Store, StoreRefused, StoreUnavailable
from collector import days
from collector.clock import Clock
from collector.settings import Settings
from dashboards.access import People
from dashboards.question import BadQuestion, question_of, single_values, site_of
from dashboards.stats import stats

# Answers depend on the bearer and on the second.
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
# RFC 6750, section 3.
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="footfall"'}
RETRY = {"Retry-After": "5"}
# UNKNOWN_TABLE and UNKNOWN_DATABASE: the migrations have not run yet.
NOT_MIGRATED = (60, 81)


class Desk:
    """Who answers: the settings, the people, and the store, which `open_store` opens at the first question.

    The dashboards start without waiting for the store; a failed opening is tried again at the next question.
    """

    def __init__(self, settings: Settings, people: People, open_store: Callable[[], Store], clock: Clock) -> None:
        self._settings, self._people, self._clock = settings, people, clock
        self._open_store = open_store
        self._opening = threading.Lock()
        self._opened: tuple[Store, LiveView] | None = None

    def answer(self, bearer: str, pairs: list[tuple[str, str]]) -> dict[str, object]:
        """What `bearer` is told; blocks. Raises `HTTPException`, `BadQuestion` and what `Store` raises."""
        access = self._people.authorised(bearer)
        if access is None:
            raise HTTPException(401, "a token is needed, as Authorization: Bearer TOKEN", CHALLENGE)
        values = single_values(pairs)
        # Asked before whether the site is known: a token of one site does not tell which others there are.
        if "site" in values and not access.may_read(values["site"]):
            raise HTTPException(403, "this token is for another site")
        site = site_of(values, self._settings)
        today = days.day_of(self._clock.wall(), site.timezone)
        question = question_of(values, site, today)
        store, live = self._reading()
        return stats(store, live, question, today)

    def probe_store(self) -> None:
        """Returns when the store has answered from its trends; blocks. Raises what `Store` raises."""
        self._reading()[0].query("SELECT day FROM trend LIMIT 0")

    def _reading(self) -> tuple[Store, LiveView]:
        with self._opening:
            if self._opened is None:
                store = self._open_store()
                self._opened = (store, LiveView(store, self._clock))
            return self._opened


def create_app(settings: Settings, people: People, open_store: Callable[[], Store], clock: Clock) -> Starlette:
    """The application. `open_store` must fail at once, not wait."""
    desk = Desk(settings, people, open_store, clock)

    async def answer_stats(request: Request) -> Response:
        return _json(await run_in_threadpool(desk.answer, _bearer(request), request.query_params.multi_items()))

    async def answer_health(_: Request) -> Response:
        return _json({"alive": True})

    async def answer_readiness(_: Request) -> Response:
        await run_in_threadpool(desk.probe_store)
        return _json({"ready": True})

    return Starlette(
        routes=[
            Route("/api/stats", answer_stats),
            Route("/healthz", answer_health),
            Route("/readyz", answer_readiness),
        ],
        exception_handlers={
            HTTPException: _http_error,
            BadQuestion: _bad_question,
            StoreUnavailable: _store_unavailable,
            StoreRefused: _store_refused,
            Exception: _fault,
        },
    )


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _json(content: Mapping[str, object], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, {**HEADERS, **(headers or {})}, "application/json")


def _error(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
    return _json({"error": sentence}, status, headers)


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  Starlette calls by class
    return _error(error.status_code, error.detail, error.headers)


async def _bad_question(_: Request, error: Exception) -> Response:
    assert isinstance(error, BadQuestion)  # noqa: S101  Starlette calls by class
    return _error(error.status, str(error))


async def _store_unavailable(_: Request, __: Exception) -> Response:
    return _error(503, "the store does not answer; try again, or see `footfall doctor`", RETRY)


async def _store_refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, StoreRefused)  # noqa: S101  Starlette calls by class
    if error.code in NOT_MIGRATED:
        return _error(503, "the store is being prepared; try again", RETRY)
    return _error(500, f"the store refused the question with ClickHouse's code {error.code}; see `footfall doctor`")


async def _fault(_: Request, __: Exception) -> Response:
    return _error(500, "this failed for a reason that the log tells")
