"""The store is brought to this code's form, whatever it went through before."""

from __future__ import annotations

from pathlib import Path

import pytest

from aggregator.migrate import MigrationFault, migrate, read_migrations
from aggregator.store import Store


def write(folder: Path, **statements: str) -> Path:
    for name, statement in statements.items():
        (folder / f"{name[1:]}.sql").write_text(statement)
    return folder


def applied(store: Store) -> list[int]:
    return [row[0] for row in store.query("SELECT number FROM migrations ORDER BY number")]


def test_migrations_are_applied_once(bare_store: Store) -> None:
    count = migrate(bare_store)
    assert count > 0
    assert migrate(bare_store) == 0
    assert applied(bare_store) == list(range(1, count + 1))


def test_a_crash_before_the_record_repeats_the_statement_and_goes_on(bare_store: Store, tmp_path: Path) -> None:
    write(tmp_path, _0001_a="CREATE TABLE IF NOT EXISTS a (x UInt8) ENGINE = MergeTree ORDER BY x;\n")
    bare_store.command((tmp_path / "0001_a.sql").read_text().rstrip(";\n"))
    write(tmp_path, _0002_b="CREATE TABLE IF NOT EXISTS b (x UInt8) ENGINE = MergeTree ORDER BY x")
    assert migrate(bare_store, tmp_path) == 2
    assert bare_store.query("SELECT count() FROM b") == [(0,)]


def test_only_what_is_missing_is_applied(bare_store: Store, tmp_path: Path) -> None:
    write(tmp_path, _0001_a="CREATE TABLE a (x UInt8) ENGINE = MergeTree ORDER BY x")
    assert migrate(bare_store, tmp_path) == 1
    write(tmp_path, _0002_b="CREATE TABLE b (x UInt8) ENGINE = MergeTree ORDER BY x")
    assert migrate(bare_store, tmp_path) == 1
    assert applied(bare_store) == [1, 2]


def test_a_newer_store_is_refused(bare_store: Store, tmp_path: Path) -> None:
    write(tmp_path, _0001_a="SELECT 1", _0002_b="SELECT 1")
    migrate(bare_store, tmp_path)
    (tmp_path / "0002_b.sql").unlink()
    with pytest.raises(MigrationFault, match="newer than this program: it has migration 0002"):
        migrate(bare_store, tmp_path)


def test_another_programs_store_is_refused(bare_store: Store, tmp_path: Path) -> None:
    migrate(bare_store, write(tmp_path, _0001_a="SELECT 1"))
    (tmp_path / "0001_a.sql").rename(tmp_path / "0001_c.sql")
    with pytest.raises(MigrationFault, match="different programs"):
        migrate(bare_store, tmp_path)


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"_0002_a": ""}, "0001 is expected where 0002"),
        ({"_0001_a": "", "_0003_b": ""}, "0002 is expected where 0003"),
        ({"_0001_a": "", "_0001_b": ""}, "0002 is expected where 0001"),
        ({"_1_a": ""}, "misnamed"),
    ],
    ids=["no first", "gap", "twice", "misnamed"],
)
def test_a_disordered_folder_is_refused(tmp_path: Path, files: dict[str, str], fault: str) -> None:
    with pytest.raises(MigrationFault, match=fault):
        read_migrations(write(tmp_path, **files))
