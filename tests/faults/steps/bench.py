"""What all examples share: one simulated disk, one store; and what they add up to."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from aggregator.store import Store
from tests.faults.power.switch import PoweredDisk, powered


@dataclass
class Tally:
    """What was played: steps by name, and the looks at the store that followed those which may have changed it."""

    steps: Counter[str] = field(default_factory=Counter)
    examples: int = 0
    acknowledged: int = 0
    looks: int = 0
    seals: int = 0

    @property
    def played(self) -> int:
        return self.steps.total()

    @property
    def cuts(self) -> int:
        return self._named(lambda name: name.startswith("lose_power"))

    @property
    def rounds(self) -> int:
        """Rounds of drainer or sealer, some of them without an answer, or cut short."""
        return self._named(lambda name: name.startswith(("drain", "seal")) or name == "lose_power_in_a_round")

    @property
    def unanswered(self) -> int:
        return self._named(lambda name: name.endswith("without_an_answer"))

    def add(self, other: Tally) -> None:
        self.steps += other.steps
        self.examples += other.examples
        self.acknowledged += other.acknowledged
        self.looks += other.looks
        self.seals += other.seals

    def __str__(self) -> str:
        return json.dumps(vars(self))

    @classmethod
    def read(cls, text: str) -> Tally:
        told = json.loads(text)
        return cls(**{**told, "steps": Counter(told["steps"])})

    def _named(self, is_meant: Callable[[str], bool]) -> int:
        return sum(times for name, times in self.steps.items() if is_meant(name))


@dataclass
class Bench:
    """`ended` hears the tally after each example; no other one begins when it `is_done`."""

    disk: PoweredDisk
    store: Store
    key_dir: Path
    tally: Tally = field(default_factory=Tally)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    ended: Callable[[Tally], None] = lambda tally: None
    is_done: Callable[[], bool] = lambda: False


@contextlib.contextmanager
def benched(folder: Path, store: Store) -> Iterator[Bench]:
    """A bench for the time of a `with` block. Skips the test where no simulated disk can be mounted."""
    key_dir = Path(tempfile.mkdtemp(prefix="footfall-test-", dir="/dev/shm"))
    try:
        with powered(folder / "disk") as disk:
            yield Bench(disk, store, key_dir)
    finally:
        shutil.rmtree(key_dir, ignore_errors=True)
