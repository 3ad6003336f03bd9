"""kill -9 of every part at random moments under load: nothing acknowledged is lost, nothing is counted twice.

The site's time zone is one in which it is about noon, so that today's events stay open and each can be looked for by
its name. Bulk requests bring events of past days, so that days are sealed all the while; the ledger checks those.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path

import pytest

from aggregator.ledger import Ledger
from aggregator.store import Store, StoreRefused, StoreUnavailable
from tests.collector.collecting import descendants, is_running, until
from tests.installation import RECOVERY_S, Installation, Part
from tests.sender import Senders, Sent

FAULTS = ("worker", "collector", "store", "drain", "seal", "all")
ROUNDS = 25
SOAK_ROUNDS = 1_000
# Every so many rounds everything is looked up, and after as many each installation of the soak is replaced.
CHECK_EVERY = 5
DAY_S = 86_400
OLDEST_DAYS = 390


def zone_at_noon() -> str:
    """A time zone in which no day ends within the next hours. `Etc/GMT+5` is five hours behind UTC (tzdata's signs)."""
    behind = datetime.now(UTC).hour - 12
    return f"Etc/GMT{behind:+d}" if behind else "Etc/GMT"


@dataclass
class Past:
    """Times of a past day; each round has one of its own, so that some day is sealed in every round."""

    days_ago: int = 2

    def __call__(self) -> float:
        return time.time() - self.days_ago * DAY_S + random.randint(-3_600, 3_600)

    def move(self) -> None:
        self.days_ago = self.days_ago % OLDEST_DAYS + 2


@dataclass
class Losses:
    """What each fault did, summed over its rounds."""

    rounds: Counter[str] = field(default_factory=Counter)
    acknowledged: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    doubled: Counter[str] = field(default_factory=Counter)

    def table(self) -> str:
        lines = [f"{'fault':<12}{'rounds':>8}{'acknowledged':>14}{'lost':>6}{'doubled':>9}"]
        for fault in FAULTS:
            figures = self.rounds[fault], self.acknowledged[fault], self.lost[fault], self.doubled[fault]
            lines.append("{:<12}{:>8}{:>14}{:>6}{:>9}".format(fault, *figures))
        return "\n".join(lines)


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """A running one whose days are sealed seconds after their last batch."""
    installation = Installation(tmp_path / "installation", zone_at_noon(), grace_minutes=0.03)
    try:
        installation.start()
        yield installation
    finally:
        installation.remove()


def strike(installation: Installation, store: Store, fault: str) -> None:
    """Waits for a random moment, for the sealer one at which it works, and kills."""
    if fault in ("seal", "store") and random.random() < 0.8:
        wait_for_sealing(store)
    time.sleep(random.uniform(0, 0.3))
    if fault == "all":
        installation.kill_all()
        time.sleep(random.uniform(0, 0.2))
        installation.start()
        return
    part: Part = fault  # type: ignore[assignment]  # one of FAULTS, all of which but "all" are parts
    until(lambda: installation.kill(part), f"there is a process of {part}", RECOVERY_S)


def wait_for_sealing(store: Store, deadline_s: float = 7.0) -> None:
    """Returns as the sealer closes a day, which is its first step."""
    closed, deadline = closings(store), time.monotonic() + deadline_s
    while closings(store) <= closed and time.monotonic() < deadline:
        time.sleep(0.01)


def closings(store: Store) -> int:
    try:
        return int(store.query("SELECT count() FROM closings")[0][0])
    except (StoreUnavailable, StoreRefused):
        return 0


def balanced(installation: Installation, store: Store) -> Ledger:
    """The ledger once everything has been drained and no part of the store moves."""
    found: list[Ledger] = []

    def is_at_rest() -> bool:
        try:
            found[:] = [installation.ledger(store)]
        except (StoreUnavailable, StoreRefused):
            return False
        return found[0].waiting == 0 and not found[0].imbalances

    installation.wait_until_ready()
    try:
        until(is_at_rest, "the ledger balances", RECOVERY_S)
    except AssertionError as fault:
        raise AssertionError(f"{fault}: {found}; see {installation.log}") from fault
    return found[0]


def named(store: Store) -> Counter[str]:
    """How often each name is in an open day."""
    return Counter(dict(store.query("SELECT name, count() FROM open_events WHERE name LIKE 's%' GROUP BY name")))


def open_of_who_withdrew(store: Store) -> int:
    try:
        return int(store.query("SELECT count() FROM open_events WHERE name LIKE 'w%'")[0][0])
    except (StoreUnavailable, StoreRefused):
        return -1


def examine(ledger: Ledger, found: Counter[str], sent: Sent, losses: Losses) -> None:
    """Names of single events one by one; bulk events, of which some are sealed, by the ledger's sums."""
    for name, fault in sent.acknowledged.items():
        losses.lost[fault] += found[name] == 0
    for name, times in found.items():
        fault = sent.acknowledged.get(name, sent.doubtful.get(name, ""))
        assert fault, f"{name} was refused or never sent, and is counted"
        losses.doubled[fault] += times > 1
    surely = len(sent.acknowledged) + len(sent.bulk)
    accounted = ledger.accounted - ledger.withdrawn
    assert ledger.accounted == ledger.accepted
    taken_back = len(sent.withdrawing)
    assert taken_back <= ledger.withdrawn <= taken_back + len(sent.doubtfully_withdrawing), (taken_back, ledger)
    assert surely <= accounted <= surely + len(sent.doubtful), (surely, accounted, len(sent.doubtful), ledger)
    assert accounted - found.total() == len(sent.bulk), "bulk events: each exactly once, in whatever state"
    assert not sent.unexpected, sent.unexpected[:5]


def merged(all_sent: list[Sent]) -> Sent:
    total = Sent()
    for sent in all_sent:
        total.acknowledged.update(sent.acknowledged)
        total.doubtful.update(sent.doubtful)
        total.bulk.update(sent.bulk)
        total.withdrawing |= sent.withdrawing
        total.doubtfully_withdrawing |= sent.doubtfully_withdrawing
        total.unexpected += sent.unexpected
    return total


def endure(installation: Installation, faults: list[str], losses: Losses) -> Sent:
    """Rounds of traffic and one kill each; a full check after every few."""
    store, past = installation.store(), Past()
    history: list[Sent] = []
    while faults:
        senders = Senders(installation.port, singles=6, bulks=2, past_times=past, withdrawers=1)
        history.append(senders.sent)
        senders.mark = faults[0]
        senders.start()
        for fault in islice(iter(faults), CHECK_EVERY):
            senders.mark = fault
            past.move()
            strike(installation, store, fault)
            losses.rounds[fault] += 1
            time.sleep(random.uniform(0, 1.0))
        del faults[:CHECK_EVERY]
        senders.stop()
        balanced(installation, store)
        until(lambda: open_of_who_withdrew(store) == 0, "all that was withdrawn is deleted", RECOVERY_S)
        ledger = balanced(installation, store)
        before = losses.lost.total(), losses.doubled.total()
        examine(ledger, named(store), merged(history), losses)
        assert (losses.lost.total(), losses.doubled.total()) == before, losses.table()
    sent = merged(history)
    losses.acknowledged.update(Counter([*sent.acknowledged.values(), *sent.bulk.values()]))
    return sent


def test_kill_9_of_any_part_under_load_loses_nothing_and_doubles_nothing(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    losses = Losses()
    faults = list(islice(cycle(FAULTS), ROUNDS))
    random.shuffle(faults)
    sent = endure(installation, faults, losses)
    store = installation.store()
    until(lambda: past_days_open(store) == 0, "every past day is sealed", RECOVERY_S)
    ledger = balanced(installation, store)
    with capsys.disabled():
        print(f"\n{losses.table()}\nin doubt {len(sent.doubtful)}, bulk events {len(sent.bulk)}\n{ledger}")
    assert ledger.sealed > 0
    assert ledger.sealed + ledger.late == len(sent.bulk)
    assert set(losses.rounds) == set(FAULTS)


def past_days_open(store: Store) -> int:
    return int(store.query("SELECT count() FROM open_events WHERE name LIKE 'b%'")[0][0])


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.skipif("FOOTFALL_SOAK" not in os.environ, reason="1,000 rounds take hours: make soak")
def test_a_thousand_kills_lose_nothing_and_double_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    losses = Losses()
    while losses.rounds.total() < SOAK_ROUNDS:
        number = losses.rounds.total()
        installation = Installation(tmp_path / str(number), zone_at_noon(), grace_minutes=0.03)
        try:
            installation.start()
            endure(installation, random.choices(FAULTS, k=min(50, SOAK_ROUNDS - number)), losses)
        finally:
            installation.remove()
        with capsys.disabled():
            print(f"\n{losses.table()}")


def test_a_clean_stop_under_load_loses_nothing_and_leaves_no_process(installation: Installation) -> None:
    senders = Senders(installation.port, singles=6, bulks=0, past_times=Past())
    senders.mark = "stop"
    senders.start()
    until(lambda: len(senders.sent.acknowledged) > 300, "there is load")
    assert installation.process is not None
    family = descendants(installation.process.pid)
    assert installation.stop() == 0
    # The drainer is stopped before the collector: that events keep coming keeps it from nothing.
    assert "did not stop" not in installation.log.read_text()
    assert not [pid for pid in family if is_running(pid)]
    senders.stop()
    installation.start()
    store, losses = installation.store(), Losses()
    examine(balanced(installation, store), named(store), senders.sent, losses)
    assert (losses.lost.total(), losses.doubled.total()) == (0, 0)


def test_the_supervisor_starts_every_part_again_that_is_killed(installation: Installation) -> None:
    for part in ("store", "collector", "worker", "drain", "seal", "dashboards"):
        before = installation.parts()
        assert installation.kill(part)
        until(
            lambda part=part, before=before: set(installation.parts()[part]) - set(before[part]) != set(),  # type: ignore[misc]  # bound now
            f"{part} runs again",
            RECOVERY_S,
        )
        installation.wait_until_ready()


def test_no_process_is_left_when_the_supervisor_is_killed(installation: Installation) -> None:
    senders = Senders(installation.port, singles=2, bulks=0, past_times=Past())
    senders.start()
    until(lambda: len(senders.sent.acknowledged) > 300, "every part has been working for a while")
    family = installation.kill_supervisor()
    senders.stop()
    until(lambda: not any(is_running(pid) for pid in family), "no process is left", RECOVERY_S)
