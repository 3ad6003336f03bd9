"""`footfall audit` finds nothing in a used installation, and each violation that is planted into it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aggregator.audit.examine import OF_THE_MACHINE, OF_THE_STORE, examine
from aggregator.finding import Finding
from collector.settings import Settings, load
from tests.aggregator import planting
from tests.aggregator.planting import (
    COPIED,
    MEASURES,
    Ground,
    Planting,
    file,
    in_spool,
    mode_of,
    open_event,
    statements,
    total,
    value,
)
from tests.collector.collecting import FIREFOX, asked, environment, until
from tests.installation import INGEST_TOKEN, Installation

VISITORS = 60
PAGES = ("/", "/shelf/a", "/shelf/b", "/checkout")
# What the test machine is like is not ours to change.
OF_THE_TEST_MACHINE = {"swap"}
STOPPED = ("seal", "drain", "collector", "worker", "dashboards")
NAMES = [*(check.name for check in OF_THE_MACHINE), *(check.name for check in OF_THE_STORE)]
TODAY, LONG_AGO, LAST_WEEK = 0, 60, 7
DAY_S = 86_400
OLD_TOTAL = (
    f"INSERT INTO trend_rows ({COPIED}) SELECT day - 60, timezone, seal, keep_until, site, hour, 99, {MEASURES}"
    " FROM trend_rows WHERE hour = 24 LIMIT 1"
)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Two sealed days, and today open."""
    installation = Installation(tmp_path_factory.mktemp("audited"), k=5, grace_minutes=0.05, workers=1)
    try:
        installation.start()
        for days_ago in (3, 2, 0):
            send(installation, days_ago)
        store = installation.store()
        tables = (
            "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name IN ('seals', 'open_events')"
        )
        until(lambda: store.query(tables) == [(2,)], "the store is migrated", 60.0)
        query = "SELECT (SELECT count() FROM seals), (SELECT count() FROM open_events)"
        until(lambda: store.query(query) == [(2, VISITORS * 2)], "two days are sealed, and one is open", 60.0)
        # A part that was dropped just now is there for a moment more.
        until(lambda: not store.query("SELECT 1 FROM system.parts WHERE table = 'open_events' AND NOT active"), "gone")
        yield installation
    finally:
        installation.remove()


def send(installation: Installation, days_ago: int) -> None:
    """One day's traffic of some networks, sent by a server that may assert addresses."""
    at = time.time() - days_ago * DAY_S - 1
    items = [
        {
            "n": "pageview",
            "u": f"https://example.com{PAGES[person % view]}",
            "c": "1",
            "time": at,
            "ip": f"198.51.{person}.7",
            "ua": FIREFOX,
        }
        for person in range(VISITORS)
        for view in (1, 4)
    ]
    headers = {"Authorization": f"Bearer {INGEST_TOKEN}"}
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", installation.port, timeout=10)) as connection:
        answer = asked(connection, "POST", "/api/events", json.dumps(items).encode(), headers)
    assert json.loads(answer.body)["accepted"] == 2 * VISITORS


@pytest.fixture(scope="module")
def ground(installation: Installation) -> Iterator[Ground]:
    """The installation with all but its store stopped, so that nobody heals what is planted."""
    assert installation.process is not None
    parts = installation.parts()
    stopped = [installation.process.pid, *(pid for part in STOPPED for pid in parts[part])]  # type: ignore[index]  # names of parts
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    yield Ground(installation, installation.store(), (datetime.now(UTC) - timedelta(days=3)).date())
    for pid in reversed(stopped):
        os.kill(pid, signal.SIGCONT)


def settings_of(installation: Installation, data: Path | None = None, **changed: str) -> Settings:
    changes = {f"FOOTFALL_{name}": setting for name, setting in changed.items()}
    return load(installation.folder / "footfall.toml", data or installation.data, changes)


def findings(settings: Settings) -> dict[str, Finding]:
    return {finding.check: finding for finding in examine(settings)}


def failed(found: dict[str, Finding]) -> set[str]:
    return {check for check, finding in found.items() if not finding.is_well} - OF_THE_TEST_MACHINE


def audit(installation: Installation, *options: str) -> subprocess.CompletedProcess[str]:
    """The real command."""
    where = ("--config", str(installation.folder / "footfall.toml"), "--data", str(installation.data))
    command = [sys.executable, "-m", "footfall", "audit", *where, *options]
    return subprocess.run(
        command, cwd=installation.folder, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )


# --- where all is well ----------------------------------------------------------------------------------------------


