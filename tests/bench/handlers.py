"""What the collector is compared with, on its own server: `python -m tests.bench.handlers TARGET PORT`."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from collector.server import run
from collector.settings import Address

Message = MutableMapping[str, Any]


async def empty(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """The least that an ASGI application can do with a request: read its body, answer 202."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def _parse(request: Request) -> PlainTextResponse:
    json.loads(await request.body())
    return PlainTextResponse("ok", 202)


starlette = Starlette(routes=[Route("/api/event", _parse, methods=["POST"])])


if __name__ == "__main__":
    run(f"tests.bench.handlers:{sys.argv[1]}", Address("127.0.0.1", int(sys.argv[2])), workers=1)
