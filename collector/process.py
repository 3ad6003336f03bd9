"""What every process of Footfall does to itself before it holds anything of anyone."""

from __future__ import annotations

import ctypes
import os
import resource
import signal

# Options of prctl(2).
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
# A tenth of the processor where somebody of the usual niceness wants it, all of it where nobody does (sched(7)).
BEHIND_THE_COLLECTOR = 10


def forbid_core_dumps() -> None:
    """No core file and no debugger of another user: hits, tokens and keys are in this process's memory. Linux alone."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(PR_SET_DUMPABLE, 0)


def give_way() -> None:
    """Leaves the processors to the collector where both want them: its answers are waited for, a backlog is not."""
    if os.getpriority(os.PRIO_PROCESS, 0) < BEHIND_THE_COLLECTOR:
        os.setpriority(os.PRIO_PROCESS, 0, BEHIND_THE_COLLECTOR)


def die_with_parent() -> None:
    """SIGTERM when the parent dies, however it dies. Linux alone."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _prctl(option: int, value: int) -> None:
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(option, value, 0, 0, 0)