def test_a_used_installation_passes_with_status_0_and_a_line_with_evidence_for_each_check(
    installation: Installation,
) -> None:
    done = audit(installation)
    lines = done.stdout.splitlines()
    faults = [line for line in lines if line.startswith("FINDING")]
    assert [line for line in faults if " swap" not in line] == []
    assert done.returncode == (1 if faults else 0), done
    assert len(lines) == len(OF_THE_MACHINE) + len(OF_THE_STORE)
    assert all(": " in line for line in lines)


def test_for_machines_it_is_a_list_with_promise_evidence_and_advice(installation: Installation) -> None:
    told = json.loads(audit(installation, "--json").stdout)
    assert [each["check"] for each in told] == NAMES
    assert all(set(each) == {"check", "promise", "grade", "ok", "evidence", "advice"} for each in told)
    assert all(each["promise"] and each["evidence"] for each in told)
    assert all(each["ok"] == (each["grade"] != "FINDING") for each in told)
    assert [each["advice"] for each in told if each["grade"] == "ok" and each["advice"]] == []


def test_the_evidence_is_of_this_installation(installation: Installation) -> None:
    found = findings(settings_of(installation))
    assert found["modes of spools"].evidence.startswith("spool has mode 700")
    assert "2 days sealed" in found["parts of sealed days"].evidence
    assert f"{VISITORS * 2} open events" in found["age of open events"].evidence
    assert "2 sealed site-days" in found["group size"].evidence
    assert f"1 keys: {datetime.now(UTC).date()} in UTC" in found["lives of keys"].evidence
    assert int(found["core dumps"].evidence.split()[0]) >= 7
    assert "is open on 127.0.0.1" in found["sockets of the store"].evidence


def test_it_leaves_the_store_as_it_was(installation: Installation) -> None:
    store = installation.store()
    query = "SELECT name FROM system.databases ORDER BY name"
    before = store.query(query)
    findings(settings_of(installation))
    assert store.query(query) == before


# --- what is planted ------------------------------------------------------------------------------------------------


