"""The aggregator as a process: its two jobs, drain and seal, in loops that outlive any one fault.

Nothing is lost while a job fails: events wait in the spool, finished days wait open. So a fault is
logged and the job goes on; only a broken configuration ends the process.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from functools import partial

from aggregator.coverage import HourlyCoverage
from aggregator.drain import Drainer, identity_in
from aggregator.guard import ClockGuard, newest_event
from aggregator.lease import Lease
from aggregator.migrate import migrate
from aggregator.noisy_sites import require_noise
from aggregator.retention import Retention
from aggregator.seal import Sealed, Sealer, Surroundings
from aggregator.store import Store, StoreUnavailable, open_store
from collector.clock import Clock
from collector.keys import Keys
from collector.process import forbid_core_dumps, give_way
from collector.settings import Settings
from collector.spool_fault import SpoolError

log = logging.getLogger(__name__)

# An event is on the dashboard's live view within 2 s of its 202; half a round of this is the drain's share.
DRAIN_EVERY_S = 0.25
# Twice a minute: sealing waits for promises that are renewed every few seconds, and grace is minutes.
SEAL_EVERY_S = 5.0
# A drainer renews its promises every 5 s, once it has drained what it missed: one that is silent for a minute is gone.
PATIENCE_S = 60.0
# After a fault that is not the store's absence: long enough not to fill the log.
FAULT_PAUSE_S = 5.0
# Rounds that moved so many events follow each other at once: there is a backlog.
BUSY_EVENTS = 10_000

Round = Callable[[], float]


def run_jobs(settings: Settings, jobs: Sequence[str], stopping: threading.Event, clock: Clock) -> None:
    """Runs `jobs` ("drain", "seal") until `stopping` is set; raises `Fault` where one cannot start."""
    forbid_core_dumps()
    give_way()
    store = _opened(settings, stopping)
    if store is None:
        return
    keys = Keys(settings.privacy.key_dir, settings.privacy.grace_minutes * 60, clock)
    makers = {"drain": _drain_round, "seal": _seal_round}
    with contextlib.ExitStack() as ending, ThreadPoolExecutor(len(jobs)) as pool:
        rounds = [_started(partial(makers[job], settings, store, keys, clock, ending), stopping) for job in jobs]
        running = [pool.submit(_repeat, round_, stopping) for round_ in rounds]
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        stopping.set()
        for job in done:
            job.result()
    store.close()


def seal_now(settings: Settings, clock: Clock) -> list[str]:
    """Seals what is due, once; returns a line for each day, and one for each day that waits with its reason."""
    store = open_store(settings, wait_s=5.0)
    try:
        migrate(store)
        keys = Keys(settings.privacy.key_dir, settings.privacy.grace_minutes * 60, clock)
        sealer = _sealer(settings, store, keys, clock)
        done = [_told(sealed) for sealed in sealer.seal_due()]
        return done + [
            f"{period.day} in {period.timezone} waits: {reason}" for period, reason in sealer.waiting.items()
        ]
    finally:
        store.close()


def _opened(settings: Settings, stopping: threading.Event) -> Store | None:
    """The migrated store, waited for as long as it takes; None where the process was told to stop before it came."""
    is_told = False
    while not stopping.is_set():
        try:
            store = open_store(settings, wait_s=2.0)
            applied = migrate(store)
        except StoreUnavailable as fault:
            if not is_told:
                log.warning("waiting for the store: %s", fault)
            is_told = True
            continue
        if applied:
            log.info("applied %d migrations", applied)
        return store
    return None


def _started(make: Callable[[], Round], stopping: threading.Event) -> Round:
    """What `make` gives; a store that goes away meanwhile is waited for."""
    while True:
        try:
            return make()
        except StoreUnavailable as fault:
            log.warning("waiting for the store: %s", fault)
        if stopping.wait(2 * DRAIN_EVERY_S):
            return lambda: 0.0


def _drain_round(settings: Settings, store: Store, keys: Keys, clock: Clock, ending: contextlib.ExitStack) -> Round:
    drainer = Drainer(settings, store, keys, clock)
    ending.callback(drainer.close)
    return lambda: 0.0 if drainer.round() > BUSY_EVENTS else DRAIN_EVERY_S


def _seal_round(settings: Settings, store: Store, keys: Keys, clock: Clock, ending: contextlib.ExitStack) -> Round:
    sealer = _sealer(settings, store, keys, clock, PATIENCE_S)
    may_work = _lease(settings, store).acquire
    retention = Retention(store, settings, _guard(store, clock), may_work)
    coverage = HourlyCoverage(store, may_work)

    def seal_round() -> float:
        coverage.round()
        for sealed in sealer.seal_due():
            log.info("%s", _told(sealed))
        retention.round()
        return SEAL_EVERY_S

    return seal_round


def _sealer(settings: Settings, store: Store, keys: Keys, clock: Clock, patience_s: float = 0.0) -> Sealer:
    require_noise(settings)
    lease = _lease(settings, store)
    return Sealer(
        store,
        settings,
        clock,
        _guard(store, clock),
        Surroundings(may_work=lease.acquire, sealed=keys.destroy, patience_s=patience_s),
    )


def _guard(store: Store, clock: Clock) -> ClockGuard:
    return ClockGuard(clock, store.now, partial(newest_event, store))


def _lease(settings: Settings, store: Store) -> Lease:
    # One holder for each data folder: a sealer that was killed finds its lease again, nobody waits for it to run out.
    return Lease(store, "seal", identity_in(settings.data / "sealer.id"), store.now)


def _repeat(round_: Round, stopping: threading.Event) -> None:
    """Round after round. That the store is away is said once; any other fault is told with its trace each time."""
    is_away = False
    while True:
        try:
            pause_s = round_()
            if is_away:
                log.warning("the store is back")
            is_away = False
        except StoreUnavailable as fault:
            if not is_away:
                log.error("the store is away, everything waits: %s", fault)
            is_away, pause_s = True, 2 * DRAIN_EVERY_S
        except SpoolError as fault:  # The disk is full, or fails: what waits is safe where it was synced.
            log.error("%s; the next round tries again", fault)
            pause_s = FAULT_PAUSE_S
        except Exception:  # The outermost loop: what waits is safe, and the next round may do.
            log.exception("a round failed; the next one tries again")
            pause_s = FAULT_PAUSE_S
        if stopping.wait(pause_s):
            return


def _told(sealed: Sealed) -> str:
    text = (
        f"{sealed.period.day} in {sealed.period.timezone}: {sealed.outcome}, {sealed.events} events, {sealed.late} late"
    )
    return text + (f"; still there: {', '.join(sealed.remains)}" if sealed.remains else "")
