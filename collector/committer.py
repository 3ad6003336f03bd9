"""Group commit: requests wait together, and each group costs one sync of the disk.

The event loop puts entries into a queue; one thread takes all that have gathered while the last
commit was syncing, commits them as one group and wakes their requests. Dropped and invalid
requests wait as well, so that the counters are exact. Nothing is answered before its commit.

The same thread beats the spool's heart, expires rows past the fail-safe and destroys overdue keys,
so that each of these happens even when no request comes.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from dataclasses import dataclass
from pathlib import Path

from collector.clock import Clock
from collector.keys import FAIL_SAFE_S, Keys
from collector.spool import Group, Spool, SpoolError, SpoolFullError, open_spool

log = logging.getLogger(__name__)

# A promise to seal waits for a heartbeat, so this bounds how much later than its grace a day is sealed.
BEAT_EVERY_S = 2.0
# Past this many waiting requests the disk is not keeping up: say so at once instead of queueing for seconds.
MAX_WAITING = 20_000
# Entries of one group; at 16,000 events/s a commit of this size still takes well under a second.
MAX_GROUP = 8_192


@dataclass(slots=True)
class Entry:
    """One request's part of a group, and the future that its answer waits for."""

    group: Group
    done: asyncio.Future[None]


class Committer:
    """Owns one spool file and the thread that writes it. `submit` is for the event loop it was started in."""

    def __init__(self, folder: Path, max_bytes: int, keys: Keys, clock: Clock) -> None:
        self._folder, self._max_bytes, self._keys, self._clock = folder, max_bytes, keys, clock
        self._broken: frozenset[Path] = frozenset()
        self._spool: Spool | None = open_spool(folder, max_bytes)
        self._waiting: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self._next_beat = 0.0
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self.fault: str | None = None
        self._thread.start()

    async def submit(self, group: Group) -> None:
        """Returns once `group` is synced to disk; raises `SpoolError` where it is not."""
        if self._waiting.qsize() >= MAX_WAITING:
            raise SpoolFullError(f"{MAX_WAITING} requests are waiting for the disk")
        done = self._loop.create_future()
        self._waiting.put(Entry(group, done))
        await done

    async def close(self) -> None:
        """Commits what waits, then releases the spool file."""
        self._waiting.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        stopping = False
        while not stopping:
            entries, stopping = self._gathered()
            if entries:
                self._answer(entries, self._committed(entries))
            self._keep_house()
        if self._spool is not None:
            self._spool.close()

    def _gathered(self) -> tuple[list[Entry], bool]:
        """All entries that wait now, blocking for the first until the next heartbeat; and whether to stop after them."""
        entries: list[Entry] = []
        try:
            entry = self._waiting.get(timeout=BEAT_EVERY_S)
            while entry is not None:
                entries.append(entry)
                if len(entries) == MAX_GROUP:
                    return entries, False
                entry = self._waiting.get_nowait()
        except queue.Empty:
            return entries, False
        return entries, True

    def _committed(self, entries: list[Entry]) -> SpoolError | None:
        """Commits the entries as one group; returns the fault where they are not durable."""
        group = Group()
        for entry in entries:
            group.merge(entry.group)
        try:
            self._open().commit(group, self._clock.wall())
        except SpoolError as fault:
            self._note(fault)
            return fault
        if self.fault is not None:
            log.warning("the spool takes events again")
            self.fault = None
        return None

    def _answer(self, entries: list[Entry], fault: SpoolError | None) -> None:
        def wake() -> None:
            for entry in entries:
                if entry.done.done():  # Its client has gone.
                    continue
                if fault is None:
                    entry.done.set_result(None)
                else:
                    entry.done.set_exception(fault)

        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(wake)

    def _keep_house(self) -> None:
        now = self._clock.wall()
        if now < self._next_beat:
            return
        self._next_beat = now + BEAT_EVERY_S
        for day, timezone in self._keys.destroy_overdue():
            log.info("destroyed the key of %s in %s", day, timezone)
        try:
            spool = self._open()
            spool.beat(now)
            expired = spool.expire(now - FAIL_SAFE_S)
        except SpoolError as fault:
            self._note(fault)
            return
        if expired:
            log.error("%d events waited past the fail-safe for a drainer and were expired", expired)

    def _open(self) -> Spool:
        if self._spool is None:
            self._spool = open_spool(self._folder, self._max_bytes, skip=self._broken)
        return self._spool

    def _note(self, fault: SpoolError) -> None:
        """Remembers the fault for /readyz. After anything but a full disk the file is left: a failed sync is not to be retried on it."""
        if self.fault is None:
            log.error("%s; answering 503 until it works again", fault)
        self.fault = str(fault)
        if not isinstance(fault, SpoolFullError) and self._spool is not None:
            self._broken |= {self._spool.file}
            self._spool.close()
            self._spool = None
