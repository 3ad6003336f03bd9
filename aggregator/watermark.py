"""A drainer's promises in the store: which days it will insert nothing into any more (design.md section 11).

The promise for a time zone is `closed_through`: "no event of this day or an earlier one, but for the
days in `reopened`". A day that is over is entered only through `reopened`, so that the sealer and
any number of drainers exclude each other without a lock:

- the drainer first publishes the day in `reopened`, then reads `closings` and `seals`;
- the sealer first publishes the day in `closings`, then reads every drainer's `reopened`.

Whoever is second sees the first. A drainer that finds the day closed counts its events as late; a
sealer that finds it reopened waits until the drainer gives it back, one grace after its last batch.
A drainer is known to the sealer before it inserts anything into a time zone, and again after a
silence: it publishes what it holds before it relies on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from aggregator.store import Store, StoreUnavailable
from collector.clock import Clock
from collector.days import day_of, ends_at

NEVER = date(1970, 1, 1)
# What a drainer knew of seals is asked again after so long without an answer from the store: somebody
# who was asleep may have been given up meanwhile (the sealer does so after 24 h).
SILENCE_S = 3_600.0
# The sealer gives a drainer up after 24 h; a promise is renewed far more often than that.
RENEW_EVERY_S = 5.0


@dataclass
class Zone:
    """What this drainer has promised for one time zone."""

    closed_through: date = NEVER
    # When the last batch of a day already over came in, by the boot clock: it tells how long ago, and nobody sets it.
    reopened: dict[date, float] = field(default_factory=dict)


class Watermark:
    """The promises of one drainer, published before they are relied upon."""

    def __init__(self, store: Store, drainer: int, grace_s: float, clock: Clock) -> None:
        self._store, self._drainer, self._grace_s, self._clock = store, drainer, grace_s, clock
        self._zones: dict[str, Zone] = {}
        self._known_open: set[tuple[date, str]] = set()
        self._published: set[str] = set()
        self._seen_at_ms = 0
        self._heard_at = clock.boot()
        self._renewed_at: float | None = None
        self._restore()

    def may_insert(self, day: date, timezone: str) -> bool:
        """Whether an event of this day may go in; False means late. May publish, so it may raise a store's fault."""
        self._forget_after_silence()
        now = self._clock.wall()
        zone = self._zones.setdefault(timezone, Zone())
        if timezone not in self._published:
            self._publish([timezone])
        over = now >= ends_at(day, timezone) + self._grace_s or day <= zone.closed_through
        if over and day not in zone.reopened:
            self._reopen(zone, day, timezone)
        if (day, timezone) not in self._known_open:
            if self._is_closed(day, timezone):
                if zone.reopened.pop(day, None) is not None:
                    self._publish([timezone])
                return False
            self._known_open.add((day, timezone))
        if over:
            zone.reopened[day] = self._clock.boot()
        return True

    def advance(self, timezone: str, through: date) -> None:
        """Promises that no day up to `through` gets another event from here. The caller inserted and deleted all."""
        zone = self._zones.setdefault(timezone, Zone())
        if through > zone.closed_through:
            zone.closed_through = through
            self._publish([timezone])

    def closable(self, timezone: str) -> date:
        """The last day that is over, grace included, in this time zone."""
        day = day_of(self._clock.wall() - self._grace_s, timezone)
        return date.fromordinal(day.toordinal() - 1)

    def is_promised(self, timezone: str, day: date) -> bool:
        return timezone in self._zones and self._zones[timezone].closed_through >= day

    def renew(self, timezones: Iterable[str]) -> None:
        """Says again what holds, every few seconds."""
        if self._renewed_at is None or self._clock.boot() >= self._renewed_at + RENEW_EVERY_S:
            self._publish({*timezones, *self._zones})
            self._renewed_at = self._clock.boot()

    def returnable(self) -> list[tuple[date, str]]:
        """Reopened days whose last batch is one grace ago."""
        over_at = self._clock.boot() - self._grace_s
        return [
            (day, timezone)
            for timezone, zone in self._zones.items()
            for day, last in zone.reopened.items()
            if last <= over_at
        ]

    def give_back(self, day: date, timezone: str) -> None:
        """Promises a reopened day again. The caller has inserted and deleted what it had of it."""
        self._zones[timezone].reopened.pop(day)
        self._known_open.discard((day, timezone))
        self._publish([timezone])

    def heard(self) -> None:
        """The store has answered just now."""
        self._heard_at = self._clock.boot()

    def is_reopened(self, timezone: str, day: date) -> bool:
        return timezone in self._zones and day in self._zones[timezone].reopened

    def _reopen(self, zone: Zone, day: date, timezone: str) -> None:
        """Published before it is believed: if the store does not answer, the day is not reopened."""
        zone.reopened[day] = self._clock.boot()
        try:
            self._publish([timezone])
        except BaseException:
            del zone.reopened[day]
            raise
        self._known_open.discard((day, timezone))

    def _restore(self) -> None:
        rows = self._store.query(
            "SELECT timezone, closed_through, reopened, toUnixTimestamp64Milli(seen_at) FROM drains FINAL"
            " WHERE drainer = {drainer:UInt64}",
            {"drainer": self._drainer},
        )
        now = self._clock.boot()
        for timezone, closed_through, reopened, seen_at_ms in rows:
            self._zones[timezone] = Zone(closed_through, dict.fromkeys(reopened, now))
            self._seen_at_ms = max(self._seen_at_ms, int(seen_at_ms))

    def _forget_after_silence(self) -> None:
        if self._clock.boot() - self._heard_at > SILENCE_S:
            self._known_open.clear()
            self._published.clear()

    def _is_closed(self, day: date, timezone: str) -> bool:
        found = self._store.query(
            "SELECT 1 FROM closings WHERE day = {day:Date} AND timezone = {timezone:String}"
            " UNION ALL SELECT 1 FROM seals WHERE day = {day:Date} AND timezone = {timezone:String} LIMIT 1",
            {"day": day, "timezone": timezone},
        )
        self.heard()
        return bool(found)

    def _publish(self, timezones: Iterable[str]) -> None:
        # The latest `seen_at` is what the sealer reads, so it never goes back, not even with the clock.
        self._seen_at_ms = max(int(self._clock.wall() * 1000), self._seen_at_ms + 1)
        seconds, milliseconds = divmod(self._seen_at_ms, 1000)
        seen_at = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{milliseconds:03}"
        zones = [(name, self._zones.setdefault(name, Zone())) for name in timezones]
        rows = [
            (
                self._drainer,
                name,
                zone.closed_through.isoformat(),
                [day.isoformat() for day in sorted(zone.reopened)],
                seen_at,
            )
            for name, zone in zones
        ]
        self._store.insert_rows("drains", ("drainer", "timezone", "closed_through", "reopened", "seen_at"), rows)
        self._confirm(len(rows))
        self._published.update(name for name, _ in zones)
        self.heard()

    def _confirm(self, zones: int) -> None:
        """That a promise was written is believed when it is there: the sealer acts on what it reads, not on answers."""
        found = self._store.query(
            "SELECT count() FROM drains FINAL"
            " WHERE drainer = {drainer:UInt64} AND toUnixTimestamp64Milli(seen_at) = {seen_at_ms:Int64}",
            {"drainer": self._drainer, "seen_at_ms": self._seen_at_ms},
        )
        if found != [(zones,)]:
            raise StoreUnavailable("what this drainer promises was inserted and is not there")
