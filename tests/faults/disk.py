"""Disks that fail: a small one that is full, one whose calls fail or take long, one that is suddenly read-only.

The calls are made to fail in a running process by strace(1), for files of the spool alone (`-P`), so that sockets and
logs go on. `when` counts the calls of each thread from the moment that the tracer is there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.collector.collecting import until
from tests.collector.test_full_disk import is_traced

IMAGE_BYTES = 16 << 20


@dataclass
class Trace:
    """What the tracer saw, a line for each call; complete once it has left."""

    file: Path
    lines: list[str] = field(default_factory=list)

    @property
    def injected(self) -> list[str]:
        """The calls that were made to fail, or to take long."""
        return [each for each in self.lines if "(INJECTED)" in each or "(DELAYED)" in each]


@contextlib.contextmanager
def injected(pid: int, calls: str, effect: str, paths: Sequence[Path], trace: Path) -> Iterator[Trace]:
    """In process `pid`, `calls` on `paths` meet `effect` ("error=EIO:when=3") for the time of a `with` block."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed, which makes system calls fail")
    command = [strace, "-f", "-y", "-p", str(pid), "-o", str(trace), "-e", "signal=none", "-e", f"trace={calls}"]
    command += ["-e", f"inject={calls}:{effect}", *(word for path in paths for word in ("-P", str(path)))]
    tracer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seen = Trace(trace)
    try:
        until(lambda: tracer.poll() is not None or is_traced(pid, tracer.pid), "the process is traced")
        if tracer.poll() is not None:
            pytest.skip("this machine does not let one process trace another")
        yield seen
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
        seen.lines += trace.read_text(errors="replace").splitlines()


def spool_files(folder: Path, first: int = 0, count: int = 8) -> list[Path]:
    """The folder, the files of so many spools, and the drainer's own."""
    names = [f"spool-{number}" for number in range(first, first + count)]
    kinds = (".sqlite", ".sqlite-wal", ".sqlite-shm", ".lock")
    own = [f"drainer{kind}" for kind in (".sqlite", ".sqlite-wal", ".sqlite-shm", ".id", ".draft", ".lock")]
    return [folder, *(folder / f"{name}{kind}" for name in names for kind in kinds), *(folder / each for each in own)]


@dataclass
class ErringDisk:
    """A file system on an image, which the kernel makes read-only at an error while files on it are open."""

    folder: Path
    image: Path

    def mount(self) -> None:
        options = "loop,errors=remount-ro"
        done = subprocess.run(
            ["mount", "-o", options, str(self.image), str(self.folder)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"this machine does not let root mount an image: {done.stderr.strip()}")

    def err(self) -> None:
        """From now on nothing can be written: ext4's own way to try `errors=remount-ro` (trigger_fs_error)."""
        device = self.folder.stat().st_dev
        name = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve().name
        Path(f"/sys/fs/ext4/{name}/trigger_fs_error").write_text("1")

    def mend(self, while_away: Callable[[], None] = lambda: None) -> None:
        """What an operator does: unmount, check, mount. Works as soon as nobody has a file open on it."""
        until(
            lambda: subprocess.run(["umount", str(self.folder)], capture_output=True, check=False).returncode == 0,
            "free",
        )
        subprocess.run(["fsck.ext4", "-p", "-f", str(self.image)], capture_output=True, check=False)
        while_away()
        self.mount()


@contextlib.contextmanager
def erring_disk(folder: Path) -> Iterator[ErringDisk]:
    """An ext4 of 16 MiB at `folder`/disk."""
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.skip("needs root and mkfs.ext4")
    disk = ErringDisk(folder / "disk", folder / "image")
    disk.folder.mkdir()
    with disk.image.open("wb") as image:
        image.truncate(IMAGE_BYTES)
    subprocess.run(["mkfs.ext4", "-q", str(disk.image)], check=True)
    disk.mount()
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk.folder)], check=False)
