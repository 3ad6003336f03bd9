"""A write or a sync of a spool file that failed: whoever had the file leaves it, and nobody adds to it again.

What the kernel could not write it may drop, and go on to show: the next sync then says that all is well, and a power
cut takes what was shown and everything that was added behind it (fsync(2); PostgreSQL's "fsyncgate", LWN 752063). So
there is a note beside the file, `spool-N.failed`, and the drainer moves what the file shows into a fresh one
(`collector.salvage`).

- The note is empty, so that a full disk takes it, too. It is not synced, as it has to outlive processes alone: after a
  power cut nothing is shown any more but what the disk has, and the file is as good as any.
- Where a disk takes no note either, who has the file remembers it as long as it lives. And nobody adds to a log of an
  earlier life before he has written it anew, in place: then the disk has it, or that fails.

What is checkpointed from the log into the file needs no note: SQLite empties the log after a sync that succeeded, and
writes every page anew before the next try.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from pathlib import Path

log = logging.getLogger(__name__)

PIECE_BYTES = 1 << 20

# A full disk is SQLITE_FULL: it has refused, and what was written before is overwritten by the next try.
_FAILED = frozenset(
    (
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_IOERR_FSYNC,
        sqlite3.SQLITE_IOERR_DIR_FSYNC,
        sqlite3.SQLITE_IOERR_TRUNCATE,
    )
)


def is_failed_write(error: sqlite3.Error) -> bool:
    """Whether `error` says that the disk did not take what was written, or did not sync it."""
    return getattr(error, "sqlite_errorcode", None) in _FAILED


def failure_note_of(file: Path) -> Path:
    return file.with_suffix(".failed")


def note_failed_write(file: Path) -> None:
    """Leaves the note, with one line in the log where it is new. A disk that takes none is told of, too."""
    try:
        os.close(os.open(failure_note_of(file), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        log.error("a write into the spool %s failed, which cannot be noted: %s", file, error.strerror)
        return
    log.error("a write into the spool %s failed; it is left until the drainer has moved what it holds", file)


def write_anew(written: Path) -> None:
    """Writes a file over itself, in place, and syncs it; raises `OSError`. Nobody else may write it meanwhile."""
    try:
        opened = written.open("r+b", buffering=0)
    except FileNotFoundError:
        return
    with opened:
        while piece := opened.read(PIECE_BYTES):
            opened.seek(-len(piece), os.SEEK_CUR)
            left = memoryview(piece)
            while left:
                left = left[opened.write(left) :]
        os.fsync(opened.fileno())
