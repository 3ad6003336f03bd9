"""What an example has been told: which events were acknowledged, refused, dropped, and whose were withdrawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date


@dataclass(frozen=True, slots=True)
class Taken:
    """An event that was acknowledged at `received`; its own time `at` is earlier where a server reports it later."""

    day: date
    visitor: int
    at: float
    received: float


@dataclass
class Account:
    """`accepted` counts all acknowledged events, `taken` are those of days not closed. Times are Unix seconds."""

    taken: dict[str, Taken] = field(default_factory=dict)
    accepted: int = 0
    dropped: int = 0
    refused: set[str] = field(default_factory=set)
    # Idempotency keys, and when they were answered.
    answered: dict[bytes, float] = field(default_factory=dict)
    _closed: set[date] = field(default_factory=set)
    _withdrawn: dict[tuple[date, int], float] = field(default_factory=dict)

    def take(self, names: Sequence[str], taken: Taken) -> None:
        self.accepted += len(names)
        if taken.day not in self._closed:
            self.taken.update(dict.fromkeys(names, taken))

    def withdraw(self, day: date, visitor: int, at: float) -> None:
        self._withdrawn[day, visitor] = max(at, self._withdrawn.get((day, visitor), at))

    @property
    def has_withdrawals(self) -> bool:
        return bool(self._withdrawn)

    def has_to_go(self, name: str) -> bool:
        """Whether it was received before a withdrawal of its visitor."""
        taken = self.taken[name]
        return taken.received <= self._withdrawn.get((taken.day, taken.visitor), 0.0)

    def may_be_gone(self, name: str) -> bool:
        """Whether it is of a time before one: what is reported later goes too, as long as the withdrawal waits."""
        taken = self.taken[name]
        return taken.at <= self._withdrawn.get((taken.day, taken.visitor), 0.0)

    def close(self, days: set[date]) -> None:
        """What became of their events is in the ledger's sums alone from here on."""
        self._closed |= days
        self.taken = {name: taken for name, taken in self.taken.items() if taken.day not in days}
