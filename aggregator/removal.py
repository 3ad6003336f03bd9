"""The drainer's share in removing a site: its events in open days, and what the spools of one folder hold of it.

Somebody asks for it in the drainer's record (`sites`), which already knows how to delete rows of open days and to keep
the ledger exact (see `withdrawal`). One round does all that can be done, and waits for it: a removal is rare, and what
comes meanwhile is safe in the spools. The steps, each harmless when repeated after a crash:

1. nothing is done while rows of the site wait in a spool, or a batch is in doubt: they go into the store first, so that
   a batch that loses rows here is never one that is inserted again for lacking them;
2. ask the watermark for each day, as for an insert. A day that is closed is left to its seal, which drops it; the
   trends that it leaves of the site are deleted afterwards, by who asked;
3. record the batches that have rows of the site, with all that is counted of each;
4. delete these rows by one mutation, and wait until the parts that held them are gone. Its text names no site;
5. note how many events each batch has left, for the fail-safe; then the sum of removed events grows and the record
   goes, in one transaction;
6. delete what the spools know of the site. How many requests it had stays in their sums, without its name and days.

It is done when no row is left anywhere; then the site's name goes from the record, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from aggregator.backlog import Backlog
from aggregator.deletion import OPEN, doomed, wait_for_parts
from aggregator.store import Store, StoreUnavailable
from aggregator.watermark import Watermark
from aggregator.withdrawal_record import Counted, Record, counted_of

Day = tuple[date, str]

OF_DAY = "day = {day:Date} AND timezone = {timezone:String}"
THE_SITES = "site IN (SELECT site FROM doomed_rows WHERE deletion = {deletion:UInt64})"
# A day that a site has no rows of: it stands for all of them here.
ANY_DAY = date(1970, 1, 1)


class Removals:
    """Removes the sites that the record of one folder names."""

    def __init__(self, folder: Path, record: Record, store: Store, watermark: Watermark, *, on_this_disk: bool) -> None:
        self._folder, self._record, self._store, self._watermark = folder, record, store, watermark
        self._on_this_disk = on_this_disk
        # Days that were found closed: for good.
        self._closed: set[Day] = set()

    def round(self, backlogs: Sequence[Backlog]) -> bool:
        """Does what can be done now; True where spools have forgotten a site. Raises what the store raises."""
        for day in self._record.removal_days():
            self._go_on(day, backlogs)
        forgotten = [self._remove(site, backlogs) for site in self._record.removing()]
        return any(forgotten)

    def _remove(self, site: str, backlogs: Sequence[Backlog]) -> bool:
        # A damaged one is left out until it is saved.
        are_all = len(backlogs) == len(list(self._folder.glob("spool-*.sqlite")))
        if not are_all or any(backlog.has_site(site) for backlog in backlogs):
            return False
        for day in self._days_of(site):
            # Of one day one thing at a time is deleted, or rows of a batch would be counted as gone twice.
            if day not in {*self._record.days(), *self._record.removal_days(), *self._closed}:
                self._begin(day, site, backlogs)
        if self._days_of(site):
            return False
        for backlog in backlogs:
            backlog.forget_site(site)
        if sum(backlog.truncate_log() for backlog in backlogs) == len(backlogs):
            self._record.end_removal(site)
        return True

    def _begin(self, day: Day, site: str, backlogs: Sequence[Backlog]) -> None:
        if not self._watermark.may_insert(*day):
            self._closed.add(day)
        elif not _is_in_doubt(backlogs, day):
            self._carry_out(day, site)

    def _go_on(self, day: Day, backlogs: Sequence[Backlog]) -> None:
        """The rest of a deletion that is recorded."""
        site, _ = self._record.removed_rows(*day)
        if day in self._closed or not self._watermark.may_insert(*day):
            self._closed.add(day)
            if not self._has_rows(day):  # Its seal, or the fail-safe, has counted what it found.
                self._end(day, site)
        elif not _is_in_doubt(backlogs, day):
            self._carry_out(day, site)

    def _carry_out(self, day: Day, site: str) -> None:
        """What came in since an earlier life noted its batches goes, too."""
        counted = counted_of(self._store, *day, site)
        self._record.begin_removed(*day, site, {batch: each.events for batch, each in counted.items() if each.of_site})
        self._delete(day, site)
        self._end(day, site)

    def _delete(self, day: Day, site: str) -> None:
        with doomed(self._store, [(site, ANY_DAY)]) as number:
            for partition_id in self._partitions(day):
                self._store.command(
                    f"ALTER TABLE {OPEN} DELETE IN PARTITION ID {{id:String}} WHERE {THE_SITES}",
                    {"id": partition_id, "deletion": number},
                    {"mutations_sync": 2},
                )
        if day in self._days_of(site):
            raise StoreUnavailable("rows of a site that is removed were deleted and are still there")
        wait_for_parts(self._store, OPEN, on_this_disk=self._on_this_disk)

    def _end(self, day: Day, site: str) -> None:
        counted = counted_of(self._store, *day, site)
        _, present = self._record.removed_rows(*day)
        left = {batch: counted.get(batch, Counted(0, 0)).events for batch in present}
        # Should the engine's fail-safe take the rest of a batch, what is left of it is what expires.
        self._store.insert_rows(
            "batches",
            ("batch", "day", "timezone", "events", "outcome", "seal"),
            [(batch, *day, events, "open", 0) for batch, events in left.items()],
        )
        self._record.end_removed(*day, sum(present.values()) - sum(left.values()))
        self._closed.discard(day)

    def _days_of(self, site: str) -> list[Day]:
        return self._store.query(
            f"SELECT DISTINCT day, timezone FROM {OPEN} WHERE site = {{site:String}} ORDER BY day, timezone",
            {"site": site},
        )

    def _has_rows(self, day: Day) -> bool:
        found = f"SELECT 1 FROM {OPEN} WHERE {OF_DAY} LIMIT 1"
        return bool(self._store.query(found, {"day": day[0], "timezone": day[1]}))

    def _partitions(self, day: Day) -> list[str]:
        found = f"SELECT DISTINCT _partition_id FROM {OPEN} WHERE {OF_DAY}"
        return [str(name) for (name,) in self._store.query(found, {"day": day[0], "timezone": day[1]})]


def _is_in_doubt(backlogs: Sequence[Backlog], day: Day) -> bool:
    """Whether an insert of the day was begun and not ended."""
    return any((batch.day, batch.timezone) == day for backlog in backlogs for batch in backlog.recorded())
