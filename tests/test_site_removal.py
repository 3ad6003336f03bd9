"""`footfall site remove` at a real installation: no byte of the site is left, and nothing of the others is touched."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aggregator.store import Store, StoreRefused, StoreUnavailable
from tests.bytes_on_disk import forms, holders
from tests.collector.collecting import Collector, until
from tests.faults.accounting import zone_at_noon
from tests.installation import RECOVERY_S, Installation, token_of

GONE = "gone-for-good.example"
PLANTED = "/planted-4711-page"
NETWORKS = 6
DAY_S = 86_400.0


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    timezone = zone_at_noon()
    installation = Installation(tmp_path / "i", timezone, grace_minutes=0, k=5, workers=1, others={GONE: timezone})
    try:
        installation.start()
        yield installation
    finally:
        installation.remove()


def send(installation: Installation, site: str, at: float) -> None:
    """A visitor of each of six networks sees the planted page."""
    items = [
        {"n": "pageview", "u": f"https://{site}{PLANTED}", "d": site, "c": "1", "ip": f"24.113.{number}.7", "time": at,
         "ua": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}
        for number in range(NETWORKS)
    ]  # fmt: skip
    answer = Collector(installation.folder, port=installation.port).bulk(json.dumps(items).encode(), token_of(site))
    assert json.loads(answer.body)["accepted"] == NETWORKS, answer


def rows(store: Store, table: str, site: str) -> int:
    try:
        return int(store.query(f"SELECT count() FROM {table} WHERE site = {{site:String}}", {"site": site})[0][0])
    except (StoreUnavailable, StoreRefused):
        return -1


def take_out_of_the_file(installation: Installation) -> None:
    kept, _, _ = installation.config.read_text().partition(f'[[site]]\ndomain = "{GONE}"')
    installation.config.write_text(kept)


def reload(installation: Installation) -> None:
    assert installation.process is not None
    before = installation.parts()["collector"]
    os.kill(installation.process.pid, signal.SIGHUP)
    until(lambda: installation.parts()["collector"] not in ([], before), "the collector is another one", RECOVERY_S)
    installation.wait_until_ready()


def test_a_removed_site_leaves_no_byte_and_all_of_the_others(installation: Installation) -> None:
    store = installation.store()
    for command in (("user", "add", "mira"), ("token", "add", "reports", "--role", "viewer")):
        assert installation.run(*command, "--site", GONE).returncode == 0
    for site in (GONE, "example.com"):
        send(installation, site, time.time() - 2 * DAY_S)
        send(installation, site, time.time())
    until(lambda: rows(store, "trend_rows", GONE) > 0, "the past day is sealed", RECOVERY_S)
    until(lambda: rows(store, "open_events", GONE) == NETWORKS, "today is open", RECOVERY_S)
    tokens = [token for (token,) in store.query(f"SELECT visitor FROM open_events WHERE site = '{GONE}'")]
    sought = forms([GONE], tokens)
    held = holders([installation.data], sought)
    assert any(name.startswith("store/") for name in held), "the search finds what there is"
    assert {"people.sqlite", "spool/zones.json"} <= {name.removesuffix("-wal") for name in held}
    shown = rows(store, "breakdown", "example.com")

    told = installation.run("site", "remove", GONE, "--yes")
    assert (told.returncode, told.stderr.count("\n")) == (2, 1)
    assert "is in the configuration" in told.stderr
    take_out_of_the_file(installation)
    assert "still takes events" in installation.run("site", "remove", GONE, "--yes").stderr
    reload(installation)
    assert GONE in installation.run("doctor").stdout
    told = installation.run("site", "remove", GONE)
    assert (told.returncode, told.stdout) == (2, "")
    assert f"{NETWORKS} events of open days" in told.stderr
    assert "the user mira" in told.stderr
    assert "the token reports" in told.stderr
    told = installation.run("site", "remove", GONE, "--yes")
    assert (told.returncode, told.stdout.splitlines()[-1:]) == (0, [f"nothing of {GONE} is left"]), told.stderr

    assert holders([installation.data], sought) == set()
    assert rows(store, "breakdown", "example.com") == shown > 0
    assert rows(store, "open_events", "example.com") == NETWORKS
    ledger = installation.told_ledger()
    assert ledger.is_balanced, ledger.text
    assert (ledger.terms["received"], ledger.terms["removed"], ledger.terms["open"]) == (
        4 * NETWORKS,
        NETWORKS,
        NETWORKS,
    )
    again = installation.run("site", "remove", GONE, "--yes")
    assert (again.returncode, again.stdout.splitlines()[0]) == (0, "deleting what may be left")
    assert installation.run("site", "list").stdout.split("\t")[0] == "example.com"
