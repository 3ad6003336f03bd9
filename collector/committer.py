"""Group commit: requests wait together, and each group costs one sync of the disk.

The event loop puts what must be durable into the group that is gathering; one thread commits a
group while the next one gathers. Dropped and invalid requests wait as well, so that the counters are
exact. Nothing is answered before its commit.

A group changes hands once: gathered by the event loop alone, then committed by the thread alone. A
request that queued an entry of its own woke the thread each time.

The same thread beats the spool's heart, expires rows past the fail-safe and destroys overdue keys,
so that each of these happens even when no request comes. It outlives any fault of theirs: the group at hand
is answered with it, /readyz tells it until a commit or a beat has shown that events are taken again, and
the next group is tried anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from collector.answers import ANSWER_LIFE_S
from collector.arrivals import PUBLISH_EVERY_S, Arrivals
from collector.clock import Ages, Clock
from collector.damage import is_left
from collector.expiry import Expiry
from collector.group import Group
from collector.keys import FAIL_SAFE_S, Keys
from collector.spool import Spool, open_spool
from collector.spool_fault import SpoolError, SpoolFullError

log = logging.getLogger(__name__)

# A promise to seal waits for a heartbeat, so this bounds how much later than its grace a day is sealed.
BEAT_EVERY_S = 2.0
# Past this many requests that wait for their commit the worker is not keeping up: say so at once instead of queueing
# for seconds. It is 0.3 s of work for a worker at full speed, and at 8,000 events/s what comes while a disk takes half
# a second to sync. Fewer would lose events, for to refuse costs nearly what it costs to take: of 5,120 clients who come
# again at once a worker takes 10,800 a second with this limit, and 4,700 with a quarter of it.
MAX_WAITING = 4_096
# A commit costs CPU and a sync however many it is for. So after a group of so many requests at once the next may gather
# for a moment first, as PostgreSQL's commit_delay and commit_siblings do; a few requests never wait for it. The more
# there were, the longer: 3 ms with 32 connections, and 10 ms with 512, which takes 5 % off an event's CPU there.
MANY_AT_ONCE = 16
GATHER_EACH_S = 80e-6
MOST_GATHER_S = 0.01


class BusyError(SpoolFullError):
    """More requests than can be answered soon. Nothing is wrong with the file."""


class Unforeseen(SpoolError):
    """A fault that nobody expected. Nothing says that the file has it, so the file is not left."""


@dataclass(slots=True)
class Gathered:
    """What one commit makes durable, and the futures that their answers wait for."""

    group: Group = field(default_factory=Group)
    waiting: list[asyncio.Future[None]] = field(default_factory=list)


class Committer:
    """Owns one spool file and the thread that writes it. All but `fault` is for the event loop it was started in."""

    def __init__(
        self, folder: Path, max_bytes: int, keys: Keys, clock: Clock, arrivals: Arrivals | None = None
    ) -> None:
        self._folder, self._max_bytes, self._keys, self._clock = folder, max_bytes, keys, clock
        self._arrivals = arrivals or Arrivals()
        self._broken: frozenset[Path] = frozenset()
        self._spool: Spool | None = open_spool(folder, max_bytes)
        self._gathering = Gathered()
        self._is_committing = False
        self._handed_over = 0
        # What time it is for what is forgotten after a time, for the endpoints as well.
        self.ages = Ages(clock, FAIL_SAFE_S)
        self._expiry = Expiry(clock, self.ages)
        self._handed: queue.SimpleQueue[Gathered | None] = queue.SimpleQueue()
        self._next_beat = 0.0
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._spool_fault: str | None = None
        self._keys_fault: str | None = None
        self._thread.start()

    @property
    def fault(self) -> str | None:
        """Why this worker is not ready, if so: it cannot store, or cannot destroy a key whose time is over."""
        return self._spool_fault or self._keys_fault

    def group(self) -> Group:
        """The group that is gathering: add to it, then await `committed()`, with no other await between the two."""
        self.admit()
        return self._gathering.group

    def admit(self) -> None:
        """Raises `BusyError` where so many requests wait that another one is better told to come again."""
        if len(self._gathering.waiting) + self._handed_over >= MAX_WAITING:
            raise BusyError(f"{MAX_WAITING} requests are waiting for the disk")

    def group_for_withdrawals(self) -> Group:
        """The same, where the spool has room for a withdrawal: events have the rest to themselves."""
        spool = self._spool  # The thread may leave it between two looks.
        if spool is not None and not spool.has_room_for_withdrawals:
            raise SpoolFullError("too many withdrawals are waiting to be carried out")
        return self.group()

    def committed(self) -> asyncio.Future[None]:
        """Done once the group that is gathering now is synced to disk; raises `SpoolError` where it is not."""
        done = self._loop.create_future()
        self._gathering.waiting.append(done)
        if not self._is_committing:
            self._is_committing = True
            self._loop.call_soon(self._hand_over)
        return done

    async def submit(self, group: Group) -> None:
        """Returns once `group` is synced to disk; raises `SpoolError` where it is not."""
        self.group().merge(group)
        await self.committed()

    async def close(self) -> None:
        """Commits what waits, then releases the spool file."""
        self._hand_over()
        self._handed.put(None)
        await asyncio.to_thread(self._thread.join)

    def _hand_over(self) -> None:
        """On the loop: gives the thread all that has gathered."""
        self._is_committing = bool(self._gathering.waiting)
        if self._is_committing:
            self._handed_over += len(self._gathering.waiting)
            self._handed.put(self._gathering)
            self._gathering = Gathered()

    def _answer(self, waiting: list[asyncio.Future[None]], fault: SpoolError | None) -> None:
        """On the loop, after a commit: wakes its requests, and the next group follows."""
        self._handed_over -= len(waiting)
        if len(waiting) >= MANY_AT_ONCE:
            self._loop.call_later(min(GATHER_EACH_S * len(waiting), MOST_GATHER_S), self._hand_over)
        else:
            self._hand_over()
        for done in waiting:
            if done.done():  # Its client has gone.
                continue
            if fault is None:
                done.set_result(None)
            else:
                done.set_exception(fault)

    def _run(self) -> None:
        gathered: Gathered | None = Gathered()
        while gathered is not None:
            gathered = self._next()
            if gathered is not None:
                self._take_up(gathered)
            self._keep_house()
        if self._spool is not None:
            self._spool.close()

    def _next(self) -> Gathered | None:
        """The next group; an empty one where none came for a while, and None at the end."""
        try:
            return self._handed.get(timeout=PUBLISH_EVERY_S if self._arrivals.are_waiting else BEAT_EVERY_S)
        except Exception:  # noqa: BLE001  mostly `queue.Empty`; whatever else, this thread must go on
            return Gathered()

    def _take_up(self, gathered: Gathered) -> None:
        """Commits a group and has it answered; without one, tells the arrivals that had no group to go with."""
        if not gathered.waiting:
            self._note(_attempted(self._tell_arrivals, "tell a site's last request"))
            return
        fault = _attempted(partial(self._commit, gathered.group), "commit a group of requests")
        self._note(fault)
        with contextlib.suppress(RuntimeError):  # The loop is closed: nobody waits.
            self._loop.call_soon_threadsafe(self._answer, gathered.waiting, fault)

    def _commit(self, group: Group) -> None:
        now = self._clock.wall()
        group.arrivals = self._arrivals.due(now)
        self._open().commit(group, now)
        if group.arrivals:
            self._arrivals.published(group.arrivals, now)
        if group.lines:  # A full spool still counts, which says nothing about events.
            self._tell_recovery()

    def _tell_arrivals(self) -> None:
        """What came less than a second after what was told last goes without a request to go with."""
        now = self._clock.wall()
        arrived = self._arrivals.due(now)
        if arrived:
            self._open().commit(Group(arrivals=arrived), now)
            self._arrivals.published(arrived, now)

    def _keep_house(self) -> None:
        boot = self._clock.boot()  # Not the wall clock: set back, it would let no heart beat until it is there again.
        if boot < self._next_beat:
            return
        self._next_beat = boot + BEAT_EVERY_S
        self.ages.look()
        self._note_keys(_attempted(self._destroy_keys, "destroy the keys whose time is over"))
        self._note(_attempted(self._beat, "beat the spool's heart"))
        self._expire_unheld()

    def _destroy_keys(self) -> None:
        for day, timezone in self._keys.destroy_overdue():
            log.info("destroyed the key of %s in %s", day, timezone)

    def _beat(self) -> None:
        spool = self._open()
        spool.beat(self._clock.wall(), self.ages.earliest(ANSWER_LIFE_S))
        expired = self._expiry.expire(spool)
        if expired:
            log.error("%d events waited past the fail-safe for a drainer and were expired", expired)
        if self._spool_fault is not None:  # Whoever heeds /readyz sends nothing now that could show it.
            spool.prove_room()
            self._tell_recovery()

    def _expire_unheld(self) -> None:
        """Files that no worker has; what is wrong with one of them says nothing about this worker's."""
        fault = _attempted(self._look_after_unheld, "look after the spools that no worker has")
        if fault is not None:
            log.error("%s; it is tried again in an hour", fault)

    def _look_after_unheld(self) -> None:
        expired = self._expiry.expire_unheld(self._folder, None if self._spool is None else self._spool.file)
        if expired:
            log.error("%d events in spools that no worker has waited past the fail-safe and were expired", expired)

    def _open(self) -> Spool:
        if self._spool is None:
            self._spool = open_spool(self._folder, self._max_bytes, skip=self._broken, had_file=True)
        return self._spool

    def _note(self, fault: SpoolError | None) -> None:
        """Remembers a fault for /readyz.

        After anything but a full disk the file is left: a failed sync is not to be retried on it. A note keeps others
        from it until the drainer has put a fresh one in its place; where there is none, this worker remembers it.
        """
        if fault is None:
            return
        if self._spool_fault is None:
            log.error("%s; answering 503 until it works again", fault)
        self._spool_fault = str(fault)
        spool = self._spool
        if spool is not None and not isinstance(fault, SpoolFullError | Unforeseen):
            self._spool = None
            if not _is_noted(spool.file):
                self._broken |= {spool.file}
            with contextlib.suppress(sqlite3.Error, OSError):  # It is broken: whatever closing it says is no news.
                spool.close()

    def _note_keys(self, fault: SpoolError | None) -> None:
        """The same for the keys: events are taken meanwhile, but whoever runs this must know."""
        if fault is not None and self._keys_fault is None:
            log.error("%s; it is tried again every %.0f s", fault, BEAT_EVERY_S)
        elif fault is None and self._keys_fault is not None:
            log.warning("the keys whose time is over are destroyed again")
        self._keys_fault = None if fault is None else str(fault)

    def _tell_recovery(self) -> None:
        if self._spool_fault is not None:
            log.warning("the spool takes events again")
            self._spool_fault = None


def _is_noted(file: Path) -> bool:
    try:
        return is_left(file)
    except OSError:  # A disk that fails at everything.
        return False


def _attempted(work: Callable[[], None], what: str) -> SpoolError | None:
    """Does `work`; returns what stopped it, if anything did."""
    try:
        work()
    except SpoolError as fault:
        return fault
    except Exception as error:  # noqa: BLE001  the outermost loop: without its thread no request is ever answered again
        return Unforeseen(f"cannot {what}: {_cause(error)}")
    return None


def _cause(error: Exception) -> str:
    """What may be told of `error`; not its text, which may quote what a visitor sent."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = "" if place is None else f" at {Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}"
    return f"{type(error).__name__}{where}; report this line to who maintains Footfall"
