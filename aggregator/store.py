"""The one client of the store: the embedded front and any ClickHouse server, over HTTP, by clickhouse-connect.

Promises:
- what changes the store is sent once; sending it again after a doubtful answer is the caller's decision
  (clickhouse-connect repeats an insert whose connection was cut, but not one that it is given in pieces);
- a batch is sent as it is read: of 128 MiB no more than some pieces are in memory;
- an answer that is not ClickHouse's own, or that tells of a failure in its body, is no answer: `StoreUnavailable`.
  Whether what it says was done was done is another question: who deletes anything for it asks the store first;
- an insert makes exactly one part, is on disk when it returns, and is all or nothing (the settings are pinned here, the
  syncing is the tables' setting);
- no exception holds what was inserted: ClickHouse's own texts quote it, so a failed insert is told by number and name;
- a front that was restarted, with another port and secret, is found again at the next call.

A Store may be used by several threads at once: it keeps no session, and its pool opens a connection for each.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any, TypeVar

import orjson
from clickhouse_connect.driver.exceptions import DatabaseError, InterfaceError, InternalError, OperationalError
from clickhouse_connect.driver.httpclient import HttpClient
from clickhouse_connect.driver.httputil import get_pool_manager
from clickhouse_connect.driver.summary import QuerySummary
from urllib3.exceptions import HTTPError

from aggregator.endpoint import Announced, Endpoint, Fixed, StoreUnavailable, Whereabouts, read_url
from collector.fault import Fault
from collector.settings import Settings

__all__ = ["Store", "StoreRefused", "StoreUnavailable", "open_store", "statement"]

Result = TypeVar("Result")

CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_S = 600  # sealing a large day is one statement
KILL_TIMEOUT_S = 60.0
# What reading an answer raises that breaks off: the text of an exception behind it is read as lengths and numbers.
UNREADABLE = (LookupError, ValueError, OverflowError, MemoryError, EOFError)
POLL_S = 0.05
# What every text of ClickHouse about a failure has in it.
FAILURE = "DB::Exception"

# A batch has at most 200,000 events and 128 MiB (design.md, section 13). Blocks are larger, and one thread writes, so
# that a batch is one block, one part, and so all or nothing.
_BLOCK_ROWS = 1_000_000
_BLOCK_BYTES = 1 << 30
INSERT_SETTINGS: Mapping[str, object] = {
    "async_insert": 0,
    "wait_end_of_query": 1,
    "max_insert_threads": 1,
    "max_insert_block_size": _BLOCK_ROWS,
    "min_insert_block_size_rows": _BLOCK_ROWS,
    "min_insert_block_size_bytes": _BLOCK_BYTES,
    "input_format_parallel_parsing": 0,
    "input_format_skip_unknown_fields": 0,
    "input_format_allow_errors_num": 0,
    "input_format_allow_errors_ratio": 0,
    "insert_deduplicate": 1,
    "date_time_input_format": "best_effort",
}

# Answers that leave open whether the statement ran, or that say "not now": SOCKET_TIMEOUT, NETWORK_ERROR,
# TOO_MANY_SIMULTANEOUS_QUERIES, NO_FREE_CONNECTION, TABLE_IS_READ_ONLY, the failures of Keeper and of quorums, ABORTED,
# QUERY_WAS_CANCELLED (by a kill or a shutdown), UNKNOWN_STATUS_OF_INSERT. Not TIMEOUT_EXCEEDED: that was too slow.
_DOUBTFUL = frozenset((202, 203, 209, 210, 225, 236, 242, 244, 279, 285, 286, 319, 394, 659, 734, 735, 999))
# Answers about the rows themselves: CANNOT_PARSE_*, CANNOT_READ_*, INCORRECT_DATA, TYPE_MISMATCH, VIOLATED_CONSTRAINT,
# UNKNOWN_ELEMENT_OF_ENUM and their like. Whatever else an insert meets (memory, disk, too many parts, no such table) is
# no fault of its rows, so it must never lead to rows being set aside.
_ABOUT_ROWS = frozenset(
    (
        6,
        25,
        26,
        27,
        32,
        33,
        38,
        41,
        53,
        69,
        70,
        72,
        117,
        128,
        130,
        131,
        190,
        321,
        349,
        376,
        441,
        467,
        469,
        563,
        675,
        676,
        691,
    )
)


class StoreRefused(Fault):
    """ClickHouse did not carry the statement out; `code` is its error number. For an insert: because of its rows."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Store:
    """Statements and inserts. Every method may raise StoreUnavailable and StoreRefused."""

    def __init__(self, whereabouts: Whereabouts) -> None:
        self._whereabouts = whereabouts
        self._connecting = threading.Lock()
        self._connected: tuple[Endpoint, HttpClient] | None = None

    def query(
        self, sql: str, parameters: Mapping[str, object] | None = None, settings: Mapping[str, object] | None = None
    ) -> list[tuple[Any, ...]]:
        """The rows that `sql` gives; the server binds parameters, as `{name:Type}`; times come back aware, in UTC.

        Pass times as aware datetimes (cut to seconds), or as text or numbers where milliseconds count.
        """

        def rows(client: HttpClient) -> list[tuple[Any, ...]]:
            """Rows are read here: an answer may end in a failure behind its first ones."""
            result = client.query(sql, dict(parameters or {}), dict(settings or {}))
            _written(result.summary)
            return [tuple(row) for row in result.result_rows]

        return self._ask(rows)

    def command(
        self, sql: str, parameters: Mapping[str, object] | None = None, settings: Mapping[str, object] | None = None
    ) -> int:
        """Run a statement without a result: DDL, INSERT ... SELECT, KILL. Sent once.

        Returns the rows that ClickHouse says it wrote.
        """
        effective = {"wait_end_of_query": 1, "async_insert": 0, **(settings or {})}
        told = self._ask(lambda client: client.command(sql, dict(parameters or {}), settings=effective))
        if isinstance(told, QuerySummary):
            return _written(told.summary)
        if FAILURE in str(told):  # KILL has a result, all others have none.
            raise StoreUnavailable("the store told of a failure behind an answer that says it was done")
        return 0

    def insert_lines(self, table: str, lines: bytes | Iterable[bytes], *, tag: str, token: str) -> int:
        """Insert JSONEachRow lines (UTF-8; in pieces, cut anywhere) as one part.

        `tag` is what `kill` finds it by, `token` its deduplication token. Returns the rows that ClickHouse says it
        wrote, 0 where it does not say; StoreRefused means: the rows are at fault.
        """
        pieces = (piece for piece in ((lines,) if isinstance(lines, bytes) else lines))
        settings = {**INSERT_SETTINGS, "log_comment": tag, "insert_deduplication_token": token}
        summary = self._ask(
            lambda client: client.raw_insert(table, insert_block=pieces, settings=settings, fmt="JSONEachRow"),
            is_insert=True,
        )
        return _written(summary.summary)

    def insert_rows(
        self,
        table: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[object]],
        *,
        tag: str | None = None,
        token: str | None = None,
    ) -> None:
        """Insert a few rows as one part: numbers, text, dates, aware datetimes, lists, mappings.

        `tag` and `token` as for `insert_lines`.
        """
        lines = b"\n".join(orjson.dumps(list(row)) for row in rows)
        if not lines:
            return
        names = ", ".join(f"`{name}`" for name in columns)
        sql = f"INSERT INTO {table} ({names}) FORMAT JSONCompactEachRow"
        marks = {"log_comment": tag, "insert_deduplication_token": token}
        settings = {**INSERT_SETTINGS, **{name: mark for name, mark in marks.items() if mark}}
        summary = self._ask(lambda client: client.command(sql, data=lines, settings=settings), is_insert=True)
        if not isinstance(summary, QuerySummary):
            raise StoreUnavailable("the store answered an insert with a result")
        _written(summary.summary)

    def kill(self, tag: str) -> None:
        """Cancel the statements tagged `tag` and return when none runs any more."""
        tagged = "Settings['log_comment'] = {tag:String}"
        deadline = time.monotonic() + KILL_TIMEOUT_S
        while time.monotonic() < deadline:
            self.command(f"KILL QUERY WHERE {tagged} SYNC", {"tag": tag})
            if not self.query(f"SELECT 1 FROM system.processes WHERE {tagged}", {"tag": tag}):
                return
            time.sleep(POLL_S)
        raise StoreUnavailable(f"a statement was killed and still runs after {KILL_TIMEOUT_S:.0f} s")

    def now(self) -> float:
        """The store's clock, in Unix seconds."""
        return float(self.query("SELECT toUnixTimestamp64Milli(now64(3))")[0][0]) / 1000

    def close(self) -> None:
        with self._connecting:
            if self._connected is not None:
                _discard(self._connected[1])
            self._connected = None

    def _ask(self, question: Callable[[HttpClient], Result], *, is_insert: bool = False) -> Result:
        """The fault is raised outside of `except`: the original, which may quote rows, must not hang on to it."""
        fault: Exception
        try:
            return question(self._client())
        except (DatabaseError, InterfaceError) as error:
            fault = _fault_of_insert(error) if is_insert else _fault(error)
        except (HTTPError, OSError) as error:
            fault = StoreUnavailable(f"no answer from the store: {type(error).__name__}")
        except UNREADABLE as error:
            fault = StoreUnavailable(f"the store's answer cannot be read: {type(error).__name__}")
        raise fault

    def _client(self) -> HttpClient:
        endpoint = self._whereabouts.endpoint()
        with self._connecting:
            if self._connected is None or self._connected[0] != endpoint:
                self._connected = (endpoint, _connect(endpoint))
            return self._connected[1]


