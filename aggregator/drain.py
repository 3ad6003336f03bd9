"""spool -> open day: each acknowledged event goes in exactly once, then its row is deleted.

The order within a batch, each step harmless when repeated after a crash:

1. ask the watermark whether the day still takes events; otherwise they are late, counted and deleted;
2. record the batch in the spool (its identity follows from the rows);
3. insert it: one part, all or nothing, tagged with the identity;
4. ask the store whether it is there, and whole: that its insert was answered proves nothing;
5. note it in `batches`;
6. move the ledger, then delete the batch's rows and its record.

A batch found recorded at the start of a round is doubtful: its insert is killed if it still runs,
then the store is asked whether the batch is in an open day, or was sealed or set aside meanwhile. If
not, it is inserted again under the same deduplication token, so that the store swallows the first
insert, should it come late. A token under which the store has said twice that the batch is in, while
it was not, is of no use: then another one is taken. What is there twice in the end is taken out again
(see `presence`).
"""

from __future__ import annotations

import ast
import fcntl
import logging
import os
import secrets
import zlib
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

from aggregator.arrivals import Arrival, publish
from aggregator.backlog import Backlog, Batch, DamagedRowError, opened
from aggregator.coverage import Coverage
from aggregator.presence import Presence, presence_of, take_out_doubles
from aggregator.reconcile import Rescue, whole_record
from aggregator.removal import Removals
from aggregator.store import Store, StoreRefused, StoreUnavailable
from aggregator.watermark import Watermark
from aggregator.withdrawal import Withdrawals
from collector.clock import Clock
from collector.days import ends_at
from collector.fault import Fault
from collector.folders import make_folder, sync_folder
from collector.keys import Keys
from collector.settings import Settings
from collector.spool_fault import SpoolDamagedError
from collector.zones import Zones

log = logging.getLogger(__name__)

# A batch refused for its content is tried so often before it is halved (design.md section 13).
TRIES = 3
NO_LIMIT = 1 << 40
# So often the store may say that a batch is in, while it is not, before its token is taken for the reason.
TRIES_OF_A_TOKEN = 2
# A batch that was inserted just now is looked for among what came within so long, by the store's own clock. Where that
# was set meanwhile, the batch is in doubt for a round, and then looked for everywhere.
JUST_NOW_S = 3_600


class DrainerBusyError(Fault):
    """Another drainer has this spool folder."""


