"""What goes wrong, told in one sentence: as a page for people, as `{"error": "..."}` on paths for machines.

Nothing of the request is repeated, and nothing of an exception but ClickHouse's error number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from aggregator.store import StoreRefused, StoreUnavailable
from dashboards.layout import PAGE_HEADERS, Layout
from dashboards.question import BadQuestion
from dashboards.words import marked

RETRY = {"Retry-After": "5"}
# UNKNOWN_IDENTIFIER, UNKNOWN_TABLE and UNKNOWN_DATABASE: the migrations have not all run yet.
NOT_MIGRATED = (47, 60, 81)
FOR_MACHINES = ("/api/", "/healthz", "/readyz")
TITLES = {
    400: marked("These days cannot be shown"),
    403: marked("Not for you"),
    404: marked("There is nothing here"),
    405: marked("There is nothing here"),
    503: marked("One moment, please"),
}
SENTENCES = {
    400: (marked("The first day must not be after the last one, nor the last one after today."),),
    403: (marked("You may not see this site, or this request came from another site."),),
    404: (marked("No page and no site has this address."),),
    405: (marked("No page and no site has this address."),),
    503: (marked("The store does not answer right now. Try again; if it stays so, see `footfall doctor`."),),
}


class Faults:
    """The handlers of every exception that leaves an endpoint."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def handlers(self) -> Mapping[Any, Any]:  # Starlette's own type for them says no more
        """By exception, as Starlette takes them."""
        return {
            HTTPException: self._http,
            BadQuestion: self._bad_question,
            StoreUnavailable: self._store_unavailable,
            StoreRefused: self._store_refused,
            Exception: self._fault,
        }

    async def _http(self, request: Request, error: HTTPException) -> Response:
        return self._told(request, error.status_code, error.detail, error.headers)

    async def _bad_question(self, request: Request, error: BadQuestion) -> Response:
        return self._told(request, error.status, str(error))

    async def _store_unavailable(self, request: Request, _: StoreUnavailable) -> Response:
        return self._told(request, 503, "the store does not answer; try again, or see `footfall doctor`", RETRY)

    async def _store_refused(self, request: Request, error: StoreRefused) -> Response:
        if error.code in NOT_MIGRATED:
            return self._told(request, 503, "the store is being prepared; try again", RETRY)
        sentence = f"the store refused the question with ClickHouse's code {error.code}; see `footfall doctor`"
        return self._told(request, 500, sentence)

    async def _fault(self, request: Request, _: Exception) -> Response:
        return self._told(request, 500, "this failed for a reason that the log tells")

    def _told(self, request: Request, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
        path = request.url.path
        if path.startswith(FOR_MACHINES) or path.endswith(".json"):
            body = orjson.dumps({"error": sentence})
            return Response(body, status, {**PAGE_HEADERS, **(headers or {})}, "application/json")
        if status == 401:
            return self._layout.page(request, "link_needed", {"is_used": False}, status)
        words = self._layout.words(request)
        title = words.say(TITLES.get(status, marked("This did not work")))
        sentences = tuple(words.say(each) for each in SENTENCES.get(status, (sentence,)))
        response = self._layout.notice(request, title, sentences, status)
        response.headers.update(headers or {})
        return response
