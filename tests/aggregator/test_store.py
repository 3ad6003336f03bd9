"""The store's client, against the embedded front or the server that FOOTFALL_TEST_CLICKHOUSE names."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from aggregator.endpoint import Announced, Endpoint, Fixed, read_url
from aggregator.migrate import migrate
from aggregator.store import Store, StoreRefused, StoreUnavailable, open_store
from collector.settings import load
from tests.aggregator.event_lines import DAY, TIMEZONE, event_lines
from tests.aggregator.front_process import DEADLINE_S, POLL_S, FrontProcess
from tests.faults.store_proxy import MEMORY_LIMIT, Answer, Exchange, StoreProxy

ENDLESS = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1"
PARTS = "SELECT count() FROM system.parts WHERE database = currentDatabase() AND table = 'open_events'"


def count(store: Store, table: str = "open_events") -> int:
    return int(store.query(f"SELECT count() FROM {table}")[0][0])


def parts(store: Store) -> int:
    return int(store.query(f"{PARTS} AND active")[0][0])


def test_the_largest_batch_by_rows_makes_one_part(store: Store) -> None:
    written = store.insert_lines("open_events", event_lines(1, 200_000), tag="batch/1", token="1")
    assert (written, count(store), parts(store)) == (200_000, 200_000, 1)


def test_the_largest_batch_by_bytes_makes_one_part(store: Store) -> None:
    path = "/" + "shelf-and-article/" * 110
    lines = event_lines(1, (128 << 20) // 2_600, path=path)
    assert 120 << 20 < len(lines) <= 128 << 20
    assert store.insert_lines("open_events", lines, tag="batch/1", token="1") == lines.count(b"\n")
    assert parts(store) == 1


def test_an_insert_and_a_merge_are_on_disk_when_they_return(store: Store) -> None:
    def synced() -> dict[str, int]:
        return dict(store.query("SELECT event, value FROM system.events WHERE event IN ('FileSync', 'DirectorySync')"))

    after = synced()
    for batch in (1, 2):
        before = after
        store.insert_lines("open_events", event_lines(batch, 100), tag="batch", token=str(batch))
        after = synced()
        assert all(after[event] > before.get(event, 0) for event in ("FileSync", "DirectorySync"))
    store.command("OPTIMIZE TABLE open_events FINAL")
    assert all(synced()[event] > after[event] for event in after)


def test_a_token_inserts_once(store: Store) -> None:
    for _ in range(2):
        assert store.insert_lines("open_events", event_lines(1, 100), tag="batch/1", token="1") == 100
    assert count(store) == 100


def test_equal_rows_under_two_tokens_are_inserted_twice(store: Store) -> None:
    for token in ("1", "2"):
        store.insert_lines("open_events", event_lines(1, 100), tag="batch/1", token=token)
    assert count(store) == 200


@pytest.mark.parametrize(
    "bad",
    [
        b'{"day":"canary-7f3a","timezone":"UTC"}\n',
        b'{"canary-7f3a":1}\n',
        b"canary-7f3a\n",
        b'{"kind":"canary-7f3a"}\n',
    ],
    ids=["bad date", "unknown field", "no JSON", "unknown kind"],
)
def test_one_bad_line_refuses_the_batch_and_is_not_quoted(store: Store, bad: bytes) -> None:
    with pytest.raises(StoreRefused) as refusal:
        store.insert_lines("open_events", event_lines(1, 5_000) + bad + event_lines(1, 10), tag="batch/1", token="1")
    assert refusal.value.code > 0
    assert "canary" not in repr(refusal.value) + repr(refusal.value.__context__)
    assert count(store) == 0


def test_a_missing_table_is_no_fault_of_the_rows(store: Store) -> None:
    with pytest.raises(StoreUnavailable, match="code 60"):
        store.insert_lines("no_such_table", b'{"a":1}\n', tag="batch/1", token="1")


def test_a_refused_query_says_why(store: Store) -> None:
    with pytest.raises(StoreRefused, match="no_such_table") as refusal:
        store.query("SELECT 1 FROM no_such_table")
    assert refusal.value.code == 60


def test_an_empty_batch_writes_nothing(store: Store) -> None:
    assert store.insert_lines("open_events", b"", tag="batch/1", token="1") == 0


def test_parameters_are_bound_as_they_are(store: Store) -> None:
    awkward = "it's a \\ and\ta\nline; {p:String} -- ü"
    for value in (awkward, "", "NULL"):
        assert store.query("SELECT {p:String}, {q:Array(String)}", {"p": value, "q": [value, value]}) == [
            (value, [value, value])
        ]


def test_long_lists_are_bound_too(store: Store) -> None:
    batches = [2**64 - 1 - number for number in range(20_000)]
    assert store.query(
        "SELECT length({b:Array(UInt64)}), has({b:Array(UInt64)}, 18446744073709551615)", {"b": batches}
    ) == [(20_000, 1)]


def test_small_inserts_keep_types(bare_store: Store) -> None:
    bare_store.command(
        "CREATE TABLE t (a UInt64, b Date, c DateTime64(3, 'UTC'), d Array(Date), e Map(String, String), f String)"
        " ENGINE = MergeTree ORDER BY a"
    )
    at = datetime(2026, 3, 29, 1, 59, 59, 123_000, tzinfo=UTC)
    row = (2**64 - 1, date(2026, 3, 29), at, [date(2026, 3, 28)], {"a": "b'\\"}, 'quote " and \\')
    bare_store.insert_rows("t", ("a", "b", "c", "d", "e", "f"), [row])
    assert bare_store.query("SELECT * FROM t") == [row]


def test_small_inserts_under_one_token_count_once(store: Store) -> None:
    row = (DAY, TIMEZONE, "open", 7, 1, 0, 5, "rounded", 1)
    for _ in range(2):
        store.insert_rows(
            "seals",
            ("day", "timezone", "origin", "seal", "events", "bounded", "k", "level", "days"),
            [row],
            token="seal",
        )
    assert count(store, "seals") == 1


def test_eight_writers_and_readers_at_once_lose_nothing(store: Store) -> None:
    def write_and_read(writer: int) -> int:
        written = 0
        for turn in range(5):
            written += store.insert_lines(
                "open_events", event_lines(writer, 1_000), tag=f"batch/{writer}", token=f"{writer}/{turn}"
            )
            assert store.query("SELECT count() FROM open_events WHERE batch = {b:UInt64}", {"b": writer}) == [
                (written,)
            ]
        return written

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write_and_read, range(8))) == count(store) == 40_000


def test_a_killed_statement_is_gone_when_kill_returns(store: Store) -> None:
    faults: list[Exception] = []

    def run() -> None:
        try:
            store.query(ENDLESS, settings={"log_comment": "endless"})
        except (StoreRefused, StoreUnavailable) as fault:
            faults.append(fault)

    thread = threading.Thread(target=run)
    thread.start()
    running = "SELECT count() FROM system.processes WHERE Settings['log_comment'] = 'endless'"
    deadline = time.monotonic() + DEADLINE_S
    while store.query(running) != [(1,)]:
        assert time.monotonic() < deadline
        time.sleep(POLL_S)
    store.kill("endless")
    assert store.query(running) == [(0,)]
    thread.join(DEADLINE_S)
    assert [type(fault) for fault in faults] == [StoreUnavailable]


def test_killing_what_does_not_run_returns(store: Store) -> None:
    store.kill("nobody's tag")


def test_a_dropped_partition_leaves_no_part_within_seconds(store: Store) -> None:
    for batch in range(3):
        store.insert_lines("open_events", event_lines(batch, 100), tag="batch", token=str(batch))
    store.command("OPTIMIZE TABLE open_events FINAL")
    store.command("ALTER TABLE open_events DROP PARTITION ({d:Date}, {z:String})", {"d": DAY, "z": TIMEZONE})
    detached = "SELECT count() FROM system.detached_parts WHERE database = currentDatabase() AND table = 'open_events'"
    started = time.monotonic()
    while store.query(PARTS) != [(0,)]:
        assert time.monotonic() < started + 15
        time.sleep(POLL_S)
    assert store.query(detached) == [(0,)]


def test_a_mutation_is_carried_out(store: Store) -> None:
    store.insert_lines("open_events", event_lines(1, 100), tag="batch", token="1")
    store.command("ALTER TABLE open_events DELETE WHERE position < 40", settings={"mutations_sync": 1})
    assert count(store) == 60


def test_the_stores_clock_is_told(store: Store) -> None:
    assert abs(store.now() - time.time()) < 60


def test_wherever_an_answer_breaks_off_the_store_is_said_to_have_failed(endpoint: Endpoint) -> None:
    """As ClickHouse does it where its memory ends: what is there of the rows, then the text of the exception."""
    proxy = StoreProxy(Fixed(endpoint))
    store = Store(Fixed(proxy.endpoint(endpoint.database)))
    asked = "SELECT toLowCardinality(toString(number)) AS text, toUInt64(number) AS number FROM numbers(3)"
    try:
        assert len(store.query(asked)) == 3
        whole: list[bytes] = []

        def breaks_off(exchange: Exchange) -> Answer:
            answer = exchange.forward()
            whole.append(answer.body)
            return replace(answer, body=answer.body[:place] + MEMORY_LIMIT)

        proxy.always = breaks_off
        for place in range(200):
            with pytest.raises((StoreUnavailable, StoreRefused)):
                store.query(asked)
            if place >= len(whole[-1]) - 1:
                break
        assert len(whole) > 50
    finally:
        store.close()
        proxy.close()


def test_a_wrong_password_is_refused(endpoint: Endpoint) -> None:
    stranger = Store(
        Fixed(Endpoint(endpoint.interface, endpoint.host, endpoint.port, endpoint.user, "wrong", endpoint.database))
    )
    with pytest.raises(StoreRefused) as refusal:
        stranger.query("SELECT 1")
    assert refusal.value.code in (193, 194, 516)


def test_an_absent_store_says_what_to_start(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="footfall store"):
        Store(Announced(tmp_path / "store.json")).query("SELECT 1")


def test_a_restarted_front_is_found_again(front: FrontProcess) -> None:
    store = front.store()
    migrate(store)
    store.insert_lines("open_events", event_lines(1, 10), tag="batch", token="1")
    port = front.endpoint["port"]
    front.kill()
    with pytest.raises(StoreUnavailable):
        count(store)
    front.start()
    assert count(store) == 10
    assert front.endpoint["port"] != port
    store.close()


def test_a_store_is_opened_as_the_settings_say(front: FrontProcess) -> None:
    embedded = open_store(load(None, front.data, {}))
    where = front.endpoint
    url = f"clickhouse://{where['user']}:{where['password']}@127.0.0.1:{where['port']}/elsewhere"
    server = open_store(load(None, front.data, {"FOOTFALL_AGGREGATOR__STORE": url}))
    assert [store.query("SELECT currentDatabase()") for store in (embedded, server)] == [
        [("footfall",)],
        [("elsewhere",)],
    ]
    embedded.close()
    server.close()


def test_opening_gives_up_in_time(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        open_store(load(None, tmp_path, {}), wait_s=0.2)


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("clickhouse://ann:p%40ss@db.test:9000/visits", Endpoint("http", "db.test", 9000, "ann", "p@ss", "visits")),
        ("clickhouses://db.test", Endpoint("https", "db.test", 8443, "default", "", "footfall")),
        ("clickhouse://[::1]/x", Endpoint("http", "::1", 8123, "default", "", "x")),
    ],
)
def test_addresses_of_servers_are_read(url: str, endpoint: Endpoint) -> None:
    assert read_url(url) == endpoint
    assert "p@ss" not in repr(read_url(url))


@pytest.mark.parametrize("url", ["http://db.test", "clickhouse://", "embedded"])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="clickhouse"):
        read_url(url)
