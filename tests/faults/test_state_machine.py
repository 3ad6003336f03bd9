"""No order of steps, lost answers and power cuts loses, doubles or reopens anything (see `steps`)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from aggregator.store import Store
from tests.faults.figures import Figures
from tests.faults.power.switch import why_not
from tests.faults.steps.bench import Bench, Tally, benched
from tests.faults.steps.machine import play
from tests.faults.steps.shard import play_side_by_side

# A seal waits for seconds until the store has removed what was dropped: more processes than processors are no waste.
PROCESSES = 6
STEPS_OF_EACH = 17_000


@pytest.fixture
def bench(tmp_path: Path, store: Store) -> Iterator[Bench]:
    with benched(tmp_path, store) as bench:
        yield bench


def figures_of(tally: Tally, figures: Figures) -> Figures:
    row = figures.row("any order of steps")
    row.rounds, row.acknowledged = tally.played, tally.acknowledged
    figures.remarks = [
        f"Steps: {tally.played:,} in {tally.examples:,} examples, {tally.cuts:,} of them power cuts.",
        f"Rounds of drainer or sealer: {tally.rounds:,}, {tally.unanswered:,} of them with a call that got no answer.",
        f"Days sealed: {tally.seals:,}.",
        f"Looks: at the spools after each step, at the store and the ledger {tally.looks:,}.",
    ]
    return figures


def test_no_order_of_steps_faults_and_cuts_loses_doubles_or_reopens_anything(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = Figures("state_machine")
    play(bench, steps=200, each=50)
    with capsys.disabled():
        figures_of(bench.tally, figures).tell()
    assert bench.tally.played >= 200


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.skipif("FOOTFALL_SOAK" not in os.environ, reason="100,000 steps take most of an hour: make soak")
@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_a_hundred_thousand_steps_lose_double_and_reopen_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = Figures("state_machine")
    tally = play_side_by_side(tmp_path, PROCESSES, STEPS_OF_EACH)
    figures_of(tally, figures)
    figures.remarks.append(f"Played by {PROCESSES} processes side by side, each with a disk and a store of its own.")
    with capsys.disabled():
        figures.tell()
    assert tally.played >= 100_000
