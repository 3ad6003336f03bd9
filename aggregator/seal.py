"""open day -> trends, once; then the open day is destroyed.

A seal goes through these steps, and a crash between any two is healed by the next run. What each writes is looked for
before the next (see `decisions`): destroying cannot be undone, and an answer that something was written is not proof.

1. publish the day in `closings`, then ask the drainers again (each drainer publishes `reopened`, then reads `closings`:
   whoever is second sees the first), and take out what is in the day twice (see `presence`);
2. gather the day's visits in the store's memory (see `gathering`), write the rollups under a fresh random seal id,
   which no reader looks at yet, and let go what was gathered. Of sites of level `dp` what is written is drawn, and kept
   in the key folder until step 5 (see `draw`);
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
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Literal

from aggregator import crosses, gathering, rollup
from aggregator.decisions import OF_DAY, Decisions, SealId
from aggregator.destroy import drop, vanished
from aggregator.draw import DrawNotKept
from aggregator.fail_safe import FailSafe, fail_safe_s
from aggregator.guard import ClockGuard
from aggregator.noisy_sites import NoisySites
from aggregator.presence import doubled_batches, take_out_doubles
from aggregator.rollup import Period, SiteRules
from aggregator.silence import Silence
from aggregator.store import Store, StoreRefused, statement
from collector import days
from collector.clock import Clock
from collector.settings import Level, Settings

log = logging.getLogger(__name__)

Outcome = Literal["sealed", "finished", "expired"]

# A drainer that was silent for a day is given up: its machine is gone, or its events are past their own fail-safe.
DRAINER_GIVEN_UP_S = 24 * 3_600
# What must be counted as expired is counted 6 hours before the engine would take it uncounted: enough for a sealer that
# was down over night.
EXPIRES_BEFORE_S = 6 * 3_600
# A sealer goes round every few seconds; one that has not for so long was asleep, and whoever drains may have been, too.
ASLEEP_S = 60.0
# Events that keep coming into a day long over put its seal off for two days at most, well before they expire.
LONGEST_WAIT_S = 48 * 3_600


class OpenDayChangedError(Exception):
    """Rows came into an open day, or left it, while it was sealed. Nothing was committed; the next run starts anew."""


# What keeps one day from its seal, and no other.
UNSEALABLE = (StoreRefused, OpenDayChangedError, DrawNotKept)


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
    may go too); `step` hears the name of each step that was done. For `patience_s` after it started or woke it gives no
    drainer up: one that slept as long says within seconds that it is there.
    """

    may_work: Callable[[], bool] = lambda: True
    sealed: Callable[[date, str], None] = _ignore
    step: Callable[[str], None] = _ignore
    patience_s: float = 0.0


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
        self._decisions, self._fail_safe = Decisions(store), FailSafe(store, clock)
        self._noisy = NoisySites(store, settings, clock, self._step)
        self._silence = Silence(clock)
        self._on_this_disk = settings.aggregator.store == "embedded"
        self.waiting: Mapping[Period, str] = {}
        # Days that were dropped and may not be gone yet, and those that nobody was told of: a fault came between.
        self._dropped: list[tuple[OpenDay, Sealed]] = []
        # Since when, by the boot clock, an open day was seen, and this sealer has been awake.
        self._seen: dict[Period, float] = {}
        self._looked_at = self._awake_since = clock.boot()
        self._done: list[Sealed] = []

    def seal_due(self) -> list[Sealed]:
        """Seal every day that is due, finish what a crash left, drop what expires; `waiting` then says why others wait.

        Raises StoreUnavailable and what is UNSEALABLE; running it again continues, and tells what was done before the
        fault. One day's fault keeps no other day from its seal.
        """
        waiting: dict[Period, str] = {}
        faults: list[Exception] = []
        self._note_waking()
        if self._surroundings.may_work():
            self._note_taken()
            gathering.clear_dead(self._store)
        self._noisy.clear(self._decisions)
        open_days = list(self._open_days())
        self._seen = {each.period: self._seen.get(each.period, self._looked_at) for each in open_days}
        for open_day in open_days:
            if not self._surroundings.may_work():
                break
            try:
                done = self._settle(open_day, waiting, faults)
            except UNSEALABLE as fault:
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
        committed = self._decisions.committed(open_day.period)
        if committed is not None:
            return self._finish(open_day, committed, "finished")
        if open_day.events == 0:
            return None
        is_overdue = self._is_overdue(open_day)
        reason = self._hindrance(open_day)
        if reason is None:
            try:
                return self._seal(open_day)
            except UNSEALABLE as fault:
                # What cannot be sealed is counted as expired too, before the engine would take it uncounted.
                if not is_overdue or self._decisions.committed(open_day.period) is not None:
                    raise
                faults.append(fault)
        if is_overdue:
            return self._expire(open_day)
        waiting[open_day.period] = str(reason)
        return None

    def _is_overdue(self, open_day: OpenDay) -> bool:
        """By the clock that the engine's TTL goes by, and by the one that nobody sets back."""
        age_s = max(self._store.now() - open_day.first_inserted, self._clock.boot() - self._seen[open_day.period])
        return open_day.events > 0 and age_s > fail_safe_s(open_day.period.timezone) - EXPIRES_BEFORE_S

    def _note_taken(self) -> None:
        taken = self._fail_safe.count_taken()
        if taken:
            log.error("%d events were open past the fail-safe: the engine took them; counted as expired", taken)

    def _note_waking(self) -> None:
        boot = self._clock.boot()
        if boot - self._looked_at > ASLEEP_S:
            self._awake_since = boot
        self._looked_at = boot

    def _open_days(self) -> Iterator[OpenDay]:
        partitions = self._store.query(
            "SELECT DISTINCT partition, partition_id FROM system.parts"
            " WHERE database = currentDatabase() AND table = 'open_events' ORDER BY partition"
        )
        for partition, partition_id in partitions:
            day, timezone = ast.literal_eval(partition)
            period = Period(date.fromisoformat(day), timezone)
            inserted = "toUnixTimestamp(min(inserted)), toUnixTimestamp(max(inserted))"
            rows = self._decisions.ask(f"SELECT count(), {inserted} FROM open_events {OF_DAY}", period)
            events, first, last = rows[0]
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
        is_patient = self._clock.boot() < self._awake_since + self._surroundings.patience_s
        since_ms = 0 if is_patient else int((self._clock.wall() - DRAINER_GIVEN_UP_S) * 1000)
        found = self._decisions.ask(statement("unpromised"), period, since_ms=since_ms)
        silent = [self._silence.of(drainer, seen_at_ms) > DRAINER_GIVEN_UP_S for drainer, seen_at_ms in found]
        missing = (
            found if is_patient else [each for each, is_silent in zip(found, silent, strict=True) if not is_silent]
        )
        return f"{len(missing)} of the drainers may still insert into it" if missing else None

    def _seal(self, open_day: OpenDay) -> Sealed | None:
        period = open_day.period
        self._decisions.close(period)
        self._step("closed")
        if self._unpromised(period) is not None:
            return None
        day = (period.day, period.timezone)
        take_out_doubles(self._store, *day, doubled_batches(self._store, *day))
        events = self._count(period)
        seal = SealId(secrets.randbits(64) or 1)
        rules = partial(rollup.rules_of, self._settings, day=period.day)
        looked_for = {site: rules(site).matching for site in self._settings.sites}
        with gathering.gathered(self._store, period, seal, looked_for):
            self._step("gathered")
            reading = rollup.read(self._store, seal, rules, self._largest_k())
            self._step("read")
            noisy = self._noisy.rules_of(period, reading)
            grouped = reading.without([site for site in reading.spans if rules(site).is_noisy])
            rollup.write(self._store, period, seal, grouped, rules)
            crosses.write(self._store, period, seal, grouped, rules)
            loss = self._noisy.write(period, seal, reading.events, noisy)
            held = gathering.events_held(self._store, seal)
        self._step("written")
        self._decisions.note_batches(period, "sealed", seal)
        self._step("noted")
        if not events == reading.events == held == self._count(period):
            return self._given_way(open_day, seal)
        of_sites = [*map(rules, reading.spans), *noisy.values()]
        record = {**_record(period, seal, reading, of_sites), **loss}
        winner = self._decisions.commit(period, record)
        self._step("committed")
        return self._finish(open_day, winner, "sealed" if winner == seal else "finished")

    def _given_way(self, open_day: OpenDay, seal: SealId) -> Sealed | None:
        """The rows were not the same before and after: another sealer was faster, or something is wrong."""
        winner = self._decisions.committed(open_day.period)
        if winner is not None:
            return self._finish(open_day, winner, "finished")
        self._decisions.delete_trends(open_day.period, "seal = {seal:UInt64}", seal)
        self._noisy.forget(open_day.period)
        raise OpenDayChangedError(f"the open events of {open_day.period} changed while they were sealed; start again")

    def _finish(self, open_day: OpenDay, seal: SealId, outcome: Outcome) -> Sealed:
        """Everything after the commit; may be repeated."""
        gathering.clear(self._store, open_day.period)
        self._noisy.forget(open_day.period)
        self._decisions.delete_trends(open_day.period, "seal != {seal:UInt64}", seal)
        self._step("cleaned")
        late: list[int] = []
        self._drop(open_day, lambda: late.append(self._decisions.note_late(open_day.period, seal)))
        return Sealed(open_day.period, outcome, seal, open_day.events, sum(late), ())

    def _expire(self, open_day: OpenDay) -> Sealed:
        """Count a day as expired that could not be sealed in time, and destroy it."""
        # What still comes for it is late.
        self._decisions.close(open_day.period)
        gathering.clear(self._store, open_day.period)
        self._noisy.forget(open_day.period)
        self._drop(open_day, partial(self._note_expired, open_day.period))
        return Sealed(open_day.period, "expired", SealId(0), open_day.events, 0, ())

    def _note_expired(self, period: Period) -> None:
        self._decisions.note_batches(period, "expired", SealId(0))
        self._step("expired")

    def _drop(self, open_day: OpenDay, count: Callable[[], None]) -> None:
        drop(self._store, open_day.partition_id, count)
        self._step("dropped")
        self._surroundings.sealed(open_day.period.day, open_day.period.timezone)

    def _destroyed(self, open_day: OpenDay, done: Sealed) -> Sealed:
        """Waits until nothing is left of a day that was dropped."""
        remains = vanished(self._store, open_day.partition_id, on_this_disk=self._on_this_disk)
        self._step("destroyed")
        return replace(done, remains=remains)

    def _count(self, period: Period) -> int:
        return int(self._decisions.ask(f"SELECT count() FROM open_events {OF_DAY}", period)[0][0])

    def _largest_k(self) -> int:
        return max(self._settings.privacy.k, *(site.k for site in self._settings.sites.values()))


def _record(period: Period, seal: SealId, reading: rollup.Reading, rules: list[SiteRules]) -> Mapping[str, object]:
    """One record for all sites of the day: it states the weakest of their rules."""
    return {
        "seal": seal,
        "events": reading.events,
        "bounded": reading.bounded,
        "k": min(each.k for each in rules),
        "level": _weakest(rules),
        "days": (days.following(period.day, period.timezone) - period.day).days,
    }


def _weakest(rules: list[SiteRules]) -> Level:
    if any(each.exact for each in rules):
        return "exact"
    return "dp" if all(each.is_noisy for each in rules) else "rounded"