VIOLATIONS: dict[str, tuple[Planting, set[str], str]] = {
    "a token column in a trend": (
        statements("ALTER TABLE trend_rows ADD COLUMN token UInt64", "ALTER TABLE trend_rows DROP COLUMN token"),
        {"columns", "plain columns"},
        "trend_rows.token UInt64 is additional",
    ),
    "a sketch in a breakdown": (
        statements(
            "ALTER TABLE breakdown_rows ADD COLUMN people AggregateFunction(uniq, UInt64)",
            "ALTER TABLE breakdown_rows DROP COLUMN people",
        ),
        {"columns", "plain columns"},
        "breakdown_rows.people AggregateFunction(uniq, UInt64) is additional",
    ),
    "an additional table": (
        statements(
            "CREATE TABLE people (visitor UInt64) ENGINE = MergeTree ORDER BY visitor", "DROP TABLE people SYNC"
        ),
        {"tables", "plain columns"},
        "additional table people",
    ),
    "a missing table": (
        statements("RENAME TABLE closings TO elsewhere", "RENAME TABLE elsewhere TO closings"),
        {"tables", "uncommitted rows"},
        "missing table closings",
    ),
    "a table in another database": (
        planting.table_elsewhere,
        {"other databases"},
        "table elsewhere.people",
    ),
    "a view that shows open events": (
        statements("CREATE VIEW peek AS SELECT visitor FROM open_events", "DROP VIEW peek"),
        {"tables"},
        "additional table peek",
    ),
    "a fail-safe taken away": (
        statements(
            "ALTER TABLE open_events REMOVE TTL",
            "ALTER TABLE open_events MODIFY TTL inserted + toIntervalDay(if(endsWith(timezone, '/week'), 10, 3))",
        ),
        {"definitions", "time limits"},
        "open_events has nothing where the migrations say TTL inserted + toIntervalDay(if(endsWith(timezone",
    ),
    "inserts that are not synced": (
        statements(
            "ALTER TABLE seals MODIFY SETTING fsync_after_insert = 0",
            "ALTER TABLE seals MODIFY SETTING fsync_after_insert = 1",
        ),
        {"definitions"},
        "seals has SETTINGS fsync_after_insert = 0 where the migrations say SETTINGS fsync_after_insert = 1",
    ),
    "a day gathered by a sealer that died": (
        statements(
            "INSERT INTO gathered_visits (day, gathered, visitor) VALUES ('2026-01-01', now() - INTERVAL 4 HOUR, 1)",
            "TRUNCATE TABLE gathered_visits",
        ),
        {"gathered for a seal"},
        "1 rows in gathered_visits since 4.0 h",
    ),
    "a row below k": (total(visitors="2"), {"group size", "rounding"}, "a row of 2 visitors, k = 5"),
    "bounces of few visits": (
        total(visits="15", bounces="10"),
        {"group size"},
        "bounces of 15 visits, k = 5",
    ),
    "an exact number": (
        value(views="61"),
        {"rounding"},
        "not every number is a multiple of k = 5",
    ),
    "rows of a seal that was not committed": (
        total(seal="4711"),
        {"uncommitted rows"},
        "trend_rows: 1 rows of",
    ),
    "a row past its time": (
        value(keep_until="today() - 3"),
        {"rows past their time"},
        "breakdown_rows: 1 rows that were to go by",
    ),
    "a row that is kept too long": (total(keep_until="today() + 3650"), {"retention"}, "kept until"),
    "rows of a site that was removed": (
        total(site="'gone.example'"),
        {"removed sites"},
        "trend_rows: 1 rows of gone.example",
    ),
    "an e-mail address as a value": (
        value(value="'anna@mail.example'"),
        {"values"},
        "example.com: 1 values of browser look like an e-mail address",
    ),
    "an e-mail address in a cross": (
        planting.cross(value_a="'ada@example.org'"),
        {"values"},
        "example.com: 1 values of browser look like an e-mail address",
    ),
    "an exact number in a cross": (planting.cross(visitors="61", visits="61"), {"rounding"}, "not every number"),
    "a cross of a seal that was not committed": (
        planting.cross(seal="4711"),
        {"uncommitted rows"},
        "cross_rows: 1 rows of",
    ),
    "an IP address as a value": (value(value="'192.0.2.77'"), {"values"}, "look like an IP address"),
    "a token as a value": (value(value="'9f86d081884c7d659a2feaa0'"), {"values"}, "look like a token"),
    "an open event past its time": (open_event(TODAY, 80), {"age of open events"}, "the oldest inserted 80.0 h ago"),
    "an open day past its time": (open_event(LAST_WEEK, 5), {"days not sealed"}, "should be sealed since 5.0 h"),
    "a part of a sealed day": (planting.part_of_a_sealed_day, {"parts of sealed days"}, "active part"),
    "a detached part": (planting.detached_part, {"detached parts"}, "of no open day"),
    "a folder of a sealed day": (planting.folder_of_a_sealed_day, {"folders of sealed days"}, "tmp_merge_000"),
    "a token in a record of changes": (
        planting.record_of_a_token,
        {"records of changes", "detached parts"},
        "records of changes name tokens of days that are gone",
    ),
    "a key file left": (
        file(lambda ground: ground.keys / "2026-01-05@Europe%2FBerlin", age_s=LONG_AGO * DAY_S),
        {"lives of keys"},
        "the key of 2026-01-05 in Europe/Berlin should be gone since",
    ),
    "a key of a sealed day": (planting.key_of_a_sealed_day, {"keys of sealed days"}, "a sealed day, is there"),
    "a draw of noise left": (
        file(lambda ground: ground.keys / "drawn-2026-01-05@Europe%2FBerlin", age_s=LONG_AGO * DAY_S),
        {"draws of noise"},
        "the draw of 2026-01-05 in Europe/Berlin is 1440.0 h old",
    ),
    "a draw of a sealed day": (planting.draw_of_a_sealed_day, {"draws of sealed days"}, "a sealed day, is there"),
    "a draw that others can read": (
        file(lambda ground: ground.keys / "drawn-2026-01-05@UTC", 0o644),
        {"key folder"},
        "a file of 2026-01-05 has mode 644",
    ),
    "a draft of a draw left": (
        file(lambda ground: ground.keys / ".drawn-4711", age_s=600),
        {"other files among keys"},
        ".drawn-4711 is no key of a day",
    ),
    "hours beside noise": (
        statements(
            "ALTER TABLE seals UPDATE level = 'dp', epsilon = 1 WHERE true",
            "ALTER TABLE seals UPDATE level = 'rounded', epsilon = 0 WHERE true",
        ),
        {"noise"},
        "rows that level dp does not publish",
    ),
    "a key that others can read": (
        mode_of(lambda ground: next(ground.keys.glob("*@UTC")), 0o644),
        {"key folder"},
        "has mode 644",
    ),
    "a key without a day": (
        file(lambda ground: ground.keys / "copy", age_s=600),
        {"other files among keys"},
        "copy is no key of a day",
    ),
    "a key in the data folder": (
        file(lambda ground: ground.data / "run" / "2026-01-05@UTC"),
        {"keys outside"},
        "run/2026-01-05@UTC has the name of a key",
    ),
    "a world-readable spool": (
        mode_of(lambda ground: ground.spool, 0o644),
        {"modes of spools"},
        "spool/spool-0.sqlite has mode 644",
    ),
    "a world-readable spool folder": (
        mode_of(lambda ground: ground.spool.parent, 0o755),
        {"modes of spools"},
        "spool has mode 755",
    ),
    "a spooled event past its time": (
        in_spool(
            "INSERT INTO rows VALUES (1000, '2026-01-05', 'UTC', unixepoch() - 300000, 1, 1, 'x', 0)",
            "DELETE FROM rows WHERE id = 1000",
        ),
        {"age of spooled events"},
        "spool/spool-0.sqlite: a row waits for 83.3 h",
    ),
    "refused lines past their time": (
        in_spool("INSERT INTO quarantine VALUES (1, '2026-01-05', 'UTC', '')", "DELETE FROM quarantine"),
        {"quarantine"},
        "1 rows of 2026-01-05",
    ),
    "a damaged spool set aside past its time": (
        file(lambda ground: ground.spool.with_name("damaged-spool-0-1767600000000.sqlite")),
        {"damaged spools"},
        "damaged-spool-0-",
    ),
    "a freed page with an event of a sealed day": (
        planting.freed_page_of_a_sealed_day,
        {"sealed days in spools"},
        "spool/spool-0.sqlite holds events of",
    ),
    "a withdrawal of a sealed day": (
        planting.withdrawal_of_a_sealed_day,
        {"sealed days in spools"},
        "spool/spool-0.sqlite holds events of",
    ),
    "world-readable accounts": (
        mode_of(lambda ground: ground.data / "people.sqlite", 0o644),
        {"modes of files"},
        "people.sqlite has mode 644",
    ),
    "a world-readable secret": (
        mode_of(lambda ground: ground.data / "run" / "store.json", 0o640),
        {"modes of files"},
        "run/store.json has mode 640",
    ),
    "a data folder that others can enter": (
        mode_of(lambda ground: ground.data, 0o711),
        {"mode of the data folder"},
        "has mode 711",
    ),
    "a world-readable log": (
        file(lambda ground: ground.data / "serve.log", 0o644),
        {"modes of logs"},
        "serve.log has mode 644",
    ),
    "a temporary file left": (
        file(lambda ground: ground.data / "tmp" / "store" / "sorted", age_s=2 * 3_600),
        {"temporary files"},
        "tmp/store/sorted is left",
    ),
    "a log of statements": (
        statements("CREATE TABLE system.query_log (query String) ENGINE = Memory", "DROP TABLE system.query_log"),
        {"logs of statements"},
        "system.query_log is kept",
    ),
    "a log of lines": (
        statements("CREATE TABLE system.text_log (message String) ENGINE = Memory", "DROP TABLE system.text_log"),
        {"logs of statements"},
        "system.text_log is kept",
    ),
    "a process that may write core files": (planting.core_files, {"core dumps"}, "may write core files"),
    "a store that the network can reach": (planting.open_port, {"sockets of the store"}, "is open on ::"),
}


