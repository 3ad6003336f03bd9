"""What an attack gives: how often it was tried and succeeded, and the table of all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

COLUMNS = ("promise", "attack", "trials", "successes", "required", "verdict", "weakened build: successes of trials")


@dataclass(frozen=True)
class Count:
    """`successes` of `trials`, against `build`."""

    build: str
    trials: int
    successes: int

    def __str__(self) -> str:
        return f"{self.build}: {self.successes:,} of {self.trials:,}"


@dataclass
class Verdict:
    """One attack. `required` is the number of successes at most allowed; `remarks` are further figures as sentences.

    `weakened` says against which broken builds the attack succeeded: without one it is not shown that it can.
    """

    promise: str
    attack: str
    trials: int
    successes: int
    required: int = 0
    weakened: list[Count] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return self.trials > 0 and self.successes <= self.required

    @property
    def can_fail(self) -> bool:
        """Whether each weakened build was caught."""
        return bool(self.weakened) and all(count.successes > self.required for count in self.weakened)

    def cells(self) -> tuple[str, ...]:
        verdict = "holds" if self.holds else "DOES NOT HOLD"
        if not self.can_fail:
            verdict += ", NOT SHOWN TO FAIL"
        numbers = (f"{self.trials:,}", f"{self.successes:,}", f"{self.required:,}")
        return (self.promise, self.attack, *numbers, verdict, "; ".join(map(str, self.weakened)))


def table(verdicts: Iterable[Verdict]) -> str:
    """All verdicts as Markdown, with their remarks below."""
    listed = list(verdicts)
    rows = [COLUMNS, tuple("---" for _ in COLUMNS), *(verdict.cells() for verdict in listed)]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    remarks = [f"- {verdict.promise}: {remark}" for verdict in listed for remark in verdict.remarks]
    return "\n".join([*lines, "", *remarks])
