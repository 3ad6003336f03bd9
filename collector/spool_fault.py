"""What goes wrong with a spool, as those who write and read it are told; and the notes that it leaves."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from collector.damage import is_damage, note_damage
from collector.failed_write import is_failed_write, note_failed_write
from collector.fault import Fault


class SpoolError(Fault):
    """The group could not be made durable: nothing of it was acknowledged and nothing of it is kept."""


class SpoolDamagedError(SpoolError):
    """The file is damaged, or a write into it failed: it has a note, and the drainer will save what can be read."""


class SpoolFullError(SpoolError):
    """The disk, or the spool's own limit, is full; space may come back by itself."""


def spool_fault(file: Path, error: sqlite3.Error) -> SpoolError:
    """The fault behind an error of SQLite; where the file is not to be written any more, it has its note then."""
    if is_damage(error):
        try:
            note_damage(file, str(error), is_sure=False)
        except OSError as failed:  # A disk that fails at everything: whoever reads next will note it.
            return SpoolError(f"cannot note that the spool {file.name} is damaged: {failed.strerror}")
        return SpoolDamagedError(f"the spool {file.name} is damaged: {error}")
    if is_failed_write(error):
        note_failed_write(file)
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return SpoolFullError(f"no space left for the spool {file.name}")
    return SpoolError(f"cannot write the spool {file.name}: {error}")


def os_fault(tried: str, error: OSError) -> SpoolError:
    """The fault behind an error of the system; `tried` says what was."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return SpoolFullError(f"no space left to {tried}; free some on the disk of collector.spool_dir")
    return SpoolError(
        f"cannot {tried}: {error.strerror}; see to the disk of collector.spool_dir and to the limit of open files"
    )
