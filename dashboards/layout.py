"""The look that all pages share: templates in each language, the style and the script, and what every answer says.

Invariants: what a page shows of a site is escaped; nothing is loaded from anywhere else, and no script or style is in a
page itself (Content-Security-Policy); pages are kept by nobody; the style and the script are kept for long, under an
address that changes with them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from dashboards.words import Words, chosen, read_languages

LANGUAGE_COOKIE = "footfall_language"
YEAR_S = 365 * 24 * 3_600
KINDS = {
    "footfall.css": "text/css; charset=utf-8",
    "footfall.js": "text/javascript; charset=utf-8",
    "footfall.svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
PAGE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    # A sign-in link's token is in its address, so no other site may learn that. Not "no-referrer": with it browsers
    # send `Origin: null` with forms, and over plain http no Sec-Fetch-Site either, so that nothing would be left to
    # tell our own forms from another site's.
    "Referrer-Policy": "same-origin",
    "Vary": "Accept-Language, Cookie",
}


@dataclass(frozen=True)
class StaticFile:
    """The style, the script or the icon; `version` changes with its content."""

    content: bytes
    kind: str
    version: str


class Layout:
    """Renders pages, and serves what they load."""

    def __init__(self) -> None:
        self.languages = read_languages()
        self._static = {name: _static_file(name) for name in KINDS}
        addresses = {name: f"/static/{name}?v={file.version}" for name, file in self._static.items()}
        self._environments = {
            language: _environment(words, self.languages, addresses) for language, words in self.languages.items()
        }

    def words(self, request: Request) -> Words:
        """The reader's language: asked for now, or before, or by the browser."""
        accepted = request.headers.get("Accept-Language", "")
        return chosen(self.languages, request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE), accepted)

    def page(self, request: Request, template: str, context: Mapping[str, object], status: int = 200) -> Response:
        """The page `template`.html for this reader; a language asked for is remembered."""
        words = self.words(request)
        text = self._environments[words.language].get_template(f"{template}.html")
        here = {"languages": _language_choices(request, self.languages), "access": None, **context}
        response = Response(text.render(**here), status, PAGE_HEADERS, "text/html; charset=utf-8")
        if request.query_params.get("lang") == words.language:
            response.set_cookie(LANGUAGE_COOKIE, words.language, YEAR_S, httponly=True, samesite="lax")
        return response

    def notice(
        self, request: Request, title: str, sentences: tuple[str, ...], status: int, access: object = None
    ) -> Response:
        """A page that says one thing; `title` and `sentences` are already in the reader's language."""
        return self.page(request, "notice", {"title": title, "sentences": sentences, "access": access}, status)

    async def answer_static(self, request: Request) -> Response:
        """The style, the script or the icon; 304 where the browser has it already."""
        file = self._static.get(request.path_params["name"])
        if file is None:
            raise HTTPException(404)
        headers = {
            "ETag": f'"{file.version}"',
            "Cache-Control": f"public, max-age={YEAR_S}, immutable",
            "X-Content-Type-Options": "nosniff",
        }
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(file.content, 200, headers, file.kind)


def _static_file(name: str) -> StaticFile:
    content = (files("dashboards") / "static" / name).read_bytes()
    return StaticFile(content, KINDS[name], hashlib.sha256(content).hexdigest()[:16])


def _environment(words: Words, languages: Mapping[str, Words], static: Mapping[str, str]) -> Environment:
    environment = Environment(
        loader=PackageLoader("dashboards"),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_translations(words.catalog, newstyle=True)  # type: ignore[attr-defined]  # the extension's
    environment.globals.update(words=words, static=static)
    return environment


def _language_choices(request: Request, languages: Mapping[str, Words]) -> list[tuple[str, str, str]]:
    """(language, its own name, the address of this page in it)."""
    return [
        (language, words.own_name, f"?{request.url.include_query_params(lang=language).query}")
        for language, words in languages.items()
    ]
