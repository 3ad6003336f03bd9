"""The embedded store's door: ClickHouse's HTTP interface over chDB, as a client meets it on the wire."""

from __future__ import annotations

import base64
import contextlib
import json
import random
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from aggregator.clickhouse_http import MAX_BODY_BYTES, MAX_CONCURRENT
from aggregator.migrate import migrate
from aggregator.store import StoreRefused, StoreUnavailable
from tests.aggregator.event_lines import event_lines
from tests.aggregator.front_process import DEADLINE_S, MEMORY_LIMIT_BYTES, POLL_S, ROOT, FrontProcess

CANARY = "canary-51c7"


@dataclass(frozen=True)
class Wire:
    """A front and an HTTP client that knows its secret."""

    front: FrontProcess
    http: httpx.Client

    def ask(self, sql: str | bytes, **parameters: str) -> httpx.Response:
        return self.http.post("/", content=sql, params=parameters)

    def answer(self, sql: str, **parameters: str) -> str:
        response = self.ask(sql, **parameters)
        assert response.status_code == 200, response.text
        return response.text.strip()


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """One front for the tests that leave it as it was."""
    data = tmp_path_factory.mktemp("front") / "data"
    data.mkdir()
    front = FrontProcess(data)
    front.start()
    endpoint = front.endpoint
    with httpx.Client(base_url=front.url, auth=(endpoint["user"], endpoint["password"]), timeout=60) as http:
        yield Wire(front, http)
    front.stop()


@pytest.fixture
def table(wire: Wire) -> str:
    """An empty table of one number a row."""
    wire.answer("CREATE OR REPLACE TABLE numbers_kept (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
    return "numbers_kept"


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(POLL_S)


def bare_head(wire: Wire, length: str) -> bytes:
    """The head of an insert, as bytes, for bodies that no HTTP library would send."""
    token = base64.b64encode(f"{wire.front.endpoint['user']}:{wire.front.endpoint['password']}".encode()).decode()
    query = "INSERT+INTO+numbers_kept+FORMAT+JSONEachRow"
    return f"POST /?query={query} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {token}\r\n{length}\r\n\r\n".encode()


def exchange(wire: Wire, *pieces: bytes) -> bytes:
    """Send the pieces, close our half, and return all that comes back."""
    with socket.create_connection(("127.0.0.1", wire.front.endpoint["port"]), timeout=30) as connection:
        for piece in pieces:
            connection.sendall(piece)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_ping_needs_no_secret(wire: Wire) -> None:
    assert httpx.get(f"{wire.front.url}/ping").text == "Ok.\n"


@pytest.mark.parametrize(
    "headers", [{}, {"X-ClickHouse-User": "footfall", "X-ClickHouse-Key": "guess"}, {"Authorization": "Basic !"}]
)
def test_without_the_secret_nothing_runs(wire: Wire, table: str, headers: dict[str, str]) -> None:
    response = httpx.post(wire.front.url, content=f"INSERT INTO {table} VALUES (1, '')", headers=headers)
    assert (response.status_code, response.headers["X-ClickHouse-Exception-Code"]) == (403, "516")
    assert wire.answer(f"SELECT count() FROM {table}") == "0"


def test_the_secret_is_taken_from_clickhouses_own_headers(wire: Wire) -> None:
    headers = {"X-ClickHouse-User": wire.front.endpoint["user"], "X-ClickHouse-Key": wire.front.endpoint["password"]}
    assert httpx.post(wire.front.url, content="SELECT 1", headers=headers).text == "1\n"


def test_the_announcement_is_for_the_owner_only_and_names_the_process(wire: Wire) -> None:
    assert wire.front.announcement.stat().st_mode & 0o777 == 0o600
    assert wire.front.process is not None
    assert wire.front.endpoint["pid"] == wire.front.process.pid
    assert len(wire.front.endpoint["password"]) >= 40


def test_only_the_loopback_is_listened_on(wire: Wire) -> None:
    listening = (Path("/proc") / str(wire.front.endpoint["pid"]) / "net" / "tcp").read_text()
    port = f"{wire.front.endpoint['port']:04X}"
    bound = {line.split()[1] for line in listening.splitlines() if line.split()[3] == "0A"}  # 0A: LISTEN
    assert {address for address in bound if address.endswith(f":{port}")} == {f"0100007F:{port}"}


def test_answers_carry_what_clients_read(wire: Wire, table: str) -> None:
    response = wire.ask(
        f"INSERT INTO {table} FORMAT JSONEachRow\n" + '{"n":1,"s":"a"}\n{"n":2,"s":"b"}\n', query_id="q-17"
    )
    assert response.headers["X-ClickHouse-Query-Id"] == "q-17"
    assert response.headers["X-ClickHouse-Timezone"] == "UTC"
    assert response.headers["X-ClickHouse-Server-Display-Name"]
    assert json.loads(response.headers["X-ClickHouse-Summary"])["written_rows"] == "2"
    selected = wire.ask(f"SELECT sum(n) AS s FROM {table} FORMAT JSONEachRow")
    assert (selected.headers["X-ClickHouse-Format"], json.loads(selected.text)) == ("JSONEachRow", {"s": 3})
    assert wire.ask("SELECT 1 AS x", default_format="CSVWithNames").text == '"x"\n1\n'


def test_the_statement_may_be_in_the_url_the_body_or_both(wire: Wire, table: str) -> None:
    assert wire.http.get("/", params={"query": "SELECT 1"}).text == "1\n"
    assert wire.ask("+ 1", query="SELECT 1").text == "2\n"
    wire.ask('{"n":1}', query=f"INSERT INTO {table} FORMAT JSONEachRow")
    wire.ask('{"n":2}', query=f'INSERT INTO {table} FORMAT JSONEachRow {{"n":3}}')
    wire.ask("(4, ')'), (5, 'FORMAT')", query=f"INSERT INTO {table} (n, s) VALUES")
    wire.ask(f"-- SELECT\nINSERT INTO {table} (`n`) SETTINGS max_threads = 1 /* FORMAT X */ SELECT 6")
    assert wire.answer(f"SELECT groupArray(n) FROM (SELECT n FROM {table} ORDER BY n)") == "[1,2,3,4,5,6]"


def test_get_changes_nothing(wire: Wire, table: str) -> None:
    response = wire.http.get("/", params={"query": f"TRUNCATE TABLE {table}"})
    assert response.headers["X-ClickHouse-Exception-Code"] == "164"


def test_settings_of_one_request_do_not_reach_the_next(wire: Wire) -> None:
    sql = "SELECT getSetting('max_block_size'), getSetting('log_comment')"
    before = wire.answer(sql)
    assert wire.answer(sql, max_block_size="17", log_comment="it's") == "17\tit\\'s"
    wire.answer("SET max_block_size = 18")
    wire.answer("USE system")
    assert wire.answer(sql) == before
    assert wire.answer("SELECT currentDatabase()") == "footfall"


def test_unknown_settings_are_refused(wire: Wire) -> None:
    assert wire.ask("SELECT 1", no_such_setting="1").headers["X-ClickHouse-Exception-Code"] == "115"
    assert wire.ask("SELECT 1", **{"a = 1, b": "1"}).headers["X-ClickHouse-Exception-Code"] == "115"


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT 1; SELECT 2", 62),
        ("", 62),
        ("SELECT 1 INTO/**/OUTFILE 'x'", 392),
        ("INSERT INTO numbers_kept FROM INFILE 'x' FORMAT CSV", 392),
        ("SELECT FROM WHERE", 62),
        ("SELECT * FROM nowhere", 60),
        (b"SELECT '\xff'", 62),
    ],
)
def test_what_a_server_would_not_run_is_refused(wire: Wire, table: str, sql: str | bytes, code: int) -> None:
    response = wire.ask(sql)
    assert response.headers["X-ClickHouse-Exception-Code"] == str(code)
    assert 400 <= response.status_code < 500
    assert table


