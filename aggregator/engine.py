"""chDB, the embedded ClickHouse, run one request at a time as ClickHouse's HTTP interface would run it.

Promises:
- the settings of one request never reach another one (each has a connection of its own, which costs 0.2 ms);
- one statement to a request, and none writes its result into a file;
- an insert of one block of rows is whole or not there;
- what a statement on tables did is on the disk when it returns;
- no text about refused rows leaves this module but the error's number, its name and the row's position, because
  ClickHouse's own messages quote the values.

Knows no HTTP: `front` is the door, this is the room behind it.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from aggregator.table_files import NAMING, synced
from collector.folders import make_folder

if TYPE_CHECKING:
    from chdb.state.sqlitelike import Connection

DATABASE = "footfall"

# Inside the data folder.
_STORE, _TEMPORARY, _CONFIG = Path("store"), Path("tmp/store"), Path("run/store.xml")

SYNTAX_ERROR = (62, "SYNTAX_ERROR")
UNKNOWN_SETTING = (115, "UNKNOWN_SETTING")
QUERY_IS_PROHIBITED = (392, "QUERY_IS_PROHIBITED")
UNKNOWN_EXCEPTION = (1002, "UNKNOWN_EXCEPTION")

_ERROR = re.compile(r"Code: (\d+)\.(.*?)\(([A-Z0-9_]+)\)(?: \(version [^()]*\))?\s*$", re.DOTALL)
_ROW = re.compile(r"\(at row (\d+)\)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_TOKEN = re.compile(
    rb"""(?P<blank>\s+|--[^\n]*|\#[^\n]*|/\*.*?\*/)
    |(?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`|(?P<here>\$\w*\$).*?(?P=here))
    |(?P<word>\w+)
    |(?P<sign>.)""",
    re.DOTALL | re.VERBOSE,
)
_DATA_START = re.compile(rb"[ \t\r]*\n?")

# chDB's own defaults differ from a server's (a bare word is a SELECT) and from what we want (inserts that wait).
_BASE_SETTINGS = {"implicit_select": "0", "async_insert": "0"}


class Refusal(Exception):
    """ClickHouse's answer to a statement that it did not carry out: number, name and text."""

    def __init__(self, error: tuple[int, str], text: str) -> None:
        self.code, self.name = error
        super().__init__(f"Code: {self.code}. DB::Exception: {text} ({self.name})")


@dataclass(frozen=True)
class Request:
    """`query` as in the URL and `body` as posted make one statement together."""

    query: bytes
    body: bytes = b""
    database: str = DATABASE
    default_format: str = "TabSeparated"
    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """A result's bytes in `format` (None: the statement has no result), and how much was read and written."""

    body: bytes
    format: str | None
    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0


@dataclass(frozen=True)
class _Insert:
    head: str
    format: str
    rows: bytes


@dataclass(frozen=True)
class _Token:
    kind: str
    text: bytes
    start: int
    end: int


class Engine:
    """chDB over `<data>/store`. Thread-safe. The caller holds the lock that keeps a second process out.

    The process moves into `data`: chDB takes its paths from something like a URL, in which not every name that a folder
    may have can be written.
    """

    def __init__(self, data: Path, memory_limit_bytes: int) -> None:
        # chDB takes the machine's time zone as it is loaded, and does not read <timezone>: hence set and loaded here.
        os.environ["TZ"] = "UTC"
        from chdb.state.sqlitelike import Connection

        self._open = Connection
        os.chdir(data)
        shutil.rmtree(_TEMPORARY, ignore_errors=True)
        _TEMPORARY.mkdir(parents=True, mode=0o700)
        make_folder(_STORE)
        _CONFIG.parent.mkdir(exist_ok=True, mode=0o700)
        _CONFIG.write_text(_config(memory_limit_bytes))
        self._anchor = self._connect()  # chDB shuts down with its last connection
        with synced(_STORE):
            self._anchor.query(f"CREATE DATABASE IF NOT EXISTS {DATABASE} ENGINE = Atomic")

    def run(self, request: Request) -> Outcome:
        """Carry out one statement. Raises Refusal."""
        connection = self._connect()
        try:
            if _first_word(request) not in NAMING:
                return self._run(connection, request)
            with synced(_STORE):
                return self._run(connection, request)
        finally:
            connection.close()

    def kill_reads(self) -> None:
        """Cancel whatever runs and is not an insert, so that stopping waits for inserts only."""
        self._anchor.query("KILL QUERY WHERE query_kind = 'Select' AND query_id != queryID() ASYNC")

    def close(self) -> None:
        self._anchor.close()

    def _connect(self) -> Connection:
        return self._open(f"{_STORE}?config-file={_CONFIG}")

    def _run(self, connection: Connection, request: Request) -> Outcome:
        insert = _parse_insert(request)
        _prepare(connection, request)
        if insert is not None:
            return _insert(connection, insert)
        statement = _join(request)
        form = _result_format(statement)
        try:
            result = connection.query(_text(statement), form or request.default_format, params=dict(request.parameters))
        except RuntimeError as error:
            raise _refusal(error) from None
        body = result.bytes() or b""
        return Outcome(
            body,
            form or (request.default_format if body else None),
            result.rows_read(),
            result.bytes_read(),
            result.rows_written(),
            result.bytes_written(),
        )


def _prepare(connection: Connection, request: Request) -> None:
    if not _NAME.fullmatch(request.database):
        raise Refusal((81, "UNKNOWN_DATABASE"), "No such database.")
    assignments = []
    for name, value in {**_BASE_SETTINGS, **request.settings}.items():
        if not _NAME.fullmatch(name):
            raise Refusal(UNKNOWN_SETTING, "A setting's name has characters that none has.")
        assignments.append(f"{name} = {_literal(value)}")
    try:
        connection.query(f"USE {request.database}")
        connection.query("SET " + ", ".join(assignments))
    except RuntimeError as error:
        raise _refusal(error) from None


def _insert(connection: Connection, insert: _Insert) -> Outcome:
    """All rows or none: what fails at any row cancels the insert before its part is committed."""
    inserter = None
    try:
        inserter = connection.send_insert(insert.head, insert.format)
        inserter.append(insert.rows)  # type: ignore[no-untyped-call]  # chdb leaves it out
        written = inserter.finish()
    except RuntimeError as error:
        raise _refusal_of_rows(error) from None
    finally:
        if inserter is not None:
            inserter.cancel()  # type: ignore[no-untyped-call]  # chdb leaves it out; does nothing after finish()
    return Outcome(b"", None, written_rows=written.rows_written, written_bytes=written.bytes_written)


def _refusal(error: RuntimeError) -> Refusal:
    text = str(error)
    found = _ERROR.search(text)
    if found is None:
        return Refusal(UNKNOWN_EXCEPTION, text)
    return Refusal((int(found[1]), found[3]), found[2].removeprefix(" DB::Exception:").strip())


def _refusal_of_rows(error: RuntimeError) -> Refusal:
    text = str(error)
    found, row = _ERROR.search(text), _ROW.search(text)
    place = f" (at row {row[1]})" if row else ""
    return Refusal((int(found[1]), found[3]) if found else UNKNOWN_EXCEPTION, f"The insert was refused{place}.")


def _tokens(text: bytes) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text):
        if match.lastgroup != "blank":
            kind = "quoted" if match["quoted"] is not None else str(match.lastgroup)
            yield _Token(kind, match[0], match.start(), match.end())


def _text(statement: bytes) -> str:
    try:
        return statement.decode()
    except UnicodeDecodeError:
        raise Refusal(SYNTAX_ERROR, "The statement is not UTF-8.") from None


def _join(request: Request) -> bytes:
    return b"\n".join(part for part in (request.query, request.body) if part)


def _parse_insert(request: Request) -> _Insert | None:
    """An INSERT with its rows behind it, or None for anything else (INSERT ... SELECT included)."""
    if _first_word(request) != b"INSERT":
        return None
    in_url = _split_insert(request.query)
    if in_url is None:
        return _split_insert(_join(request))
    return _Insert(in_url.head, in_url.format, in_url.rows + request.body if in_url.rows else request.body)


def _first_word(request: Request) -> bytes:
    first = next(_tokens(request.query or request.body), None)
    if first is None:
        raise Refusal(SYNTAX_ERROR, "Empty query.")
    return first.text.upper()


def _split_insert(text: bytes) -> _Insert | None:
    depth = 0
    format_starts: int | None = None
    for token in _tokens(text):
        word = token.text.upper()
        if format_starts is not None:
            start = _DATA_START.match(text, token.end)
            return _Insert(_text(text[:format_starts]), _text(token.text), text[start.end() if start else token.end :])
        depth += {b"(": 1, b")": -1}.get(word, 0)
        if depth or token.kind != "word":
            continue
        if word in (b"SELECT", b"WITH"):
            return None
        if word == b"INFILE":
            raise Refusal(QUERY_IS_PROHIBITED, "INSERT FROM INFILE is not allowed here.")
        if word == b"VALUES":
            return _Insert(_text(text[: token.start]), "Values", text[token.end :])
        if word == b"FORMAT":
            format_starts = token.start
    return None


def _result_format(statement: bytes) -> str | None:
    """The format that a statement asks for at its end. Raises Refusal for two statements and for result files."""
    tokens = list(_tokens(statement))
    while tokens and tokens[-1].text == b";":
        tokens.pop()
    for token, following in pairwise(tokens):
        if token.text == b";":
            raise Refusal(SYNTAX_ERROR, "Syntax error (Multi-statements are not allowed).")
        if token.text.upper() == b"INTO" and following.text.upper() == b"OUTFILE":
            raise Refusal(QUERY_IS_PROHIBITED, "INTO OUTFILE is not allowed here.")
    if len(tokens) > 2 and tokens[-2].text.upper() == b"FORMAT" and tokens[-1].kind == "word":
        return tokens[-1].text.decode()
    return None


def _literal(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _config(memory_limit_bytes: int) -> str:
    """Small pools for a machine of two cores, no logs, temporary files inside the data folder.

    With two merges at a time the engine's own thresholds (8, 20 and 25 free places) would put mutations off for ever.
    """
    free = "number_of_free_entries_in_pool_to"
    return f"""<clickhouse>
    <logger><level>none</level><console>0</console></logger>
    <tmp_path>{_TEMPORARY}/</tmp_path>
    <max_server_memory_usage>{memory_limit_bytes}</max_server_memory_usage>
    <mark_cache_size>{64 << 20}</mark_cache_size>
    <uncompressed_cache_size>0</uncompressed_cache_size>
    <background_pool_size>2</background_pool_size>
    <background_schedule_pool_size>4</background_schedule_pool_size>
    <background_common_pool_size>2</background_common_pool_size>
    <background_move_pool_size>1</background_move_pool_size>
    <background_fetches_pool_size>1</background_fetches_pool_size>
    <database_atomic_delay_before_drop_table_sec>0</database_atomic_delay_before_drop_table_sec>
    <merge_tree>
        <{free}_lower_max_size_of_merge>1</{free}_lower_max_size_of_merge>
        <{free}_execute_mutation>1</{free}_execute_mutation>
        <{free}_execute_optimize_entire_partition>1</{free}_execute_optimize_entire_partition>
    </merge_tree>
</clickhouse>
"""
