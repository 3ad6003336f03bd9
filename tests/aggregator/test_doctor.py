"""`footfall doctor` finds what is wrong, says so in one line with what to do, and finds nothing where all is well."""

from __future__ import annotations

import contextlib
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from aggregator.arrivals import Arrival, publish
from aggregator.doctor import MAX_WAITING, conservation, examine
from aggregator.endpoint import Endpoint
from aggregator.finding import Finding
from aggregator.store import Store
from collector.group import Counted, Group
from collector.keys import file_system_of
from collector.settings import Settings, load
from collector.spool import open_spool
from collector.spool_file import connect
from tests.aggregator.event_lines import event_lines
from tests.collector.collecting import MEMORY

OF_HERE = (
    *("data folder", "disk", "permissions", "damaged spools", "key folder"),
    *("swap", "country file", "clock", "time zones", "trusted proxies"),
)
CHECKS = (*OF_HERE, "store", "store settings", "clocks", "backlog", "ledger", "sites", "days", "proxies")
# What the test machine is like is not ours to change.
OF_THE_MACHINE = {"disk", "swap", "permissions"}
Configured = Callable[..., Settings]


@pytest.fixture
def configured(tmp_path: Path, store: Store, endpoint: Endpoint) -> Iterator[Configured]:
    """Settings of an installation that is well, over the session's store; `changes` are settings of the environment."""
    keys = Path(tempfile.mkdtemp(prefix="footfall-doctor-", dir=MEMORY))
    (tmp_path / "data").mkdir(mode=0o700)
    where = f"clickhouse://{endpoint.user}:{endpoint.password}@{endpoint.host}:{endpoint.port}/{endpoint.database}"

    def make(**changes: str) -> Settings:
        named = {"AGGREGATOR__STORE": where, "PRIVACY__KEY_DIR": str(keys), "SITE__DOMAIN": "example.com"} | changes
        return load(None, tmp_path / "data", {f"FOOTFALL_{name}": value for name, value in named.items()})

    yield make
    shutil.rmtree(keys)


def found(settings: Settings) -> dict[str, Finding]:
    return {finding.check: finding for finding in examine(settings)}


def test_all_checks_run_and_find_nothing_where_all_is_well(configured: Configured) -> None:
    findings = found(configured())
    assert tuple(findings) == CHECKS
    assert [name for name, finding in findings.items() if not finding.is_well and name not in OF_THE_MACHINE] == []
    assert all(finding.evidence for finding in findings.values())


def test_a_finding_is_one_line_and_tells_what_to_do_only_where_it_fails() -> None:
    assert str(Finding("disk", "ok", "2.0 GiB free", "free some")) == "ok      disk: 2.0 GiB free"
    assert str(Finding("disk", "FINDING", "0.2 GiB free", "free some")) == "FINDING disk: 0.2 GiB free; free some"
    assert str(Finding("rows", "remark", "2", "see", "P5 none")) == "remark  rows [P5]: 2; see"


def test_a_data_folder_that_others_can_read_is_found(configured: Configured) -> None:
    settings = configured()
    settings.data.chmod(0o755)
    finding = found(settings)["data folder"]
    assert not finding.is_well
    assert finding.evidence.endswith("has mode 755")
    assert finding.advice == f"run chmod 700 {settings.data}"


def test_a_data_folder_that_is_not_there_is_found(configured: Configured) -> None:
    settings = configured()
    settings.data.rmdir()
    assert "is not there; start `footfall serve` once" in str(found(settings)["data folder"])


def test_a_key_folder_on_a_disk_is_found(configured: Configured, tmp_path: Path) -> None:
    if file_system_of(tmp_path) in {"tmpfs", "ramfs"}:
        pytest.skip("the temporary folder of this machine is memory-backed itself")
    (tmp_path / "keys").mkdir(mode=0o700)
    finding = found(configured(PRIVACY__KEY_DIR=str(tmp_path / "keys")))["key folder"]
    assert not finding.is_well
    assert "is not memory-backed" in finding.evidence


def test_a_country_file_that_is_not_there_is_found(configured: Configured, tmp_path: Path) -> None:
    finding = found(configured(COLLECTOR__COUNTRY_FILE=str(tmp_path / "nowhere.mmdb")))["country file"]
    assert not finding.is_well
    assert finding.advice == "set collector.country_file to a readable .mmdb file"


def test_a_store_that_does_not_answer_is_one_finding_and_the_local_checks_are_told(configured: Configured) -> None:
    findings = found(configured(AGGREGATOR__STORE="clickhouse://me:s3cret@127.0.0.1:9/footfall"))
    assert tuple(findings) == (*OF_HERE, "store")
    assert not findings["store"].is_well
    assert "s3cret" not in str(findings["store"])


def test_a_spool_that_lost_an_event_is_found(configured: Configured) -> None:
    settings = configured()
    spool = open_spool(settings.collector.spool_dir, 1 << 30)
    group = Group()
    group.count(Counted("2026-03-04", "example.com", "accepted", ""))
    spool.commit(group, 1.0)
    finding = found(settings)["ledger"]
    assert not finding.is_well
    assert "spool-0.sqlite: accepted 1, accounted for 0" in finding.evidence
    spool.close()


