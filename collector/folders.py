"""Folders and names that outlive a power cut.

A file's own sync puts its bytes on the disk, not the name by which it is found (fsync(2)): that is its folder's, which
has a sync of its own, and so on upwards.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """What was made, renamed and removed in `folder` is on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Makes `folder` with mode 0700, and what is missing above it; returns when their names are on the disk.

    One that is there already is synced too: whoever made it may have died before. A folder above that may not be read
    is somebody else's, and was there long before.
    """
    missing = [folder, *(above for above in folder.absolute().parents if not above.exists())]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for made in missing:
        with contextlib.suppress(PermissionError):
            sync_folder(made.absolute().parent)
