"""A disk that is full, fails, is suddenly read-only, or is slow: what was acknowledged is there, once, and no more.

A commit that fails is a 503, and its file is left for another: nothing is acknowledged on a file after a failed sync of
it. Of a refused event nothing is promised: it may be in the file that failed, once.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import statistics
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from aggregator.backlog import opened
from collector.damage import notes_in
from tests.collector.collecting import FIREFOX, Collector, running, until
from tests.collector.test_full_disk import FILLER, disk, fill, large_event, paths
from tests.faults.disk import erring_disk, injected, spool_files
from tests.faults.draining import Draining
from tests.faults.figures import Figures

__all__ = ["disk"]

SOAK = pytest.mark.skipif("FOOTFALL_SOAK" not in os.environ, reason="a full run takes five minutes: make soak")
SYNC_S = 0.5
CLIENTS = 40
SLOW_FOR_S = 1.2
PATH = re.compile(r"<([^>]*/(spool-\d+)\.sqlite-wal)>")
# What the worker calls on its spool's files, and how it may fail.
WORKER_CALLS = (
    ("fdatasync", "EIO"),
    ("pwrite64", "EIO"),
    ("pwrite64", "ENOSPC"),
    ("openat", "EIO"),
)
DRAINER_CALLS = (("fdatasync", "EIO"), ("pwrite64", "EIO"), ("pwrite64", "ENOSPC"), ("ftruncate", "EIO"))


# --- full ------------------------------------------------------------------------------------------------------------


def test_a_disk_that_fills_up_again_and_again_keeps_what_was_acknowledged_and_the_collector_recovers(
    tmp_path: Path, disk: Path
) -> None:
    figures = Figures("disk", is_kept_looked_for=False)
    filled_and_freed(figures, tmp_path, disk, cycles=3)
    assert figures.faults == 0, str(figures)


def filled_and_freed(figures: Figures, folder: Path, disk: Path, cycles: int) -> None:
    row = figures.row("full, and freed again")
    slowest = 0.0
    with running(Collector(folder, spool=disk / "spool")) as collector:
        for cycle in range(cycles):
            accepted, refused = [f"/{cycle}-before-{number}" for number in range(5)], 0
            assert all(is_accepted(collector, path.removeprefix("/")) for path in accepted)
            fill(disk)
            while refused < 3:
                name = f"{cycle}-{len(accepted)}-{refused}"
                answer = large_event(collector, name)
                if answer.footfall == "accepted":
                    accepted.append(f"/{name}")
                else:
                    assert answer.status == 503
                    refused += 1
            (disk / FILLER).unlink()
            freed_at, name = time.monotonic(), f"{cycle}-after"
            until(partial(is_accepted, collector, name), "events are accepted again")
            slowest = max(slowest, time.monotonic() - freed_at)
            until(lambda: collector.ask("GET", "/readyz").status == 200, "the collector is ready again")
            found = Counter(paths(collector))
            accepted.append(f"/{name}")
            row.rounds += 1
            row.acknowledged += len(accepted)
            row.lost += sum(not found[each] for each in accepted)
            row.doubled += sum(found.values()) - len(found)
            row.lost += collector.ledger()["accepted"] != collector.ledger()["waiting"] + collector.ledger()["drained"]
            drained_by_hand(collector)
            assert [file.name for file in collector.spool_dir.glob("spool-*.sqlite")] == ["spool-0.sqlite"]
            assert not notes_in(collector.spool_dir), "a full disk has failed at nothing"
        assert "Traceback" not in collector.log.read_text()
    figures.remarks.append(f"After space came back events were accepted within {slowest:.1f} s.")


def is_accepted(collector: Collector, name: str) -> bool:
    return large_event(collector, name).footfall == "accepted"


def drained_by_hand(collector: Collector) -> None:
    """Room for the next cycle, as a drainer makes it."""
    with opened(collector.spool_dir) as backlogs:
        for backlog in backlogs:
            for day, timezone in backlog.days():
                while (batch := backlog.record(day, timezone, 1_000_000)) is not None:
                    backlog.end(batch, "drained")
            backlog.truncate_log()


# --- the n-th call fails ---------------------------------------------------------------------------------------------


def test_no_event_is_acknowledged_on_a_file_after_a_call_on_it_failed(tmp_path: Path) -> None:
    figures = Figures("disk", is_kept_looked_for=False)
    for call, error in (("fdatasync", "EIO"), ("pwrite64", "EIO")):
        worker_fails(figures, tmp_path / call, call, error, numbers=(1, 4))
    assert figures.faults == 0, str(figures)


def worker_fails(figures: Figures, folder: Path, call: str, error: str, numbers: tuple[int, ...] = ()) -> None:
    """Of a worker that takes events the first, second, third ... `call` fails, until there are not so many."""
    row = figures.row(f"collector: n-th {call} {error}")
    folder.mkdir(parents=True)
    accepted: list[str] = []
    failed: set[str] = set()
    with running(Collector(folder)) as collector:
        for number in numbers or itertools.count(1):
            effect = f"error={error}:when={number}"
            is_struck = one_call_fails(collector, call, effect, accepted, failed, number)
            if not is_struck and not numbers:
                break
            row.rounds += is_struck
            until(lambda: collector.event({"u": "https://example.com/x"}).footfall == "accepted", "it recovers")
            until(lambda: collector.ask("GET", "/readyz").status == 200, "it is ready again")
        collector.kill()
        collector.start()
        assert not failed & set(collector.taken_spools()), "a later life writes on after a failed write"
        found = Counter(paths(collector))
        found.pop("/x", None)
        row.acknowledged += len(accepted)
        row.lost += sum(not found[each] for each in accepted)
        row.doubled += sum(times - 1 for times in found.values())
        ledger = collector.ledger()
        row.lost += abs(ledger["accepted"] - ledger["waiting"])
        assert "Traceback" not in collector.log.read_text()


def one_call_fails(
    collector: Collector, call: str, effect: str, accepted: list[str], failed: set[str], number: int
) -> bool:
    """Sends some events meanwhile; whether the call was made. The file that failed is held no more, and among `failed`.

    But for a full disk's: what did not fit was not written, and what is written later is synced.
    """
    newest = max(int(name.removeprefix("spool-")) for name in collector.taken_spools())
    trace = collector.folder / f"{call}-{number}.trace"
    with injected(worker_of(collector), call, effect, spool_files(collector.spool_dir, newest), trace) as seen:
        for event in range(5):
            name = f"{call}-{number}-{event}"
            answer = collector.event({"u": f"https://example.com/{name}"})
            if answer.footfall == "accepted":
                accepted.append(f"/{name}")
            else:
                assert answer.status == 503, answer
    failed |= {found[2] for line in seen.injected if "ENOSPC" not in line and (found := PATH.search(line))}
    assert not failed & set(collector.taken_spools()), f"{failed} is written on after {seen.injected}"
    return bool(seen.injected)


def worker_of(collector: Collector) -> int:
    return next(pid for pid in collector.worker_pids() if b"footfall" in Path(f"/proc/{pid}/cmdline").read_bytes())


def test_a_drainer_whose_calls_fail_loses_and_doubles_nothing_and_goes_on(tmp_path: Path, key_dir: Path) -> None:
    figures = Figures("disk", is_kept_looked_for=False)
    draining = Draining(tmp_path / "place", key_dir)
    try:
        draining.start()
        drainer_fails(figures, draining, "pwrite64", "EIO", numbers=(3,))
        store_fails(figures, draining, numbers=(1,))
    finally:
        draining.stop()
    assert figures.faults == 0, str(figures)


def drainer_fails(figures: Figures, draining: Draining, call: str, error: str, numbers: tuple[int, ...] = ()) -> None:
    """Of a drainer that moves events the first, second, third ... `call` on the spool's files fails."""
    assert draining.process is not None
    row = figures.row(f"drainer: n-th {call} {error}")
    for number in numbers or itertools.count(1):
        trace = draining.folder / f"{call}-{number}.trace"
        paths_ = spool_files(draining.place.spool_dir)
        with injected(draining.process.pid, call, f"error={error}:when={number}", paths_, trace) as seen:
            draining.take(3)
            until(draining.is_drained, f"all is drained again after {call} {number}", 60)
        if not seen.injected and not numbers:
            break
        row.rounds += bool(seen.injected)
    row.acknowledged += len(draining.worker.names)
    lost, doubled = draining.lost_and_doubled()
    row.lost += lost
    row.doubled += doubled


