"""A site's time zone is changed in the configuration of a running installation, from Los Angeles to Kolkata.

The day that is counted goes on to its end there; what comes after is counted in Kolkata, and no day in both.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
from datetime import date
from pathlib import Path

import pytest

from aggregator.store import Store
from collector.days import ends_at
from tests.collector.collecting import FIREFOX, asked, until
from tests.faults.own_clock import IS_POSSIBLE, OwnClock
from tests.faults.test_clock_jumps import ClockedInstallation
from tests.installation import INGEST_TOKEN

pytestmark = [
    pytest.mark.skipif(not IS_POSSIBLE, reason="clocks of its own are for Linux on x86-64 alone"),
    pytest.mark.timeout(240),
]

LOS_ANGELES, KOLKATA = "America/Los_Angeles", "Asia/Kolkata"
DAY = date(2026, 12, 3)
HOUR_S = 3_600.0


def send(installation: ClockedInstallation, name: str, at: float | None = None) -> None:
    """One event, of now or, by the site's server, of `at`."""
    event = {"n": name, "u": "https://example.com/", "d": "example.com", "c": "1"}
    path, body, headers = "/api/event", json.dumps(event), {"User-Agent": FIREFOX}
    if at is not None:
        path, body = "/api/events", json.dumps([{**event, "time": at}])
        headers = {"Authorization": f"Bearer {INGEST_TOKEN}"}
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", installation.port, timeout=30.0)) as connection:
        assert asked(connection, "POST", path, body.encode(), headers).footfall == "accepted"


def counted(store: Store) -> dict[str, tuple[date, str]]:
    return {name: (day, zone) for name, day, zone in store.query("SELECT name, day, timezone FROM open_events")}


def reload(installation: ClockedInstallation, timezone: str) -> None:
    """The configuration says another zone, and SIGHUP says so."""
    text = installation.config.read_text()
    installation.config.write_text(text.replace(installation.timezone, timezone))
    installation.timezone = timezone
    before = installation.parts()["worker"]
    assert installation.process is not None
    installation.process.send_signal(signal.SIGHUP)
    until(lambda: not set(before) & set(installation.parts()["worker"]), "the workers are new", 60.0)
    installation.wait_until_ready()


def test_a_changed_time_zone_counts_from_the_next_day_on_across_reload_and_restart(
    tmp_path: Path, own_clock: OwnClock
) -> None:
    midnight = ends_at(DAY, LOS_ANGELES)
    own_clock.move_to(midnight - 5 * HOUR_S)
    installation = ClockedInstallation(tmp_path, timezone=LOS_ANGELES, clock=own_clock)
    with contextlib.ExitStack() as ending:
        ending.callback(installation.remove)
        installation.start()
        store = installation.store()
        send(installation, "before")
        reload(installation, KOLKATA)
        send(installation, "after the change, on the old day")
        told = installation.run("doctor").stdout
        assert "example.com is counted in America/Los_Angeles until 2026-12-03 ends there" in told
        assert installation.stop() == 0
        installation.start()
        send(installation, "after a restart, on the old day")
        own_clock.move_to(midnight + 60.0)
        send(installation, "after its midnight")
        send(installation, "reported later", midnight - 60.0)
        own_clock.move_to(ends_at(date(2026, 12, 4), KOLKATA) + 60.0)
        send(installation, "on the day after")
        until(lambda: installation.ledger(store).waiting == 0, "all is drained", 60.0)
        old, new = (DAY, LOS_ANGELES), (date(2026, 12, 4), KOLKATA)
        found = counted(store)
        assert found.pop("on the day after") == (date(2026, 12, 5), KOLKATA)
        # What was sealed meanwhile is open no more.
        expected = {
            "before": old,
            "after the change, on the old day": old,
            "after a restart, on the old day": old,
            "after its midnight": new,
            "reported later": old,
        }
        assert found.items() <= expected.items()
        assert {"after its midnight": new}.items() <= found.items()
        assert "every site is counted in its configured time zone" in installation.run("doctor").stdout
