"""Request bodies, read within a bound of bytes and of time: who trickles holds a connection, never a worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

# An event is one packet or two; a phone on a bad line sends 64 KiB within this.
BODY_DEADLINE_S = 10.0
SWEEP_EVERY_S = 1.0


class Refused(Exception):
    """A body that is not read: the status and sentence to answer with."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class Bodies:
    """Reads bodies; `sweep` ends those that take too long. One timer for all is 3 us cheaper than one each."""

    def __init__(self) -> None:
        self._reading: dict[asyncio.Task[Any], float] = {}
        self._overdue: set[asyncio.Task[Any]] = set()

    async def read(self, receive: Receive, headers: Mapping[bytes, bytes], limit: int) -> bytes:
        """The whole body; raises `Refused` (408, 413, 415, or 400 where the client left)."""
        if b"content-encoding" in headers and headers[b"content-encoding"] != b"identity":
            raise Refused(415, "Content-Encoding: must be absent, compressed bodies are not read")
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or len(length) > 12 or (size := int(length)) > limit:
            raise Refused(413, f"body: at most {limit} bytes")
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("bodies are read within a task")
        self._reading[task] = time.monotonic() + BODY_DEADLINE_S
        try:
            message = await receive()
            body: bytes = message.get("body", b"")
            # Granian says that more may come until it is asked again: 10 us of an event, where its length is known.
            if (not body or len(body) != size) and (message.get("more_body") or message["type"] != "http.request"):
                return await _rest(message, receive, limit)
        except asyncio.CancelledError:
            if task in self._overdue:
                task.uncancel()
                raise Refused(408, f"body: must arrive within {BODY_DEADLINE_S:.0f} seconds") from None
            raise
        finally:
            del self._reading[task]
            self._overdue.discard(task)
        if len(body) > limit:
            raise Refused(413, f"body: at most {limit} bytes")
        return body

    async def sweep(self) -> None:
        """Runs until cancelled: ends what is past its deadline."""
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            now = time.monotonic()
            for task, deadline in list(self._reading.items()):
                if now > deadline and task not in self._overdue:
                    self._overdue.add(task)
                    task.cancel()


async def _rest(message: MutableMapping[str, Any], receive: Receive, limit: int) -> bytes:
    """The body that begins with `message` and did not come whole."""
    chunks: list[bytes] = [message.get("body", b"")]
    size = len(chunks[0])
    while message["type"] != "http.disconnect" and message.get("more_body"):
        if size > limit:
            raise Refused(413, f"body: at most {limit} bytes")
        message = await receive()
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
    if message["type"] == "http.disconnect":
        raise Refused(400, "body: the connection closed before its end")
    if size > limit:
        raise Refused(413, f"body: at most {limit} bytes")
    return b"".join(chunks)