def store_fails(figures: Figures, draining: Draining, numbers: tuple[int, ...] = ()) -> None:
    """Of each thread of the store the n-th fsync fails: such an insert is not acknowledged."""
    assert draining.front.process is not None
    row = figures.row("store: n-th fsync EIO")
    for number in numbers or itertools.count(1):
        trace = draining.folder / f"store-{number}.trace"
        with injected(draining.front.process.pid, "fsync,fdatasync", f"error=EIO:when={number}", [], trace) as seen:
            draining.take(3)
            until(draining.is_drained, f"all is drained again after the store's fsync {number}", 60)
        if not seen.injected and not numbers:
            break
        row.rounds += bool(seen.injected)
    row.acknowledged += len(draining.worker.names)
    lost, doubled = draining.lost_and_doubled()
    row.lost += lost
    row.doubled += doubled


# --- read-only, and slow ---------------------------------------------------------------------------------------------


def test_a_file_system_that_turns_read_only_is_503_and_events_are_taken_again_after_it_is_mounted_anew(
    tmp_path: Path,
) -> None:
    figures = Figures("disk", is_kept_looked_for=False)
    turned_read_only(figures, tmp_path, rounds=1)
    assert figures.faults == 0, str(figures)


@pytest.mark.parametrize("is_at_mount", [True, False], ids=["the spool is the mount", "the spool lies in it"])
def test_while_the_spools_file_system_is_not_mounted_nothing_is_written_below_it(
    tmp_path: Path, *, is_at_mount: bool
) -> None:
    """What the mount hides later would have been acknowledged, and never be counted."""
    with erring_disk(tmp_path) as erring:
        spool = erring.folder if is_at_mount else erring.folder / "spool"
        with running(Collector(tmp_path, spool=spool)) as collector:
            assert is_accepted(collector, "before")

            def nothing_is_written() -> None:
                until_over = time.monotonic() + 2.5  # The worker's heart beats each second, and looks for a file.
                while time.monotonic() < until_over:
                    assert collector.event({"u": "https://example.com/away"}).status == 503
                    time.sleep(0.2)
                assert list(erring.folder.iterdir()) == []
                assert b"mount its file system again" in collector.ask("GET", "/readyz").body

            erring.err()
            assert collector.event({"u": "https://example.com/failed"}).status == 503
            erring.mend(nothing_is_written)
            until(partial(is_accepted, collector, "after"), "it is back")
            assert sorted(paths(collector)) == ["/after", "/before"]


