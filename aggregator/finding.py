"""What a check of a running installation found: shared by `doctor` (does it work?) and `audit` (is it private?).

Three grades: `ok`, `remark` (true, allowed, and somebody should know it) and `FINDING` (exit status 1).
No text of a finding holds a value that a visitor or a page wrote, a token, a key or a password.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Grade = Literal["ok", "remark", "FINDING"]


@dataclass(frozen=True)
class Finding:
    """One check: how it came out, its evidence, what to do, and the promise that it looks after, if it is of one."""

    check: str
    grade: Grade
    evidence: str
    advice: str = ""
    promise: str = ""

    @property
    def is_well(self) -> bool:
        return self.grade != "FINDING"

    def __str__(self) -> str:
        number = self.promise.partition(" ")[0]
        told = f" [{number}]" if number[:1] == "P" and number[1:].isdigit() else ""
        then = f"; {self.advice}" if self.advice and self.grade != "ok" else ""
        return f"{self.grade:<7} {self.check}{told}: {self.evidence}{then}"

    def document(self) -> dict[str, object]:
        """For machines; `advice` is empty where nothing has to be done."""
        return {
            "check": self.check,
            "promise": self.promise,
            "grade": self.grade,
            "ok": self.is_well,
            "evidence": self.evidence,
            "advice": "" if self.grade == "ok" else self.advice,
        }
