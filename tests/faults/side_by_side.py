"""A long proof in several processes: `python -m MODULE ARGUMENT ... FOLDER`, each with a folder of its own.

What a process has to tell is its last line. SIGTERM ends it, without leaving a mount or a store behind.
"""

from __future__ import annotations

import contextlib
import dataclasses
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

ENDS_WITHIN_S = 60.0
POLL_S = 0.2


def side_by_side(module: str, arguments: Sequence[Sequence[str]], folder: Path) -> list[str]:
    """A process of `module` for each of `arguments`; returns the last line of each. The first that fails ends all."""
    shards = [_Shard(module, each, folder / f"shard-{number}") for number, each in enumerate(arguments)]
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
    for shard in shards:
        assert shard.process.returncode == 0, shard.told()
    return [shard.told().splitlines()[-1] for shard in shards]


class _Shard:
    def __init__(self, module: str, arguments: Sequence[str], folder: Path) -> None:
        folder.mkdir(parents=True)
        self._output = folder / "output"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments, str(folder)],
                cwd=ROOT,
                env=environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def told(self) -> str:
        return self._output.read_text()


@contextlib.contextmanager
def store_alone(folder: Path) -> Iterator[Store]:
    """A migrated store in `folder`, of this process alone."""
    data = folder / "store"
    data.mkdir()
    front = FrontProcess(data)
    front.start()
    try:
        endpoint = dataclasses.replace(Announced(front.announcement).endpoint(), database="footfall_shard")
        with contextlib.closing(Store(Fixed(endpoint))) as store:
            migrate(store)
            yield store
    finally:
        front.stop()
