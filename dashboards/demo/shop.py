"""The demo's shop: some pages that carry the beacon and a consent banner, on a port of their own.

It is a site like anybody's: it knows the collector by its address and nothing else of Footfall, keeps nothing, and logs
nothing. What it shows is in `catalogue` and `pages/`; how the banner works is told in `pages/shop.js`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from collector.page import hostname_in
from collector.process import die_with_parent
from collector.server import run
from collector.settings import WILDCARD_HOSTS, Address, Settings, load
from dashboards.demo.catalogue import ARTICLES, CART, GUIDE, HOME, KINDS, TEAS, THANKS, Article, tea_at
from dashboards.demo.folder import SITE

PAGES = Path(str(files("dashboards.demo") / "pages"))
KINDS_OF_FILES = {".css": "text/css", ".js": "text/javascript"}


def serve(listen: Address) -> None:
    """Serves the shop until SIGTERM; the worker reads the configuration that FOOTFALL_CONFIG and FOOTFALL_DATA name."""
    run("dashboards.demo.shop:worker", listen, 1, factory=True)


def worker() -> Starlette:
    """The application; granian calls this in the worker's own process."""
    die_with_parent()
    settings = load(Path(os.environ["FOOTFALL_CONFIG"]), Path(os.environ["FOOTFALL_DATA"]), os.environ)
    return create_app(settings)


def create_app(settings: Settings) -> Starlette:
    """The shop whose pages send to the collector of `settings`."""
    shop = Shop(settings.collector.listen)
    return Starlette(
        routes=[
            *(Route(path, shop.page(name, title)) for path, name, title in PLAIN_PAGES),
            *(Route(f"/teas/{kind}", shop.page("teas", f"{kind.capitalize()} teas", kind=kind)) for kind in KINDS),
            *(Route(tea.path, shop.page("tea", tea.name)) for tea in TEAS),
            *(Route(article.path, shop.page("article", article.title, article=article)) for article in ARTICLES),
            *(Route(f"/shop{suffix}", _file(f"shop{suffix}", kind)) for suffix, kind in KINDS_OF_FILES.items()),
            Route(GUIDE, _file("brewing-guide.txt", "text/plain")),
            Route("/readyz", _ready),
        ],
        exception_handlers={404: shop.missing},
    )


PLAIN_PAGES = (
    (HOME, "home", "Tea that takes its time"),
    ("/teas", "teas", "All teas"),
    ("/journal", "journal", "Journal"),
    ("/about", "about", "About us"),
    ("/shipping", "shipping", "Shipping and returns"),
    (CART, "cart", "Your cart"),
    (THANKS, "thanks", "Thank you"),
)


class Shop:
    """Renders pages whose beacon comes from the collector that listens on `collector`."""

    def __init__(self, collector: Address) -> None:
        self._collector = collector
        self._templates = Environment(loader=FileSystemLoader(PAGES), autoescape=True, trim_blocks=True)

    def page(self, name: str, title: str, **values: str | Article) -> Callable[[Request], Response]:
        """The endpoint of one page."""

        def answer(request: Request) -> Response:
            return self._rendered(request, name, title, values)

        return answer

    def missing(self, request: Request, error: Exception) -> Response:
        """The page for every address that has none."""
        assert isinstance(error, HTTPException)  # noqa: S101  Starlette calls by status
        return self._rendered(request, "missing", "No such page", {}, 404)

    def _rendered(
        self, request: Request, name: str, title: str, values: Mapping[str, object], status: int = 200
    ) -> Response:
        collector, tea = self._origin(request), tea_at(request.url.path)
        text = self._templates.get_template(f"{name}.html").render(
            {
                "title": title,
                "here": request.url.path,
                "collector": collector,
                "site": SITE,
                "teas": TEAS,
                "kinds": KINDS,
                "articles": ARTICLES,
                "tea": tea,
                "others": [other for other in TEAS if other != tea][:4],
                **values,
            }
        )
        return HTMLResponse(text, status, {**HEADERS, "Content-Security-Policy": _policy(collector)})

    def _origin(self, request: Request) -> str:
        """The collector as the visitor's browser reaches it: by the shop's own host, where it listens on all."""
        if self._collector.host not in WILDCARD_HOSTS:
            return f"http://{self._collector}"
        host = hostname_in(request.headers.get("Host", "")) or "127.0.0.1"
        return f"http://{host}:{self._collector.port}"


# no-cache and not no-store, which would keep the pages from the back-forward cache.
HEADERS = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}


def _policy(collector: str) -> str:
    """What a shop of one's own has to allow for Footfall: its script, and its requests."""
    return (
        f"default-src 'none'; script-src 'self' {collector}; connect-src {collector}; style-src 'self';"
        " img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )


def _file(name: str, kind: str) -> Callable[[Request], Response]:
    body = (PAGES / name).read_bytes()
    return lambda request: Response(body, 200, HEADERS, kind)


def _ready(request: Request) -> Response:
    return PlainTextResponse("ok", headers=HEADERS)
