"""What strikes a running installation in the proofs under load: kill -9 of a part, or a restart of all of it."""

from __future__ import annotations

import random
import time
from typing import get_args

from aggregator.store import Store
from tests.collector.collecting import descendants, is_running, until
from tests.faults.accounting import wait_for_sealing
from tests.installation import RECOVERY_S, Installation, Part

PARTS: tuple[Part, ...] = get_args(Part)
# `supervisor`: `footfall serve` itself, whose children must end with it. `restart`: a clean stop, and a start.
FAULTS = (*PARTS, "supervisor", "restart", "all")


def strike(installation: Installation, store: Store, fault: str, *, awaits_sealing: bool = True) -> bool:
    """Waits for a random moment, for sealer and store mostly one of sealing, and does what `fault` says.

    Returns whether every part that was asked to stop did so in time.
    """
    if awaits_sealing and fault in ("seal", "store") and random.random() < 0.8:
        wait_for_sealing(store)
    time.sleep(random.uniform(0, 0.3))
    if fault == "all":
        installation.kill_all()
        time.sleep(random.uniform(0, 0.2))
        installation.start()
    elif fault == "supervisor":
        family = installation.kill_supervisor()
        until(lambda: not any(is_running(pid) for pid in family), "no process outlives the supervisor", RECOVERY_S)
        installation.start()
    elif fault == "restart":
        return restart(installation)
    else:
        kill(installation, fault)
    return True


def restart(installation: Installation) -> bool:
    """A stop that leaves no process, then a start; returns whether the stop had nothing to complain of."""
    assert installation.process is not None
    family, told_before = descendants(installation.process.pid), installation.log.read_text()
    assert installation.stop() == 0
    # The drainer is stopped before the collector: that events keep coming keeps it from nothing.
    in_time = "did not stop" not in installation.log.read_text()[len(told_before) :]
    assert not [pid for pid in family if is_running(pid)]
    installation.start()
    return in_time


def kill(installation: Installation, fault: str) -> None:
    """kill -9 of one process of a part, which is soon followed by another one."""
    part = next(part for part in PARTS if part == fault)
    before = installation.parts()[part]
    until(lambda: installation.kill(part), f"there is a process of {part}", RECOVERY_S)
    until(lambda: set(installation.parts()[part]) - set(before) != set(), f"{part} runs again", RECOVERY_S)
