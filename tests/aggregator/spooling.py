"""A spool as a collector's worker fills it, a drainer over it, and a store that fails at a chosen call."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import orjson

from aggregator.drain import Drainer
from aggregator.ledger import Ledger, read_ledger
from aggregator.store import Store, StoreUnavailable
from collector.group import Counted, Group
from collector.keys import Keys
from collector.settings import Settings, load
from collector.spool import Spool, open_spool
from collector.spool_file import connect
from tests.aggregator.event_lines import event
from tests.clock import SetClock

BERLIN = "Europe/Berlin"
GRACE_S = 900.0
SPOOL_BYTES = 1 << 30
CONFIGURATION = f"""
[privacy]
grace_minutes = {GRACE_S / 60}
key_dir = "KEYS"
[[site]]
domain = "example.com"
timezone = "{BERLIN}"
"""

Result = TypeVar("Result")


def noon(day: date) -> float:
    """Unix seconds of 12:00 UTC, which is the same day in Berlin."""
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()


@dataclass
class Worker:
    """A collector's worker: what it commits to its spool, without the way there."""

    folder: Path
    clock: SetClock
    spool: Spool = field(init=False)
    names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.spool = open_spool(self.folder, SPOOL_BYTES)

    def take(self, day: date, events: int = 3, timezone: str = BERLIN, **changes: object) -> None:
        """Commits one group of accepted events of `day`, each with a name of its own."""
        lines = [line(self.new_name(), day, timezone, **changes) for _ in range(events)]
        self.commit(day, timezone, lines)

    def commit(self, day: date, timezone: str, lines: Sequence[bytes]) -> None:
        """Commits one group of these lines."""
        group = Group()
        group.add(day, timezone, b"".join(lines), len(lines))
        group.count(Counted(day.isoformat(), "example.com", "accepted", ""), len(lines))
        self.spool.commit(group, self.clock.wall())

    def refuse(self, day: date, reason: str, requests: int = 1) -> None:
        group = Group()
        group.count(Counted(day.isoformat(), "example.com", "dropped", reason), requests)
        self.spool.commit(group, self.clock.wall())

    def beat(self) -> None:
        self.spool.beat(self.clock.wall())

    def leave(self) -> None:
        """Gives its file up for another one, as a committer does after a fault."""
        broken = self.spool.file
        self.spool.close()
        self.spool = open_spool(self.folder, SPOOL_BYTES, skip=frozenset({broken}))

    def close(self) -> None:
        self.spool.close()

    def new_name(self) -> str:
        self.names.append(f"{self.spool.file.stem}-{len(self.names)}")
        return self.names[-1]


def line(name: str, day: date, timezone: str = BERLIN, **changes: object) -> bytes:
    """One line as the spool has it."""
    usual: dict[str, object] = {"at": noon(day), "name": name, "kind": "event"}
    fields = event(0, 0, day=day.isoformat(), timezone=timezone, **(usual | changes))
    del fields["batch"], fields["position"]
    return orjson.dumps(fields) + b"\n"


@dataclass
class Place:
    """One machine: its folder, its settings, its clock, its workers and, one after another, its drainers."""

    settings: Settings
    store: Store
    clock: SetClock
    keys: Keys
    workers: list[Worker] = field(default_factory=list)
    drainers: list[Drainer] = field(default_factory=list)

    @property
    def spool_dir(self) -> Path:
        return self.settings.collector.spool_dir

    def worker(self) -> Worker:
        self.workers.append(Worker(self.spool_dir, self.clock))
        return self.workers[-1]

    def drainer(self, store: Store | None = None) -> Drainer:
        self.drainers.append(Drainer(self.settings, store or self.store, self.keys, self.clock))
        return self.drainers[-1]

    def bury(self) -> None:
        """The end of the last drainer's process."""
        self.drainers.pop().close()

    def ledger(self) -> Ledger:
        return read_ledger(self.spool_dir, self.store)

    def close(self) -> None:
        for worker in self.workers:
            worker.close()
        for drainer in self.drainers:
            drainer.close()
        for day, timezone in self.keys.days():
            self.keys.destroy(day, timezone)