def test_semicolons_and_keywords_in_text_are_no_statements(wire: Wire) -> None:
    assert wire.answer('SELECT \'a;b\', "x;" FROM (SELECT 1 AS "x;"); -- INTO OUTFILE; \n') == "a;b\t1"
    assert wire.answer("SELECT 'INTO OUTFILE'") == "INTO OUTFILE"


def test_a_connection_cut_in_mid_body_leaves_nothing(wire: Wire, table: str) -> None:
    lines = b'{"n":1}\n' * 1000
    assert exchange(wire, bare_head(wire, f"Content-Length: {len(lines) + 1}"), lines) == b""
    assert exchange(wire, bare_head(wire, "Transfer-Encoding: chunked"), b"%x\r\n" % len(lines), lines, b"\r\n") == b""
    assert wire.answer(f"SELECT count() FROM {table}") == "0"


def test_a_body_in_chunks_is_whole(wire: Wire, table: str) -> None:
    wire.http.post(
        "/", params={"query": f"INSERT INTO {table} FORMAT JSONEachRow"}, content=iter([b'{"n"', b':1}\n{"n":2}'])
    )
    assert wire.answer(f"SELECT sum(n) FROM {table}") == "3"


def test_a_client_that_went_away_gets_nothing_inserted(wire: Wire, table: str) -> None:
    line = b'{"n":1}\n'
    exchange(wire, bare_head(wire, f"Content-Length: {len(line)}"), line)
    assert wire.answer(f"SELECT count() FROM {table}") == "0"


