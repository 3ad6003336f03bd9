"""Servers of our own, started and stopped, and what they cost: CPU and memory from /proc (proc(5))."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
READY_WITHIN_S = 60.0
POLL_S = 0.02
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    command: Sequence[str], port: int, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """`python` with `command`, once `port` answers; stopped at the end. Raises `RuntimeError` where it never does."""
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
    process = subprocess.Popen(
        [sys.executable, *command], env=surroundings, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        _wait_for(process, port)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            if process.poll() is not None:
                told = process.stderr.read().decode(errors="replace") if process.stderr else ""
                raise RuntimeError(f"a server ended with status {process.returncode}: {told.strip()}") from None
            if time.monotonic() > deadline:
                raise RuntimeError(f"a server did not answer within {READY_WITHIN_S:.0f} s") from None
            time.sleep(POLL_S)
        else:
            return


def descendants(process: int) -> list[int]:
    """The processes below `process`, nearest first."""
    children = [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return [*children, *(below for child in children for below in descendants(child))]


def command_of(process: int) -> list[str]:
    return Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")


def cpu_s(process: int) -> float:
    """CPU seconds, user and system, of all threads of `process`, to a hundredth."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


def memory_mib(process: int, kind: str) -> float | None:
    """`kind` is Rss or Pss (shared pages divided by those who share them); None where the kernel does not tell us."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except PermissionError:  # These processes are not dumpable: Pss is for root alone.
        lines = Path(f"/proc/{process}/status").read_text().replace("VmRSS:", "Rss:").splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{kind}:")), None)
