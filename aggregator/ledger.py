"""Conservation: what was received equals what became of it, exactly (design.md section 13).

Per spool:  accepted = waiting + drained + late + expired + quarantined
In total:   drained  = open + sealed + set aside as late + expired in the store

A batch that is in an open day while its rows still wait in the spool (its drainer has not come to
the deletion yet) counts as waiting.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from aggregator.backlog import opened
from aggregator.store import Store


@dataclass(frozen=True)
class Ledger:
    """Requests by outcome, and accepted events by where they are. `imbalances` holds one line for each sum that does not hold."""

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
    imbalances: tuple[str, ...]

    @property
    def accounted(self) -> int:
        """Events found somewhere; equal to `accepted` where nothing was lost or doubled."""
        return self.waiting + self.open + self.sealed + self.late + self.expired + self.quarantined


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
    stored = _stored(store, doubtful)
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
        imbalances=tuple(imbalances),
    )


def _stored(store: Store, doubtful: list[int]) -> Counter[str]:
    """Events in the store by outcome, but for those of doubtful batches, whose rows are still in a spool."""
    found: Counter[str] = Counter()
    count = "SELECT count() FROM open_events WHERE batch NOT IN {doubtful:Array(UInt64)}"
    found["open"] = int(store.query(count, {"doubtful": doubtful})[0][0])
    sealed = "SELECT sum(events) FROM seals WHERE seal IN (SELECT seal FROM committed_seals)"
    found["sealed"] = int(store.query(sealed)[0][0])
    aside = (
        "SELECT toString(outcome), sum(events) FROM (SELECT DISTINCT batch, outcome, events FROM batches"
        " WHERE outcome IN ('late', 'expired') AND batch NOT IN {doubtful:Array(UInt64)}) GROUP BY outcome"
    )
    found.update({outcome: int(events) for outcome, events in store.query(aside, {"doubtful": doubtful})})
    return found
