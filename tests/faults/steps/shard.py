"""Some examples in a process of its own: `python -m tests.faults.steps.shard STEPS FOLDER`.

A line after each example tells what it came to so far. The story of an example that failed stands before its line, and
then the exit status is 1. SIGTERM ends it, without leaving its mount or its store behind.
"""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from aggregator.endpoint import Announced, Fixed
from aggregator.migrate import migrate
from aggregator.store import Store
from tests.aggregator.front_process import FrontProcess
from tests.collector.collecting import ROOT, environment
from tests.faults.steps.bench import Bench, Tally, benched

ENDS_WITHIN_S = 60.0
POLL_S = 0.2
# An example draws two bytes to eight for each of them, and hypothesis ends one that draws more than 8 KB.
STEPS_OF_AN_EXAMPLE = 600


def play_side_by_side(folder: Path, processes: int, steps: int) -> Tally:
    """So many processes with so many steps each; what they add up to. The first that fails ends them all."""
    shards = [_Shard(folder / f"shard-{number}", steps) for number in range(processes)]
    try:
        while any(shard.process.poll() is None for shard in shards):
            time.sleep(POLL_S)
            failed = [shard for shard in shards if shard.process.poll()]
            assert not failed, "\n".join(shard.told() for shard in failed)
    finally:
        for shard in shards:
            shard.process.terminate()
        for shard in shards:
            shard.process.wait(ENDS_WITHIN_S)
    tally = Tally()
    for shard in shards:
        assert shard.process.returncode == 0, shard.told()
        tally.add(Tally.read(shard.told().splitlines()[-1]))
    return tally


class _Shard:
    def __init__(self, folder: Path, steps: int) -> None:
        folder.mkdir(parents=True)
        self._output = folder / "output"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.steps.shard", str(steps), str(folder)],
                cwd=ROOT,
                env=environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def told(self) -> str:
        return self._output.read_text()


@contextlib.contextmanager
def _bench_alone(folder: Path) -> Iterator[Bench]:
    data = folder / "store"
    data.mkdir()
    front = FrontProcess(data)
    front.start()
    try:
        endpoint = dataclasses.replace(Announced(front.announcement).endpoint(), database="footfall_steps")
        with contextlib.closing(Store(Fixed(endpoint))) as store:
            migrate(store)
            with benched(folder, store) as bench:
                yield bench
    finally:
        front.stop()


def main(arguments: Sequence[str]) -> int:
    # Imported here: who starts shards needs none of it.
    from tests.faults.steps.machine import play

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with _bench_alone(Path(arguments[1])) as bench:
        bench.ended = lambda tally: print(tally, flush=True)
        play(bench, int(arguments[0]), STEPS_OF_AN_EXAMPLE)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
