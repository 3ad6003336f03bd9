"""spool -> open day: each acknowledged event goes in exactly once, then its row is deleted.

The order within a batch, each step harmless when repeated after a crash:

1. ask the watermark whether the day still takes events; otherwise they are late, counted and deleted;
2. record the batch in the spool (its identity follows from the rows);
3. insert it: one part, all or nothing, tagged with the identity;
4. note it in `batches`;
5. delete its rows and its record and move the ledger, in one transaction of the spool.

A batch found recorded at the start of a round is doubtful: its insert is killed if it still runs,
then the store is asked whether the batch is in an open day, or was sealed or set aside meanwhile.
"""

from __future__ import annotations

import ast
import fcntl
import logging
import os
import secrets
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

from aggregator.arrivals import Arrival, publish
from aggregator.backlog import Backlog, Batch, opened
from aggregator.store import Store, StoreRefused, StoreUnavailable
from aggregator.watermark import Watermark
from aggregator.withdrawal import Withdrawals
from aggregator.withdrawal_record import Record
from collector.clock import Clock
from collector.days import ends_at
from collector.fault import Fault
from collector.keys import Keys
from collector.settings import Settings

log = logging.getLogger(__name__)

# A batch refused for its content is tried so often before it is halved (design.md section 13).
TRIES = 3
NO_LIMIT = 1 << 40


class DrainerBusyError(Fault):
    """Another drainer has this spool folder."""


