"""The lease by which one sealer of an installation works at a time.

It is advisory: it keeps two sealers from doing the same work twice, nothing more. That a day is sealed once rests on
the commit records in `seals` (the earliest counts), never on this: a holder may stop for longer than its lease lasts,
and the store's log of deduplication tokens is not synced.

Each epoch of a lease has one row in `leases`. Whoever wants the next epoch inserts its row under a token of name and
epoch, so that the store swallows the second of two at once, and then reads back whose row is there (the earliest).
Where none is, a power cut has taken the row and left its token: that epoch is nobody's, and the next one is tried.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aggregator.store import Store

VALID_S = 60.0  # a sealer that died holds the others up for this long; grace is far longer
TOKENS_KEPT = 1_000  # the table's non_replicated_deduplication_window: so many epochs may be nobody's, and no more


@dataclass(frozen=True)
class _Epoch:
    number: int
    holder: int
    acquired_at: float


class Lease:
    """A claim to `name` by `holder`, a random 64-bit number of this process.

    `clock` gives Unix seconds and must be one for all holders: pass `store.now`.
    """

    def __init__(self, store: Store, name: str, holder: int, clock: Callable[[], float]) -> None:
        self._store = store
        self._name = name
        self._holder = holder
        self._clock = clock

    def acquire(self) -> bool:
        """Whether `holder` has the lease for the next VALID_S / 2 seconds at least; takes or renews it where it can."""
        now = self._clock()
        latest = self._latest()
        is_mine = latest.holder == self._holder
        age_s = now - latest.acquired_at
        if is_mine and 0 <= age_s < VALID_S / 2:
            return True
        # One of the future was taken by a clock that was ahead: nobody waits for that time to come.
        if not is_mine and abs(age_s) < VALID_S:
            return False
        return self._claim(latest.number + 1, now)

    def _claim(self, epoch: int, now: float) -> bool:
        """Inserts a claim to `epoch`, or to the first one after it that the store takes."""
        for number in range(epoch, epoch + TOKENS_KEPT + 1):
            row = (self._name, number, self._holder, f"{now:.3f}")
            self._store.insert_rows(
                "leases", ("name", "epoch", "holder", "acquired_at"), [row], token=f"lease/{self._name}/{number}"
            )
            latest = self._latest()
            if latest.number >= number:
                return latest.holder == self._holder
        return False

    def _latest(self) -> _Epoch:
        rows = self._store.query(
            "SELECT epoch, holder, toUnixTimestamp64Milli(acquired_at) FROM leases WHERE name = {name:String}"
            " ORDER BY epoch DESC, acquired_at, holder LIMIT 1",
            {"name": self._name},
        )
        if not rows:
            return _Epoch(0, 0, float("-inf"))
        epoch, holder, acquired_ms = rows[0]
        return _Epoch(int(epoch), int(holder), int(acquired_ms) / 1000)
