"""The machine: nothing of what is in memory gets onto a disk, by swapping or by a core file.

The processes of an installation are found by what the kernel knows: who holds the locks of its files, and their
children. `footfall` sets a hard limit of 0 for core files in each process that holds hits, tokens or keys.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from aggregator.audit.check import DELETION_IS_REAL, KEYS_DIE, Check, Machine, Verdict, none_of, ok, remark

LOCKS = ("serve.lock", "store.lock")
SPOOL_LOCKS = ("spool-*.lock", "drainer.lock")


def swap(machine: Machine) -> Verdict:
    """No swap space, or encrypted, or compressed in memory: open days in the store are not locked into memory."""
    devices = [line.split()[0] for line in Path("/proc/swaps").read_text().splitlines()[1:]]
    plain = [device for device in devices if not _is_safe(Path(device))]
    if not devices:
        return ok("none")
    return none_of(
        [f"{device} is not encrypted" for device in plain],
        f"{', '.join(devices)}: encrypted, or in memory",
        "turn swap off or encrypt it: keys are locked into memory, open days in the store are not",
    )


def core_dumps(machine: Machine) -> Verdict:
    """No process of the installation may write its memory into a file."""
    processes = sorted(processes_of(machine))
    if not processes:
        return remark(
            "no running process of this installation can be seen from here", "audit on its machine, while it runs"
        )
    is_piped = Path("/proc/sys/kernel/core_pattern").read_text().startswith("|")
    limits = {process: _core_limits(process) for process in processes}
    faults = [
        f"process {process} ({_name(process)}) may write core files of {soft} bytes"
        for process, (soft, _) in limits.items()
        if soft not in ("0", "")
    ]
    if is_piped and not faults:
        # The limit does not hold back a core that is piped to a program; what does goes with a hard limit of 0.
        open_ones = [f"{process} ({_name(process)})" for process, (_, hard) in limits.items() if hard not in ("0", "")]
        if open_ones:
            advice = "set kernel.core_pattern to a file, or LimitCORE=0 for the service"
            return remark(f"cores go to a program, and these processes allow it: {', '.join(open_ones)}", advice)
    return none_of(
        faults, f"{len(processes)} processes, none may write a core file", "start Footfall with `ulimit -c 0`"
    )


def processes_of(machine: Machine) -> set[int]:
    """Who holds a lock of this installation, and all their children."""
    data, spools = machine.settings.data, machine.settings.collector.spool_dir
    files = [data / name for name in LOCKS] + [file for name in SPOOL_LOCKS for file in spools.glob(name)]
    held = {
        (os.major(status.st_dev), os.minor(status.st_dev), status.st_ino) for status in map(_status, files) if status
    }
    found = {process for process, file in _locks() if file in held}
    parents = dict(_parents())
    return found | {process for process in parents if _descends(process, found, parents)}


def _status(file: Path) -> os.stat_result | None:
    return file.stat() if file.exists() else None


def _locks() -> Iterator[tuple[int, tuple[int, int, int]]]:
    """Holder and file (device's two numbers, inode) of each lock on a file that the kernel knows (proc(5), locks)."""
    for line in Path("/proc/locks").read_text().splitlines():
        words = line.split()
        if words[1] == "FLOCK":
            major, minor, inode = words[5].split(":")
            yield int(words[4]), (int(major, 16), int(minor, 16), int(inode))


def _parents() -> Iterator[tuple[int, int]]:
    """Each process that runs, and its parent."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            # The name may hold blanks and brackets; what follows its last bracket does not.
            fields = (process / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            yield int(process.name), int(fields[1])


def _descends(process: int, ancestors: set[int], parents: dict[int, int]) -> bool:
    while process in parents:
        process = parents[process]
        if process in ancestors:
            return True
    return False


def _core_limits(process: int) -> tuple[str, str]:
    """Soft and hard limit of core files, in bytes or `unlimited`; empty where the process is gone."""
    try:
        lines = Path(f"/proc/{process}/limits").read_text().splitlines()
    except OSError:
        return "", ""
    words = next(line for line in lines if line.startswith("Max core file size")).split()
    return words[4], words[5]


def _name(process: int) -> str:
    try:
        words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return "gone"
    known = [word.decode() for word in words if word in (b"serve", b"collect", b"store", b"aggregate", b"dashboard")]
    return known[0] if known else "worker"


def _is_safe(device: Path) -> bool:
    name = device.resolve().name
    uuid = Path("/sys/block", name, "dm", "uuid")
    return name.startswith("zram") or (uuid.exists() and uuid.read_text().startswith("CRYPT"))


CHECKS = (Check("swap", DELETION_IS_REAL, swap), Check("core dumps", KEYS_DIE, core_dumps))
