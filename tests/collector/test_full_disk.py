"""A full or broken disk: 503 with Retry-After, nothing acknowledged is lost, and it recovers by itself."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.keys import file_system_of
from tests.collector.collecting import FIREFOX, Answer, Collector, running, until

DISK_BYTES = 4 << 20
FILLER = "filler"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB for the spool alone: a tmpfs, which knows the same faults as any other."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = mount("-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0700", "tmpfs", str(folder))
    if mounted.returncode:
        pytest.skip(f"this machine does not let root mount a tmpfs: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
    assert file_system_of(folder) != "tmpfs" or file_system_of(tmp_path) == "tmpfs"


def mount(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)


def fill(disk: Path) -> None:
    """Takes every byte that is left."""
    with contextlib.suppress(OSError), (disk / FILLER).open("ab", buffering=0) as filler:
        while filler.write(bytes(4_096)):
            pass


def large_event(collector: Collector, marker: str) -> Answer:
    """An event of some 11 KB, by the properties that the site declares."""
    fields = {"n": "a", "u": f"https://example.com/{marker}", "d": "example.com", "c": 1}
    body = json.dumps({**fields, "p": {str(number): "茶" * 510 for number in range(7)}}).encode()
    return collector.ask("POST", "/api/event", body, {"User-Agent": FIREFOX})


def paths(collector: Collector) -> list[str]:
    return [event["path"] for event in collector.events()]


def test_a_full_disk_is_503_and_the_collector_recovers_by_itself_when_space_returns(tmp_path: Path, disk: Path) -> None:
    accepted: list[str] = []
    with running(Collector(tmp_path, spool=disk / "spool")) as collector:
        for number in range(20):
            assert large_event(collector, f"before-{number}").footfall == "accepted"
            accepted.append(f"/before-{number}")
        fill(disk)
        refused = 0
        for number in range(60):
            answer = large_event(collector, f"full-{number}")
            if answer.footfall == "accepted":  # Pages of the log that were there already.
                accepted.append(f"/full-{number}")
                continue
            refused += 1
            assert (answer.status, answer.footfall) == (503, "unavailable")
            assert int(answer.headers["retry-after"]) > 0
            assert answer.error == "cannot store durably now; send it again later"
        assert refused >= 30
        assert collector.ask("GET", "/readyz").status == 503
        assert collector.ask("GET", "/healthz").status == 200
        assert collector.event({"c": 0}).status in {202, 503}
        (disk / FILLER).unlink()
        until(lambda: collector.event().footfall == "accepted", "events are accepted again")
        accepted.append("/")
        until(lambda: collector.ask("GET", "/readyz").status == 200, "the collector is ready again")
        assert sorted(paths(collector)) == sorted(accepted)
        assert collector.ledger()["accepted"] == len(accepted)
        print(f"\n{refused} refused while full, {len(accepted)} accepted and found")
    assert "Traceback" not in collector.log.read_text()


def test_a_collector_that_nobody_sends_to_is_ready_again_once_there_is_space(tmp_path: Path, disk: Path) -> None:
    """As behind a proxy that heeds /readyz."""
    with running(Collector(tmp_path, spool=disk / "spool")) as collector:
        fill(disk)
        until(lambda: large_event(collector, "full").status == 503, "the disk is full")
        assert collector.ask("GET", "/readyz").status == 503
        (disk / FILLER).unlink()
        until(lambda: collector.ask("GET", "/readyz").status == 200, "the collector is ready again")
        assert "the spool takes events again" in collector.log.read_text()


def test_a_full_disk_is_told_in_one_line_and_not_for_each_request(tmp_path: Path, disk: Path) -> None:
    with running(Collector(tmp_path, spool=disk / "spool")) as collector:
        fill(disk)
        answers = [large_event(collector, str(number)) for number in range(60)]
        assert [answer.status for answer in answers].count(503) > 30
        told = [line for line in collector.log.read_text().splitlines() if "no space left" in line]
        assert len(told) == 1
        assert "answering 503 until it works again" in told[0]


def test_what_was_acknowledged_survives_a_kill_on_a_full_disk(tmp_path: Path, disk: Path) -> None:
    with running(Collector(tmp_path, spool=disk / "spool")) as collector:
        accepted = [f"/{number}" for number in range(20) if large_event(collector, str(number)).status == 202]
        fill(disk)
        accepted += [
            f"/full-{number}" for number in range(20) if large_event(collector, f"full-{number}").status == 202
        ]
        collector.kill()
        (disk / FILLER).unlink()
        collector.start()
        assert sorted(paths(collector)) == sorted(accepted)


@contextlib.contextmanager
def failing(collector: Collector, calls: str, error: str) -> Iterator[None]:
    """The collector's system calls `calls` fail with `error` for the time of a `with` block."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed, which makes system calls fail")
    worker = next(pid for pid in collector.worker_pids() if b"footfall" in Path(f"/proc/{pid}/cmdline").read_bytes())
    command = [strace, "-f", "-p", str(worker), "-e", f"trace={calls}", "-e", f"inject={calls}:error={error}"]
    tracer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: tracer.poll() is not None or is_traced(worker, tracer.pid), "the collector is traced")
        if tracer.poll() is not None:
            pytest.skip("this machine does not let one process trace another")
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait()


def is_traced(pid: int, tracer: int) -> bool:
    """Whether every thread of `pid` is traced by `tracer`."""
    states = [thread.read_text() for thread in Path(f"/proc/{pid}/task").glob("*/status")]
    return all(f"TracerPid:\t{tracer}\n" in state for state in states)


@pytest.mark.parametrize(
    ("calls", "error"),
    [
        ("fdatasync,fsync", "EIO"),
        ("pwrite64", "EROFS"),
        ("pwrite64", "EIO"),
        # Not even the next file's lock can be made.
        ("pwrite64,openat", "EROFS"),
        ("pwrite64,openat", "EMFILE"),
    ],
)
def test_a_disk_that_fails_is_503_and_its_file_is_left_for_another(tmp_path: Path, calls: str, error: str) -> None:
    """A sync that failed is not tried again on the same file: the kernel may have dropped what it could not write."""
    with running(Collector(tmp_path)) as collector:
        assert large_event(collector, "before").footfall == "accepted"
        with failing(collector, calls, error):
            refused = [large_event(collector, f"refused-{number}") for number in range(5)]
            assert {answer.status for answer in refused} == {503}
            assert collector.ask("GET", "/readyz").status == 503
            assert collector.ask("GET", "/healthz").status == 200
        until(lambda: large_event(collector, "after").footfall == "accepted", "events are accepted again")
        until(lambda: collector.ask("GET", "/readyz").status == 200, "the collector is ready again")
        found = Counter(paths(collector))
        # Refused events may be in the file that failed, once; what was accepted is, in whichever file.
        assert found["/before"] == found["/after"] == 1
        assert set(found.values()) == {1}
        assert len(list(collector.spool_dir.glob("spool-*.sqlite"))) > 1
    assert "Traceback" not in collector.log.read_text()
