"""Trends go when their time is over, also where a site's retention was made shorter after their day was sealed.

Each row carries `keep_until`, by the retention that its site had when the day was sealed, and the engine deletes it
some time after that date, when it merges. This is the rest of the promise, looked at when the sealer starts and on each
day: rows that are past their own date, and those that are past the date which the site's settings give their day now,
are deleted by a mutation that is waited for, until their bytes are off the disk. The earlier date counts: a longer
retention brings nothing back, and keeps nothing longer than was promised when it came.

Like sealing it destroys, so it waits while clocks disagree, and is done by the holder of the lease.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, date, datetime

from aggregator.deletion import Retained, delete, doomed, retained_tables
from aggregator.guard import ClockGuard
from aggregator.rollup import rules_of
from aggregator.store import Store
from collector.settings import Settings

log = logging.getLogger(__name__)


class Retention:
    """Of one sealer, with the settings that it was started with. `may_work` is asked before anything is deleted."""

    def __init__(
        self, store: Store, settings: Settings, guard: ClockGuard, may_work: Callable[[], bool] = lambda: True
    ) -> None:
        self._store, self._settings, self._guard, self._may_work = store, settings, guard, may_work
        self._done_on: date | None = None

    def round(self) -> int:
        """Deletes what is past its time, once a day; returns how many rows. Raises what the store raises, and is then
        to be called again."""
        today = today_of(self._store)
        if today == self._done_on or self._guard.disagreement() is not None or not self._may_work():
            return 0
        on_this_disk = self._settings.aggregator.store == "embedded"
        deleted = 0
        for table in limited_tables(self._store):
            with doomed(self._store, past_days(self._store, self._settings, table, today)) as number:
                deleted += delete(self._store, table, number, until=today, on_this_disk=on_this_disk)
        self._done_on = today
        if deleted:
            log.info("%d rows of trends were past their retention, and are deleted", deleted)
        return deleted


def limited_tables(store: Store) -> list[Retained]:
    """The tables whose rows have a time limit."""
    return [table for table in retained_tables(store) if table.has_days and table.has_limits]


def past_days(store: Store, settings: Settings, table: Retained, today: date) -> list[tuple[str, date]]:
    """The (site, day) pairs of a table that the settings give no time any more on `today`."""
    found = store.query(f"SELECT DISTINCT toString(site), day FROM {table.name}")
    return [(site, day) for site, day in found if rules_of(settings, site, day).keep_until <= today]


def today_of(store: Store) -> date:
    """The date that the engine's own time limits go by."""
    return datetime.fromtimestamp(store.now(), UTC).date()
