"""What a statement on tables does to the engine's files, put on the disk before it is answered.

ClickHouse syncs the parts that it inserts and merges, when told to, and the text of a table's definition. It syncs no
name: not that of a table's folder or definition, nor that of a part which a mutation or the dropping of a partition put
in another one's place. After a power cut a table could be missing whose migration is recorded, and rows of a visitor
who withdrew could be back (found with tests/faults/power).

The layout: `store/<first three letters>/<uuid>` is a table's folder, or a database's with its definitions in it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAMING = frozenset((b"CREATE", b"ALTER", b"DROP", b"TRUNCATE", b"RENAME", b"EXCHANGE", b"ATTACH", b"DETACH", b"UNDROP"))
# Beneath these depths are parts, whose folders the engine syncs itself.
_FOLDERS = ("*", "*/*", "store/*/*")
_FILES = ("metadata/*.sql", "store/*/*/*.sql", "store/*/*/*.txt")
# Kernels take a file's time from a clock that stands still for some milliseconds.
_SLACK_S = 2.0


@contextmanager
def synced(store: Path) -> Iterator[None]:
    """What changes beneath `store` in a `with` block, parts aside, is on the disk at its end; not after a fault."""
    began_at = time.time()
    yield
    for path in _changed_since(store, began_at - _SLACK_S):
        with contextlib.suppress(FileNotFoundError):  # Another statement has removed it meanwhile.
            _sync(path)


def _changed_since(store: Path, at: float) -> Iterator[Path]:
    folders = [path for level in _FOLDERS for path in store.glob(level) if path.is_dir()]
    files = [path for pattern in _FILES for path in store.glob(pattern)]
    for path in (store, *folders, *files):
        with contextlib.suppress(FileNotFoundError):
            if not path.is_symlink() and path.stat().st_ctime >= at:
                yield path


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
