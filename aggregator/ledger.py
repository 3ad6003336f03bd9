"""Conservation: what was received equals what became of it, exactly (design.md section 13).

Per spool:  received = dropped + invalid + in spool + drained + late + expired + quarantined
In total:   drained  = open + sealed + set aside as late + expired in the store + withdrawn + removed

A batch counts in one place, also between two steps of whoever moves it: while its rows wait in the
spool it is waiting, whatever the store has of it; once a committed seal has read it, it is sealed,
though its rows may not be dropped yet. Of a visitor who withdrew, or a site that is removed, a row is open until it is
deleted. What a removed site's seals had read before stays sealed: seals count the events of all sites of a time zone.

A spool is read as it was at one moment, so its own sum is exact under any load. The store cannot be read at the same
moment as the spools. So everything is read twice: where nothing went from the spools to the store, within it, or out of
it between the two readings, the total is exact, too; where something did, the ledger is `moving`, and a total that is
off says nothing. What only comes into a spool meanwhile disturbs nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aggregator.backlog import opened
from aggregator.store import Store, statement
from aggregator.withdrawal_record import removed_in, withdrawn_in
from collector.damage import notes_in

RETRY_S = 0.05


@dataclass(frozen=True)
class SpoolLedger:
    """One spool at one moment: requests by outcome, accepted events by what became of them."""

    name: str
    dropped: int
    invalid: int
    accepted: int
    waiting: int
    drained: int
    late: int
    expired: int
    quarantined: int

    @property
    def received(self) -> int:
        return self.accepted + self.dropped + self.invalid

    @property
    def accounted(self) -> int:
        """Events found in this spool or gone from it; equal to `accepted` where nothing was lost or doubled."""
        return self.waiting + self.drained + self.late + self.expired + self.quarantined


@dataclass(frozen=True)
class Ledger:
    """Requests by outcome, accepted events by where they are, and a line in `imbalances` for each sum that is off.

    Where it `is_moving`, an imbalance of the store may only mean that events went on while they were counted.
    """

    received: int
    dropped: int
    invalid: int
    accepted: int
    waiting: int
    open: int
    sealed: int
    late: int
    expired: int
    quarantined: int
    withdrawn: int
    removed: int
    imbalances: tuple[str, ...]
    spools: tuple[SpoolLedger, ...]
    is_moving: bool

    @property
    def in_store(self) -> int:
        """Events found in the store, or withdrawn or removed from it."""
        own = sum(spool.late + spool.expired for spool in self.spools)
        return self.open + self.sealed + self.late + self.expired + self.withdrawn + self.removed - own

    @property
    def accounted(self) -> int:
        """Events found somewhere; equal to `accepted` where nothing was lost or doubled."""
        gone = self.late + self.expired + self.quarantined + self.withdrawn + self.removed
        return self.waiting + self.open + self.sealed + gone


@dataclass(frozen=True)
class _Reading:
    """Spools and store, read one after the other; `doubtful` are batches between the two."""

    spools: tuple[SpoolLedger, ...]
    doubtful: tuple[int, ...]
    stored: Mapping[str, int]
    damaged: tuple[str, ...]

    def is_as_still_as(self, other: _Reading) -> bool:
        """Whether no event went into the store, within it or out of it between the two."""
        return (self._drained(), self.doubtful, self.stored) == (other._drained(), other.doubtful, other.stored)

    def _drained(self) -> list[tuple[str, int]]:
        return [(spool.name, spool.drained) for spool in self.spools]

    def imbalances(self) -> tuple[str, ...]:
        told = [
            f"{spool.name}: accepted {spool.accepted}, accounted for {spool.accounted}"
            for spool in self.spools
            if spool.accepted != spool.accounted
        ]
        told += [f"{name}: damaged, and not saved yet" for name in self.damaged]
        drained, found = sum(spool.drained for spool in self.spools), sum(self.stored.values())
        if drained != found:
            told.append(f"store: drained {drained}, found {found} ({dict(self.stored)})")
        return tuple(told)


def read_ledger(spool_dir: Path, store: Store, patience_s: float = 0.0) -> Ledger:
    """The ledger of all spools in a folder and of the store behind them.

    Until it is still and balances it is read again, for `patience_s` seconds; the last reading is returned.
    """
    deadline = time.monotonic() + patience_s
    before = _read(spool_dir, store)
    while True:
        reading = _read(spool_dir, store)
        ledger = _ledger(reading, is_moving=not reading.is_as_still_as(before))
        is_exact = not ledger.is_moving and not ledger.imbalances
        if is_exact or time.monotonic() >= deadline:
            return ledger
        before = reading
        time.sleep(RETRY_S)


def _read(spool_dir: Path, store: Store) -> _Reading:
    spools: list[SpoolLedger] = []
    doubtful: list[int] = []
    with opened(spool_dir) as backlogs:
        for backlog in backlogs:
            with backlog.still():
                counts = backlog.ledger()
                doubtful += [batch.batch for batch in backlog.recorded()]
            spools.append(_spool_ledger(backlog.file.name, counts))
    deleted = {"withdrawn": withdrawn_in(spool_dir, store), "removed": removed_in(spool_dir, store)}
    stored = _stored(store, doubtful) | deleted
    damaged = tuple(note.with_suffix(".sqlite").name for note in notes_in(spool_dir))
    return _Reading(tuple(spools), tuple(doubtful), stored, damaged)


def _spool_ledger(name: str, counts: Mapping[str, int]) -> SpoolLedger:
    return SpoolLedger(
        name,
        dropped=counts.get("dropped", 0),
        invalid=counts.get("invalid", 0),
        accepted=counts.get("accepted", 0),
        waiting=counts.get("waiting", 0),
        drained=counts.get("drained", 0),
        late=counts.get("late", 0),
        expired=counts.get("expired", 0),
        quarantined=counts.get("quarantined", 0),
    )


def _stored(store: Store, doubtful: list[int]) -> dict[str, int]:
    """Events in the store by outcome, but for those of doubtful batches, whose rows are still in a spool."""
    (open_events, sealed, late, expired), *_ = store.query(statement("ledger"), {"doubtful": doubtful})
    return {"open": int(open_events), "sealed": int(sealed), "late": int(late), "expired": int(expired)}


def _ledger(reading: _Reading, *, is_moving: bool) -> Ledger:
    total: Counter[str] = Counter()
    for spool in reading.spools:
        total.update(vars(spool) | {"name": 0, "received": spool.received})
    stored = reading.stored
    return Ledger(
        received=total["received"],
        dropped=total["dropped"],
        invalid=total["invalid"],
        accepted=total["accepted"],
        waiting=total["waiting"],
        open=stored["open"],
        sealed=stored["sealed"],
        late=total["late"] + stored["late"],
        expired=total["expired"] + stored["expired"],
        quarantined=total["quarantined"],
        withdrawn=stored["withdrawn"],
        removed=stored["removed"],
        imbalances=reading.imbalances(),
        spools=reading.spools,
        is_moving=is_moving,
    )
