"""The spools' counters in the store: how many requests had which outcome, as running totals.

Of a total the largest counts, so writing one again does no harm. What was written is looked for some seconds later, and
written again where it is not there: an answer that it was done is not proof.

Who reads them (the view `coverage`, and so page, JSON and SQL) sees of today the numbers as of the last full hour: who
fills a step of ten with requests of their own learns that within an hour some request came, and no more. They are taken
once an hour for all spools and readers, into a table, so that neither a restart nor another reader or query shows more
(`HourlyCoverage`). An hour that was missed stays missed: the next change comes with the next full hour.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aggregator.backlog import Backlog
from aggregator.store import INSERT_SETTINGS, Store, statement
from collector.clock import Clock
from collector.group import Counted

CONFIRM_EVERY_S = 10.0
HOUR_S = 3_600
# What was taken by then is shown from the hour's second minute on (migration 0030), so that it changes by the clock.
TAKEN_WITHIN_S = 55.0
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


class HourlyCoverage:
    """What readers see of today, taken once an hour. `may_work` is asked before."""

    def __init__(self, store: Store, may_work: Callable[[], bool] = lambda: True) -> None:
        self._store, self._may_work = store, may_work
        self._seen = 0

    def round(self, now: float | None = None) -> bool:
        """Takes the numbers where a full hour began just now, or none was ever taken; whether it did.

        `now` is the store's clock, in Unix seconds. Raises what the store raises; repeating is harmless.
        """
        now = self._store.now() if now is None else now
        hour = int(now // HOUR_S) * HOUR_S
        if hour <= self._seen or (self._seen and now - hour > TAKEN_WITHIN_S) or not self._may_work():
            return False
        self._seen = self._taken()
        is_due = self._seen == 0 or (hour > self._seen and now - hour <= TAKEN_WITHIN_S)
        if is_due:
            # One part, so all or nothing. Of two who take an hour at once the store swallows the second.
            settings = {**INSERT_SETTINGS, "insert_deduplication_token": f"coverage/{hour}"}
            self._store.command(statement("coverage_of_hour"), {"as_of": hour}, settings)
            self._seen = self._taken()
        return is_due

    def _taken(self) -> int:
        """The last hour that was taken, in Unix seconds; 0 before the first."""
        return int(self._store.query("SELECT toUnixTimestamp(max(as_of)) FROM coverage_rows")[0][0])
