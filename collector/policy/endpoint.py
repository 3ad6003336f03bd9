"""The routes of the policy: pages, JSON, the opt-out button; and which site a request asks about.

The site is the one that `?site=` names; else the installation's only one; else the one that the request's own host is,
or lies below. No answer lists sites, and a host above a site names none: with a made-up one, such as co.uk, anybody
could ask what there is.

Every link is relative, so that a proxy may put all of this under a path of its own; it has to pass the Host header on.
Nothing is counted or logged, and GET sets no cookie. The button opts out and withdraws at once: it deletes the
visitor's open rows of the site, as `/api/withdraw` does for the beacon.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from collector.consent import refusal_of
from collector.days import parts_of
from collector.endpoints import RETRY_AFTER_S, Collecting, headers_of, peer_of
from collector.page import hostname_in
from collector.policy import opt_out
from collector.policy.facts import policies_of
from collector.policy.machine import document_of
from collector.policy.page import STYLE, Pages, View
from collector.policy.sentences import Language, chosen, languages
from collector.settings import Site
from collector.spool_fault import SpoolError
from collector.withdrawal import OnwardClock, withdrawals_of

# When this software began to drop every event that comes with GPC, whatever was consented to (collector/consent.py);
# the specification asks for the date of that statement, so that a later change of GPC does not change its meaning.
GPC_SINCE = "2026-11-22"

POLICY_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src data:; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    # Not no-referrer, which would make browsers send `Origin: null` with the button.
    "referrer-policy": "same-origin",
    # It says whether this reader has opted out.
    "cache-control": "no-store",
}
# An hour: a changed configuration is told soon enough, and programs ask often.
PUBLIC = {"cache-control": "public, max-age=3600", "x-content-type-options": "nosniff"}


def routes(collecting: Collecting) -> list[Route]:
    """All routes of the policy. Raises `OSError` or `ValueError` where a file of the installation cannot be read."""
    privacy = Privacy(collecting)
    return [
        Route("/privacy", privacy.page, methods=["GET"]),
        Route("/privacy.json", privacy.document, methods=["GET"]),
        Route("/privacy.css", privacy.style, methods=["GET"]),
        Route("/privacy/opt-out", privacy.opt_out, methods=["POST"]),
        Route("/privacy/opt-in", privacy.opt_in, methods=["POST"]),
        Route("/.well-known/gpc.json", privacy.gpc, methods=["GET"]),
    ]


class Privacy:
    """Answers for all sites of one installation."""

    def __init__(self, collecting: Collecting) -> None:
        self._collecting, self._sites = collecting, collecting.settings.sites
        self._clock = OnwardClock(collecting.clock)
        self._languages = languages()
        policies = policies_of(collecting.settings)
        self._pages = Pages(policies, self._languages)
        self._policies = policies
        self._style = STYLE.read_bytes()
        self._style_tag = f'"{hashlib.sha256(self._style).hexdigest()[:16]}"'

    async def page(self, request: Request) -> Response:
        """GET /privacy"""
        site, language = self._site(request), self._language(request)
        if site is None:
            return self._question(request, language)
        headers, host = headers_of(request.scope), _host(request)
        standing = opt_out.standing_of(headers.get(b"cookie", b""), request.query_params.get("asked"))
        scope = opt_out.scope_of(host, site.domain)
        view = View(site.domain, language.code, scope, standing, _signal(site, headers))
        return _html(self._pages.policy(view), language)

    async def document(self, request: Request) -> Response:
        """GET /privacy.json; any page may read it."""
        site = self._site(request)
        if site is not None:
            headers = {**PUBLIC, "access-control-allow-origin": "*", "vary": "host"}
            zones, now = self._collecting.parts.zones, self._collecting.clock.wall()
            timezone, every = parts_of(zones.day(site, now).timezone)
            policy = replace(self._policies[site.domain], timezone=timezone, seal_every=every)
            return Response(orjson.dumps(document_of(policy)), 200, headers, "application/json")
        return _no_site(request)

    async def gpc(self, request: Request) -> Response:
        """GET /.well-known/gpc.json (https://www.w3.org/TR/gpc/#gpc-support-resource)."""
        return Response(orjson.dumps({"gpc": True, "lastUpdate": GPC_SINCE}), 200, PUBLIC, "application/json")

    async def style(self, request: Request) -> Response:
        """GET /privacy.css"""
        headers = {**PUBLIC, "etag": self._style_tag}
        is_known = self._style_tag in request.headers.get("if-none-match", "")
        return Response(b"" if is_known else self._style, 304 if is_known else 200, headers, "text/css")

    async def opt_out(self, request: Request) -> Response:
        """POST /privacy/opt-out; also another site may ask this, as it can only spare somebody from being counted."""
        site = self._site(request)
        if site is None:
            return _no_site(request)
        try:
            await self._withdraw(request, site)
            answer = self._back(request, site, "out")
        except SpoolError:
            # The objection holds all the same: the cookie goes along.
            answer = _fault(503, "disk: your events of open days cannot be deleted now; ask again later")
            answer.headers["retry-after"] = RETRY_AFTER_S.decode()
        return self._with_cookies(answer, request, site, opt_out.setting)

    async def opt_in(self, request: Request) -> Response:
        """POST /privacy/opt-in; only this page may ask that."""
        if not opt_out.is_own_request(headers_of(request.scope), _host(request)):
            return _fault(403, "origin: must be that of this page")
        site = self._site(request)
        if site is None:
            return _no_site(request)
        return self._with_cookies(self._back(request, site, "in"), request, site, opt_out.deleting)

    async def _withdraw(self, request: Request, site: Site) -> None:
        """Returns once it is on disk that the visitor's open rows are to be deleted; raises `SpoolError`."""
        committer, scope = self._collecting.committer, request.scope
        parts = self._collecting.parts
        withdrawals = withdrawals_of(site, peer_of(scope), headers_of(scope), parts, self._clock)
        if withdrawals:
            committer.group_for_withdrawals().withdrawals.update(withdrawals)
            await committer.committed()

    def _back(self, request: Request, site: Site, asked: str) -> Response:
        """To the page: 303, so that loading it again asks for nothing."""
        query = {"site": site.domain, "lang": self._language(request).code, "asked": asked}
        return Response(None, 303, {**POLICY_HEADERS, "location": f"../privacy?{urlencode(query)}"})

    def _with_cookies(
        self, answer: Response, request: Request, site: Site, cookies: Callable[[str], list[str]]
    ) -> Response:
        """`answer` with the cookies, where the site's pages would see them."""
        scope = opt_out.scope_of(_host(request), site.domain)
        for cookie in [] if scope is None else cookies(scope):
            answer.headers.append("set-cookie", cookie)
        return answer

    def _site(self, request: Request) -> Site | None:
        named = request.query_params.get("site")
        if named is not None:
            # As in events: www. is the same site.
            return self._sites.get(named.strip().lower().removeprefix("www."))
        if len(self._sites) == 1:
            return next(iter(self._sites.values()))
        labels = _host(request).split(".")
        above = (".".join(labels[start:]) for start in range(len(labels)))
        return next((self._sites[domain] for domain in above if domain in self._sites), None)

    def _language(self, request: Request) -> Language:
        return chosen(self._languages, request.query_params.get("lang"), request.headers.get("accept-language", ""))

    def _question(self, request: Request, language: Language) -> Response:
        is_unknown = "site" in request.query_params
        return _html(self._pages.question(language.code, is_unknown), language, 404 if is_unknown else 200)


def _host(request: Request) -> str:
    """The host that the browser asked for, lower case without port; "" where it is none."""
    return hostname_in(request.headers.get("host", ""))


def _signal(site: Site, headers: Mapping[bytes, bytes]) -> str:
    """What the reader's browser says by itself, by the rules for events: "gpc", "dnt" or ""."""
    reason = refusal_of(site, headers, "1", site.policy_version)
    return reason if reason in ("gpc", "dnt") else ""


def _html(body: bytes, language: Language, status: int = 200) -> Response:
    headers = {**POLICY_HEADERS, "content-language": language.code, "vary": "accept-language, cookie, host"}
    return Response(body, status, headers, "text/html; charset=utf-8")


def _no_site(request: Request) -> Response:
    if "site" in request.query_params:
        return _fault(404, "site: is not a site of this collector")
    return _fault(400, "site: is needed, as there are several; name one by ?site=")


def _fault(status: int, sentence: str) -> Response:
    return Response(orjson.dumps({"error": sentence}), status, {"cache-control": "no-store"}, "application/json")
