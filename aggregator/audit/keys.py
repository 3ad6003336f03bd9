"""The key folder: memory-backed, private, and in it no key longer than its day plus grace, or than its open day, and no
draw of noise (`aggregator.draw`) longer than its open day."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from urllib.parse import unquote

from aggregator import draw
from aggregator.audit.check import (
    DELETION_IS_REAL,
    KEYS_DIE,
    SHORT_LIVED,
    Check,
    Installation,
    Machine,
    StoredCheck,
    Verdict,
    found,
    none_of,
    ok,
)
from aggregator.rollup import Period
from collector import days
from collector.keys import ALIVE, FAIL_SAFE_S, MEMORY_FILE_SYSTEMS, SIZE, file_system_of

# A worker looks for overdue keys with its heartbeat, every few seconds.
TOLERANCE_S = 60.0
# The key of a day that was over at its first event goes with the seal; an event that comes for it later makes another
# one, which the drainer destroys when it counts that event as late.
AFTER_SEAL_S = 3_600.0
KEY_NAME = re.compile(r"(\d{4}-\d{2}-\d{2})@(.+)")


@dataclass(frozen=True)
class KeyFile:
    """A key, or a draw, by its file's name; `born` in Unix seconds."""

    period: Period
    born: float
    mode: int
    owner: int

    def destroyed_at(self, grace_s: float) -> float:
        """When the collector has to destroy it at the latest."""
        day, timezone = self.period.day, self.period.timezone
        is_of_its_day = days.day_of(self.born, timezone) <= day
        return days.ends_at(day, timezone) + grace_s if is_of_its_day else self.born + FAIL_SAFE_S


def folder(machine: Machine) -> Verdict:
    """The folder is in memory and this user's alone, and so is each file in it."""
    place = machine.settings.privacy.key_dir
    if not place.is_dir():
        return ok(f"{place} is not there, so there are no keys")
    status, kind = place.stat(), file_system_of(place)
    evidence = f"{place} is {kind}, mode {status.st_mode & 0o777:o}, {len(list(place.iterdir()))} files"
    is_private = status.st_mode & 0o077 == 0 and status.st_uid == os.geteuid()
    loose = [key for key in (*_keys(place), *_draws(place)) if key.mode & 0o077 or key.owner != status.st_uid]
    if kind in MEMORY_FILE_SYSTEMS and is_private and not loose:
        return ok(evidence)
    modes = "".join(f"; a file of {key.period.day} has mode {key.mode:o}" for key in loose)
    return found(evidence + modes, "set privacy.key_dir to a folder on a tmpfs with mode 0700, files 0600")


def lives(machine: Machine) -> Verdict:
    """Every key belongs to a day that is not over by more than grace, or that events still came for."""
    keys = list(_keys(machine.settings.privacy.key_dir))
    grace_s = machine.settings.privacy.grace_minutes * 60
    faults = [
        f"the key of {key.period.day} in {key.period.timezone} should be gone since"
        f" {(machine.now - key.destroyed_at(grace_s)) / 3_600:.1f} h"
        for key in keys
        if machine.now > key.destroyed_at(grace_s) + TOLERANCE_S
    ]
    named = ", ".join(f"{key.period.day} in {key.period.timezone}" for key in keys)
    return none_of(
        faults, f"{len(keys)} keys: {named or 'none'}", "run `footfall collect`, which destroys it, or shred the file"
    )


def strays(machine: Machine) -> Verdict:
    """The key folder holds keys by their names alone."""
    place = machine.settings.privacy.key_dir
    if not place.is_dir():
        return ok("none")
    named = {file.stat().st_ino for file in place.iterdir() if KEY_NAME.fullmatch(file.name)}
    others = [file for file in place.iterdir() if not KEY_NAME.fullmatch(file.name) and not draw.period_of(file.name)]
    left = [file for file in others if file.stat().st_ino not in named and _is_left(file, machine.now)]
    return none_of(
        [f"{file.name} is no key of a day" for file in left],
        f"{len(others)} other files, none with a key that nobody destroys",
        "remove it",
    )


def draws(machine: Machine) -> Verdict:
    """No draw is older than an open day may be."""
    there = list(_draws(machine.settings.privacy.key_dir))
    faults = [
        f"the draw of {each.period.day} in {each.period.timezone} is {(machine.now - each.born) / 3_600:.1f} h old"
        for each in there
        if machine.now - each.born > FAIL_SAFE_S + TOLERANCE_S
    ]
    return none_of(faults, f"{len(there)} draws", "run `footfall seal`, which destroys it, or shred the file")


def outside(machine: Machine) -> Verdict:
    """No key lies in the data folder or beside the spools, where a backup would keep it."""
    places = {machine.settings.data, machine.settings.collector.spool_dir}
    files = [file for place in places for file in place.rglob("????-??-??@*")]
    return none_of(
        [f"{machine.shown(file)} has the name of a key" for file in files],
        "none in the data folder",
        "remove it, and see who copied it there",
    )


def after_seal(installation: Installation) -> Verdict:
    """The key of a sealed day is gone."""
    keys = list(_keys(installation.settings.privacy.key_dir))
    faults = []
    for key in keys:
        sealed_at = installation.sealed.get(key.period)
        if sealed_at is not None and installation.now - max(sealed_at, key.born) > AFTER_SEAL_S:
            faults.append(f"the key of {key.period.day} in {key.period.timezone}, a sealed day, is there")
    return none_of(faults, f"{len(keys)} keys, {len(installation.sealed)} days sealed", "remove it")


def draws_after_seal(installation: Installation) -> Verdict:
    """The draw of a sealed day is gone."""
    there = list(_draws(installation.settings.privacy.key_dir))
    faults = [
        f"the draw of {each.period.day} in {each.period.timezone}, a sealed day, is there"
        for each in there
        if installation.now - max(installation.sealed.get(each.period, math.inf), each.born) > AFTER_SEAL_S
    ]
    return none_of(faults, f"{len(there)} draws", "run `footfall seal`, which destroys it")


def _is_left(file: Path, now: float) -> bool:
    """A draft lives for a moment; one whose key was overwritten is a shell."""
    content = file.read_bytes()[: len(ALIVE)] if file.is_file() else ALIVE
    is_destroyed = file.is_file() and file.stat().st_size == SIZE and content != ALIVE
    return now - file.stat().st_mtime > TOLERANCE_S and not is_destroyed


def _keys(folder: Path) -> Iterator[KeyFile]:
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        name = KEY_NAME.fullmatch(file.name)
        if name is not None:
            status = file.stat()
            period = Period(date.fromisoformat(name[1]), unquote(name[2]))
            yield KeyFile(period, status.st_mtime, status.st_mode & 0o777, status.st_uid)


def _draws(folder: Path) -> Iterator[KeyFile]:
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        period = draw.period_of(file.name)
        if period is not None:
            status = file.stat()
            yield KeyFile(period, status.st_mtime, status.st_mode & 0o777, status.st_uid)


CHECKS = (
    Check("key folder", KEYS_DIE, folder),
    Check("lives of keys", KEYS_DIE, lives),
    Check("other files among keys", KEYS_DIE, strays),
    Check("draws of noise", SHORT_LIVED, draws),
    Check("keys outside", KEYS_DIE, outside),
)
STORED_CHECKS = (
    StoredCheck("keys of sealed days", KEYS_DIE, after_seal),
    StoredCheck("draws of sealed days", DELETION_IS_REAL, draws_after_seal),
)
