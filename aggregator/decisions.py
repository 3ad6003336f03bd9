"""What is decided about an open day, written so that it is there: closings, what became of batches, seals.

Sealing ends in destroying, and after it nothing can be written again. So each of these is looked for once it was
written: an answer that it was done is not proof. What is not there raises StoreUnavailable, nothing is destroyed, and
the next run starts anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NewType

from aggregator.rollup import Period
from aggregator.store import Store, StoreUnavailable, statement

SealId = NewType("SealId", int)

ORIGIN = "open day"
OF_DAY = "WHERE day = {day:Date} AND timezone = {timezone:String}"
# What a seal writes for readers.
TRENDS = ("trend_rows", "breakdown_rows", "cross_rows")


class Decisions:
    """Every method may raise what the store raises."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def close(self, period: Period) -> None:
        """From here on drainers count the day's events as late."""
        self._insert("closings", period, {})
        if not self.ask(f"SELECT 1 FROM closings {OF_DAY} LIMIT 1", period):
            raise _missing("the closing", period)

    def note_batches(self, period: Period, outcome: str, seal: SealId) -> None:
        """Every batch of the open day becomes `outcome`."""
        batches = self.ask(f"SELECT batch, groupBitmap(position) FROM open_events {OF_DAY} GROUP BY batch", period)
        self._note(period, batches, outcome, seal)
        if self.ask(statement("unnoted_batches"), period, outcome=outcome, seal=seal):
            raise _missing("what became of some batches", period)

    def note_late(self, period: Period, seal: SealId) -> int:
        """What came into the open day after `seal` had read it is late; returns how many events these are."""
        late = self.ask(statement("leftover_batches"), period, seal=seal)
        if late:
            self._note(period, late, "late", SealId(0))
            noted = self.ask(f"SELECT DISTINCT batch FROM batches {OF_DAY} AND outcome = 'late'", period)
            if not {batch for batch, _ in late} <= {batch for (batch,) in noted}:
                raise _missing("what became of some late batches", period)
        return sum(events for _, events in late)

    def commit(self, period: Period, record: Mapping[str, object]) -> SealId:
        """Inserts the commit record of a seal; returns the seal that counts, which may be another one.

        The earliest counts, so none may still be on its way in that began sooner and ends later: what is deleted next
        is what the others wrote.
        """
        name = f"{period.day}/{period.timezone}/{ORIGIN}"
        # A power cut may leave the store a token without its record; under that one it would never take another.
        for token in (name, f"{name}/{record['seal']}"):
            self._insert("seals", period, {"origin": ORIGIN, **record}, tag=name, token=token)
            self._store.kill(name)
            winner = self.committed(period)
            if winner is not None:
                return winner
        raise _missing("the seal", period)

    def committed(self, period: Period) -> SealId | None:
        found = self.ask(
            f"SELECT seal FROM committed_seals {OF_DAY} AND origin = {{origin:String}}", period, origin=ORIGIN
        )
        return SealId(found[0][0]) if found else None

    def delete_trends(self, period: Period, which: str, seal: SealId) -> None:
        """Delete the day's rollups of seals that were not committed, and wait; a mutation only if there are any."""
        where = f"{OF_DAY} AND {which}"
        for table in TRENDS:
            if self._has(table, where, period, seal):
                parameters = {"day": period.day, "timezone": period.timezone, "seal": seal}
                self._store.command(f"ALTER TABLE {table} DELETE {where}", parameters, {"mutations_sync": 2})
                if self._has(table, where, period, seal):
                    raise StoreUnavailable(f"rows in {table} of a seal that does not count are not deleted")

    def ask(self, sql: str, period: Period, **parameters: object) -> list[tuple[Any, ...]]:
        """A question about one day."""
        return self._store.query(sql, {"day": period.day, "timezone": period.timezone, **parameters})

    def _has(self, table: str, where: str, period: Period, seal: SealId) -> bool:
        return bool(self.ask(f"SELECT 1 FROM {table} {where} LIMIT 1", period, seal=seal))

    def _note(self, period: Period, batches: list[tuple[Any, ...]], outcome: str, seal: SealId) -> None:
        rows = [(batch, period.day, period.timezone, events, outcome, seal) for batch, events in batches]
        if rows:
            self._store.insert_rows("batches", ("batch", "day", "timezone", "events", "outcome", "seal"), rows)

    def _insert(
        self,
        table: str,
        period: Period,
        values: Mapping[str, object],
        *,
        tag: str | None = None,
        token: str | None = None,
    ) -> None:
        row = {"day": period.day, "timezone": period.timezone, **values}
        self._store.insert_rows(table, list(row), [list(row.values())], tag=tag, token=token)


def _missing(what: str, period: Period) -> StoreUnavailable:
    return StoreUnavailable(f"{what} of {period.day} in {period.timezone} was inserted and is not there")
