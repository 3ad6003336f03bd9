"""Keeps the processes of one machine running: starts them in order, restarts what dies, stops them in order.

It knows commands, not parts. A child that refuses to start (exit status 2) ends everything, because a
restart would only repeat the refusal; one that had run well, or dies otherwise, is started again.
Nobody is left behind: children are told by the kernel when the supervisor itself is killed, and each
has a process group, so that what a dead child had started (a server's workers hold its port) goes
before it is started again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from collector.process import die_with_parent

log = logging.getLogger(__name__)

REFUSED = 2
STOP_TIMEOUT_S = 30.0
# A child that keeps dying is started again after 0.5, 1, 2 ... seconds, at most this many.
MAX_PAUSE_S = 30.0
MIN_PAUSE_S = 0.5
# One that lived so long had started well (each part answers within seconds): its next pause is the shortest again.
SETTLED_S = 10.0
POLL_S = 0.1


@dataclass
class Child:
    """One command to keep running: `is_ready` is asked before the next is started, `is_reloaded` ones follow SIGHUP."""

    name: str
    command: Sequence[str]
    is_ready: Callable[[], bool] = lambda: True
    ready_timeout_s: float = 60.0
    is_reloaded: bool = True
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    pause_s: float = MIN_PAUSE_S
    restart_at: float | None = None
    has_settled: bool = False

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, process_group=0, preexec_fn=die_with_parent)  # noqa: PLW1509  no threads yet
        self.started_at = time.monotonic()
        self.restart_at = None

    def kill_rest(self) -> None:
        """Kills what is left of its process group."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)


class Supervisor:
    """Runs children until told to stop. `reloadable` says on SIGHUP whether the new configuration may be used."""

    def __init__(self, children: Sequence[Child], is_reloadable: Callable[[], bool]) -> None:
        self._children = list(children)
        self._is_reloadable = is_reloadable
        self._stopping = threading.Event()
        self._reloading = threading.Event()

    def run(self, started: Callable[[], None]) -> int:
        """Starts all, calls `started`, and returns the exit status once all have stopped."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopping.set())
        signal.signal(signal.SIGHUP, lambda *_: self._reloading.set())
        status = 0
        try:
            status = self._start_all()
            if status == 0 and not self._stopping.is_set():
                started()
            while status == 0 and not self._stopping.wait(POLL_S):
                status = self._look_after()
        finally:
            self._stop(self._children[::-1])
        return status

    def _start_all(self) -> int:
        for child in self._children:
            child.start()
            deadline = time.monotonic() + child.ready_timeout_s
            while not child.is_ready() and not self._stopping.is_set():
                status = self._look_after()
                if status:
                    return status
                if time.monotonic() > deadline:
                    # The collector goes on taking events while a store is away: that is no reason to stop it.
                    log.error("%s is not ready after %.0f s; going on", child.name, child.ready_timeout_s)
                    break
                time.sleep(POLL_S)
        return 0

    def _look_after(self) -> int:
        """Restarts who died; returns a status other than 0 where that makes no sense."""
        if self._reloading.is_set():
            self._reloading.clear()
            self._reload()
        now = time.monotonic()
        for child in self._children:
            if child.process is None or child.process.poll() is None:
                continue
            if child.restart_at is None:
                child.kill_rest()
                if now - child.started_at > SETTLED_S:
                    child.pause_s, child.has_settled = MIN_PAUSE_S, True
                if child.process.returncode == REFUSED and not child.has_settled:
                    return REFUSED
                child.restart_at = now + child.pause_s
                child.pause_s = min(2 * child.pause_s, MAX_PAUSE_S)
                log.error("%s ended with status %d; starting it again", child.name, child.process.returncode)
            elif now >= child.restart_at:
                child.start()
        return 0

    def _reload(self) -> None:
        """Restarts the children that read the configuration; a faulty one is refused and they go on with the old."""
        if not self._is_reloadable():
            return
        log.info("using the new configuration")
        reloaded = [child for child in self._children if child.is_reloaded]
        self._stop(reloaded[::-1])
        for child in reloaded:
            child.start()

    def _stop(self, children: Sequence[Child]) -> None:
        for child in children:
            if child.process is None or child.process.poll() is not None:
                continue
            child.process.terminate()
            try:
                child.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                log.error("%s did not stop within %.0f s; killing it", child.name, STOP_TIMEOUT_S)
                child.kill_rest()
                child.process.wait()
