"""Modes and places of what lies in the data folder."""

from __future__ import annotations

import os
from pathlib import Path

from aggregator.audit.check import DELETION_IS_REAL, KEPT_PRIVATE, Check, Machine, Verdict, found, none_of, ok

# Who can sign in, what the store's secret is, and what people wrote.
PRIVATE = ("people.sqlite*", "run", "run/store.json", "run/viewer-token", "store", "tmp/store")
LOGS = ("*.log", "*.err", "*.log.*", "logs", "logs/*", "store/*.log*", "run/*.log*")
# The front wipes its temporary folder at start; no statement of ours takes an hour.
TEMPORARY_LIFE_S = 3_600.0


def data_folder(machine: Machine) -> Verdict:
    """The data folder is its owner's alone."""
    status = machine.settings.data.stat()
    mode, is_ours = status.st_mode & 0o777, status.st_uid == os.geteuid()
    evidence = f"{machine.settings.data} has mode {mode:o}" + (
        "" if is_ours else f" and belongs to user {status.st_uid}"
    )
    if mode & 0o077 == 0 and is_ours:
        return ok(evidence)
    return found(evidence, f"run chmod 700 {machine.settings.data}, as the user that Footfall runs as")


def private_files(machine: Machine) -> Verdict:
    """Accounts, secrets and the store are readable by their owner alone, even where the data folder were not."""
    return _modes(machine, PRIVATE, "run chmod go= on it")


def logs(machine: Machine) -> Verdict:
    """Log files in the data folder, if somebody writes any there, are their owner's alone."""
    return _modes(machine, LOGS, "run chmod go= on it, or let the service manager keep the log")


def _modes(machine: Machine, patterns: tuple[str, ...], advice: str) -> Verdict:
    paths = sorted({path for pattern in patterns for path in machine.settings.data.glob(pattern)})
    seen = [(path, path.stat().st_mode & 0o777) for path in paths if path.exists()]
    told = ", ".join(f"{machine.shown(path)} {mode:o}" for path, mode in seen)
    return none_of(
        [f"{machine.shown(path)} has mode {mode:o}" for path, mode in seen if mode & 0o077], told or "none", advice
    )


def temporary_files(machine: Machine) -> Verdict:
    """Nothing is left in the temporary folders."""
    roots = (machine.settings.data / "tmp", machine.settings.data / "store" / "tmp")
    files = [path for root in roots for path in root.rglob("*") if path.is_file()]
    left = [path for path in files if machine.now - path.stat().st_mtime > TEMPORARY_LIFE_S]
    return none_of(
        [f"{machine.shown(path)} is left" for path in left],
        f"{len(files)} files in tmp, none older than an hour",
        "restart `footfall store`, which wipes it",
    )


def _encrypted(device: Path) -> bool:
    """Whether a block device in /sys lies on dm-crypt, itself or below."""
    uuid = device / "dm" / "uuid"
    if uuid.exists() and uuid.read_text().startswith("CRYPT"):
        return True
    below = device / "slaves"
    return below.is_dir() and any(_encrypted(slave) for slave in below.iterdir())


def volume(machine: Machine) -> Verdict:
    """Whether the disk is encrypted: what a file system frees, it does not overwrite."""
    number = machine.settings.data.stat().st_dev
    device = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    if device.exists() and _encrypted(device):
        return ok("the data folder lies on an encrypted volume")
    evidence = "the data folder's volume is not encrypted, or it cannot be told from here"
    return Verdict(
        "remark",
        evidence,
        "what a file system frees stays on the disk until it is written over: use an encrypted volume",
    )


CHECKS = (
    Check("mode of the data folder", KEPT_PRIVATE, data_folder),
    Check("modes of files", KEPT_PRIVATE, private_files),
    Check("modes of logs", KEPT_PRIVATE, logs),
    Check("temporary files", DELETION_IS_REAL, temporary_files),
    Check("volume", DELETION_IS_REAL, volume),
)
