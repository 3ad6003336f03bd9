"""A day of traffic, its 24 hours of 50 seconds each, with everything that happens on a bad day at random moments.

Visitors of today come and some withdraw, at a rate that follows the hours; servers deliver a past day as its hours go
by, for sites in several time zones; people read dashboards meanwhile; and every part is killed or restarted now and
then. In the end every past day is sealed, the ledger is exact, and the published trends add up to it.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aggregator.ledger import Ledger
from aggregator.store import Store
from dashboards.access import People
from tests.collector.collecting import asked, until
from tests.faults.accounting import (
    DAY_S,
    balanced,
    examine,
    kept_too_long,
    named,
    told,
    wait_for_seals,
    wait_for_withdrawals,
    zone_at_noon,
)
from tests.faults.figures import Figures
from tests.faults.strikes import FAULTS, PARTS, strike
from tests.installation import RECOVERY_S, Installation
from tests.sender import PAUSE_S, Senders

# Requests by hour, as a site of one continent has them: the most at 20 o'clock, an eighth of that at 4.
HOURS = (30, 20, 16, 14, 14, 17, 26, 43, 64, 80, 90, 96, 98, 100, 100, 100, 96, 92, 95, 102, 110, 104, 75, 50)
OTHERS = {"tokyo.example": "Asia/Tokyo", "lima.example": "America/Lima", "adelaide.example": "Australia/Adelaide"}
DAYS_AGO = 3
READ_EVERY_S = 0.25
# After the grace: eight days of up to 100,000 events each, beside whatever else the machine does.
SEALED_WITHIN_S = 300.0


@dataclass
class Day:
    """A past day that goes by in `hour_s` seconds an hour, over and over if need be."""

    hour_s: float
    began_at: float = field(default_factory=time.monotonic)

    @property
    def hour(self) -> float:
        """The hour that it is, 0 to 24."""
        return (time.monotonic() - self.began_at) / self.hour_s % 24

    def pause_s(self) -> float:
        return PAUSE_S * max(HOURS) / HOURS[int(self.hour)]

    def past_time(self) -> float:
        """A moment of this hour, some days ago (Unix seconds)."""
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
        return midnight - DAYS_AGO * DAY_S + 3_600 * (int(self.hour) + random.random())


@dataclass
class Reader:
    """Somebody who reads dashboards all the while; `answers` by status, `gone` is how often nobody answered."""

    port: int
    token: str
    answers: Counter[int] = field(default_factory=Counter)
    gone: int = 0
    _stopping: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Reader:
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _read(self) -> None:
        # To each site's own today, which in some of their time zones is another day than in UTC.
        period = f"from={datetime.fromtimestamp(time.time() - 5 * DAY_S, UTC):%Y-%m-%d}"
        while not self._stopping.wait(READ_EVERY_S):
            site = random.choice(("example.com", *OTHERS))
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            with contextlib.closing(connection):
                try:
                    headers = {"Authorization": f"Bearer {self.token}"}
                    answer = asked(connection, "GET", f"/api/stats?site={site}&{period}", headers=headers)
                    self.answers[answer.status] += 1
                except (OSError, http.client.HTTPException):
                    self.gone += 1


def live_through(installation: Installation, hour_s: float, faults: Sequence[str], figures: Figures) -> Senders:
    """The day, with its faults at random moments; returns what was sent."""
    day, store = Day(hour_s), installation.store()
    senders = Senders(
        installation.port,
        singles=6,
        bulks=3,
        past_times=day.past_time,
        withdrawers=1,
        domains=("example.com", *OTHERS),
        pause_s=day.pause_s,
    )
    senders.mark = "a day with kills and restarts"
    moments = sorted(random.uniform(0, 24 * hour_s) for _ in faults)
    with senders:
        for moment, fault in zip(moments, faults, strict=True):
            time.sleep(max(0.0, day.began_at + moment - time.monotonic()))
            in_time = strike(installation, store, fault, awaits_sealing=False)
            assert in_time, "a part did not stop in time"
        time.sleep(max(0.0, day.began_at + 24 * hour_s - time.monotonic()))
    return senders


def traffic(folder: Path, hour_s: float, grace_minutes: float, faults: Sequence[str], figures: Figures) -> None:
    installation = Installation(folder, zone_at_noon(), grace_minutes, others=OTHERS, level="exact")
    try:
        installation.start()
        token = People(installation.data).add_token("reader", "analyst", None)
        with Reader(installation.dashboards_port, token) as reader:
            senders = live_through(installation, hour_s, faults, figures)
            until(lambda: reader.answers[200] > 0, "a dashboard was read", RECOVERY_S)
        row = figures.row(senders.mark)
        row.rounds, row.acknowledged = len(faults), len(senders.sent.acknowledged) + len(senders.sent.bulk)
        store = installation.store()
        balanced(installation, store)
        wait_for_withdrawals(store)
        wait_for_seals(store, 60 * grace_minutes + SEALED_WITHIN_S)
        ledger = balanced(installation, store)
        examine(ledger, named(store), senders.sent, figures, senders.mark)
        row.kept = kept_too_long(installation, store).total()
        figures.remarks += remarks_on(ledger, store, reader)
        judge(installation, ledger, senders, reader)
    finally:
        installation.remove()


def judge(installation: Installation, ledger: Ledger, senders: Senders, reader: Reader) -> None:
    """The published numbers are those of the ledger; a dashboard answers, or says that it cannot now."""
    assert ledger.sealed + ledger.late == len(senders.sent.bulk)
    assert ledger.sealed > ledger.late
    sums = installation.run("sql", "SELECT sumIf(events, hour = 24), sumIf(events, hour < 24) FROM trend")
    assert sums.stdout == f"{ledger.sealed}\t{ledger.sealed}\n", (sums, ledger)
    told = installation.told_ledger()
    assert told.is_balanced, told.text
    assert (told.terms["sealed"], told.terms["late"]) == (ledger.sealed, ledger.late)
    assert set(reader.answers) <= {200, 503}, reader.answers


def remarks_on(ledger: Ledger, store: Store, reader: Reader) -> list[str]:
    ((sealed_days,),) = store.query("SELECT count() FROM committed_seals")
    return [
        f"{ledger.sealed:,} events in {sealed_days} sealed days, {ledger.late:,} late, {ledger.withdrawn:,} withdrawn.",
        f"Dashboards were read {reader.answers[200]:,} times, and could not be {reader.answers[503]:,} times.",
    ]


def assert_lived_through(
    folder: Path, hour_s: float, grace_minutes: float, faults: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    figures = Figures("day")
    with told(figures, capsys):
        traffic(folder, hour_s, grace_minutes, faults, figures)


def test_a_day_of_traffic_with_two_kills_is_sealed_and_adds_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faults = random.sample([part for part in PARTS if part != "dashboards"], k=2)
    assert_lived_through(tmp_path, 0.25, 0.05, faults, capsys)


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.skipif("FOOTFALL_SOAK" not in os.environ, reason="takes 20 minutes: make soak")
def test_a_day_of_traffic_in_20_minutes_with_40_kills_is_sealed_and_adds_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faults = random.sample([*FAULTS] * 5, k=40)
    assert_lived_through(tmp_path, 50.0, 0.5, faults, capsys)