class Drainer:
    """Drains every spool file of one folder. One per folder: its lock is held for the object's life."""

    def __init__(self, settings: Settings, store: Store, keys: Keys, clock: Clock) -> None:
        self._settings, self._store, self._keys, self._clock = settings, store, keys, clock
        self._folder = settings.collector.spool_dir
        self._grace_s = settings.privacy.grace_minutes * 60
        make_folder(self._folder)
        self._zones = Zones(self._folder)
        self._lock = _locked(self._folder / "drainer.lock")
        try:
            drainer = identity_in(self._folder / "drainer.id")
            self._watermark = Watermark(store, drainer, self._grace_s, clock)
            self._record = whole_record(self._folder, store, clock)
        except BaseException:
            os.close(self._lock)
            raise
        on_this_disk = settings.aggregator.store == "embedded"
        self._withdrawals = Withdrawals(self._record, store, drainer, self._watermark, clock, on_this_disk=on_this_disk)
        self._removals = Removals(self._folder, self._record, store, self._watermark, on_this_disk=on_this_disk)
        self._rescue = Rescue(self._folder, store, clock)
        self._refusals: dict[int, int] = {}
        self._max_rows: dict[tuple[Path, date, str], int] = {}
        # How often the store said that a batch is in, while it was not.
        self._missed: dict[int, int] = {}
        self._coverage = Coverage(store, clock)
        self._arrived: dict[int, int] = {}
        # Spools whose write-ahead log may hold rows of a sealed day; at start nobody knows, so every one.
        self._clean: set[Path] = set()

    def round(self) -> int:
        """Moves what waits now and renews the promises; returns the events moved. Raises `StoreUnavailable`."""
        self._rescue.round()
        try:
            return self._round()
        except SpoolDamagedError:  # Its file has a note now, and the next round saves what can be read.
            return 0

    def _round(self) -> int:
        with opened(self._folder) as backlogs:
            moved = sum(self._settle(backlog) + self._move(backlog) for backlog in backlogs)
            for backlog in backlogs:
                self._coverage.push(backlog)
            self._push_arrivals(backlogs)
            if self._withdrawals.round(backlogs):
                self._clean.clear()  # Their logs hold tokens, and lines that were drained.
            if self._removals.round(backlogs):
                self._clean.clear()
            self._clean.update(each.file for each in backlogs if each.file not in self._clean and each.truncate_log())
            self._promise(backlogs)
        self._destroy_sealed_keys()
        return moved

    def close(self) -> None:
        self._record.close()
        os.close(self._lock)

    def _settle(self, backlog: Backlog) -> int:
        """Ends what an earlier round, or an earlier life, left in doubt."""
        backlog.check_batches()
        backlog.clear()
        moved = 0
        for batch in backlog.recorded():
            self._store.kill(batch.tag)
            moved += self._settle_one(backlog, batch)
        return moved

    def _settle_one(self, backlog: Backlog, batch: Batch) -> int:
        present = presence_of(self._store, batch.day, batch.timezone, batch.batch)
        outcome = "open" if present.is_whole(batch.events) else self._decided(batch)
        if outcome is not None:
            return self._done(backlog, batch, outcome)
        if not present.events and backlog.has_expired(batch):
            return self._expired(backlog, batch)
        if self._watermark.may_insert(batch.day, batch.timezone):
            if present.events == batch.events:
                return self._take_out_doubles(backlog, batch)
            return self._insert(backlog, batch)
        # What is there of a closed day, the sealer counts; it takes out the doubles itself.
        return self._done(backlog, batch, "open") if present.events else self._late(backlog, batch)

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
        missed = self._missed.get(batch.batch, 0)
        token = batch.tag if missed < TRIES_OF_A_TOKEN else f"{batch.tag}-{missed}"
        try:
            self._store.insert_lines("open_events", backlog.lines(batch), tag=batch.tag, token=token)
        except StoreRefused as refusal:
            self._narrow(backlog, batch, refusal)
            return 0
        except DamagedRowError as damage:
            self._quarantine(backlog, batch, damage)
            return 0
        self._watermark.heard()
        present = presence_of(self._store, batch.day, batch.timezone, batch.batch, within_s=JUST_NOW_S)
        if present.rows > present.events == batch.events:
            return self._take_out_doubles(backlog, batch)
        return self._inserted(backlog, batch, present)

    def _quarantine(self, backlog: Backlog, batch: Batch, damage: DamagedRowError) -> None:
        """After an insert that was broken off for a row on the disk that is not what was written."""
        self._store.kill(batch.tag)
        present = presence_of(self._store, batch.day, batch.timezone, batch.batch)
        if not present.rows and self._decided(batch) is None:
            events = backlog.quarantine_damaged(batch)
            log.error("%s: %s; %d events are quarantined", backlog.file.name, damage, events)

    def _take_out_doubles(self, backlog: Backlog, batch: Batch) -> int:
        take_out_doubles(self._store, batch.day, batch.timezone, [batch.batch])
        return self._inserted(backlog, batch, presence_of(self._store, batch.day, batch.timezone, batch.batch))

    def _inserted(self, backlog: Backlog, batch: Batch, present: Presence) -> int:
        """Ends a batch that is there and whole; any other stays in doubt, and the next round settles it."""
        if not present.is_whole(batch.events):
            self._missed[batch.batch] = self._missed.get(batch.batch, 0) + 1
            told = f"{present.rows} rows and {present.events} of its {batch.events} events"
            raise StoreUnavailable(f"the store said that {batch.tag} is in, and has {told}")
        self._missed.pop(batch.batch, None)
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

    def _expired(self, backlog: Backlog, batch: Batch) -> int:
        """No drainer came for three days; what is younger goes into another batch."""
        self._clean.discard(backlog.file)
        events = backlog.expire(batch)
        log.error("%d events of %s in %s waited past the fail-safe for a drainer", events, batch.day, batch.timezone)
        return events

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
        is_part = (backlog.file, batch.day, batch.timezone) in self._max_rows  # Of one that was refused three times.
        if self._refusals[batch.batch] < TRIES and not is_part:
            return
        del self._refusals[batch.batch]
        log.error("the store refuses rows of %s in %s (code %d); halving", batch.day, batch.timezone, refusal.code)
        rows = backlog.narrow(batch)
        self._max_rows[backlog.file, batch.day, batch.timezone] = max(1, rows // 2)

    def _decided(self, batch: Batch) -> str | None:
        """What became of a batch whose day is over: 'sealed', 'late', 'expired', or None where nobody has decided."""
        found = self._store.query(
            "SELECT toString(outcome) FROM batches WHERE batch = {batch:UInt64} AND outcome != 'open'"
            " AND (outcome != 'sealed' OR seal IN (SELECT seal FROM committed_seals)) LIMIT 1",
            {"batch": batch.batch},
        )
        return str(found[0][0]) if found else None

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
        zones = self._zones.in_use(self._settings.sites.values(), self._clock.wall()) | set(_open_zones(self._store))
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
    """A random name, made once and kept in `file`: who comes after a restart, or a power cut, is known by it."""
    if file.exists() and file.stat().st_size:
        identity = _identity_of(file.read_bytes())
        if identity is not None:
            return identity
        log.error("%s is damaged; another name is drawn, and sealing waits a day for the lost one's promises", file)
    make_folder(file.parent)
    identity = secrets.randbits(63)
    draft = file.with_suffix(".draft")
    with draft.open("w") as out:
        out.write(f"{identity} {zlib.crc32(str(identity).encode()):08x}\n")
        out.flush()
        os.fsync(out.fileno())
    draft.rename(file)
    sync_folder(file.parent)  # A name that was used and is forgotten keeps the sealer waiting for a day.
    return identity


def _identity_of(content: bytes) -> int | None:
    """None where it is not what was written; one of an earlier version has no check."""
    words = content.split()
    if not words or not words[0].isdigit() or len(words) > 2:
        return None
    is_whole = len(words) == 1 or words[1] == b"%08x" % zlib.crc32(words[0])
    return int(words[0]) if is_whole else None
