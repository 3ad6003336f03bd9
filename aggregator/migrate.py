"""Brings the store's tables to the form that this code knows: `migrations/NNNN_name.sql`, in order, each once.

Invariants:
- forward only, one idempotent statement to a file, numbered 1, 2, 3 without gap or repetition;
- a migration is recorded after it ran, so a crash in between runs it twice, which changes nothing;
- a store that has been through a migration that this code does not know is refused: an older program cannot know what
  it must not break.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.abc import Traversable
from importlib.resources import files

from aggregator.store import Store
from collector.fault import Fault

_FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_RECORD = """
CREATE TABLE IF NOT EXISTS migrations (number UInt32, name String, applied_at DateTime('UTC'))
ENGINE = MergeTree ORDER BY number
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1
"""


class MigrationFault(Fault):
    """The store and the folder of migrations do not fit. The message says how, and what to do."""


@dataclass(frozen=True)
class Migration:
    number: int
    name: str
    statement: str


def migrate(store: Store, folder: Traversable | None = None) -> int:
    """Apply what is missing; returns how many were applied. Raises MigrationFault, and what the store raises."""
    known = read_migrations(folder or files("aggregator") / "migrations")
    store.command(_RECORD)
    applied = {int(number): str(name) for number, name in store.query("SELECT number, name FROM migrations")}
    _check(known, applied)
    missing = [migration for migration in known if migration.number not in applied]
    for migration in missing:
        store.command(migration.statement)
        row = (migration.number, migration.name, datetime.now(UTC).replace(microsecond=0))
        store.insert_rows("migrations", ("number", "name", "applied_at"), [row])
    return len(missing)


def is_migrated(store: Store) -> bool:
    """Whether every migration of this program was applied. Raises what the store raises, before the first one also."""
    known = read_migrations(files("aggregator") / "migrations")
    return int(store.query("SELECT uniqExact(number) FROM migrations")[0][0]) >= len(known)


def read_migrations(folder: Traversable) -> list[Migration]:
    """The migrations of a folder, by number. Raises MigrationFault for gaps, repetitions and misnamed files."""
    found = []
    for file in folder.iterdir():
        if not file.name.endswith(".sql"):
            continue
        match = _FILE_NAME.fullmatch(file.name)
        if match is None:
            raise MigrationFault(f"the migration {file.name} is misnamed: it must be NNNN_name.sql")
        found.append(Migration(int(match[1]), match[2], file.read_text().strip().rstrip(";")))
    found.sort(key=lambda migration: migration.number)
    for expected, migration in enumerate(found, start=1):
        if migration.number != expected:
            raise MigrationFault(
                f"the migrations are not numbered 1, 2, 3: {expected:04} is expected where {migration.number:04} stands"
            )
    return found


def _check(known: Sequence[Migration], applied: dict[int, str]) -> None:
    names = {migration.number: migration.name for migration in known}
    for number, name in sorted(applied.items()):
        if number not in names:
            raise MigrationFault(
                f"the store is newer than this program: it has migration {number:04} ({name}); run the newer program"
            )
        if names[number] != name:
            raise MigrationFault(
                f"the store's migration {number:04} is {name}, here it is {names[number]}: these are different programs"
            )