def open_store(settings: Settings, wait_s: float = 30.0) -> Store:
    """A Store that has answered.

    Raises StoreUnavailable if none does within `wait_s` seconds, StoreRefused if it does not let us in.
    """
    where = settings.aggregator.store
    store = Store(Announced(settings.data / "run" / "store.json") if where == "embedded" else Fixed(read_url(where)))
    deadline = time.monotonic() + wait_s
    while True:
        try:
            store.query("SELECT 1")
            return store
        except StoreUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)


def statement(name: str) -> str:
    """The text of `aggregator/sql/<name>.sql`."""
    return (files("aggregator") / "sql" / f"{name}.sql").read_text()


def _connect(endpoint: Endpoint) -> HttpClient:
    """A pool of its own: the default one is shared by the process and follows HTTP_PROXY, even to the loopback."""
    pool = get_pool_manager(maxsize=16, retries=0)
    client = HttpClient(
        endpoint.interface,
        endpoint.host,
        endpoint.port,
        endpoint.user,
        endpoint.password,
        None,
        compress=False,
        query_retries=0,
        connect_timeout=CONNECT_TIMEOUT_S,
        send_receive_timeout=ANSWER_TIMEOUT_S,
        pool_mgr=pool,
        tz_mode="aware",
        autogenerate_session_id=False,
    )
    client._backend.http_retries = 0
    client.command(f"CREATE DATABASE IF NOT EXISTS `{endpoint.database}`")
    client.database = endpoint.database
    return client


