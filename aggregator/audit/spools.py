"""The spools: readable by their owner alone, nothing in them older than the fail-safe, and no byte of a sealed day.

`secure_delete` and `synchronous` are settings of whoever writes, which nobody else can ask for. So what they are for is
looked at: the bytes of each file and of its write-ahead log are searched for events of days that are sealed.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from aggregator.audit.check import (
    DELETION_IS_REAL,
    KEPT_PRIVATE,
    SHORT_LIVED,
    Check,
    Installation,
    Machine,
    StoredCheck,
    Verdict,
    none_of,
    ok,
    remark,
)
from aggregator.reconcile import SET_ASIDE_LIFE_S
from aggregator.rollup import Period
from collector import days
from collector.damage import is_left, notes_in, set_aside
from collector.keys import FAIL_SAFE_S
from collector.spool_file import BUSY_TIMEOUT_S

# The collector looks for rows past the fail-safe with its heartbeat.
TOLERANCE_S = 3_600.0
# The drainer deletes what came late within a second or two, and empties the log when nobody reads it.
LATE_LIFE_S = 5.0
POLL_S = 0.25
# An event's line begins with these two (collector.event.Event).
PIECE_BYTES = 1 << 20
LONGEST_MATCH_BYTES = 128
OF_A_DAY = re.compile(rb'\{"day":"(\d{4}-\d{2}-\d{2})","timezone":"([A-Za-z0-9_+/-]{1,64})"')


def modes(machine: Machine) -> Verdict:
    """Folder and files are their owner's alone."""
    folder = machine.settings.collector.spool_dir
    if not folder.is_dir():
        return ok("there is no spool folder")
    paths = [folder, *sorted([*folder.glob("spool-*"), *folder.glob("damaged-*")])]
    seen = [(path, path.stat().st_mode & 0o777) for path in paths if path.exists()]
    return none_of(
        [f"{machine.shown(path)} has mode {mode:o}" for path, mode in seen if mode & 0o077],
        f"{machine.shown(folder)} has mode {seen[0][1]:o}, and none of {len(seen) - 1} files is open to others",
        "run chmod 700 on the folder and chmod 600 on the files",
    )


def ages(machine: Machine) -> Verdict:
    """No row waits longer than the fail-safe."""
    faults, waiting = [], 0
    for file, connection in _opened(machine.settings.collector.spool_dir):
        events, oldest = connection.execute(
            "SELECT coalesce(sum(events), 0), min(committed_at) FROM rows WHERE length(lines) > 0"
        ).fetchone()
        waiting += events
        if oldest is not None and machine.now - oldest > FAIL_SAFE_S + TOLERANCE_S:
            faults.append(f"{machine.shown(file)}: a row waits for {(machine.now - oldest) / 3_600:.1f} h")
    return none_of(faults, f"{waiting} events wait", "see whether `footfall aggregate` runs beside this spool folder")


def quarantine(machine: Machine) -> Verdict:
    """Lines that the store refused are told by number, and go with their day."""
    lines, faults = 0, []
    for file, connection in _opened(machine.settings.collector.spool_dir):
        counted = "SELECT day, timezone, count(*) FROM quarantine GROUP BY day, timezone"
        for day, timezone, count in connection.execute(counted):
            lines += count
            if machine.now - days.ends_at(date.fromisoformat(day), timezone) > 2 * FAIL_SAFE_S:
                faults.append(f"{machine.shown(file)}: {count} rows of {day}")
    if lines and not faults:
        return remark(
            f"{lines} rows that the store refused", "report this as a fault; they go when their days are sealed"
        )
    return none_of(faults, "empty", "report this as a fault, and delete them")


