"""A spool file as the drainer sees it.

`file` (open beside its worker), `counts` (its ledger), `batch` and `batches` (rows in, batches out, each with one end),
`forgetting` (what is not to be kept).

Where reading fails altogether, or a write does, the file gets a note, and is left out until what can be read of it is
in a fresh one (`collector.salvage`).
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from aggregator.backlog.batch import Batch, DamagedRowError, batch_identity
from aggregator.backlog.batches import MAX_BATCH_EVENTS, Batches
from aggregator.backlog.forgetting import Asked, Forgetting
from collector.damage import is_damage, is_left, note_damage
from collector.failed_write import is_failed_write, note_failed_write
from collector.salvage import whole_fault
from collector.spool_fault import SpoolDamagedError, SpoolError

__all__ = ["MAX_BATCH_EVENTS", "Asked", "Backlog", "Batch", "DamagedRowError", "batch_identity", "opened"]


class Backlog(Batches, Forgetting):
    """One spool file. Its methods raise `sqlite3.Error` where it cannot be read."""


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[list[Backlog]]:
    """The backlogs of all spool files of a folder that their workers have made, for the time of a `with` block.

    Those that are left are none. What is found damaged within the block gets its note, and `SpoolDamagedError` is
    raised.
    """
    with contextlib.ExitStack() as stack:
        backlogs = []
        for file in sorted(folder.glob("spool-*.sqlite")):
            backlog = _made(file, stack)
            if backlog is not None:
                backlogs.append(backlog)
        try:
            yield backlogs
        except (sqlite3.Error, ValueError, TypeError, LookupError, OverflowError) as error:
            if isinstance(error, sqlite3.Error) and not is_damage(error):
                raise SpoolError(f"cannot work on the spools in {folder}: {error}") from error
            found = [backlog.file for backlog in backlogs if _is_found_damaged(backlog.file)]
            if not found:
                raise
            raise SpoolDamagedError(f"{', '.join(file.name for file in found)}: damaged") from error


def _made(file: Path, stack: contextlib.ExitStack) -> Backlog | None:
    """The backlog of a file, closed with `stack`; None of one that is left, or that its worker is still making."""
    try:
        if is_left(file):
            return None
        backlog = Backlog(file)
        stack.callback(backlog.close)
        if not backlog.is_made():
            return None
        backlog.renew()
    except sqlite3.Error as error:
        if is_failed_write(error):
            note_failed_write(file)
        if not is_damage(error):
            raise SpoolError(f"cannot open the spool {file.name}: {error}") from error
        note_damage(file, str(error), is_sure=False)
        return None
    except OSError as error:
        raise SpoolError(f"cannot look at the spool {file.name}: {error.strerror}") from error
    return backlog


def _is_found_damaged(file: Path) -> bool:
    fault = whole_fault(file)
    if fault is not None:
        note_damage(file, fault)
    return fault is not None
