"""Where the store is: told by the settings for a ClickHouse server, by the embedded front at each of its starts."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from collector.fault import Fault


class StoreUnavailable(Fault):
    """No answer, or one that says nothing sure: the statement may or may not have run. Never holds a value of a row."""


@dataclass(frozen=True)
class Endpoint:
    """Where a store answers, and as whom."""

    interface: str
    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str


class Whereabouts(Protocol):
    """Tells where the store is now."""

    def endpoint(self) -> Endpoint: ...


@dataclass(frozen=True)
class Fixed:
    """A ClickHouse server, or any other store that stays where it is."""

    where: Endpoint

    def endpoint(self) -> Endpoint:
        return self.where


class Announced:
    """The embedded front, which writes port and secret to a file at each start. StoreUnavailable without that file."""

    def __init__(self, announcement: Path) -> None:
        self._path = announcement
        self._read: tuple[tuple[int, int], Endpoint] | None = None

    def endpoint(self) -> Endpoint:
        try:
            status = self._path.stat()
            stamp = (status.st_ino, status.st_mtime_ns)
            if self._read is None or self._read[0] != stamp:
                content = json.loads(self._path.read_bytes())
                endpoint = Endpoint(
                    "http", "127.0.0.1", content["port"], content["user"], content["password"], content["database"]
                )
                self._read = (stamp, endpoint)
            return self._read[1]
        except FileNotFoundError:
            raise StoreUnavailable(
                f"the store is not running: {self._path} is not there; start `footfall store`"
            ) from None


def read_url(url: str) -> Endpoint:
    """Reads `clickhouse[s]://user:password@host:port/database`, with ClickHouse's own defaults. Raises ValueError."""
    parts = urlsplit(url)
    interfaces = {"clickhouse": ("http", 8123), "clickhouses": ("https", 8443)}
    if parts.scheme not in interfaces or not parts.hostname:
        raise ValueError("the store's address must be clickhouse[s]://user:password@host:port/database")
    interface, port = interfaces[parts.scheme]
    user, password = unquote(parts.username or "default"), unquote(parts.password or "")
    return Endpoint(
        interface, parts.hostname, parts.port or port, user, password, unquote(parts.path.strip("/")) or "footfall"
    )
