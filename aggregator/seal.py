"""open day -> trends, once; then the open day is destroyed.

A seal goes through these steps, and a crash between any two is healed by the next run:

1. publish the day in `closings`, then ask the drainers again (each drainer publishes `reopened`, then reads `closings`:
   whoever is second sees the first);
2. write the rollups under a fresh random seal id, which no reader looks at yet;
3. note each batch as sealed by that id;
4. insert the commit record into `seals`: from here on the rows count, if it is the earliest for its day;
5. delete what other attempts wrote for the day: no other seal of it can win any more;
6. count what came after the seal as late, and drop the partition; when all that are due are dropped, wait until nothing
   of them is left.

Two sealers at once do no harm: steps 1 to 3 of both lie side by side, one commit record is the earliest, and only after
it is there does anybody delete. (Deleting before sealing again would take away what a slower sealer is about to
commit.)

Nothing is kept past the fail-safe: a day that cannot be sealed in time is counted as expired and dropped.
"""

from __future__ import annotations

import ast
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Any, Literal, NewType

from aggregator import rollup
from aggregator.destroy import drop, vanished
from aggregator.guard import ClockGuard
from aggregator.rollup import Period, SiteRules
from aggregator.store import Store, StoreRefused, statement
from collector import days
from collector.clock import Clock
from collector.settings import Settings

SealId = NewType("SealId", int)
Outcome = Literal["sealed", "finished", "expired"]

ORIGIN = "open day"
OF_DAY = "WHERE day = {day:Date} AND timezone = {timezone:String}"
# A drainer that was silent for a day is given up: its machine is gone, or its events are past their own fail-safe.
DRAINER_GIVEN_UP_S = 24 * 3_600
# The TTL of open_events on `inserted` is 3 days. What must be counted as expired is counted 6 hours before the engine
# would take it uncounted: enough for a sealer that was down over night.
EXPIRES_AFTER_S = (3 * 24 - 6) * 3_600
# Events that keep coming into a day long over put its seal off for two days at most, well before they expire.
LONGEST_WAIT_S = 48 * 3_600


class OpenDayChangedError(Exception):
    """Rows came into an open day, or left it, while it was sealed. Nothing was committed; the next run starts anew."""


@dataclass(frozen=True)
class OpenDay:
    """A partition of `open_events`; `events` is 0 when it was dropped and its parts are not removed yet."""

    period: Period
    partition_id: str
    events: int
    first_inserted: float
    last_inserted: float


@dataclass(frozen=True)
class Sealed:
    """What became of an open day: sealed now, an earlier seal finished, or expired. `remains` names what is left."""

    period: Period
    outcome: Outcome
    seal: SealId
    events: int
    late: int
    remains: tuple[str, ...]


def _ignore(*_: object) -> None:
    """The default of what callers may want to hear about."""


@dataclass(frozen=True)
class Surroundings:
    """What a sealer asks and tells the process it runs in.

    `may_work` is asked before each day (a lease); `sealed` is told each day whose open events were dropped (its keys
    may go too); `step` hears the name of each step that was done.
    """

    may_work: Callable[[], bool] = lambda: True
    sealed: Callable[[date, str], None] = _ignore
    step: Callable[[str], None] = _ignore