def damaged(machine: Machine) -> Verdict:
    """What is left of a damaged spool may hold events that nobody can read, so it goes within a day."""
    folder = machine.settings.collector.spool_dir
    old, seen = [], [(file, machine.now - moved_at) for file, moved_at in set_aside(folder)]
    for file, age_s in seen:
        if age_s > SET_ASIDE_LIFE_S + TOLERANCE_S:
            old.append(f"{machine.shown(file)} was set aside {age_s / 3_600:.1f} h ago")
    waiting = [machine.shown(note.with_suffix(".sqlite")) for note in notes_in(folder)]
    if old or not (seen or waiting):
        return none_of(old, "none", "see whether `footfall aggregate` runs beside this spool folder, or remove it")
    told = [*(f"{name} waits to be saved" for name in waiting), *(f"{machine.shown(file)} is kept" for file, _ in seen)]
    return remark("; ".join(told), "look at the disk; what is kept goes with the end of its days, within a day")


def sealed_bytes(installation: Installation) -> Verdict:
    """Neither rows nor freed pages nor the write-ahead log hold an event, or a withdrawal, of a day that is sealed."""
    deadline = time.monotonic() + LATE_LIFE_S
    while (left := _sealed_days_in(installation)) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return none_of(
        left,
        f"{sum(file.stat().st_size for file in _files(installation))} bytes searched,"
        f" no event of {len(installation.sealed)} sealed days",
        "restart `footfall aggregate`",
    )


def _sealed_days_in(installation: Installation) -> list[str]:
    return [
        f"{installation.shown(file)} holds events of {period.day} in {period.timezone}, which is sealed"
        for file in _files(installation)
        for period in sorted(_days_in(file) | _days_withdrawn_in(file), key=str)
        if period in installation.sealed
    ]


def _files(installation: Installation) -> list[Path]:
    folder = installation.settings.collector.spool_dir
    spools = [*folder.glob("spool-*.sqlite"), *folder.glob("spool-*.sqlite-wal")]
    return sorted([*spools, *(file for file, _ in set_aside(folder))])


def _days_in(file: Path) -> set[Period]:
    """Read in pieces, not mapped: a log that is truncated while it is looked at would kill the process."""
    found: set[tuple[bytes, ...]] = set()
    with file.open("rb") as content:
        end = b""
        while piece := content.read(PIECE_BYTES):
            found |= {match.groups() for match in OF_A_DAY.finditer(end + piece)}
            end = piece[-LONGEST_MATCH_BYTES:]
    return {Period(date.fromisoformat(day.decode()), timezone.decode()) for day, timezone in found}


def _days_withdrawn_in(file: Path) -> set[Period]:
    """Days of which withdrawals wait: they name tokens."""
    if file.suffix != ".sqlite" or file.name.startswith("damaged-"):
        return set()
    return {
        Period(date.fromisoformat(day), timezone)
        for _, connection in _opened(file.parent, file.name)
        for day, timezone in connection.execute("SELECT DISTINCT day, timezone FROM withdrawals")
    }


def counted_sites(machine: Machine) -> Iterator[tuple[Path, str]]:
    """The sites that the spools count requests of, or remember the last one of."""
    for file, connection in _opened(machine.settings.collector.spool_dir):
        for (site,) in connection.execute("SELECT site FROM counters UNION SELECT site FROM arrivals"):
            if site:
                yield file, site


def _opened(folder: Path, pattern: str = "spool-*.sqlite") -> Iterator[tuple[Path, sqlite3.Connection]]:
    """Each spool file that a worker has finished making, for reading alone."""
    for file in sorted(folder.glob(pattern)):
        if is_left(file):
            continue
        uri = f"{file.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, timeout=BUSY_TIMEOUT_S, uri=True)) as connection:
            if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'facts'").fetchone():
                yield file, connection


CHECKS = (
    Check("modes of spools", KEPT_PRIVATE, modes),
    Check("age of spooled events", SHORT_LIVED, ages),
    Check("quarantine", SHORT_LIVED, quarantine),
    Check("damaged spools", SHORT_LIVED, damaged),
)
STORED_CHECKS = (StoredCheck("sealed days in spools", DELETION_IS_REAL, sealed_bytes),)