class Drainer:
    """Drains every spool file of one folder. One per folder: its lock is held for the object's life."""

    def __init__(self, settings: Settings, store: Store, keys: Keys, clock: Clock) -> None:
        self._settings, self._store, self._keys, self._clock = settings, store, keys, clock
        self._folder = settings.collector.spool_dir
        self._grace_s = settings.privacy.grace_minutes * 60
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = _locked(self._folder / "drainer.lock")
        try:
            drainer = identity_in(self._folder / "drainer.id")
            self._watermark = Watermark(store, drainer, self._grace_s, clock)
            self._record = Record(self._folder)
        except BaseException:
            os.close(self._lock)
            raise
        on_this_disk = settings.aggregator.store == "embedded"
        self._withdrawals = Withdrawals(self._record, store, drainer, self._watermark, clock, on_this_disk=on_this_disk)
        self._refusals: dict[int, int] = {}
        self._max_rows: dict[tuple[Path, date, str], int] = {}
        self._pushed: dict[int, int] = {}
        self._arrived: dict[int, int] = {}
        # Spools whose write-ahead log may hold rows of a sealed day; at start nobody knows, so every one.
        self._clean: set[Path] = set()

    def round(self) -> int:
        """Moves what waits now and renews the promises; returns the events moved. Raises `StoreUnavailable`."""
        with opened(self._folder) as backlogs:
            moved = sum(self._settle(backlog) + self._move(backlog) for backlog in backlogs)
            for backlog in backlogs:
                self._push_coverage(backlog)
            self._push_arrivals(backlogs)
            if self._withdrawals.round(backlogs):
                self._clean.clear()  # Their logs hold tokens, and lines that were drained.
            self._clean.update(each.file for each in backlogs if each.file not in self._clean and each.truncate_log())
            self._promise(backlogs)
        self._destroy_sealed_keys()
        return moved

    def close(self) -> None:
        self._record.close()
        os.close(self._lock)

    def _settle(self, backlog: Backlog) -> int:
        """Ends what an earlier round, or an earlier life, left in doubt."""
        moved = 0
        for batch in backlog.recorded():
            self._store.kill(batch.tag)
            outcome = self._outcome_of(batch)
            if outcome is None:
                moved += (
                    self._insert(backlog, batch)
                    if self._watermark.may_insert(batch.day, batch.timezone)
                    else self._late(backlog, batch)
                )
            else:
                moved += self._done(backlog, batch, outcome)
        return moved

    def _move(self, backlog: Backlog) -> int:
        """What waits now. What comes meanwhile is for the next round, or under a steady load this one would not end."""
        moved, began_at = 0, self._clock.wall()
        for day, timezone in backlog.days():
            is_left = True
            while is_left:
                limit = self._max_rows.get((backlog.file, day, timezone), NO_LIMIT)
                accepts = self._watermark.may_insert(day, timezone)
                batch = backlog.record(day, timezone, limit)
                if batch is not None:
                    moved += self._insert(backlog, batch) if accepts else self._late(backlog, batch)
                is_left = batch is not None and backlog.oldest(day, timezone) <= began_at
        return moved

    def _insert(self, backlog: Backlog, batch: Batch) -> int:
        try:
            written = self._store.insert_lines("open_events", backlog.lines(batch), tag=batch.tag, token=batch.tag)
        except StoreRefused as refusal:
            self._narrow(backlog, batch, refusal)
            return 0
        self._watermark.heard()
        if written != batch.events and self._count_of(batch) != batch.events:
            raise StoreUnavailable(f"the store wrote {written} of the {batch.events} rows of {batch.tag}")
        self._max_rows.pop((backlog.file, batch.day, batch.timezone), None)
        return self._done(backlog, batch, "open")

    def _done(self, backlog: Backlog, batch: Batch, outcome: str) -> int:
        if outcome == "open":
            self._store.insert_rows(
                "batches",
                ("batch", "day", "timezone", "events", "outcome", "seal"),
                [(batch.batch, batch.day.isoformat(), batch.timezone, batch.events, "open", 0)],
            )
        else:
            self._clean.discard(backlog.file)
        # Late and expired batches were counted by the sealer, in the store: here they are drained all the same.
        backlog.end(batch, "drained")
        return batch.events

    def _late(self, backlog: Backlog, batch: Batch) -> int:
        log.warning(
            "%d events came for %s in %s after it was sealed; counted as late", batch.events, batch.day, batch.timezone
        )
        self._clean.discard(backlog.file)
        backlog.end(batch, "late")
        return batch.events

    def _narrow(self, backlog: Backlog, batch: Batch, refusal: StoreRefused) -> None:
        """Halves a batch whose rows the store keeps refusing, down to the lines at fault."""
        self._refusals[batch.batch] = self._refusals.get(batch.batch, 0) + 1
        if self._refusals[batch.batch] < TRIES:
            return
        del self._refusals[batch.batch]
        log.error("the store refuses rows of %s in %s (code %d); halving", batch.day, batch.timezone, refusal.code)
        rows = backlog.narrow(batch)
        self._max_rows[backlog.file, batch.day, batch.timezone] = max(1, rows // 2)

    def _outcome_of(self, batch: Batch) -> str | None:
        """What the store has of this batch: 'open', 'sealed', 'late', 'expired', or None where it never arrived."""
        if self._count_of(batch):
            return "open"
        found = self._store.query(
            "SELECT toString(outcome) FROM batches WHERE batch = {batch:UInt64} AND outcome != 'open'"
            " AND (outcome != 'sealed' OR seal IN (SELECT seal FROM committed_seals)) LIMIT 1",
            {"batch": batch.batch},
        )
        return str(found[0][0]) if found else None

    def _count_of(self, batch: Batch) -> int:
        found = self._store.query(
            "SELECT count() FROM open_events"
            " WHERE day = {day:Date} AND timezone = {timezone:String} AND batch = {batch:UInt64}",
            {"day": batch.day, "timezone": batch.timezone, "batch": batch.batch},
        )
        return int(found[0][0])

    def _push_coverage(self, backlog: Backlog) -> None:
        """Running totals, of which the largest counts: pushing one twice is harmless."""
        totals, commit = backlog.counters_since(self._pushed.get(backlog.identity, 0))
        if totals:
            self._store.insert_rows(
                "coverage_totals",
                ("day", "site", "outcome", "reason", "spool", "requests"),
                [(*counted, backlog.identity, requests) for counted, requests in totals],
            )
            self._pushed[backlog.identity] = commit

    def _push_arrivals(self, backlogs: list[Backlog]) -> None:
        """The last request of each site, where there was another one; of two the later counts."""
        changed = {backlog: backlog.arrivals_since(self._arrived.get(backlog.identity, 0)) for backlog in backlogs}
        told = [
            (backlog.identity, site, Arrival(*last))
            for backlog, (arrived, _) in changed.items()
            for site, last in arrived
        ]
        publish(self._store, told)
        self._arrived.update({backlog.identity: commit for backlog, (_, commit) in changed.items()})

    def _promise(self, backlogs: list[Backlog]) -> None:
        zones = {site.timezone for site in self._settings.sites.values()} | set(_open_zones(self._store))
        for timezone in zones:
            through = self._watermark.closable(timezone)
            if not self._watermark.is_promised(timezone, through) and self._is_drained(backlogs, timezone, through):
                self._watermark.advance(timezone, through)
        for day, timezone in self._watermark.returnable():
            if self._is_gone(backlogs, timezone, day):
                self._watermark.give_back(day, timezone)
        self._watermark.renew(zones)

    def _is_gone(self, backlogs: list[Backlog], timezone: str, day: date) -> bool:
        """Whether nothing of a reopened day is in a spool any more."""
        if any(backlog.has(day, timezone) for backlog in backlogs):
            return False
        if self._withdrawals.holds(backlogs, timezone, lambda other: other == day):
            return False
        return _are_clean(backlogs, timezone, lambda other: other == day)

    def _is_drained(self, backlogs: list[Backlog], timezone: str, through: date) -> bool:
        """Whether every event of these days is in the store and nowhere in a spool.

        Heartbeats first: what they follow is in the file.
        """
        over_at = ends_at(through, timezone) + self._grace_s
        if not all(backlog.is_beaten_since(over_at) for backlog in backlogs):
            return False
        waiting = {day for backlog in backlogs for day, zone in backlog.days() if zone == timezone and day <= through}
        if not all(self._watermark.is_reopened(timezone, day) for day in waiting):
            return False

        def is_promised(day: date) -> bool:
            return day <= through and not self._watermark.is_reopened(timezone, day)

        return not self._withdrawals.holds(backlogs, timezone, is_promised) and _are_clean(
            backlogs, timezone, is_promised
        )

    def _destroy_sealed_keys(self) -> None:
        """Keys of days that were over when their first event came wait for the seal (design.md section 12)."""
        now = self._clock.wall()
        over = [at for at in self._keys.days() if now >= ends_at(*at) + self._grace_s]
        if not over:
            return
        sealed = {(day, timezone) for day, timezone in self._store.query("SELECT DISTINCT day, timezone FROM seals")}
        for at in sealed.intersection(over):
            self._keys.destroy(*at)


def _are_clean(backlogs: list[Backlog], timezone: str, days: Callable[[date], bool]) -> bool:
    """Leaves nothing of `days` in any spool, write-ahead logs included; False while somebody else reads one."""
    for backlog in backlogs:
        backlog.forget_quarantined(timezone, days)
    return all(backlog.truncate_log() for backlog in backlogs)


def _open_zones(store: Store) -> Iterator[str]:
    found = store.query(
        "SELECT DISTINCT partition FROM system.parts"
        " WHERE database = currentDatabase() AND table = 'open_events' AND active"
    )
    for (partition,) in found:
        yield ast.literal_eval(partition)[1]


def _locked(file: Path) -> int:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise DrainerBusyError(f"another drainer has {file.parent}; one is enough") from None
    return descriptor


def identity_in(file: Path) -> int:
    """A random name, made once and kept in `file`: who comes after a restart is known by it."""
    if file.exists() and file.stat().st_size:
        return int(file.read_text())
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    identity = secrets.randbits(63)
    draft = file.with_suffix(".draft")
    with draft.open("w") as out:
        out.write(str(identity))
        out.flush()
        os.fsync(out.fileno())
    draft.rename(file)
    return identity
