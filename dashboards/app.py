"""HTTP of the internal side: pages for people with a session, `/api/stats` for them and for bearers of a token,
`/healthz` and `/readyz` for those who run it.

Invariants: everything but a probe, the look and the sign-in needs a session or a token; an error is a page with one
sentence, or on paths for machines `{"error": "one sentence"}`, and repeats nothing of the request; a store that does
not answer is a 503, never a number; nothing is cached by whoever stands between.

Store calls block, so they run in threads. Prometheus' `/metrics` is not here yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from aggregator.store import Store
from collector.clock import Clock
from collector.settings import Settings
from dashboards.access import Access, People
from dashboards.desk import CHALLENGE, Desk
from dashboards.faults import Faults
from dashboards.layout import Layout
from dashboards.pages import Pages
from dashboards.sign_in import SignIn
from dashboards.stats import as_json

# Answers depend on the bearer and on the second.
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def create_app(settings: Settings, people: People, open_store: Callable[[], Store], clock: Clock) -> Starlette:
    """The application. `open_store` must fail at once, not wait."""
    desk = Desk(settings, people, open_store, clock)
    layout = Layout()
    sign_in = SignIn(people, layout)
    pages = Pages(desk, sign_in, layout)

    async def answer_stats(request: Request) -> Response:
        access = await _asking(request, people, sign_in)
        answer = await run_in_threadpool(desk.answer, access, request.query_params.multi_items())
        return _json(as_json(answer))

    async def answer_health(_: Request) -> Response:
        return _json({"alive": True})

    async def answer_readiness(_: Request) -> Response:
        is_ready = await run_in_threadpool(desk.is_ready)
        return _json({"ready": is_ready}, 200 if is_ready else 503)

    return Starlette(
        routes=[
            Route("/", pages.answer_sites),
            Route("/sites/{domain}", pages.answer_site),
            Route("/sites/{domain}/waiting.json", pages.answer_waiting),
            Route("/sign-in/{token}", sign_in.answer_link),
            Route("/sign-in/{token}", sign_in.answer_button, methods=["POST"]),
            Route("/sign-out", sign_in.answer_sign_out, methods=["POST"]),
            Route("/static/{name}", layout.answer_static),
            Route("/api/stats", answer_stats),
            Route("/healthz", answer_health),
            Route("/readyz", answer_readiness),
        ],
        exception_handlers=Faults(layout).handlers(),
    )


async def _asking(request: Request, people: People, sign_in: SignIn) -> Access:
    """Whose token or session this is; a token wins. Raises `HTTPException` 401 without either."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        access = await run_in_threadpool(people.authorised, token.strip())
    else:
        access = await sign_in.session(request)
    if access is None:
        raise HTTPException(401, "a token is needed, as Authorization: Bearer TOKEN", CHALLENGE)
    return access


def _json(content: Mapping[str, object], status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, HEADERS, "application/json")
