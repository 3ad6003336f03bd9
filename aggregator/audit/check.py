"""What the tables of checks are made of: a name, the promise that a check looks after, and a look that gives a verdict.

Promises are named as in README's table of privacy promises.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from aggregator.audit.tables import Table, tables_expected, tables_of
from aggregator.finding import Grade
from aggregator.rollup import Period
from aggregator.store import Store
from collector.settings import Settings

SHOWN = 5

NO_IDENTIFIER = "P1 nothing that points at a person is stored"
TRENDS_ARE_PLAIN = "P4 trends hold no identifier, hash or sketch"
AT_LEAST_K = "P5 no cell below k networks"
NO_EXACT_NUMBER = "P6 no exact number"
KEYS_DIE = "P3 a sealed day cannot be linked back"
DELETION_IS_REAL = "P13 deletion is real"
SHORT_LIVED = "P13 deletion is real: open days live for 3 days at most"
KEPT_PRIVATE = "files are readable by their owner alone"
NO_CONSENT_NO_TRACE = "P2 no consent, no trace"
POLICY_IS_TRUE = "P16 the printed policy is the running one"


class Verdict(NamedTuple):
    """How a look came out: the grade, what was seen, and what to do."""

    grade: Grade
    evidence: str
    advice: str = ""


@dataclass(frozen=True)
class Machine:
    """An installation without its store; `now` is this machine's clock, in Unix seconds."""

    settings: Settings
    now: float = field(default_factory=time.time)

    @property
    def is_embedded(self) -> bool:
        return self.settings.aggregator.store == "embedded"

    def shown(self, path: Path) -> str:
        """A path as evidence: relative to the data folder where it lies in it."""
        data = self.settings.data
        return str(path.relative_to(data)) if path.is_relative_to(data) and path != data else str(path)


@dataclass(frozen=True)
class Installation(Machine):
    """An installation with its store."""

    store: Store = field(kw_only=True)

    @cached_property
    def tables(self) -> dict[str, Table]:
        """The tables that are there."""
        return tables_of(self.store)

    @cached_property
    def tables_expected(self) -> dict[str, Table]:
        """The tables that the migrations make."""
        return tables_expected(self.settings)

    @cached_property
    def sealed(self) -> dict[Period, float]:
        """Days that a committed seal has read, and when it was committed, in Unix seconds."""
        rows = self.store.query(
            "SELECT day, timezone, toUnixTimestamp64Milli(min(committed_at)) FROM seals GROUP BY day, timezone"
        )
        return {Period(day, timezone): int(at) / 1000 for day, timezone, at in rows}


@dataclass(frozen=True)
class Check:
    """A check of the machine alone."""

    name: str
    promise: str
    look: Callable[[Machine], Verdict]


@dataclass(frozen=True)
class StoredCheck:
    """A check that asks the store."""

    name: str
    promise: str
    look: Callable[[Installation], Verdict]


def ok(evidence: str) -> Verdict:
    return Verdict("ok", evidence)


def remark(evidence: str, advice: str = "") -> Verdict:
    return Verdict("remark", evidence, advice)


def found(evidence: str, advice: str) -> Verdict:
    return Verdict("FINDING", evidence, advice)


def none_of(faults: Iterable[str], otherwise: str, advice: str) -> Verdict:
    """Fine as `otherwise` says where there are no faults; else the first few are the evidence."""
    listed = list(faults)
    if not listed:
        return ok(otherwise)
    more = f"; and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return found("; ".join(listed[:SHOWN]) + more, advice)
