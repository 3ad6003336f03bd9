"""A bulk request that lost its answer because its worker was killed is counted once, whenever the kill came."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aggregator.backlog import Backlog
from collector.answers import Answers
from collector.group import Group
from collector.spool import open_spool
from collector.spool_fault import SpoolError
from tests.collector.collecting import ROOT, environment

NOW, ROOM = 1_000.0, 1 << 30
FIRST, SECOND = b"key-0", b"key-1"
# Commits a group for each line that it reads.
WORKER = """
import sys
from datetime import date
from pathlib import Path
from collector.group import Group
from collector.spool import open_spool
spool = open_spool(Path(sys.argv[1]), 1 << 30)
for number, _ in enumerate(sys.stdin):
    group = Group(answers={b"key-%d" % number: b"answer"})
    group.add(date(2026, 11, 22), "UTC", b'{"day":"2026-11-22","timezone":"UTC"}\\n', 1)
    spool.commit(group, 1_000.0)
    print(number, flush=True)
"""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """One that has committed once."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(tmp_path)],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"\n")
    assert process.stdout.readline() == b"0\n"
    yield process
    process.kill()
    process.communicate()


def kill_at_sync(worker: subprocess.Popen[bytes], trace: Path) -> None:
    """SIGKILL when its commit is in the log and not synced, so that the log's index does not know of it."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed, which kills at a system call")
    inject = ("-e", "trace=fdatasync", "-e", "inject=fdatasync:signal=KILL:when=1")
    tracer = subprocess.Popen(
        [strace, "-f", "-p", str(worker.pid), "-o", str(trace), *inject], stderr=subprocess.PIPE, bufsize=0
    )
    assert tracer.stderr is not None
    assert b"attached" in tracer.stderr.readline()
    assert worker.stdin is not None
    worker.stdin.write(b"\n")
    assert worker.wait(30) == -signal.SIGKILL
    tracer.communicate()


def test_a_request_is_not_taken_again_while_it_is_open_whether_a_killed_worker_took_it(
    tmp_path: Path, worker: subprocess.Popen[bytes]
) -> None:
    with contextlib.closing(Backlog(tmp_path / "spool-0.sqlite")) as drainer:
        assert drainer.row_ids() == [1]
        kill_at_sync(worker, tmp_path / "trace")
        assert Answers(tmp_path).to(FIRST, NOW) == b"answer"
        with pytest.raises(SpoolError, match=r"spool-0\.sqlite holds what a killed worker was committing"):
            Answers(tmp_path).to(SECOND, NOW)
        # Somebody else who reads keeps the drainer from being the last, who would have emptied the log.
        reader = sqlite3.connect(f"file:{tmp_path}/spool-0.sqlite?mode=ro", uri=True)
        assert reader.execute("SELECT count(*) FROM rows").fetchone() == (1,)
    reader.close()
    spool = open_spool(tmp_path, ROOM)
    assert spool.file.name == "spool-0.sqlite"
    with contextlib.closing(Backlog(spool.file)) as drainer:
        assert len(drainer.row_ids()) == 2
    assert Answers(tmp_path).to(SECOND, NOW) == b"answer"
    spool.close()


def test_what_a_killed_worker_was_committing_is_settled_by_the_next_to_write(
    tmp_path: Path, worker: subprocess.Popen[bytes]
) -> None:
    with contextlib.closing(Backlog(tmp_path / "spool-0.sqlite")) as drainer:
        (day,) = drainer.days()
        kill_at_sync(worker, tmp_path / "trace")
        assert drainer.record(*day, 1) is not None
        assert Answers(tmp_path).to(SECOND, NOW) is None
        assert drainer.row_ids() == [1]
    spool = open_spool(tmp_path, ROOM)
    assert Answers(tmp_path).to(SECOND, NOW) is None
    spool.close()


def test_the_next_worker_takes_a_file_over_whose_worker_was_killed_in_a_commit_though_somebody_reads_it(
    tmp_path: Path, worker: subprocess.Popen[bytes]
) -> None:
    """It is not damaged, and whether the commit counts is settled then."""
    with contextlib.closing(Backlog(tmp_path / "spool-0.sqlite")) as drainer:
        assert drainer.row_ids() == [1]
        kill_at_sync(worker, tmp_path / "trace")
        spool = open_spool(tmp_path, ROOM)
        assert spool.file.name == "spool-0.sqlite"
        assert Answers(tmp_path).to(SECOND, NOW) is None
        assert drainer.row_ids() == [1]
        spool.close()


def test_a_worker_that_commits_meanwhile_keeps_nobody_from_an_answer(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, ROOM)
    for number in range(200):
        spool.commit(Group(answers={b"other-%d" % number: b"answer"}), NOW)
        assert Answers(tmp_path).to(FIRST, NOW) is None
    spool.close()


def test_a_file_that_a_worker_is_just_making_holds_no_answer(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, ROOM)
    (tmp_path / "spool-1.sqlite").touch()
    assert Answers(tmp_path).to(FIRST, NOW) is None
    spool.close()
