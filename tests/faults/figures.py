"""What a proof prints: a row for each fault with its rounds, and what was lost, doubled or kept too long in them.

A full run (`make soak`) also records its table, with the commit it ran on, in docs/figures/PART.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "figures"
IS_SOAK = "FOOTFALL_SOAK" in os.environ
COLUMNS = ("fault", "rounds", "acknowledged", "lost", "doubled", "kept too long")


@dataclass
class Row:
    """One fault. `rounds` is how often it struck; the others count events, `kept` those found past their time."""

    fault: str
    rounds: int = 0
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    kept: int = 0
    # False where the proof is not about that: then the table says so instead of 0.
    is_kept_looked_for: bool = True

    def add(self, other: Row) -> None:
        """The same fault, elsewhere."""
        self.rounds += other.rounds
        self.acknowledged += other.acknowledged
        self.lost += other.lost
        self.doubled += other.doubled
        self.kept += other.kept

    def cells(self) -> tuple[str, ...]:
        numbers = (self.rounds, self.acknowledged, self.lost, self.doubled)
        kept = f"{self.kept:,}" if self.is_kept_looked_for else "not looked for"
        return (self.fault, *(f"{number:,}" for number in numbers), kept)


@dataclass
class Figures:
    """The table of one `part` (a short name: kills, power). Add up in its rows, then `tell` it."""

    part: str
    rows: dict[str, Row] = field(default_factory=dict)
    # Sentences with further figures: "the slowest recovery took 3.1 s".
    remarks: list[str] = field(default_factory=list)
    began_at: float = field(default_factory=time.monotonic)
    is_kept_looked_for: bool = True

    def row(self, fault: str) -> Row:
        return self.rows.setdefault(fault, Row(fault, is_kept_looked_for=self.is_kept_looked_for))

    @property
    def faults(self) -> int:
        """Events lost, doubled or kept too long, over all rows: 0 where every promise held."""
        return sum(row.lost + row.doubled + row.kept for row in self.rows.values())

    def __str__(self) -> str:
        lines = [COLUMNS, *(row.cells() for row in self.rows.values())]
        widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
        text = "\n".join(
            "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in lines
        )
        return "\n".join([f"{self.part}:", text, *self.remarks])

    def tell(self) -> None:
        """Prints the table; a full run records it as well. Call it before asserting, so that a failure is told."""
        # Not on the standard output: where test files run in parallel, only this reaches the terminal.
        print(f"\n{self}", file=sys.stderr)
        if IS_SOAK:
            self.record(FOLDER / f"{self.part}.json")

    def record(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        run = {
            "part": self.part,
            "day": f"{datetime.now(UTC):%Y-%m-%d}",
            "commit": commit(),
            "seconds": round(time.monotonic() - self.began_at),
            "rows": [asdict(row) for row in self.rows.values()],
            "remarks": self.remarks,
        }
        file.write_text(json.dumps(run, indent=1, ensure_ascii=False) + "\n")


def commit() -> str:
    """The commit that is checked out, with a `+` where the tree differs from it."""
    git = ("git", "-C", str(ROOT), "describe", "--always", "--abbrev=10", "--dirty=+", "--exclude=*")
    told = subprocess.run(git, capture_output=True, text=True, check=False)
    return told.stdout.strip() or "unknown"
