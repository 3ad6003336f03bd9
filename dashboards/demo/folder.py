"""The demo's data folder: made anew at each start, and only ever where it is the demo's own.

A folder is the demo's own if it carries the marker that only this module writes. One that is there without it, and is
not empty, is somebody's: it is refused, and nothing in it is read, written or removed.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from collector.fault import Fault
from collector.startup import lock_data, wait_for_lock

SITE = "tea.example"
TIMEZONE = "Europe/Berlin"
MARKER = ".footfall-demo"
CONFIG = "footfall.toml"
# Held by this process from here on: the only file that a fresh start keeps, besides the marker.
LOCK = "serve.lock"
# Of the surroundings only where keys may lie. Everything else would change the demo, and a store that is named there
# would get visits that never were.
KEPT_VARIABLES = frozenset({"FOOTFALL_PRIVACY__KEY_DIR"})

CONFIGURATION = """\
# Written by `footfall demo` at each start. The shop's site is an ordinary one: groups of k = 5, rounded numbers.
[privacy]
k = 5
level = "rounded"
# Six seconds, so that a month is sealed within a minute. Keep the 15 minutes of the default for people who are real:
# queues and servers are minutes behind.
grace_minutes = 0.1

[[site]]
domain = "{site}"
timezone = "{timezone}"
properties = ["tea"]

[[site.goal]]
name = "Purchase"
event = "purchase"
[[site.goal]]
name = "Brewing guide"
event = "File Download"
[[site.goal]]
name = "Journal read"
page = "/journal/*"

[[site.funnel]]
name = "Checkout"
steps = ["/teas/*", "/cart", "Purchase"]
"""


def made_fresh(folder: Path) -> Path:
    """Empties or makes `folder`, writes the demo's configuration there and returns its path.

    The folder is locked until this process ends. Raises `Fault` for a folder that is not the demo's own, and where
    another demo runs on it.
    """
    marker = folder / MARKER
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise Fault(f"{folder} is no folder of the demo's own; pass another with --data")
    if folder.is_dir() and any(folder.iterdir()) and not marker.is_file():
        raise Fault(
            f"{folder} was not made by footfall demo, which empties its folder at each start; pass another with --data"
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # First of all: a demo that is killed while it fills the folder finds it its own again.
    marker.touch(mode=0o600)
    lock_data(folder)
    for left_behind in (folder / "store.lock", folder / "spool" / "drainer.lock"):
        wait_for_lock(left_behind)
    _empty(folder)
    config = folder / CONFIG
    config.touch(mode=0o600)
    config.write_text(CONFIGURATION.format(site=SITE, timezone=TIMEZONE), encoding="utf-8")
    return config


def forget_surroundings() -> None:
    """Takes settings of another installation out of this process's environment; its children inherit it."""
    for variable in [name for name in os.environ if name.startswith("FOOTFALL_") and "__" in name]:
        if variable not in KEPT_VARIABLES:
            del os.environ[variable]


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.name in (MARKER, LOCK):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