class Sealer:
    """Seals what is due; `waiting` says why other open days are not."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        clock: Clock,
        guard: ClockGuard,
        surroundings: Surroundings = Surroundings(),
    ) -> None:
        self._store, self._settings, self._clock, self._guard = store, settings, clock, guard
        self._surroundings, self._step = surroundings, surroundings.step
        self._on_this_disk = settings.aggregator.store == "embedded"
        self.waiting: Mapping[Period, str] = {}
        # Days that were dropped and may not be gone yet, and those that nobody was told of: a fault came between.
        self._dropped: list[tuple[OpenDay, Sealed]] = []
        self._done: list[Sealed] = []

    def seal_due(self) -> list[Sealed]:
        """Seal every day that is due, finish what a crash left, drop what expires; `waiting` then says why others wait.

        Raises StoreUnavailable, StoreRefused and OpenDayChangedError; running it again continues, and tells what was
        done before the fault. One day's fault keeps no other day from its seal.
        """
        waiting: dict[Period, str] = {}
        faults: list[Exception] = []
        for open_day in self._open_days():
            if not self._surroundings.may_work():
                break
            try:
                done = self._settle(open_day, waiting, faults)
            except (StoreRefused, OpenDayChangedError) as fault:
                faults.append(fault)
            else:
                self._dropped += [] if done is None else [(open_day, done)]
        self.waiting = waiting
        # Together: the engine takes a second or two to remove a dropped day, and one waits for all of them at once.
        while self._dropped:
            self._done.append(self._destroyed(*self._dropped[0]))
            del self._dropped[0]
        if faults:
            raise faults[0]
        done_now, self._done = self._done, []
        return done_now

    def _settle(self, open_day: OpenDay, waiting: dict[Period, str], faults: list[Exception]) -> Sealed | None:
        committed = self._committed(open_day.period)
        if committed is not None:
            return self._finish(open_day, committed, "finished")
        if open_day.events == 0:
            return None
        is_overdue = self._store.now() - open_day.first_inserted > EXPIRES_AFTER_S
        reason = self._hindrance(open_day)
        if reason is None:
            try:
                return self._seal(open_day)
            except (StoreRefused, OpenDayChangedError) as fault:
                # What cannot be sealed is counted as expired too, before the engine would take it uncounted.
                if not is_overdue or self._committed(open_day.period) is not None:
                    raise
                faults.append(fault)
        if is_overdue:
            return self._expire(open_day)
        waiting[open_day.period] = str(reason)
        return None

    def _open_days(self) -> Iterator[OpenDay]:
        partitions = self._store.query(
            "SELECT DISTINCT partition, partition_id FROM system.parts"
            " WHERE database = currentDatabase() AND table = 'open_events' ORDER BY partition"
        )
        for partition, partition_id in partitions:
            day, timezone = ast.literal_eval(partition)
            period = Period(date.fromisoformat(day), timezone)
            inserted = "toUnixTimestamp(min(inserted)), toUnixTimestamp(max(inserted))"
            events, first, last = self._ask(f"SELECT count(), {inserted} FROM open_events {OF_DAY}", period)[0]
            yield OpenDay(period, partition_id, events, first, last)

    def _hindrance(self, open_day: OpenDay) -> str | None:
        """Why a day is not sealed now; None when it is due."""
        if self._clock.wall() < self._due_at(open_day):
            return "it is not over yet"
        return self._guard.disagreement() or self._unpromised(open_day.period)

    def _due_at(self, open_day: OpenDay) -> float:
        """One grace after the day is over; for a day that was over when its first event came, after its last batch."""
        grace_s = self._settings.privacy.grace_minutes * 60
        over_at = days.ends_at(open_day.period.day, open_day.period.timezone)
        if open_day.first_inserted < over_at:
            return over_at + grace_s
        return min(open_day.last_inserted + grace_s, open_day.first_inserted + LONGEST_WAIT_S)

    def _unpromised(self, period: Period) -> str | None:
        since_ms = int((self._clock.wall() - DRAINER_GIVEN_UP_S) * 1000)
        missing = self._ask(statement("unpromised"), period, since_ms=since_ms)
        return f"{len(missing)} of the drainers may still insert into it" if missing else None

    def _seal(self, open_day: OpenDay) -> Sealed | None:
        period = open_day.period
        self._insert("closings", period, {})
        self._step("closed")
        if self._unpromised(period) is not None:
            return None
        events = self._count(period)
        seal = SealId(secrets.randbits(64) or 1)
        rules = partial(rollup.rules_of, self._settings, day=period.day)
        reading = rollup.read(self._store, period, rules, self._largest_k())
        self._step("read")
        rollup.write(self._store, period, seal, reading, rules)
        self._step("written")
        self._note_batches(period, "sealed", seal)
        self._step("noted")
        if not events == reading.events == self._count(period):
            return self._given_way(open_day, seal)
        self._commit(period, seal, reading, [rules(site) for site in reading.spans])
        self._step("committed")
        winner = self._committed(period)
        if winner is None:
            raise OpenDayChangedError(f"the seal of {period} was inserted and is not there")
        return self._finish(open_day, winner, "sealed" if winner == seal else "finished")

    def _given_way(self, open_day: OpenDay, seal: SealId) -> Sealed | None:
        """The rows were not the same before and after: another sealer was faster, or something is wrong."""
        winner = self._committed(open_day.period)
        if winner is not None:
            return self._finish(open_day, winner, "finished")
        self._delete_rows(open_day.period, "seal = {seal:UInt64}", seal)
        raise OpenDayChangedError(f"the open events of {open_day.period} changed while they were sealed; start again")

    def _commit(self, period: Period, seal: SealId, reading: rollup.Reading, rules: list[SiteRules]) -> None:
        """One record for all sites of the day: it states the weakest of their rules."""
        record = {
            "origin": ORIGIN,
            "seal": seal,
            "events": reading.events,
            "bounded": reading.bounded,
            "k": min(each.k for each in rules),
            "level": "exact" if any(each.exact for each in rules) else "rounded",
            "days": 1,
        }
        self._insert("seals", period, record, token=f"{period.day}/{period.timezone}/{ORIGIN}")

    def _finish(self, open_day: OpenDay, seal: SealId, outcome: Outcome) -> Sealed:
        """Everything after the commit; may be repeated."""
        self._delete_rows(open_day.period, "seal != {seal:UInt64}", seal)
        self._step("cleaned")
        late = self._ask(statement("leftover_batches"), open_day.period, seal=seal)
        self._insert_batches(open_day.period, late, "late", SealId(0))
        self._drop(open_day)
        return Sealed(open_day.period, outcome, seal, open_day.events, sum(events for _, events in late), ())

    def _expire(self, open_day: OpenDay) -> Sealed:
        """Count a day as expired that could not be sealed in time, and destroy it."""
        # What still comes for it is late: nothing may slip in between the count and the drop.
        self._insert("closings", open_day.period, {})
        self._note_batches(open_day.period, "expired", SealId(0))
        self._step("expired")
        self._drop(open_day)
        return Sealed(open_day.period, "expired", SealId(0), open_day.events, 0, ())

    def _drop(self, open_day: OpenDay) -> None:
        drop(self._store, open_day.partition_id)
        self._step("dropped")
        self._surroundings.sealed(open_day.period.day, open_day.period.timezone)

    def _destroyed(self, open_day: OpenDay, done: Sealed) -> Sealed:
        """Waits until nothing is left of a day that was dropped."""
        remains = vanished(self._store, open_day.partition_id, on_this_disk=self._on_this_disk)
        self._step("destroyed")
        return replace(done, remains=remains)

    def _note_batches(self, period: Period, outcome: str, seal: SealId) -> None:
        batches = self._ask(f"SELECT batch, count() FROM open_events {OF_DAY} GROUP BY batch", period)
        self._insert_batches(period, batches, outcome, seal)

    def _insert_batches(self, period: Period, batches: list[tuple[Any, ...]], outcome: str, seal: SealId) -> None:
        rows = [(batch, period.day, period.timezone, events, outcome, seal) for batch, events in batches]
        if rows:
            self._store.insert_rows("batches", ("batch", "day", "timezone", "events", "outcome", "seal"), rows)

    def _delete_rows(self, period: Period, which: str, seal: SealId) -> None:
        """Delete the day's rollups of seals that were not committed, and wait; a mutation only if there are any."""
        where = f"{OF_DAY} AND {which}"
        for table in ("trend_rows", "breakdown_rows"):
            if self._ask(f"SELECT 1 FROM {table} {where} LIMIT 1", period, seal=seal):
                parameters = {"day": period.day, "timezone": period.timezone, "seal": seal}
                self._store.command(f"ALTER TABLE {table} DELETE {where}", parameters, {"mutations_sync": 2})

    def _committed(self, period: Period) -> SealId | None:
        found = self._ask(
            f"SELECT seal FROM committed_seals {OF_DAY} AND origin = {{origin:String}}",
            period,
            origin=ORIGIN,
        )
        return SealId(found[0][0]) if found else None

    def _count(self, period: Period) -> int:
        return int(self._ask(f"SELECT count() FROM open_events {OF_DAY}", period)[0][0])

    def _largest_k(self) -> int:
        return max(self._settings.privacy.k, *(site.k for site in self._settings.sites.values()))

    def _ask(self, sql: str, period: Period, **parameters: object) -> list[tuple[Any, ...]]:
        return self._store.query(sql, {"day": period.day, "timezone": period.timezone, **parameters})

    def _insert(self, table: str, period: Period, values: Mapping[str, object], token: str | None = None) -> None:
        row = {"day": period.day, "timezone": period.timezone, **values}
        self._store.insert_rows(table, list(row), [list(row.values())], token=token)
