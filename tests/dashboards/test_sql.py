"""Analysts' SQL reaches trends and nothing else, whatever is tried, against the real store."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aggregator.store import Store, StoreRefused
from collector.settings import load
from dashboards.sql import LIMITS, READABLE, SqlRefused, checked, readable_in, select
from tests.dashboards.conftest import Sealer

DAY = date(2026, 3, 10)
SECRET = "secret-canary"
OTHER_TABLES = frozenset(
    {
        "open_events",
        "gathered_visits",
        "counted_cells",
        "trend_rows",
        "breakdown_rows",
        "cross_rows",
        "crossed_visits",
        "counted_crosses",
        "seals",
        "drains",
        "closings",
        "batches",
        "coverage_totals",
    }
    | {"committed_seals", "leases", "migrations"}
)


@pytest.fixture
def filled(store: Store, sealer: Sealer) -> Store:
    """A store with one sealed day, one that is not committed, and an open event; the last two hold a secret."""
    sealer.seal(DAY, [("example.com", 24, 1, 20), ("example.com", 9, 1, 5)], [("example.com", "page", "", "/", 20)])
    sealer.seal(date(2026, 3, 11), [], [("example.com", "page", "", SECRET, 20)], commit=False)
    for seal, value in store.query("SELECT seal, value FROM breakdown_rows"):
        columns = ("day", "timezone", "seal", "keep_until", "site", "dimension_a", "value_a", "dimension_b", "value_b")
        crossed = (DAY, "UTC", seal, date(2149, 6, 6), "example.com", "page", value, "os", "Linux", 15, 15)
        store.insert_rows("cross_rows", (*columns, "visitors", "visits"), [crossed])
    names = ("day", "timezone", "site", "at", "batch", "position", "generation", "visitor", "network", "kind", "path")
    at = datetime(2026, 3, 12, 9, tzinfo=UTC)
    row = (date(2026, 3, 12), "UTC", "example.com", at, 1, 1, 1, 424_242, 1, "view", SECRET)
    store.insert_rows("open_events", names, [row])
    return store


# --- what analysts ask ----------------------------------------------------------------------------------------------

QUESTIONS: dict[str, list[tuple[object, ...]]] = {
    "SELECT day, views FROM trend WHERE hour = 24": [(DAY, 20)],
    "SELECT sum(views) AS v FROM trend WHERE hour < 24 GROUP BY day WITH TOTALS": [(5,)],
    "WITH days AS (SELECT day, views FROM trend) SELECT max(views) FROM days": [(20,)],
    "SELECT value FROM breakdown WHERE dimension IN ('page', 'source') LIMIT 1 BY value": [("/",)],
    "SELECT value FROM breakdown WHERE day IN (SELECT day FROM trend)": [("/",)],
    "SELECT t.hour, b.value FROM trend AS t JOIN breakdown AS b ON t.day = b.day ORDER BY hour": [(9, "/"), (24, "/")],
    "SELECT hour FROM (SELECT hour FROM trend UNION ALL SELECT 7 AS hour) ORDER BY hour": [(7,), (9,), (24,)],
    "SELECT toStartOfMonth(day) AS m, sum(views) FROM trend GROUP BY m": [(date(2026, 3, 1), 25)],
    "SELECT toStartOfInterval(day, INTERVAL 1 WEEK) AS w FROM breakdown": [(date(2026, 3, 9),)],
    "SELECT dateDiff('day', toDate('2026-03-01'), day) FROM breakdown": [(9,)],
    "SELECT quantile(0.5)(views), uniqExact(day), countIf(views > 5) FROM trend": [(12.5, 1, 1)],
    "SELECT multiIf(views > 10, 'many', 'few') AS \"How many\" FROM trend ORDER BY hour": [("few",), ("many",)],
    "SELECT views::Float64 / 8, CAST(views AS String) FROM breakdown": [(2.5, "20")],
    "SELECT sum(views) OVER (ORDER BY hour ROWS UNBOUNDED PRECEDING) FROM trend ORDER BY hour": [(5,), (25,)],
    "SELECT arrayMap(x -> x + views, [1, 2]) FROM breakdown": [([21, 22],)],
    "SELECT argMax(value, views), has(groupArray(value), '/') FROM breakdown": [("/", 1)],
    "SELECT 'it''s', 'a\\'b', 'back\\\\', 'tab\\t', 'é' -- a comment": [("it's", "a'b", "back\\", "tab\t", "é")],
    "SELECT count() FROM trend WHERE hour = 24 AND day BETWEEN '2026-03-01' AND '2026-03-31'": [(1,)],
    "SELECT * EXCEPT (site, value) FROM breakdown": [(DAY, "page", "", 20, 20, 20, 20, 20, 20)],
    "SELECT count() FROM coverage": [(0,)],
    "SELECT value_b, visitors FROM cross_breakdown WHERE dimension_a = 'page' AND dimension_b = 'os'": [("Linux", 15)],
    "SELECT positionCaseInsensitive(value, '/'), splitByChar('/', value)[1] FROM breakdown": [(1, "")],
    "SELECT hour FROM trend WHERE NOT (hour = 24 OR site ILIKE '%org') /* so */": [(9,)],
}  # fmt: skip


@pytest.mark.parametrize("sql", QUESTIONS)
def test_a_select_over_trends_is_answered(filled: Store, sql: str) -> None:
    assert select(filled, sql) == QUESTIONS[sql]


# --- what attackers try ---------------------------------------------------------------------------------------------

ATTEMPTS = (
    # other tables, by every road to a table's name
    "SELECT * FROM open_events",
    "SELECT * FROM default.open_events",
    "SELECT * FROM `open_events`",
    'SELECT * FROM "open_events"',
    "SELECT * FROM seals",
    "SELECT * FROM committed_seals",
    "SELECT * FROM trend_rows",
    "SELECT * FROM coverage_totals",
    "FROM open_events SELECT *",
    "SELECT * FROM trend, open_events",
    "SELECT * FROM trend JOIN open_events USING day",
    "SELECT * FROM trend ARRAY JOIN open_events",
    "SELECT (SELECT max(visitor) FROM open_events)",
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM open_events WHERE visitor > 7)",
    "SELECT * FROM (SELECT * FROM (SELECT * FROM open_events))",
    "SELECT 1 UNION ALL SELECT visitor FROM open_events",
    "SELECT 1 INTERSECT SELECT visitor FROM open_events",
    "SELECT 1 EXCEPT SELECT visitor FROM open_events",
    "WITH open_events AS (SELECT 1 AS visitor) SELECT * FROM open_events",
    "WITH x AS (SELECT * FROM open_events) SELECT * FROM x",
    "SELECT * FROM (WITH open_events AS (SELECT 1) SELECT 1) AS a, open_events",
    "SELECT * FROM trend AS open_events",
    "SELECT count() FROM trend WHERE 7 IN open_events",
    "SELECT count() FROM trend WHERE 7 IN (open_events)",
    "SELECT count() FROM trend WHERE 7 GLOBAL IN open_events",
    "SELECT in(7, open_events)",
    "SELECT globalNotIn(7, open_events)",
    "SELECT open_events.visitor FROM trend",
    "SELECT * FROM trend WHERE views = (SELECT visitor FROM open_events LIMIT 1)",
    "TABLE open_events",
    "SELECT * FROM trend_rows FINAL",
    "SELECT COLUMNS('.*') FROM open_events",
    # the system's own tables, and other databases
    "SELECT * FROM system.tables",
    "SELECT * FROM system.query_log",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM INFORMATION_SCHEMA.columns",
    "SELECT count() FROM trend WHERE ('a', 'b') IN system.tables",
    "SELECT count() FROM trend WHERE 'open_events' IN (system.tables)",
    "SELECT count() FROM trend WHERE 'x' NOT IN ((system.parts))",
    "SELECT notIn('x', system.parts)",
    "SELECT nullIn('x', system.parts)",
    "SELECT \"in\"('x', system.parts)",
    "SELECT globalInIgnoreSet('x', system.parts)",
    # table functions
    "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "SELECT * FROM url('http://127.0.0.1/', 'LineAsString')",
    "SELECT * FROM remote('127.0.0.1', default.open_events)",
    "SELECT * FROM cluster('default', default.open_events)",
    "SELECT * FROM merge('default', 'open')",
    "SELECT * FROM merge('.*')",
    "SELECT * FROM view(SELECT * FROM open_events)",
    "SELECT * FROM numbers(10)",
    "SELECT * FROM executable('id', 'TabSeparated', 'x String')",
    "SELECT * FROM mergeTreeIndex('default', 'trend_rows')",
    "SELECT * FROM loop('default', 'open_events')",
    "SELECT * FROM dictionary('d')",
    "SELECT * FROM s3('http://127.0.0.1/x', 'CSV')",
    "SELECT * FROM sqlite('people.sqlite', 'tokens')",
    "SELECT * FROM viewExplain('EXPLAIN', '', (SELECT * FROM open_events))",
    "SELECT * FROM (EXPLAIN SELECT * FROM open_events)",
    "SELECT * FROM (SHOW TABLES)",
    "SELECT * FROM (DESCRIBE TABLE open_events)",
    "SELECT * FROM trend JOIN file('/etc/passwd') ON 1",
    "SELECT 7 IN file('/etc/passwd')",
    # functions that read elsewhere
    "SELECT file('/etc/passwd')",
    "SELECT FILE('/etc/passwd')",
    "SELECT `file`('/etc/passwd')",
    "SELECT file /* */ ('/etc/passwd')",
    "SELECT joinGet('open_events', 'visitor', 1)",
    "SELECT joinGetOrNull('default.open_events', 'visitor', 1)",
    "SELECT dictGet('d', 'x', 1)",
    "SELECT dictHas('d', 1)",
    "SELECT hasColumnInTable('default', 'open_events', 'visitor')",
    "SELECT getSetting('readonly')",
    "SELECT getServerSetting('max_server_memory_usage')",
    "SELECT getClientHTTPHeader('X-ClickHouse-Key')",
    "SELECT getMacro('replica')",
    "SELECT hostName()",
    "SELECT currentUser()",
    "SELECT user()",
    "SELECT version()",
    "SELECT sleep(3)",
    "SELECT sleepEachRow(1) FROM trend",
    "SELECT logTrace('written into the log')",
    "SELECT arrayMap(x -> file(x), ['/etc/passwd'])",
    "SELECT max(file('/etc/passwd')) OVER () FROM trend",
    "SELECT catboostEvaluate('/etc/passwd', 1)",
    "SELECT filesystemAvailable()",
    # other statements, and more than one
    "SELECT 1; SELECT * FROM open_events",
    "SELECT 1; DROP TABLE trend_rows",
    "DROP TABLE trend_rows",
    "INSERT INTO trend_rows SELECT * FROM trend_rows",
    "ALTER TABLE trend_rows DELETE WHERE 1",
    "CREATE TABLE x AS SELECT * FROM trend",
    "EXPLAIN SELECT * FROM trend",
    "DESCRIBE TABLE open_events",
    "SHOW CREATE TABLE open_events",
    "SET readonly = 0",
    "SYSTEM RELOAD CONFIG",
    "KILL QUERY WHERE 1",
    "GRANT ALL ON *.* TO x",
    "USE system",
    "",
    ";",
    "-- nothing",
    # settings, formats, files
    "SELECT * FROM trend SETTINGS readonly = 0",
    "SELECT * FROM (SELECT * FROM trend SETTINGS max_execution_time = 0)",
    "SELECT * FROM trend FORMAT Native",
    "SELECT * FROM trend INTO OUTFILE '/tmp/footfall-outfile'",
    "SELECT * FROM {table:Identifier}",
    "SELECT {x:String}",
    # places where ClickHouse reads text otherwise than the parser: comments, quotes, escapes
    "SELECT 1 /* /* */ UNION ALL SELECT visitor FROM open_events -- */ */",
    "SELECT * FROM (WITH `open\\x5fevents` AS (SELECT 1) SELECT 1) AS a, `open\\x5fevents` AS b",
    'SELECT * FROM (WITH "open\\x5fevents" AS (SELECT 1) SELECT 1) AS a, "open\\x5fevents" AS b',
    "SELECT * FROM (WITH `open\\u005fevents` AS (SELECT 1) SELECT 1) AS a, `open\\u005fevents` AS b",
    "SELECT * FROM (WITH “open_events” AS (SELECT 1) SELECT 1) AS a, “open_events” AS b",
    "SELECT ‘ -- ’, visitor FROM open_events",
    "SELECT ‘ /* ’, visitor FROM open_events -- */",
    "SELECT $$ -- $$, visitor FROM open_events",
    "SELECT $a$ ' $a$, visitor FROM open_events -- '",
    "SELECT 'a\\', visitor FROM open_events -- '",
    "SELECT 1 AS `a\\`, visitor FROM open_events -- `",
    "SELECT 1 #! \n, visitor FROM open_events",
    "SELECT 1 \x00, visitor FROM open_events",
)


def test_there_are_at_least_40_attempts() -> None:
    assert len(set(ATTEMPTS)) >= 40


@pytest.mark.parametrize("sql", ATTEMPTS)
def test_an_attempt_to_reach_further_reads_nothing(filled: Store, sql: str) -> None:
    """Most are refused before the store sees them; what ClickHouse reads otherwise runs as the parser read it."""
    try:
        rows = select(filled, sql)
    except (SqlRefused, StoreRefused) as refusal:
        rows = [(str(refusal),)]
    else:
        assert sql in HARMLESS, rows
    assert not re.search(f"424242|{SECRET}|root:", str(rows))


# Read by the parser as constants and comments, and sent so.
HARMLESS = (
    "SELECT 'a\\', visitor FROM open_events -- '",
    "SELECT 1 /* /* */ UNION ALL SELECT visitor FROM open_events -- */ */",
    "SELECT ‘ -- ’, visitor FROM open_events",
    "SELECT ‘ /* ’, visitor FROM open_events -- */",
)


@pytest.mark.parametrize("sql", [attempt for attempt in ATTEMPTS if attempt not in HARMLESS])
def test_an_attempt_is_refused_before_the_store_sees_it(sql: str) -> None:
    with pytest.raises(SqlRefused):
        checked(sql, OTHER_TABLES)


def test_a_refusal_says_in_one_line_what_is_readable() -> None:
    with pytest.raises(
        SqlRefused, match=r"^only these tables are readable: breakdown, coverage, cross_breakdown, flow, trend$"
    ):
        checked("SELECT * FROM open_events", OTHER_TABLES)


def test_a_statement_nested_a_thousand_deep_is_refused() -> None:
    with pytest.raises(SqlRefused):
        checked("SELECT " + "(" * 5_000 + "1" + ")" * 5_000, OTHER_TABLES)


def test_every_table_of_the_store_but_the_trends_is_refused(filled: Store) -> None:
    tables = [name for (name,) in filled.query("SELECT name FROM system.tables WHERE database = currentDatabase()")]
    assert set(tables) >= READABLE | OTHER_TABLES
    for name in set(tables) - READABLE:
        with pytest.raises(SqlRefused):
            select(filled, f"SELECT * FROM {name}")


def test_nothing_can_be_written_even_past_the_check(filled: Store) -> None:
    with pytest.raises(StoreRefused):
        filled.query("INSERT INTO trend_rows SELECT * FROM trend_rows", {}, LIMITS)


PIECES = st.sampled_from(
    ["'", '"', "\\", "`", "--", "/*", "*/", "$$", "#", "’", "‘", "a", " ", "\n", "n", "0", "\\'", "''"]
)


@settings(max_examples=300, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.lists(PIECES, max_size=8).map("".join))
def test_a_text_stays_one_text_whatever_is_in_it(store: Store, text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    assert select(store, f"SELECT '{quoted}' AS x, 7 AS y") == [(text, 7)]


def test_requests_are_not_read_where_numbers_have_noise_or_today_is_not_shown(filled: Store, tmp_path: Path) -> None:
    file = tmp_path / "footfall.toml"
    for privacy in ("live_view = false", 'live_view = false\nlevel = "dp"'):
        file.write_text(f'[privacy]\n{privacy}\n[[site]]\ndomain = "example.com"\n')
        readable = readable_in(load(file, tmp_path, {}))
        with pytest.raises(SqlRefused, match="only these tables are readable: breakdown, cross_breakdown, flow, trend"):
            select(filled, "SELECT sum(requests) FROM coverage", readable)
        assert select(filled, "SELECT count() FROM trend", readable)
    file.write_text('[[site]]\ndomain = "example.com"\n')
    assert readable_in(load(file, tmp_path, {})) == READABLE
