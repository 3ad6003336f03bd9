"""Whether the store has a batch, and has it once: asked before anything is deleted for its being there.

An answer that an insert was done is not proof. What lies between us and the store may have given it, or the store may
have lost the rows since. And an insert whose answer never came may be done later, after the drainer has asked for it in
vain: then deduplication tokens keep its rows out, but the store's log of tokens is short and not synced. So the last
word is the event's own name, its batch and its position in it: an event that is in an open day twice is taken out
again, by the drainer as long as it has the batch, by the sealer before it reads the day.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from aggregator.store import Store, StoreUnavailable, statement

log = logging.getLogger(__name__)

# They travel in an address: 20 digits each.
BATCHES_AT_ONCE = 500
# Each pass takes out what it finds; a merge between finding and taking out makes another one necessary.
PASSES = 20


@dataclass(frozen=True)
class Presence:
    """What an open day has of a batch: rows, and different events."""

    rows: int
    events: int

    def is_whole(self, events: int) -> bool:
        """Whether all of the batch's `events` are there, and each once."""
        return self.rows == self.events == events


def presence_of(store: Store, day: date, timezone: str, batch: int, *, within_s: int = 0) -> Presence:
    """What is there of a batch; with `within_s`, of what was inserted in so many last seconds, which costs little."""
    parameters = {"day": day, "timezone": timezone, "batch": batch, "within_s": within_s}
    rows, events = store.query(statement("presence"), parameters)[0]
    return Presence(int(rows), int(events))


def doubled_batches(store: Store, day: date, timezone: str) -> list[int]:
    """The batches of an open day of which an event is there more than once."""
    return [batch for (batch,) in store.query(statement("doubled_batches"), {"day": day, "timezone": timezone})]


def take_out_doubles(store: Store, day: date, timezone: str, batches: Sequence[int]) -> None:
    """Leaves one row of each event of these batches; whoever calls it has the day to itself.

    Rows are named by part and place. Both are new after a merge, so what meets one deletes nothing, and is done again.
    """
    for start in range(0, len(batches), BATCHES_AT_ONCE):
        doubled = {"day": day, "timezone": timezone, "batches": list(batches[start : start + BATCHES_AT_ONCE])}
        _take_out(store, doubled)
    if batches:
        log.warning("%d batches of %s in %s were in the store twice; one of each is left", len(batches), day, timezone)


def _take_out(store: Store, doubled: dict[str, object]) -> None:
    rows = statement("doubled_rows")
    for _ in range(PASSES):
        parts = store.query(f"SELECT DISTINCT part, partition_id FROM ({rows})", doubled)
        if not parts:
            return
        for part, partition_id in parts:
            store.command(
                "ALTER TABLE open_events DELETE IN PARTITION ID {partition_id:String} WHERE _part = {part:String}"
                f" AND _part_offset IN (SELECT place FROM ({rows}) WHERE part = {{part:String}})",
                {**doubled, "part": part, "partition_id": partition_id},
                {"mutations_sync": 2},
            )
    raise StoreUnavailable("the store has events twice, and does not take them out")
