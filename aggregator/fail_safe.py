"""What the engine's own fail-safe took: rows that its TTL deletes some days after their insertion, and tells nobody.

The sealer counts and drops a day as expired hours before that. Where it was away for as long, because a machine was
off or its clock was set forward, the engine is first, a moment after it starts. So each batch that was noted as open,
has no row in an open day any more, and no other end, is noted as expired here, for the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from aggregator.store import Store, statement
from collector.clock import Clock
from collector.days import Every, parts_of

# As the TTL of `open_events` has it (migration 0040), and sql/taken_batches.sql.
FAIL_SAFE_DAYS: Mapping[Every, int] = MappingProxyType({"day": 3, "week": 10})

# The ledger tells of events that it does not find for so long; looking for them reads all of `batches`.
LOOKED_EVERY_S = 600.0


def fail_safe_s(timezone: str) -> float:
    """How many seconds after its insertion the engine deletes an event of this calendar."""
    _, every = parts_of(timezone)
    return FAIL_SAFE_DAYS[every] * 86_400.0


class FailSafe:
    """Of one sealer. Doing it twice is harmless: a batch has one end, and a seal that has read it comes first."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._next_at = 0.0

    def count_taken(self) -> int:
        """Notes what was taken since the last time; returns the events. Raises what the store raises."""
        if self._clock.boot() < self._next_at:
            return 0
        taken = self._store.query(statement("taken_batches"))
        if taken:
            rows = [(batch, day, timezone, events, "expired", 0) for batch, day, timezone, events in taken]
            self._store.insert_rows("batches", ("batch", "day", "timezone", "events", "outcome", "seal"), rows)
        self._next_at = self._clock.boot() + LOOKED_EVERY_S
        return sum(events for _, _, _, events in taken)