def turned_read_only(figures: Figures, folder: Path, rounds: int) -> None:
    row = figures.row("read-only while open, and back")
    with erring_disk(folder) as erring, running(Collector(folder, spool=erring.folder / "spool")) as collector:
        accepted = []
        for number in range(rounds):
            assert collector.event({"u": f"https://example.com/before-{number}"}).footfall == "accepted"
            erring.err()
            answers = [collector.event({"u": f"https://example.com/{number}-{each}"}) for each in range(5)]
            assert {answer.status for answer in answers} == {503}
            assert collector.ask("GET", "/readyz").status == 503
            assert collector.ask("GET", "/healthz").status == 200
            erring.mend()
            name = f"after-{number}"
            until(partial(is_accepted, collector, name), "it is back")
            accepted += [f"/before-{number}", f"/{name}"]
            row.rounds += 1
        found = Counter(paths(collector))
        row.acknowledged += len(accepted)
        row.lost += sum(not found[each] for each in accepted)
        row.doubled += sum(found.values()) - len(found)
        assert "Traceback" not in collector.log.read_text()


def test_on_a_slow_disk_answers_come_late_none_before_its_sync_and_many_with_one(tmp_path: Path) -> None:
    figures = Figures("disk", is_kept_looked_for=False)
    slowed_down(figures, tmp_path, SLOW_FOR_S)
    assert figures.faults == 0, str(figures)


