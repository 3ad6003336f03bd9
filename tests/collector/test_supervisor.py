"""The supervisor over small real children: restarted when they die, ended when they refuse, nobody left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from collector.supervisor import MAX_PAUSE_S, MIN_PAUSE_S, REFUSED, Child, Supervisor
from tests.collector.collecting import is_running, until

# Notes its start, then does as it is told; "parent" has a process that outlives it, as a server's workers do.
PROGRAM = """
import os, subprocess, sys, time
log, does = sys.argv[1:]
with open(log, "a") as out:
    out.write(f"{os.getpid()} {time.monotonic()}\\n")
if does == "refuse":
    sys.exit(2)
if does == "die":
    sys.exit(1)
if does == "parent":
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    open(log + ".left", "a").write(f"{left.pid}\\n")
    sys.exit(1)
time.sleep(600)
"""


def child(log: Path, does: str, is_ready: Callable[[], bool] = lambda: True) -> Child:
    return Child(log.name, [sys.executable, "-c", PROGRAM, str(log), does], is_ready=is_ready)


def starts(log: Path) -> list[tuple[int, float]]:
    """Process id and time of each start."""
    if not log.exists():
        return []
    return [(int(pid), float(at)) for pid, at in map(str.split, log.read_text().splitlines())]


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """A supervisor sets the process's signal handlers; here they are put back."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def supervised(children: list[Child], meanwhile: Callable[[], None], *, is_reloadable: bool = True) -> int:
    """Runs a supervisor in this thread while `meanwhile` runs in another, then stops it by SIGTERM; its exit status."""
    faults: list[BaseException] = []

    def accompany() -> None:
        try:
            meanwhile()
        except AssertionError as fault:
            faults.append(fault)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=accompany)
    status = Supervisor(children, lambda: is_reloadable).run(thread.start)
    if thread.ident is not None:
        thread.join()
    if faults:
        raise faults[0]
    return status


def test_children_run_until_the_supervisor_is_told_to_stop_and_none_is_left(tmp_path: Path) -> None:
    logs = [tmp_path / "one", tmp_path / "two"]
    status = supervised(
        [child(log, "run") for log in logs], lambda: until(lambda: all(map(starts, logs)), "both were started")
    )
    assert status == 0
    assert not [pid for log in logs for pid, _ in starts(log) if is_running(pid)]


def test_a_child_is_started_once_the_one_before_it_is_ready(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    ready_from = time.monotonic() + 0.5
    children = [child(first, "run", is_ready=lambda: time.monotonic() > ready_from), child(second, "run")]
    supervised(children, lambda: until(lambda: bool(starts(second)), "the second was started"))
    assert starts(second)[0][1] > ready_from


def test_a_child_that_is_killed_is_started_again_and_the_others_go_on(tmp_path: Path) -> None:
    victim, other = tmp_path / "victim", tmp_path / "other"

    def kill() -> None:
        until(lambda: bool(starts(victim)) and bool(starts(other)), "both were started")
        os.kill(starts(victim)[0][0], signal.SIGKILL)
        until(lambda: len(starts(victim)) == 2, "it was started again")

    assert supervised([child(victim, "run"), child(other, "run")], kill) == 0
    assert len(starts(other)) == 1


def test_pauses_before_a_child_that_keeps_dying_double(tmp_path: Path) -> None:
    log = tmp_path / "dying"
    supervised([child(log, "die")], lambda: until(lambda: len(starts(log)) >= 4, "it was started four times"))
    times = [at for _, at in starts(log)]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert pauses[0] >= MIN_PAUSE_S
    assert pauses[1] >= 2 * MIN_PAUSE_S
    assert pauses[2] >= 4 * MIN_PAUSE_S
    assert pauses[2] < MAX_PAUSE_S


def test_what_a_dead_child_had_started_is_gone_before_it_is_started_again(tmp_path: Path) -> None:
    log = tmp_path / "parent"
    supervised([child(log, "parent")], lambda: until(lambda: len(starts(log)) >= 2, "it was started again"))
    left = [int(pid) for pid in log.with_name("parent.left").read_text().split()]
    assert not is_running(left[0])
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_child_that_refuses_its_configuration_ends_all(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"

    def is_ended() -> bool:
        return bool(starts(good)) and not is_running(starts(good)[0][0])

    refused = supervised([child(good, "run"), child(bad, "refuse")], lambda: until(is_ended, "the good one was ended"))
    assert refused == REFUSED
    assert not [pid for pid, _ in starts(good) if is_running(pid)]


@pytest.mark.parametrize("is_reloadable", [True, False])
def test_a_reload_restarts_the_children_that_read_a_usable_configuration(tmp_path: Path, is_reloadable: bool) -> None:
    reader, store = tmp_path / "reader", tmp_path / "store"
    stays = child(store, "run")
    stays.is_reloaded = False

    def reload() -> None:
        until(lambda: bool(starts(reader)) and bool(starts(store)), "both were started")
        os.kill(os.getpid(), signal.SIGHUP)
        if is_reloadable:
            until(lambda: len(starts(reader)) == 2, "the reader was started again")

    assert supervised([stays, child(reader, "run")], reload, is_reloadable=is_reloadable) == 0
    assert len(starts(reader)) == 1 + is_reloadable
    assert len(starts(store)) == 1
