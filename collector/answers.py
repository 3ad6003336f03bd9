"""Answers given to idempotency keys: a request that comes again within a day is told what it was told before."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from collector.spool_fault import os_fault, spool_fault
from collector.spool_file import BUSY_TIMEOUT_S

ANSWER_LIFE_S = 86_400.0


def answer_to(folder: Path, key: bytes, now: float) -> bytes | None:
    """The answer already given to an idempotency key by any worker of this folder within 24 hours.

    Raises `SpoolError` where a file, or the folder, cannot be read: nobody knows then whether it was answered.
    """
    try:
        files = sorted(folder.glob("spool-*.sqlite"))
    except OSError as error:
        raise os_fault(f"look into the spool folder {folder}", error) from error
    for file in files:
        try:
            # For reading alone: who else closes a file last empties its log, and nobody knows yet whether it is whole.
            uri = f"{file.absolute().as_uri()}?mode=ro"
            with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S)) as connection:
                found = connection.execute(
                    "SELECT answer FROM answers WHERE key = ? AND at >= ?", (key, now - ANSWER_LIFE_S)
                ).fetchone()
        except sqlite3.Error as error:
            if "no such table" in str(error):  # A worker is making this file just now: it has answered nothing yet.
                continue
            raise spool_fault(file, error) from error
        if found is not None:
            return bytes(found[0])
    return None
