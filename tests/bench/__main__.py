"""`python -m tests.bench [--small] [sealing-large]`: prints every figure as it is measured.

The exit status is 0, whatever they are.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.bench import collecting, draining, memory, sealing, user_agents
from tests.bench.figure import Figure


@dataclass(frozen=True)
class Size:
    """How much is measured: seconds of load a round and rounds, User-Agents, events drained, events sealed."""

    seconds: float
    rounds: int
    user_agents: int
    drained: int
    sealed: int


FULL = Size(seconds=4.0, rounds=3, user_agents=3_000, drained=300_000, sealed=1_000_000)
# Shows that everything still runs; its figures mean little.
SMALL = Size(seconds=0.3, rounds=1, user_agents=100, drained=2_000, sealed=2_000)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Prints every figure in one run.")
    parser.add_argument("--small", action="store_true", help="seconds instead of minutes; the figures mean little")
    parser.add_argument(
        "part", nargs="?", choices=("sealing-large",), help="this alone: days of up to 10,000,000 events"
    )
    arguments = parser.parse_args()
    size = SMALL if arguments.small else FULL
    parts: dict[str, Callable[[], Iterator[Figure]]] = {
        "Collecting": lambda: collecting.figures(size.seconds, size.rounds),
        "User-Agents": lambda: user_agents.figures(size.user_agents),
        "Draining": lambda: draining.figures(size.drained),
        "Sealing": lambda: sealing.figures(size.sealed),
        "Memory": lambda: memory.figures(size.seconds),
    }
    if arguments.part == "sealing-large":
        parts = {"Sealing large days": sealing.large_figures}
    print(f"Python {platform.python_version()} on {os.cpu_count()} processors, {platform.machine()}", flush=True)
    for title, figures in parts.items():
        print(f"\n{title}", flush=True)
        for figure in figures():
            print(f"  {figure}", flush=True)


if __name__ == "__main__":
    main()
