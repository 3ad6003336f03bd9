"""The switch of a simulated disk: mounts one, cuts its power at a chosen moment and gives it back."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.collector.collecting import ROOT, environment
from tests.faults.power.disk import Loss, Order


class PoweredDisk:
    """A simulated disk, mounted at `folder` until `unmount`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.power.mount", str(folder)],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self._told = self._process.stdout
        self._answer("mount")

    def cut(self, seed: int, order: Order = "journal") -> Loss:
        """From now on every call fails with EIO; returns what is lost. Whoever uses it is the caller's to kill."""
        self._order({"do": "cut", "seed": seed, "order": order})
        return self._loss()

    def cut_at(self, name: str, operations: int, seed: int, order: Order = "journal", wait_s: float = 5.0) -> Loss:
        """The same, `operations` after something whose name begins with `name` was made; at once after `wait_s`."""
        self._order({"do": "cut", "seed": seed, "order": order, "name": name, "operations": operations})
        if not select.select([self._told], [], [], wait_s)[0]:
            self._order({"do": "cut", "seed": seed, "order": order})
        return self._loss()

    def cut_after(self, operations: int, seed: int, order: Order = "journal") -> None:
        """Plans a cut so many operations of the disk from now. `cut` tells of it, or does it where it has not come."""
        self._order({"do": "cut", "seed": seed, "order": order, "name": "", "operations": operations})

    def fail_sync(self, name: str, *, refused: str = "") -> None:
        """The next sync of this file fails; with `refused`, no name can be made from now on that ends so."""
        self._order({"do": "fail", "name": name, "refused": refused})
        self._answer("fail")

    def revive(self) -> None:
        """What survived the cut is there again. Nobody may have the disk's files open any more."""
        self._order({"do": "revive"})
        self._answer("revive")

    def format(self) -> None:
        """An empty disk."""
        self._order({"do": "format"})
        self._answer("format")

    def unmount(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            subprocess.run(["umount", "-l", str(self.folder)], check=False)
            self._process.kill()
            self._process.wait()

    def _loss(self) -> Loss:
        return Loss(**self._answer("cut"))

    def _order(self, order: dict[str, object]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()

    def _answer(self, did: str) -> dict[str, Any]:
        """The fields of the next answer that says so."""
        while line := self._told.readline():
            told: dict[str, Any] = json.loads(line)
            if told.pop("did") == did:
                return told
        raise AssertionError(f"the simulated disk at {self.folder} has ended")


@contextlib.contextmanager
def powered(folder: Path) -> Iterator[PoweredDisk]:
    """A simulated disk for the time of a `with` block. Skips the test where this machine cannot mount one."""
    if reason := why_not():
        pytest.skip(reason)
    disk = PoweredDisk(folder)
    try:
        yield disk
    finally:
        disk.unmount()


def why_not() -> str | None:
    """Why no simulated disk can be mounted here; None where one can."""
    if importlib.util.find_spec("pyfuse3") is None:
        return "pyfuse3 is not installed (the extra `power`), which mounts a disk whose power can be cut"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "there is no /dev/fuse that may be opened, by which a disk whose power can be cut is mounted"
    return None
