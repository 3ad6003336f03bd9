"""The benchmark runs, and prints every figure that is promised; how good they are is no test."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.bench.figure import Figure
from tests.bench.running import ROOT

pytest.importorskip("chdb")

PROMISED = (
    "collector: CPU of an accepted event",
    "empty handler: CPU of a request",
    "Starlette, JSON parsed: CPU of a request",
    "collector: CPU beside empty handler",
    "collector, 512 connections: answered 202",
    "collector, 512 connections: p50",
    "collector, 512 connections: p99",
    "collector, 32 connections: p99",
    "collector, 1 connection: p50",
    "a User-Agent not seen before: CPU",
    "draining: events",
    "sealing 2,000 events of 200 visitors",
    "the store's peak memory",
    "collect: resident",
    "collect's worker: resident",
    "store: resident",
    "aggregate --job drain: resident",
    "aggregate --job seal: resident",
    "dashboard: resident",
)


def test_the_benchmark_prints_every_promised_figure() -> None:
    command = [sys.executable, "-m", "tests.bench", "--small"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    missing = [title for title in PROMISED if title not in run.stdout]
    assert not missing, run.stdout


@pytest.mark.parametrize(
    ("figure", "told"),
    [
        (Figure("x", 2.0, "times", 2.0), "reached"),
        (Figure("x", 2.01, "times", 2.0), "missed"),
        (Figure("x", 60_000, "a second", 60_000, at_least=True), "reached"),
        (Figure("x", 59_999, "a second", 60_000, at_least=True), "missed"),
    ],
)
def test_a_target_is_reached_up_to_its_bound_and_missed_beyond(figure: Figure, told: str) -> None:
    assert str(figure).endswith(told)


def test_a_figure_without_a_target_claims_nothing() -> None:
    assert Figure("x", 1.0, "us").is_reached is None
