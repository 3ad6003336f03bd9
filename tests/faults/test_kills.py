"""kill -9 and restarts of every part at random moments under load: nothing is lost, doubled, or kept too long.

The site's time zone is one in which it is about noon, so that today's events stay open and each can be looked for by
its name. Bulk requests bring events of past days, so that days are sealed all the while; the ledger checks those, and
what is left of them is looked for in the end.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pytest

from aggregator.store import Store
from tests.faults.accounting import (
    Past,
    balanced,
    examine,
    kept_too_long,
    merged,
    named,
    note_imbalance,
    told,
    wait_for_seals,
    wait_for_withdrawals,
    zone_at_noon,
)
from tests.faults.figures import Figures
from tests.faults.strikes import FAULTS, strike
from tests.installation import Installation
from tests.sender import Senders, Sent

ROUNDS_EACH = 2
SOAK_ROUNDS = 1_000
# After so many rounds everything is looked up, and after as many each installation of the soak is replaced.
CHECK_EVERY = 6
REPLACE_EVERY = 50


@contextmanager
def installed(folder: Path) -> Iterator[Installation]:
    """A running one whose days are sealed seconds after their last batch."""
    installation = Installation(folder, zone_at_noon(), grace_minutes=0.03)
    try:
        installation.start()
        yield installation
    finally:
        installation.remove()


def figures_of_kills() -> Figures:
    figures = Figures("kills")
    for fault in FAULTS:
        figures.row(fault)
    return figures


def endure(installation: Installation, faults: list[str], figures: Figures) -> Sent:
    """Rounds of traffic and one fault each; everything is looked up after every few, and what is kept at the end."""
    store, past = installation.store(), Past()
    history: list[Sent] = []
    while faults:
        senders = Senders(installation.port, singles=6, bulks=2, past_times=past, withdrawers=1)
        history.append(senders.sent)
        senders.mark = faults[0]
        with senders:
            for fault in islice(iter(faults), CHECK_EVERY):
                senders.mark = fault
                past.move()
                strike(installation, store, fault)
                figures.row(fault).rounds += 1
                time.sleep(random.uniform(0, 1.0))
        blamed = ", ".join(faults[:CHECK_EVERY])
        del faults[:CHECK_EVERY]
        try:
            balanced(installation, store)
        except AssertionError:
            note_imbalance(installation.ledger(store), figures, senders.mark)
            raise
        wait_for_withdrawals(store)
        examine(balanced(installation, store), named(store), merged(history), figures, senders.mark)
        assert figures.faults == 0, f"after {blamed}; see {installation.log}"
    sent = merged(history)
    for fault in (*sent.acknowledged.values(), *sent.bulk.values()):
        figures.row(fault).acknowledged += 1
    wait_for_seals(store)
    kept = kept_too_long(installation, store)
    figures.row(next(reversed(sent.bulk.values()))).kept += kept.total()
    assert not kept.total(), kept
    return sent


def test_kills_and_restarts_of_any_part_under_load_lose_double_and_keep_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = figures_of_kills()
    faults = [*FAULTS] * ROUNDS_EACH
    random.shuffle(faults)
    with told(figures, capsys), installed(tmp_path / "installation") as installation:
        sent = endure(installation, faults, figures)
        store = installation.store()
        ledger = balanced(installation, store)
        assert ledger.sealed > 0
        assert ledger.sealed + ledger.late == len(sent.bulk)
        assert_the_command_line_tells_the_ledger(installation, store)


def assert_the_command_line_tells_the_ledger(installation: Installation, store: Store) -> None:
    """`footfall doctor --ledger` adds up and ends with 0, under load too; with one event more in the store, with 1."""
    with Senders(installation.port, singles=4, bulks=1, past_times=Past()):
        under_load = installation.told_ledger()
    assert under_load.status == 0, under_load.text
    ledger, told = balanced(installation, store), installation.told_ledger()
    assert told.is_balanced, told.text
    assert told.terms["received"] == ledger.received
    assert told.terms["withdrawn"] == ledger.withdrawn
    store.command("INSERT INTO open_events SELECT * FROM open_events WHERE name LIKE 's%' LIMIT 1")
    told = installation.told_ledger()
    assert (told.status, told.is_balanced) == (1, False)
    assert "FINDING ledger: received" in told.text


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.skipif("FOOTFALL_SOAK" not in os.environ, reason="1,000 rounds take an hour: make soak")
def test_a_thousand_kills_and_restarts_lose_double_and_keep_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = figures_of_kills()
    faults = random.sample([*FAULTS] * (SOAK_ROUNDS // len(FAULTS) + 1), k=SOAK_ROUNDS)
    with told(figures, capsys):
        for first in range(0, SOAK_ROUNDS, REPLACE_EVERY):
            with installed(tmp_path / str(first)) as installation:
                endure(installation, faults[first : first + REPLACE_EVERY], figures)
            with capsys.disabled():
                print(f"\n{figures}", flush=True)
