"""The spools' counters in the store: how many requests had which outcome, as running totals.

Of a total the largest counts, so writing one again does no harm. What was written is looked for some seconds later, and
written again where it is not there: an answer that it was done is not proof.
"""

from __future__ import annotations

from dataclasses import dataclass

from aggregator.backlog import Backlog
from aggregator.store import Store
from collector.clock import Clock
from collector.spool import Counted

CONFIRM_EVERY_S = 10.0
COLUMNS = ("day", "site", "outcome", "reason", "spool", "requests")


@dataclass
class _Pushed:
    """Numbers of the spool's commits: what was written up to `written`, and seen in the store up to `confirmed`."""

    written: int = 0
    confirmed: int = 0
    next_look: float = 0.0


class Coverage:
    """The totals of all spools that one drainer knows."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._pushed: dict[int, _Pushed] = {}

    def push(self, backlog: Backlog) -> None:
        """Writes the totals that changed; now and then looks for those that were written before."""
        pushed = self._pushed.setdefault(backlog.identity, _Pushed())
        totals, commit = backlog.counters_since(pushed.written)
        if totals:
            self._write(backlog.identity, totals)
            pushed.written = commit
        if pushed.confirmed < pushed.written and self._clock.boot() >= pushed.next_look:
            self._confirm(backlog, pushed)

    def _confirm(self, backlog: Backlog, pushed: _Pushed) -> None:
        grown = dict(backlog.counters_since(pushed.written)[0])
        totals = [each for each in backlog.counters_since(pushed.confirmed)[0] if each[0] not in grown]
        held = self._held(backlog.identity, {counted.day for counted, _ in totals})
        missing = [(counted, requests) for counted, requests in totals if held.get(counted, 0) < requests]
        pushed.next_look = self._clock.boot() + CONFIRM_EVERY_S
        if missing:
            self._write(backlog.identity, missing)
        else:
            pushed.confirmed = pushed.written

    def _held(self, spool: int, days: set[str]) -> dict[Counted, int]:
        found = self._store.query(
            "SELECT toString(day), site, outcome, reason, max(requests) FROM coverage_totals"
            " WHERE spool = {spool:UInt64} AND day IN {days:Array(Date)} GROUP BY day, site, outcome, reason",
            {"spool": spool, "days": sorted(days)},
        )
        return {Counted(day, site, outcome, reason): int(requests) for day, site, outcome, reason, requests in found}

    def _write(self, spool: int, totals: list[tuple[Counted, int]]) -> None:
        self._store.insert_rows(
            "coverage_totals", COLUMNS, [(*counted, spool, requests) for counted, requests in totals]
        )
