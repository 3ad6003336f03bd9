"""Which part of all visits reached a goal: never more exact than the rounded numbers that it is made of.

Each row's visits are shown as two numbers rounded down, visitors and further visits (aggregator/sql/components.sql), so
the truth is up to 2 (k - 1) more. A rate is told as the range that this leaves, in whole percent, outward.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from collector.settings import Site

ROUNDED_NUMBERS = 2


def step_of(site: Site) -> int:
    """What shown numbers are multiples of: days that were sealed under another k are taken for days of this one."""
    return 1 if site.level == "exact" else site.k


@dataclass(frozen=True)
class Counted:
    """Visits added up over some rows, as shown."""

    visits: int
    rows: int

    def most(self, k: int) -> int:
        """What they can be in truth; with `k` 1 numbers are as counted."""
        return self.visits + ROUNDED_NUMBERS * (k - 1) * self.rows


@dataclass(frozen=True)
class Rate:
    """In whole percent: `percent` of the shown numbers, and between which two the truth lies; of numbers as counted,
    all three are the same."""

    percent: int
    at_least: int
    at_most: int


def rate_of(part: Counted, whole: Counted, k: int) -> Rate | None:
    """The share of `part` in `whole`, which holds it; None where the whole is not shown."""
    if whole.visits == 0:
        return None
    percent = min(100, round(100 * part.visits / whole.visits))
    if k == 1:
        return Rate(percent, percent, percent)
    at_least = math.floor(100 * part.visits / whole.most(k))
    # The same visits are in both, so no more than all of them reached it.
    at_most = min(100, math.ceil(100 * part.most(k) / whole.visits))
    return Rate(percent, at_least, at_most)
