"""Signing in and out, and who is asking: a one-time link, then a cookie that only our own pages send.

Invariants:
- Opening a link uses nothing up: mail programs and chats fetch links ahead of people. The button does.
- A form of another site changes nothing here: the browser says where a request comes from (Sec-Fetch-Site, or Origin),
  and the cookie is SameSite=Lax.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from dashboards.access import Access, People
from dashboards.layout import PAGE_HEADERS, Layout
from dashboards.words import marked

SESSION_COOKIE = "footfall_session"


class SignIn:
    """The endpoints, and the check that every other one begins with."""

    def __init__(self, people: People, layout: Layout) -> None:
        self._people, self._layout = people, layout

    async def reader(self, request: Request) -> Access:
        """Who has this session; raises `HTTPException` 401 without one."""
        access = await self.session(request)
        if access is None:
            raise HTTPException(401)
        return access

    async def session(self, request: Request) -> Access | None:
        """Who has this session, or None."""
        cookie = request.cookies.get(SESSION_COOKIE)
        return await run_in_threadpool(self._people.users.signed_in, cookie) if cookie else None

    async def answer_link(self, request: Request) -> Response:
        """GET /sign-in/{token}: one button, or why the link is of no use."""
        token = request.path_params["token"]
        if not await run_in_threadpool(self._people.users.has_link, token):
            return self._useless(request)
        return self._layout.page(request, "sign_in", {"token": token})

    async def answer_button(self, request: Request) -> Response:
        """POST /sign-in/{token}: the session's cookie, and on to the sites."""
        check_own_form(request)
        signed_in = await run_in_threadpool(self._people.users.sign_in, request.path_params["token"])
        if signed_in is None:
            return self._useless(request)
        response = RedirectResponse("/", 303, PAGE_HEADERS)
        response.set_cookie(
            SESSION_COOKIE,
            signed_in.session,
            signed_in.lasts_s,
            httponly=True,
            samesite="lax",
            secure=is_https(request),
        )
        return response

    async def answer_sign_out(self, request: Request) -> Response:
        """POST /sign-out: ends this session."""
        check_own_form(request)
        cookie = request.cookies.get(SESSION_COOKIE)
        if cookie:
            await run_in_threadpool(self._people.users.sign_out, cookie)
        words = self._layout.words(request)
        sentence = words.say(marked("You have signed out. A fresh link lets you in again."))
        response = self._layout.notice(request, words.say(marked("Goodbye")), (sentence,), 200)
        response.delete_cookie(SESSION_COOKIE)
        return response

    def _useless(self, request: Request) -> Response:
        return self._layout.page(request, "link_needed", {"is_used": True}, 410)


def check_own_form(request: Request) -> None:
    """Raises `HTTPException` 403 for a form that another site sent.

    Browsers tell by Sec-Fetch-Site (Fetch Metadata, W3C), to https and loopback, else by Origin, whose scheme does not
    count because a proxy may have ended TLS. What tells neither is no browser, and has no cookie to misuse.
    """
    fetched = request.headers.get("Sec-Fetch-Site")
    if fetched is not None:
        if fetched not in ("same-origin", "none"):
            raise HTTPException(403)
        return
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("Host"):
        raise HTTPException(403)


def is_https(request: Request) -> bool:
    """Whether the browser speaks TLS, to us or to a proxy, so that it may keep the cookie from plain http.

    X-Forwarded-Proto may be believed from anyone: who makes it up gets a stricter cookie, and only oneself. Over plain
    http `Secure` stays off, because a browser would throw such a cookie away.
    """
    forwarded = request.headers.get("X-Forwarded-Proto", "").partition(",")[0].strip().lower()
    return request.url.scheme == "https" or forwarded == "https"
