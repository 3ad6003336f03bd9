"""Clocks set by an hour and by a day, forward and back, under a real installation: every process sees them at once.

Events flow meanwhile, and draining and sealing go on. What was acknowledged has one end each; a sealed day stays so.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from aggregator.store import Store
from collector.app import App
from collector.settings import load
from tests.clock import SetClock
from tests.collector.collecting import FIREFOX, VOUCHING_TOKEN, Collector, until
from tests.faults.clocked_store import cleaned
from tests.faults.figures import Figures
from tests.faults.own_clock import IS_POSSIBLE, OwnClock
from tests.faults.timeline import answering
from tests.installation import Installation
from tests.sender import Senders

pytestmark = pytest.mark.skipif(not IS_POSSIBLE, reason="clocks of its own are for Linux on x86-64 alone")

HOUR_S, DAY_S = 3_600.0, 86_400.0
SETTLED_S = 900.0


@dataclass
class ClockedInstallation(Installation):
    """An installation whose processes go by `clock`."""

    clock: OwnClock = field(kw_only=True)

    def _environment(self) -> dict[str, str]:
        return {**super()._environment(), **self.clock.environment}


def jumps(figures: Figures, installation: ClockedInstallation, steps: list[float], *, flow_s: float) -> Store:
    """Sets the clock by each of `steps` while events flow, then counts; the ledger has to balance."""
    installation.start()
    store, clock = installation.store(), installation.clock
    with Senders(installation.port, 2, 1, lambda: clock.wall() - 30 * HOUR_S) as senders:
        for step in steps:
            time.sleep(flow_s)
            clock.step(step)
        time.sleep(flow_s)
    sent = senders.sent
    assert not sent.unexpected, sent.unexpected[:5]
    row = figures.row("the clock of a running installation set by an hour or a day")
    until(lambda: installation.ledger(store).waiting == 0, "everything is drained")
    acknowledged = len(sent.acknowledged) + len(sent.bulk)
    accepted = installation.ledger(store).accepted
    row.rounds += len(steps)
    row.acknowledged += acknowledged
    row.lost += max(0, acknowledged - accepted)
    row.doubled += max(0, accepted - acknowledged - len(sent.doubtful)) + twice(store)
    return store


def twice(store: Store) -> int:
    """Events that are in the store twice, and days with two seals."""
    found = store.query("SELECT name FROM open_events GROUP BY name HAVING count() > 1")
    return len(found) + len(store.query("SELECT day FROM seals GROUP BY day, timezone HAVING count() > 1"))


def seal_all(figures: Figures, installation: ClockedInstallation, store: Store) -> None:
    """Lets the hours pass by which the clocks count as settled, and the days that are open, until all is sealed."""
    row = figures.row("the clock of a running installation set by an hour or a day")

    def is_sealed() -> bool:
        if store.query("SELECT 1 FROM open_events LIMIT 1"):
            installation.clock.pass_time(HOUR_S)
            return False
        return True

    with cleaned(installation.data / "run" / "store.json"):
        deadline = time.monotonic() + SETTLED_S
        while not is_sealed():
            assert time.monotonic() < deadline, installation.log.read_text()[-3_000:]
            time.sleep(6.0)
    until(lambda: not installation.ledger(store).imbalances, "the ledger balances")
    ledger = installation.ledger(store)
    ended = ledger.sealed + ledger.late + ledger.expired + ledger.quarantined
    row.lost += max(0, ledger.accepted - ended)
    row.doubled += max(0, ended - ledger.accepted) + twice(store)
    figures.remarks.append(
        f"Under jumps {ledger.sealed:,} events were sealed, {ledger.late:,} late, {ledger.expired:,} expired."
    )


@pytest.mark.timeout(180)
def test_a_clock_set_forward_and_back_under_load_loses_and_doubles_nothing(
    tmp_path: Path, own_clock: OwnClock, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = Figures("time_jumps")
    installation = ClockedInstallation(tmp_path, workers=1, clock=own_clock)
    with contextlib.ExitStack() as ending:
        ending.callback(installation.remove)
        store = jumps(figures, installation, [DAY_S, -DAY_S], flow_s=0.7)
        until(lambda: not installation.ledger(store).imbalances, "the ledger balances")
    with capsys.disabled():
        figures.tell()
    assert figures.faults == 0


@pytest.mark.parametrize("step_s", [-DAY_S, DAY_S], ids=["back", "forward"])
def test_an_idempotency_key_sent_before_and_after_a_clock_jump_of_a_day_counts_once(
    step_s: float, tmp_path: Path, key_dir: Path
) -> None:
    clock = SetClock(time.time())
    collecting = Collector(tmp_path, keys=key_dir)

    async def send(client: httpx.AsyncClient, key: str) -> httpx.Response:
        body = json.dumps([{"n": "a", "u": "https://example.com/", "c": "1", "ip": "192.0.2.9", "ua": FIREFOX}])
        headers = {"Authorization": f"Bearer {VOUCHING_TOKEN}", "Idempotency-Key": key}
        return await client.post("/api/events", content=body, headers=headers)

    async def beat(client: httpx.AsyncClient) -> None:
        """The worker keeps house after a commit, every two seconds of the boot clock."""
        for _ in range(3):
            clock.pass_time(3.0)
            await send(client, f"another at {clock.boot()}")

    async def jumped() -> None:
        collecting.write_config()
        app = App(load(collecting.config, collecting.data, {}), clock)
        async with answering(app) as client:
            first = await send(client, "the same")
            assert (first.status_code, first.json()["accepted"]) == (202, 1)
            await beat(client)
            clock.set_wall(clock.wall() + step_s)
            await beat(client)
            counted = len(collecting.events())
            again = await send(client, "the same")
            assert (again.status_code, again.json()) == (202, first.json())
            assert len(collecting.events()) == counted
            clock.pass_time(2 * DAY_S)  # Where the clock was set back by one, it is forgotten a day later than else.
            await beat(client)
            counted = len(collecting.events())
            await send(client, "the same")
            assert len(collecting.events()) == counted + 1

    asyncio.run(jumped())


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.skipif("FOOTFALL_SOAK" not in os.environ, reason="some minutes; run by make soak")
def test_every_jump_under_load_is_sealed_once_in_the_end(
    tmp_path: Path, own_clock: OwnClock, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = Figures("time_jumps")
    for number, steps in enumerate(
        ([HOUR_S, -HOUR_S], [-HOUR_S, HOUR_S], [DAY_S, -DAY_S], [-DAY_S, DAY_S], [DAY_S, HOUR_S, -DAY_S, -HOUR_S])
    ):
        installation = ClockedInstallation(tmp_path / str(number), clock=own_clock)
        with contextlib.ExitStack() as ending:
            ending.callback(installation.remove)
            seal_all(figures, installation, jumps(figures, installation, steps, flow_s=5.0))
    with capsys.disabled():
        figures.tell()
    assert figures.faults == 0