def _discard(client: HttpClient) -> None:
    client.close_connections()
    client.close()


def _written(summary: Mapping[str, object]) -> int:
    """The rows written, 0 where it is not said. ClickHouse gives each answer the query's id; a proxy's own has none."""
    if not summary.get("query_id"):
        raise StoreUnavailable("an answer that is not ClickHouse's: somebody between us and the store has given it")
    written = str(summary.get("written_rows", 0))
    return int(written) if written.isdecimal() else 0


def _fault(error: DatabaseError | InterfaceError) -> Exception:
    """What a failed statement means. A mistake on our side of the wire stays what it is."""
    if error.code is not None and error.code not in _DOUBTFUL:
        return StoreRefused(error.code, str(error).partition(" (for url")[0])
    if error.code is not None:
        return StoreUnavailable(f"the store gave no sure answer: {_name(error)}")
    if isinstance(error, OperationalError | InternalError) or type(error) is DatabaseError:
        return StoreUnavailable("no answer from the store, or none that can be read")
    return error


def _fault_of_insert(error: DatabaseError | InterfaceError) -> Exception:
    if error.code in _ABOUT_ROWS:
        return StoreRefused(error.code, f"the rows were refused: {_name(error)}")
    if error.code is not None:
        return StoreUnavailable(f"the insert did not go through: {_name(error)}")
    return _fault(error)


def _name(error: DatabaseError | InterfaceError) -> str:
    return f"code {error.code}, {error.name or 'unnamed'}"