def place_in(folder: Path, key_dir: Path, store: Store, now: float, configuration: str = CONFIGURATION) -> Place:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "footfall.toml"
    file.write_text(configuration.replace("KEYS", str(key_dir)))
    settings, clock = load(file, folder / "data", {}), SetClock(now)
    return Place(settings, store, clock, Keys(key_dir, settings.privacy.grace_minutes * 60, clock))


def drain_fully(drainer: Drainer) -> int:
    """Rounds until one moves nothing; returns the events moved."""
    moved = 0
    while step := drainer.round():
        moved += step
    return moved


def names_in(store: Store) -> Counter[str]:
    """How often each event is in an open day, by its name."""
    return Counter(dict(store.query("SELECT name, count() FROM open_events GROUP BY name")))


def promises(store: Store, timezone: str = BERLIN) -> list[tuple[date, list[date]]]:
    """What each drainer says of a time zone now: closed through, but for the reopened days."""
    return [
        (through, list(reopened))
        for through, reopened in store.query(
            "SELECT closed_through, reopened FROM drains FINAL WHERE timezone = {timezone:String} ORDER BY drainer",
            {"timezone": timezone},
        )
    ]


def quarantined(file: Path) -> list[dict[str, Any]]:
    """The quarantined lines of a spool file that can be parsed."""
    with contextlib.closing(connect(file)) as connection:
        return [json.loads(text) for (text,) in connection.execute("SELECT lines FROM quarantine ORDER BY id")]


def empty(store: Store) -> None:
    """What the `store` fixture does before each test, for tests that try many cases."""
    filled = store.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND total_rows > 0 AND name != 'migrations'"
    )
    for (name,) in filled:
        store.command(f"TRUNCATE TABLE {name}")


class WatchedStore(Store):
    """The store, with `before` and `after` told the number and the name of each call. What they raise is the answer."""

    def __init__(
        self,
        inner: Store,
        before: Callable[[int, str], None] = lambda number, name: None,
        after: Callable[[int, str], None] = lambda number, name: None,
    ) -> None:
        self._inner, self.before, self.after = inner, before, after
        self.calls: list[str] = []

    def query(
        self, sql: str, parameters: Mapping[str, object] | None = None, settings: Mapping[str, object] | None = None
    ) -> list[tuple[Any, ...]]:
        return self._watched("query", lambda: self._inner.query(sql, parameters, settings))

    def command(
        self, sql: str, parameters: Mapping[str, object] | None = None, settings: Mapping[str, object] | None = None
    ) -> int:
        return self._watched("command", lambda: self._inner.command(sql, parameters, settings))

    def insert_lines(self, table: str, lines: bytes | Iterable[bytes], *, tag: str, token: str) -> int:
        return self._watched("insert_lines", lambda: self._inner.insert_lines(table, lines, tag=tag, token=token))

    def insert_rows(
        self,
        table: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[object]],
        *,
        tag: str | None = None,
        token: str | None = None,
    ) -> None:
        self._watched(
            f"insert_rows {table}", lambda: self._inner.insert_rows(table, columns, rows, tag=tag, token=token)
        )

    def kill(self, tag: str) -> None:
        self._watched("kill", lambda: self._inner.kill(tag))

    def now(self) -> float:
        return self._watched("now", self._inner.now)

    def close(self) -> None:
        """The inner store is the fixture's to close."""

    def _watched(self, name: str, call: Callable[[], Result]) -> Result:
        self.calls.append(name)
        number = len(self.calls)
        self.before(number, name)
        result = call()
        self.after(number, name)
        return result


def failing_store(inner: Store, call: int, moment: Literal["before", "after"]) -> WatchedStore:
    """A store whose call number `call` (from 1) gets no answer: it never arrived, or was carried out all the same."""

    def fail(number: int, name: str) -> None:
        if number == call:
            raise StoreUnavailable(f"no answer to call {number}")

    return WatchedStore(inner, before=fail) if moment == "before" else WatchedStore(inner, after=fail)