@pytest.mark.parametrize("violation", VIOLATIONS)
def test_what_is_planted_is_found_and_nothing_else(ground: Ground, violation: str) -> None:
    plant, checks, evidence = VIOLATIONS[violation]
    with plant(ground):
        found = findings(settings_of(ground.installation))
    assert failed(found) == checks
    assert evidence in " ".join(found[check].evidence for check in checks)
    assert all(found[check].advice for check in checks)


@pytest.mark.parametrize("violation", ["a row below k", "a key file left", "a world-readable spool"])
def test_a_finding_is_a_line_and_exit_status_1(ground: Ground, violation: str) -> None:
    plant, checks, evidence = VIOLATIONS[violation]
    with plant(ground):
        done = audit(ground.installation)
    assert done.returncode == 1
    lines = [line for line in done.stdout.splitlines() if line.startswith("FINDING") and " swap" not in line]
    assert len(lines) == len(checks)
    assert evidence in " ".join(lines)


def test_a_value_that_looks_like_a_person_is_not_repeated(ground: Ground) -> None:
    with value(value="'anna@mail.example'")(ground):
        told = " ".join(map(str, findings(settings_of(ground.installation)).values()))
    assert "anna" not in told


def test_with_every_violation_taken_out_again_it_passes(ground: Ground) -> None:
    for plant, _, _ in (VIOLATIONS["a row below k"], VIOLATIONS["an open event past its time"]):
        with plant(ground):
            pass
    assert failed(findings(settings_of(ground.installation))) == set()


