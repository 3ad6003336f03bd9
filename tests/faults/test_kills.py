"""kill -9 and restarts of every part at random moments under load: nothing is lost, doubled, or kept too long.

See `killing` for what a round is.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from aggregator.store import Store
from tests.faults.accounting import Past, balanced, told
from tests.faults.killing import endure, figures_of_kills, installed, kill_side_by_side
from tests.faults.strikes import FAULTS
from tests.installation import Installation
from tests.sender import Senders

ROUNDS_EACH = 2
SOAK_ROUNDS = 1_000
PROCESSES = 2


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
    with told(figures, capsys):
        kill_side_by_side(tmp_path, PROCESSES, SOAK_ROUNDS, figures)