@pytest.mark.parametrize(
    "length", [f"Content-Length: {MAX_BODY_BYTES + 1}", "Content-Length: -1", "Transfer-Encoding: chunked"]
)
def test_a_body_beyond_its_bounds_is_refused_before_it_is_read(wire: Wire, length: str) -> None:
    answer = exchange(wire, bare_head(wire, length), b"%x\r\n" % (MAX_BODY_BYTES + 1) if "chunked" in length else b"")
    assert answer.startswith((b"HTTP/1.1 413", b"HTTP/1.1 411"))
    assert b"Connection: close" in answer


def test_compressed_bodies_are_refused(wire: Wire) -> None:
    response = wire.http.post("/", content=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    assert response.headers["X-ClickHouse-Exception-Code"] == "89"


def test_refused_rows_are_neither_answered_back_nor_logged(wire: Wire, table: str) -> None:
    for rows in (f'{{"n":"{CANARY}"}}', f'{{"{CANARY}":1}}', CANARY, f'{{"n":1,"s":{CANARY}}}'):
        sql = f"INSERT INTO {table} FORMAT JSONEachRow\n" + '{"n":1}\n' * 10 + rows
        response = wire.ask(sql, input_format_skip_unknown_fields="0")
        assert response.headers["X-ClickHouse-Exception-Code"] != ""
        assert CANARY not in response.text + str(response.headers)
    assert wire.front.log.read_text() == ""
    assert wire.answer(f"SELECT count() FROM {table}") == "0"


def test_the_store_keeps_no_logs_of_statements(wire: Wire) -> None:
    wire.answer(f"SELECT '{CANARY}-statement'")
    kept = "SELECT groupArray(name) FROM system.tables WHERE database = 'system' AND engine LIKE '%MergeTree'"
    assert wire.answer(kept) == "[]"
    found = [
        path
        for path in wire.front.data.rglob("*")
        if path.is_file() and f"{CANARY}-statement".encode() in path.read_bytes()
    ]
    assert found == []


def test_temporary_files_lie_in_the_data_folder_only(wire: Wire) -> None:
    wire.answer(
        "SELECT number FROM numbers(3000000) ORDER BY sipHash64(number) FORMAT Null",
        max_bytes_before_external_sort="1000000", max_bytes_ratio_before_external_sort="0",
    )  # fmt: skip
    spilled = "SELECT value > 0 FROM system.events WHERE event = 'ExternalSortWritePart'"
    assert wire.answer(spilled) == "1"
    folder = wire.answer("SELECT value FROM system.server_settings WHERE name = 'tmp_path'")
    assert (wire.front.data / folder).is_dir()
    beside = {path for path in wire.front.data.parent.rglob("*") if not path.is_relative_to(wire.front.data)}
    assert beside == {wire.front.log, wire.front.elsewhere}


def test_the_engine_has_the_memory_that_it_was_given(wire: Wire) -> None:
    limit = "SELECT toUInt64(value) FROM system.server_settings WHERE name = 'max_server_memory_usage'"
    assert wire.answer(limit) == str(MEMORY_LIMIT_BYTES)


def test_the_engine_runs_in_utc_wherever_the_machine_is(wire: Wire) -> None:
    assert wire.answer("SELECT timezone(), toString(toDateTime(0))") == "UTC\t1970-01-01 00:00:00"


def test_paths_that_clickhouse_has_and_we_do_not_are_not_found(wire: Wire) -> None:
    assert wire.http.get("/play").status_code == 404


def test_the_process_cannot_be_dumped() -> None:
    check = "import ctypes, resource; from collector.process import forbid_core_dumps; forbid_core_dumps();"
    check += "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE))"
    printed = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert printed == "0 (0, 0)\n"


def test_a_second_front_on_one_folder_says_so_in_one_line(wire: Wire) -> None:
    before = wire.front.announcement.read_text()
    second = FrontProcess(wire.front.data)
    log_before = wire.front.log.read_text()
    assert second.spawn().wait(DEADLINE_S) == 1
    said = wire.front.log.read_text().removeprefix(log_before)
    wire.front.log.write_text(log_before)
    assert said.count("\n") == 1
    assert str(wire.front.data) in said
    assert "stop that one" in said
    assert wire.front.announcement.read_text() == before


def test_in_a_full_house_the_next_is_refused_and_a_kill_gets_in(front: FrontProcess) -> None:
    store, endless = (
        front.store(),
        "SELECT sum(sleepEachRow(1)) FROM numbers(600) SETTINGS max_block_size = 1, log_comment = 'guest'",
    )

    def stay() -> bool:
        try:
            store.query(endless, settings={"function_sleep_max_microseconds_per_block": 10**9})
        except (StoreRefused, StoreUnavailable):
            return False
        return True

    with ThreadPoolExecutor(MAX_CONCURRENT + 1) as pool:
        guests = [pool.submit(stay) for _ in range(MAX_CONCURRENT + 1)]
        until(lambda: any(guest.done() for guest in guests))
        assert sum(guest.done() for guest in guests) == 1
        with pytest.raises(StoreUnavailable, match="code 202"):
            store.query("SELECT 1")
        store.command("KILL QUERY WHERE Settings['log_comment'] = 'guest' ASYNC")
    assert not any(guest.result() for guest in guests)
    assert store.query("SELECT 1") == [(1,)]
    store.close()


def test_a_clean_stop_finishes_the_running_insert_and_withdraws_the_announcement(front: FrontProcess) -> None:
    store, written = front.store(), []
    migrate(store)
    lines = event_lines(1, 150_000)
    thread = threading.Thread(
        target=lambda: written.append(store.insert_lines("open_events", lines, tag="last", token="last"))
    )
    thread.start()
    until(lambda: bool(store.query("SELECT 1 FROM system.processes WHERE Settings['log_comment'] = 'last'")))
    assert front.stop() == 0
    thread.join(DEADLINE_S)
    assert written == [150_000]
    assert not front.announcement.exists()
    assert front.log.read_text() == ""
    front.start()
    assert store.query("SELECT count() FROM open_events") == [(150_000,)]
    store.close()


def test_a_clean_stop_does_not_wait_for_reads(front: FrontProcess) -> None:
    store, ends = front.store(), []

    def read() -> None:
        try:
            store.query(
                "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1",
                settings={"log_comment": "read"},
            )
        except StoreUnavailable as fault:
            ends.append(fault)

    thread = threading.Thread(target=read)
    thread.start()
    until(lambda: bool(store.query("SELECT 1 FROM system.processes WHERE Settings['log_comment'] = 'read'")))
    assert front.stop() == 0
    thread.join(DEADLINE_S)
    assert len(ends) == 1
    store.close()


def test_a_data_folder_may_have_any_name(tmp_path: Path) -> None:
    front = FrontProcess(tmp_path / "my data & <more> + 100%25?x=y#z é")
    front.data.mkdir()
    front.start()
    store = front.store()
    assert migrate(store) > 0
    assert front.stop() == 0
    assert sorted(path.name for path in front.data.iterdir()) == ["run", "store", "store.lock", "tmp"]
    store.close()


def test_after_a_kill_an_abandoned_insert_does_not_turn_up(front: FrontProcess) -> None:
    """What the drainer does after a doubtful insert: kill it, ask whether it is there, and rely on the answer."""
    store, where, lines = front.store(), front.endpoint, event_lines(1, 30_000)
    migrate(store)
    token = base64.b64encode(f"{where['user']}:{where['password']}".encode()).decode()
    query = "INSERT+INTO+open_events+FORMAT+JSONEachRow&log_comment=doubtful&database=footfall"
    head = f"POST /?query={query} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {token}\r\n"
    head += f"Content-Length: {len(lines)}\r\n\r\n"
    chance = random.Random(3)
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", where["port"]), timeout=30) as connection:
            connection.sendall(head.encode() + lines)
            select.select([connection], [], [], chance.uniform(0, 0.2))
        store.kill("doubtful")
        answers = [store.query("SELECT count() FROM open_events")[0][0] for _ in range(30)]
        assert answers[0] in (0, 30_000)
        assert set(answers) == {answers[0]}
        store.command("TRUNCATE TABLE open_events")
    store.close()


def test_a_front_killed_in_mid_insert_has_all_of_it_or_nothing(front: FrontProcess) -> None:
    store = front.store()
    migrate(store)
    lines, chance, there = event_lines(1, 50_000), random.Random(7), 0
    for turn in range(8):
        acknowledged: list[int] = []

        def insert(turn: int = turn, acknowledged: list[int] = acknowledged) -> None:
            with contextlib.suppress(StoreUnavailable):
                acknowledged.append(store.insert_lines("open_events", lines, tag="batch", token=str(turn)))

        thread = threading.Thread(target=insert)
        thread.start()
        thread.join(chance.uniform(0.05, 0.5))
        front.kill()
        thread.join(DEADLINE_S)
        front.start()
        found = store.query("SELECT count() FROM open_events")[0][0]
        assert found in ({there + 50_000} if acknowledged else {there, there + 50_000})
        there = found
        assert [path for path in (front.data / "store").rglob("tmp_*") if path.parent.name != "store"] == []
    store.close()


def test_what_was_left_in_the_temporary_folder_is_gone_after_the_start(front: FrontProcess) -> None:
    front.kill()
    left = front.data / "tmp" / "store" / "left-behind"
    left.write_text("rows of a query that was cut")
    front.start()
    assert not left.exists()
