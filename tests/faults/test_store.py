"""The store fails at any request of draining, withdrawing and sealing: each event counts once all the same.

See `story` for what is told.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.figures import IS_SOAK, Figures
from tests.faults.store_proxy import FAULTS
from tests.faults.story import Ground, ground, tell_side_by_side, told

# What no answer tells of, so that the store must be asked.
UNTRUE = ("200, not done", "delivered twice, tokens lost", "timed out, done later, tokens lost")
SHORT_STRIDE = 5
# A story waits most of the time: more processes than processors are no waste.
PROCESSES = 4


@pytest.fixture(scope="module")
def on(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with ground(tmp_path_factory.mktemp("faults")) as on:
        yield on


@pytest.fixture
def key_dir() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="footfall-test-", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_no_fault_of_the_store_loses_doubles_or_keeps_an_event(
    tmp_path: Path, key_dir: Path, on: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    """All faults one after the other, some requests apart; then those that no answer tells of, wherever they matter."""
    figures = Figures("store_short")
    row = figures.row("all faults in turn")
    faults = {1 + SHORT_STRIDE * place: fault for place, fault in enumerate(FAULTS.values())}
    story, struck = told(tmp_path / "in turn", key_dir, on, faults)
    story.account(row)
    row.rounds += len(struck)
    for name in UNTRUE:
        story, struck = told(tmp_path / name.replace(" ", "-"), key_dir, on, FAULTS[name])
        story.account(figures.row(f"{name}, at each kind"))
        figures.row(f"{name}, at each kind").rounds += len(struck)
    with capsys.disabled():
        print(f"\n{figures}")
    assert figures.faults == 0
    assert row.rounds >= len(FAULTS)


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.skipif(not IS_SOAK, reason="most of an hour: make soak")
def test_no_fault_at_any_request_loses_doubles_or_keeps_an_event(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = tell_side_by_side(tmp_path, PROCESSES)
    with capsys.disabled():
        figures.tell()
    assert figures.faults == 0
