"""The internal side as a program in this process, over a data folder of its own, asked over HTTP."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from aggregator.store import Store
from collector.clock import Clock
from collector.settings import load
from dashboards.access import People
from dashboards.app import create_app
from dashboards.sign_in import SESSION_COOKIE

CONFIG = """
[[site]]
domain = "example.com"
timezone = "Europe/Berlin"
properties = ["plan"]
[[site.goal]]
name = "Sign-up"
event = "signup"
[[site.funnel]]
name = "Buy"
steps = ["/cart", "/form", "Sign-up"]
[[site.experiment]]
name = "button"
variants = ["blue", "green"]
[[site]]
domain = "other.example"
[[site]]
domain = "shop.test"
timezone = "Europe/Berlin"
"""
MADE_UP = "zebra4711"
OWN_FORM = {"Sec-Fetch-Site": "same-origin"}


class Installation:
    """An application with a token, and with somebody signed in as owner."""

    def __init__(self, folder: Path, open_store: Callable[[], Store], clock: Clock, config: str = CONFIG) -> None:
        file = folder / "footfall.toml"
        file.write_text(config)
        settings = load(file, folder / "data", {})
        self.people = People(settings.data, clock)
        self._app = create_app(settings, self.people, open_store, clock)
        self.token = self.people.add_token("anna", "viewer")
        self.session = self.session_of("owner", "admin")

    def session_of(self, name: str, role: str = "viewer", site: str | None = None) -> str:
        """The cookie of a new user who signed in."""
        signed_in = self.people.users.sign_in(self.people.users.add(name, role, site))
        assert signed_in is not None
        return signed_in.session

    def get(self, path: str, token: str | None = None) -> tuple[int, dict[str, object]]:
        answer = self.ask(path, {"Authorization": f"Bearer {token or self.token}"})
        content = answer.json()
        assert isinstance(content, dict)
        return answer.status_code, content

    def page(self, path: str, session: str | None = None, **headers: str) -> httpx.Response:
        """A page as a browser with a session gets it."""
        cookie = {"Cookie": f"{SESSION_COOKIE}={session or self.session}"}
        return self.ask(path, {**cookie, **{name.replace("_", "-"): value for name, value in headers.items()}})

    def text(self, path: str, session: str | None = None, **headers: str) -> str:
        """What a page says, without its tags, blanks joined."""
        answer = self.page(path, session, **headers)
        assert answer.status_code == 200, answer
        return words_of(answer)

    def ask(self, path: str, headers: Mapping[str, str], method: str = "GET") -> httpx.Response:
        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://footfall.test") as client:
                return await client.request(method, path, headers=dict(headers))

        return asyncio.run(asked())


def words_of(page: httpx.Response) -> str:
    """The text of a page, blanks joined."""
    body = page.text[page.text.index("<body") :]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())