def test_a_balanced_spool_is_told_in_numbers(configured: Configured) -> None:
    settings = configured()
    spool = open_spool(settings.collector.spool_dir, 1 << 30)
    group = Group()
    group.add(date(2026, 3, 4), "UTC", b"{}\n")
    group.count(Counted("2026-03-04", "example.com", "accepted", ""))
    group.count(Counted("2026-03-04", "example.com", "dropped", "bot"), 2)
    spool.commit(group, 1.0)
    finding = found(settings)["ledger"]
    assert finding.is_well
    assert finding.evidence.startswith("received 3 = dropped 2 + invalid 0 + in spool 1 + open 0")
    spool.close()


def test_an_event_that_the_store_has_twice_is_found(configured: Configured, store: Store) -> None:
    store.insert_lines("open_events", event_lines(7, 3), tag="twice", token="twice")
    assert not found(configured())["ledger"].is_well


@pytest.mark.parametrize(("waiting", "is_well"), [(MAX_WAITING - 1, True), (MAX_WAITING, False)])
def test_a_backlog_that_grows_is_found(configured: Configured, waiting: int, is_well: bool) -> None:
    settings = configured()
    spool = open_spool(settings.collector.spool_dir, 1 << 30)
    with contextlib.closing(connect(spool.file)) as connection:
        connection.execute("INSERT INTO rows VALUES (1, '2026-03-04', 'UTC', 1.0, ?, 1, '', NULL)", (waiting,))
    finding = found(settings)["backlog"]
    assert finding.is_well == is_well
    assert finding.evidence == f"{waiting} events wait in the spool"
    spool.close()


def test_a_site_that_vanished_from_the_configuration_is_named(configured: Configured, store: Store) -> None:
    store.insert_lines("open_events", event_lines(1, 2, site="gone.example"), tag="gone", token="gone")
    finding = found(configured())["sites"]
    assert not finding.is_well
    assert finding.evidence.endswith("gone.example")


def test_the_ledger_alone_is_a_line_for_each_spool_and_term_and_one_for_the_sum(
    configured: Configured, store: Store
) -> None:
    settings = configured()
    spool = open_spool(settings.collector.spool_dir, 1 << 30)
    store.insert_lines("open_events", event_lines(7, 3), tag="one", token="one")
    told = {finding.check: finding for finding in conservation(settings)}
    assert tuple(told) == (
        *("spool-0.sqlite", "received", "dropped", "invalid", "in spool", "open", "sealed", "late", "expired"),
        *("quarantined", "withdrawn", "removed", "ledger"),
    )
    assert told["spool-0.sqlite"].evidence == (
        "received 0 = dropped 0 + invalid 0 + in spool 0 + drained 0 + late 0 + expired 0 + quarantined 0"
    )
    assert told["received"].evidence.startswith("0 ")
    assert told["open"].evidence == "3 events of days that are not sealed"
    assert told["ledger"].evidence == (
        "received 0 = dropped 0 + invalid 0 + in spool 0 + open 3 + sealed 0 + late 0 + expired 0 + quarantined 0"
        " + withdrawn 0 + removed 0; store: drained 0, found 3"
        " ({'open': 3, 'sealed': 0, 'late': 0, 'expired': 0, 'withdrawn': 0, 'removed': 0})"
    )
    assert not told["ledger"].is_well
    spool.close()


def test_a_table_that_does_not_sync_its_inserts_is_found(configured: Configured, store: Store) -> None:
    store.command("ALTER TABLE seals MODIFY SETTING fsync_after_insert = 0")
    finding = found(configured())["store settings"]
    store.command("ALTER TABLE seals MODIFY SETTING fsync_after_insert = 1")
    assert not finding.is_well
    assert finding.evidence == "seals lacks fsync_after_insert = 1"
    assert found(configured())["store settings"].is_well


def test_an_event_of_the_future_is_found(configured: Configured, store: Store) -> None:
    store.command(
        "INSERT INTO open_events (day, timezone, site, at) SELECT today() + 1, 'UTC', 'example.com', now() + 86400"
    )
    finding = found(configured())["clocks"]
    assert not finding.is_well
    assert "ahead of this clock" in finding.evidence


def test_a_collector_on_loopback_that_trusts_no_proxy_is_a_remark(configured: Configured) -> None:
    remark = found(configured())["trusted proxies"]
    assert (remark.grade, remark.advice) == ("remark", "name the proxy before it in collector.trusted_proxies")
    named = found(configured(COLLECTOR__TRUSTED_PROXIES="127.0.0.1/32"))["trusted proxies"]
    assert (named.grade, named.evidence) == ("ok", "127.0.0.1/32")
    assert found(configured(COLLECTOR__LISTEN="0.0.0.0:8000"))["trusted proxies"].grade == "ok"
    assert found(configured(SITE__DOMAIN="localhost"))["trusted proxies"].grade == "ok"


def test_a_site_whose_requests_all_come_from_one_network_is_named(configured: Configured, store: Store) -> None:
    publish(store, [(1, "example.com", Arrival(time.time(), "accepted", "", behind_one_network=True))])
    finding = found(configured())["proxies"]
    assert not finding.is_well
    assert finding.evidence.endswith("example.com")


def test_memory_that_cannot_be_locked_is_found(configured: Configured) -> None:
    before = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, before[1]))
    try:
        finding = found(configured())["permissions"]
    finally:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, before)
    assert not finding.is_well
    assert "only 0 bytes may be locked into memory" in finding.evidence
