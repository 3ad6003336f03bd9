"""Conservation: what was received equals what became of it, exactly (design.md section 13).

Per spool:  accepted = waiting + drained + late + expired + quarantined
In total:   drained  = open + sealed + set aside as late + expired in the store + withdrawn

A batch counts in one place, also between two steps of whoever moves it: while its rows wait in the
spool it is waiting, whatever the store has of it; once a committed seal has read it, it is sealed,
though its rows may not be dropped yet. Of a visitor who withdrew, a row is open until it is deleted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from aggregator.backlog import opened
from aggregator.store import Store, statement
from aggregator.withdrawal_record import withdrawn_in


@dataclass(frozen=True)
class Ledger:
    """Requests by outcome, accepted events by where they are, and a line in `imbalances` for each sum that is off."""

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
    imbalances: tuple[str, ...]

    @property
    def accounted(self) -> int:
        """Events found somewhere; equal to `accepted` where nothing was lost or doubled."""
        gone = self.late + self.expired + self.quarantined + self.withdrawn
        return self.waiting + self.open + self.sealed + gone


def read_ledger(spool_dir: Path, store: Store) -> Ledger:
    """The ledger of all spools in a folder and of the store behind them. Exact while nothing moves."""
    total: Counter[str] = Counter()
    doubtful: list[int] = []
    imbalances: list[str] = []
    with opened(spool_dir) as backlogs:
        for backlog in backlogs:
            counts = Counter(backlog.ledger())
            total.update(counts)
            doubtful += [batch.batch for batch in backlog.recorded()]
            gone = sum(counts[outcome] for outcome in ("waiting", "drained", "late", "expired", "quarantined"))
            if counts["accepted"] != gone:
                imbalances.append(f"{backlog.file.name}: accepted {counts['accepted']}, accounted for {gone}")
    stored = _stored(store, doubtful) + Counter({"withdrawn": withdrawn_in(spool_dir, store)})
    if total["drained"] != sum(stored.values()):
        imbalances.append(f"store: drained {total['drained']}, found {sum(stored.values())} ({dict(stored)})")
    return Ledger(
        received=total["accepted"] + total["dropped"] + total["invalid"],
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
        imbalances=tuple(imbalances),
    )


def _stored(store: Store, doubtful: list[int]) -> Counter[str]:
    """Events in the store by outcome, but for those of doubtful batches, whose rows are still in a spool."""
    (open_events, sealed, late, expired), *_ = store.query(statement("ledger"), {"doubtful": doubtful})
    return Counter({"open": int(open_events), "sealed": int(sealed), "late": int(late), "expired": int(expired)})