def slowed_down(figures: Figures, folder: Path, seconds: float) -> None:
    """Each sync takes half a second. Accepted and dropped alike wait for theirs; who asks for health does not."""
    row = figures.row("each sync takes 500 ms")
    with running(Collector(folder)) as collector:
        delay = f"delay_exit={SYNC_S * 1e6:.0f}"
        files = spool_files(collector.spool_dir)
        with injected(worker_of(collector), "fdatasync,fsync", delay, files, folder / "slow.trace") as seen:
            waits, healths, accepted = asked_for(collector, seconds)
        found = Counter(paths(collector))
        row.rounds += len(seen.injected)
        row.acknowledged += len(accepted)
        row.lost += sum(not found[each] for each in accepted)
        row.doubled += sum(found.values()) - len(found)
        ledger = collector.ledger()
        assert (ledger["accepted"], ledger["waiting"]) == (len(accepted), len(accepted))
        assert ledger["dropped"] == len(waits) - len(accepted), "a dropped request is counted before it is answered"
    assert min(waits) > SYNC_S, "an answer came before its sync"
    assert max(waits) < 6 * SYNC_S
    assert max(healths) < SYNC_S
    assert len(waits) > CLIENTS * seconds / SYNC_S / 4, "many requests share a sync"
    figures.remarks.append(
        f"With syncs of {SYNC_S:.1f} s {CLIENTS} clients had {len(waits) / seconds:.0f} answers a second, half of them"
        f" within {statistics.median(waits):.2f} s and all within {max(waits):.2f} s."
    )


def asked_for(collector: Collector, seconds: float) -> tuple[list[float], list[float], list[str]]:
    """How long each answer took, how long each of /healthz, and the paths of the accepted events."""
    waits, healths, accepted, dropped = list[float](), list[float](), list[str](), list[str]()
    until_s = time.monotonic() + seconds

    def send(client: int) -> None:
        for number in itertools.count():
            if time.monotonic() > until_s:
                return
            consent = (client + number) % 4 != 0
            name, began_at = f"{client}-{number}", time.monotonic()
            fields = {"n": "a", "u": f"https://example.com/{name}", "d": "example.com", "c": int(consent)}
            answer = collector.ask("POST", "/api/event", json.dumps(fields).encode(), {"User-Agent": FIREFOX})
            waits.append(time.monotonic() - began_at)
            if answer.footfall == "accepted":
                accepted.append(f"/{name}")
            else:
                dropped.append(answer.footfall)

    threads = [threading.Thread(target=send, args=(client,)) for client in range(CLIENTS)]
    for thread in threads:
        thread.start()
    while time.monotonic() < until_s:
        began_at = time.monotonic()
        assert collector.ask("GET", "/healthz").status == 200
        healths.append(time.monotonic() - began_at)
        time.sleep(0.05)
    for thread in threads:
        thread.join()
    assert set(dropped) == {"dropped; reason=refused"}
    return waits, healths, accepted


# --- the full form ---------------------------------------------------------------------------------------------------


@SOAK
@pytest.mark.soak
@pytest.mark.timeout(0)
def test_every_way_in_which_a_disk_may_fail_us(
    tmp_path: Path, key_dir: Path, disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = Figures("disk", is_kept_looked_for=False)
    filled_and_freed(figures, tmp_path / "full", disk, cycles=100)
    for call, error in WORKER_CALLS:
        worker_fails(figures, tmp_path / f"worker-{call}-{error}", call, error)
    for call, error in DRAINER_CALLS:
        draining = Draining(tmp_path / f"drainer-{call}-{error}", key_dir)
        try:
            draining.start()
            drainer_fails(figures, draining, call, error)
        finally:
            draining.stop()
    draining = Draining(tmp_path / "store", key_dir)
    try:
        draining.start()
        store_fails(figures, draining)
    finally:
        draining.stop()
    (tmp_path / "read-only").mkdir()
    turned_read_only(figures, tmp_path / "read-only", rounds=10)
    slowed_down(figures, tmp_path / "slow", 60.0)
    with capsys.disabled():
        figures.tell()
    assert figures.faults == 0, str(figures)
