"""As the kernel sees it: what an answer promises is synced before the first byte of the answer is written.

strace notes where each system call begins and ends, and what was written. A worker's 202 begins after the end of a sync
that began after the event was in the write-ahead log. The store's answer to an insert begins after each file of the new
part, the part's folder and the folder of the table, with the new name in it, are synced.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from aggregator.migrate import migrate
from tests.aggregator.event_lines import event_lines
from tests.aggregator.front_process import FrontProcess
from tests.collector.collecting import FIREFOX, Collector, asked, event_body, running, until

CALLS = "recvfrom,read,readv,write,writev,pwrite64,sendto,sendmsg,fsync,fdatasync,rename,renameat,renameat2"
SYNCS = frozenset(("fsync", "fdatasync"))
WRITES = frozenset(("write", "pwrite64", "writev"))
REQUESTS = 15
AT_ONCE = 8

_BEGUN = re.compile(r"^(\d+) +(\w+)\((.*)$")
_ENDED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)$")
NAME = re.compile(r"traced-\d+-\d+-")
_TARGET = re.compile(r"^\d+<([^>]*)>")


@dataclass
class Call:
    """One system call: the file or socket that it is about, its text, and at which lines it begins and ends."""

    name: str
    target: str
    text: str
    begins: int
    ends: int

    @property
    def has_failed(self) -> bool:
        return " = -1 " in self.text


def calls_in(trace: Path) -> list[Call]:
    """The calls of a trace, in the order of their beginnings; one that has not ended, ends at infinity's stand-in."""
    calls: list[Call] = []
    open_calls: dict[str, Call] = {}
    lines = trace.read_text(errors="replace").splitlines()
    for place, text in enumerate(lines):
        if ended := _ENDED.match(text):
            call = open_calls.pop(ended[1])
            call.ends, call.text = place, call.text + ended[3]
        elif begun := _BEGUN.match(text):
            target = _TARGET.match(begun[3])
            call = Call(begun[2], target[1] if target else "", begun[3], place, place)
            calls.append(call)
            if text.endswith("<unfinished ...>"):
                call.ends = len(lines)
                open_calls[begun[1]] = call
    return calls


@contextlib.contextmanager
def traced(pid: int, trace: Path) -> Iterator[None]:
    """All threads of a process, those to come too, are traced for the time of a `with` block."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed, which tells the order of system calls")
    command = [strace, "-f", "-y", "-s", "5000", "-o", str(trace), "-e", f"trace={CALLS}", "-p", str(pid)]
    tracer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: tracer.poll() is not None or is_traced(pid, tracer.pid), "the process is traced")
        if tracer.poll() is not None:
            pytest.skip("this machine does not let one process trace another")
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait()


def is_traced(pid: int, tracer: int) -> bool:
    states = [status.read_text() for status in Path(f"/proc/{pid}/task").glob("*/status")]
    return all(f"TracerPid:\t{tracer}\n" in state for state in states)


def test_each_202_begins_after_a_sync_of_the_log_that_holds_it(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with running(Collector(tmp_path)) as collector:
        worker = next(pid for pid in collector.worker_pids() if b"footfall" in command_line(pid))
        with traced(worker, trace):
            threads = [threading.Thread(target=ask_often, args=(collector, sender)) for sender in range(AT_ONCE)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    calls = calls_in(trace)
    answers = [call for call in calls if "HTTP/1.1 202" in call.text and call.target.startswith(("socket", "TCP"))]
    assert len(answers) == REQUESTS * AT_ONCE
    log = [call for call in calls if call.target.endswith("-wal") and not call.has_failed]
    writes = [(write_of(request_of(answer, calls), log), answer) for answer in answers]
    # A name that lies across two pages of the log is in no single write.
    assert sum(write is not None for write, _ in writes) > 0.9 * len(writes)
    assert not [write for write, answer in writes if write and not is_synced(write.target, write.ends, answer, log)]


def command_line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def ask_often(collector: Collector, sender: int) -> None:
    with collector.connection() as connection:
        for number in range(REQUESTS):
            body = event_body({"n": f"traced-{sender}-{number}-"})
            assert asked(connection, "POST", "/api/event", body, {"User-Agent": FIREFOX}).footfall == "accepted"


def request_of(answer: Call, calls: list[Call]) -> str:
    """The name of the event that was sent on the answer's connection before it."""
    texts = [call.text for call in calls if call.target == answer.target and call.begins < answer.begins]
    names: list[str] = [name for text in texts for name in NAME.findall(text)]
    return names[-1]


def write_of(name: str, log: list[Call]) -> Call | None:
    return next((call for call in log if call.name in WRITES and name in call.text), None)


def test_the_store_answers_an_insert_after_its_part_and_all_its_names_are_synced(tmp_path: Path) -> None:
    front, trace = FrontProcess(tmp_path / "data"), tmp_path / "trace"
    front.data.mkdir()
    front.start()
    try:
        assert front.process is not None
        store = front.store()
        migrate(store)
        with traced(front.process.pid, trace):
            for batch in range(1, 6):
                store.insert_lines("open_events", event_lines(batch, 50), tag=f"b{batch}", token=f"b{batch}")
        store.close()
    finally:
        front.kill()
    calls = calls_in(trace)
    answers = [call for call in calls if "HTTP/1.1 200" in call.text and call.target.startswith(("socket", "TCP"))]
    renames = [call for call in calls if call.name.startswith("rename") and "/tmp_insert_" in call.text]
    assert len(renames) == len(answers) == 5
    for rename, answer in zip(renames, answers, strict=True):
        assert not unsynced(rename, answer, calls)


def unsynced(rename: Call, answer: Call, calls: list[Call]) -> set[str]:
    """What of a part that `rename` gives its name is not synced as the answer begins."""
    draft, name = (path.rstrip("/") for path in re.findall(r'"([^"]+)"', rename.text)[:2])
    table = draft.rpartition("/")[0]
    missing = set()
    for file in {call.target for call in calls if call.name in WRITES and call.target.startswith(f"{draft}/")}:
        last = max(call.ends for call in calls if call.name in WRITES and call.target == file)
        if not is_synced(file, last, answer, calls):
            missing.add(file)
    for folder, since in ((draft, 0), (name, rename.ends), (table, rename.ends)):
        if not is_synced(folder, since, answer, calls):
            missing.add(folder)
    return missing


def is_synced(path: str, since: int, answer: Call, calls: list[Call]) -> bool:
    return any(
        call.name in SYNCS and call.target == path and since <= call.begins and call.ends < answer.begins
        for call in calls
        if not call.has_failed
    )
