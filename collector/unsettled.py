"""Commits of which nobody knows yet whether they count: whole in a spool's write-ahead log, unknown to its index.

So is every commit while it is synced, and afterwards if its worker was killed then. The next to write into the file
overwrites it; but where everybody closes the file first, the next to open it takes it from the log.

Invariant: an index that was opened is kept open. To close a file gives up all locks that the process has on it
(fcntl(2)), and those of SQLite's connections are on the index.
"""

from __future__ import annotations

import os
import struct
import threading
from pathlib import Path

from collector.damage import (
    FRAME_HEADER_BYTES,
    INDEX_HEADER_BYTES,
    WAL_HEADER_BYTES,
    Indexed,
    checksum,
    index_of,
    indexed_by,
    log_of,
)


class Indexes:
    """The indexes of spool files, for as long as this lives. May be used by several threads at once."""

    def __init__(self) -> None:
        self._opened: dict[Path, int] = {}
        self._lock = threading.Lock()

    def unsettled(self, file: Path) -> bytes | None:
        """The state of the index of `file`, which the caller has open, where there is such a commit in its log.

        With the index's next state that commit is settled. May raise `OSError`.
        """
        try:
            with self._lock:
                state = os.pread(self._descriptor(file), 2 * INDEX_HEADER_BYTES, 0)
            index = indexed_by(state)
            # Without one it is written just now, or who wrote it was killed.
            return state if index is None or _goes_on(log_of(file), index) else None
        except FileNotFoundError:  # The file has no log yet.
            return None

    def close(self) -> None:
        """Only where this process has no spool file open any more."""
        with self._lock:
            for descriptor in self._opened.values():
                os.close(descriptor)
            self._opened.clear()

    def _descriptor(self, file: Path) -> int:
        known = self._opened.get(file)
        if known is not None and os.path.samestat(os.fstat(known), index_of(file).stat()):
            return known
        self._opened[file] = os.open(index_of(file), os.O_RDONLY | os.O_CLOEXEC)
        if known is not None:  # Of an index that was removed when nobody had it any more.
            os.close(known)
        return self._opened[file]


def _goes_on(log: Path, index: Indexed) -> bool:
    """Whether a whole transaction follows the last frame that the index knows."""
    with log.open("rb") as opened:
        header = opened.read(WAL_HEADER_BYTES)
        # What is of another generation is all in the file. The index of a log that is just begun knows none.
        if len(header) < WAL_HEADER_BYTES or index.salts not in (header[16:24], bytes(8)):
            return False
        magic, page_bytes = struct.unpack_from(">I4xI", header)
        sums = index.sums if index.frames else struct.unpack_from(">II", header, 24)
        opened.seek(WAL_HEADER_BYTES + index.frames * (FRAME_HEADER_BYTES + page_bytes))
        while True:
            frame, page = opened.read(FRAME_HEADER_BYTES), opened.read(page_bytes)
            if frame[8:16] != header[16:24] or len(page) < page_bytes:
                return False
            sums = checksum(frame[:8] + page, sums, is_little=magic & 1 == 0)
            if struct.unpack_from(">II", frame, 16) != sums:  # Of an earlier transaction, partly overwritten since.
                return False
            if frame[4:8] != bytes(4):
                return True