# --- where a start is not over --------------------------------------------------------------------------------------


def test_tables_that_are_still_being_made_are_waited_for(ground: Ground) -> None:
    """A service that has just started is no violation; one that does not go on is one finding, not a dozen."""
    (last,) = ground.store.query(
        "SELECT number, name, toString(applied_at) FROM migrations ORDER BY number DESC LIMIT 1"
    )
    ground.store.command(f"DELETE FROM migrations WHERE number = {last[0]}")
    unfinished = {finding.check: finding for finding in examine(settings_of(ground.installation), 0.0)}
    assert list(unfinished)[-1] == "store"
    assert (
        f"tables of this version are missing; {len(OF_THE_STORE)} checks were not made" in unfinished["store"].evidence
    )
    checks = examine(settings_of(ground.installation))
    told = [next(checks) for _ in OF_THE_MACHINE]
    made = threading.Timer(1.0, ground.store.command, [f"INSERT INTO migrations VALUES {last}"])
    made.start()
    told += checks
    made.join()
    assert failed({finding.check: finding for finding in told}) == set()
    assert [finding.check for finding in told] == NAMES


# --- what is configured ---------------------------------------------------------------------------------------------


def test_a_site_that_left_the_configuration_is_found_by_its_data(installation: Installation) -> None:
    found = findings(settings_of(installation, SITE__DOMAIN="example.org"))
    assert {"removed sites"} <= failed(found)
    assert "rows of example.com" in found["removed sites"].evidence


def test_a_development_site_beside_a_public_address_is_found(installation: Installation) -> None:
    public = findings(
        settings_of(installation, SITE__DOMAIN="localhost", COLLECTOR__LISTEN=f"0.0.0.0:{installation.port}")
    )
    assert "localhost beside a collector that listens on 0.0.0.0" in public["development sites"].evidence
    assert not public["development sites"].is_well
    private = findings(settings_of(installation, SITE__DOMAIN="localhost"))
    assert private["development sites"].grade == "ok"


def test_consent_taken_for_granted_and_exact_numbers_are_remarks(installation: Installation) -> None:
    changed = settings_of(installation, SITE__CONSENT="{assumed = true}", SITE__LEVEL="exact")
    found = findings(changed)
    assert (found["assumed consent"].grade, found["exact sites"].grade) == ("remark", "remark")
    assert found["assumed consent"].evidence == "taken for granted on example.com"
    assert found["exact sites"].evidence == "level exact: example.com"
    assert failed(found) == set()


def test_rows_past_a_retention_that_was_shortened_are_found(ground: Ground) -> None:
    shortened = settings_of(ground.installation, SITE__RETENTION_MONTHS="1")
    assert "retention" not in failed(findings(shortened))
    with statements(OLD_TOTAL, "ALTER TABLE trend_rows DELETE WHERE span = 99")(ground):
        assert "is past the retention of its site" in findings(shortened)["retention"].evidence


def test_a_store_that_lies_elsewhere_is_found(installation: Installation, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    shutil.copy(installation.data / "run" / "store.json", tmp_path / "run" / "store.json")
    tmp_path.chmod(0o700)
    found = findings(settings_of(installation, tmp_path))
    assert "paths of the store" in failed(found)


def test_without_its_store_it_tells_the_rest_and_fails(installation: Installation, tmp_path: Path) -> None:
    found = findings(settings_of(installation, tmp_path / "nowhere"))
    assert list(found)[-1] == "store"
    assert not found["store"].is_well
    assert f"{len(OF_THE_STORE)} checks were not made" in found["store"].evidence
    assert not found["mode of the data folder"].is_well
    assert "could not be looked at" in found["mode of the data folder"].evidence


def test_every_check_is_shown_to_fail() -> None:
    """All but three: a test can neither give this machine swap, nor take its volume, nor make chDB write a log."""
    shown = set().union(*(checks for _, checks, _ in VIOLATIONS.values()))
    shown |= {"removed sites", "development sites", "retention", "paths of the store", "mode of the data folder"}
    remarks = {"assumed consent", "exact sites", "volume"}
    every = {*NAMES}
    assert every - shown - remarks == {"swap", "log level"}
