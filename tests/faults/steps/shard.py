"""Some examples in a process of its own: `python -m tests.faults.steps.shard STEPS FOLDER`.

A line after each example tells what it came to so far. The story of an example that failed stands before its line, and
then the exit status is 1.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.faults.side_by_side import side_by_side, store_alone
from tests.faults.steps.bench import Tally, benched

# An example draws two bytes to eight for each of them, and hypothesis ends one that draws more than 8 KB.
STEPS_OF_AN_EXAMPLE = 600


def play_side_by_side(folder: Path, processes: int, steps: int) -> Tally:
    """So many processes with so many steps each; what they add up to."""
    tally = Tally()
    for told in side_by_side("tests.faults.steps.shard", [[str(steps)]] * processes, folder):
        tally.add(Tally.read(told))
    return tally


def main(arguments: Sequence[str]) -> int:
    # Imported here: who starts shards needs none of it.
    from tests.faults.steps.machine import play

    folder = Path(arguments[1])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with store_alone(folder) as store, benched(folder, store) as bench:
        bench.ended = lambda tally: print(tally, flush=True)
        play(bench, int(arguments[0]), STEPS_OF_AN_EXAMPLE)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
