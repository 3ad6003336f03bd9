"""The people file: brought forward from an older version, refused from a newer one."""

from __future__ import annotations

import multiprocessing
import sqlite3
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from dashboards.access import Access, AccessFault, People
from dashboards.people_file import digest

# As version 1 made it.
VERSION_1 = """
CREATE TABLE tokens (
    name TEXT PRIMARY KEY,
    sha256 BLOB NOT NULL UNIQUE,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'analyst', 'admin')),
    site TEXT,
    created_at TEXT NOT NULL
) STRICT;
PRAGMA journal_mode = WAL;
PRAGMA user_version = 1;
"""


def version_1(data: Path, token: str) -> None:
    data.mkdir(parents=True, exist_ok=True)
    people = sqlite3.connect(data / "people.sqlite")
    people.executescript(VERSION_1)
    row = ("anna", digest(token), "analyst", "example.com", "2026-01-01T00:00:00+00:00")
    people.execute("INSERT INTO tokens VALUES (?, ?, ?, ?, ?)", row)
    people.commit()
    people.close()


def version(data: Path) -> int:
    people = sqlite3.connect(data / "people.sqlite")
    (number,) = people.execute("PRAGMA user_version").fetchone()
    people.close()
    return int(number)


def open_file(data: Path) -> int:
    return len(People(data).list_tokens())


def test_a_file_of_version_1_keeps_its_tokens_and_gets_users(tmp_path: Path) -> None:
    version_1(tmp_path, "footfall_old")
    people = People(tmp_path)
    assert version(tmp_path) == 2
    assert people.authorised("footfall_old") == Access("anna", "analyst", "example.com")
    assert people.users.sign_in(people.users.add("ben", "viewer")) is not None


def test_processes_that_start_at_once_migrate_once(tmp_path: Path) -> None:
    version_1(tmp_path, "footfall_old")
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as processes:
        assert list(processes.map(open_file, [tmp_path] * 4)) == [1] * 4
    assert version(tmp_path) == 2


def test_a_file_of_a_newer_footfall_is_refused_and_left_alone(tmp_path: Path) -> None:
    People(tmp_path)
    newer = sqlite3.connect(tmp_path / "people.sqlite")
    newer.execute("PRAGMA user_version = 3")
    newer.close()
    with pytest.raises(AccessFault, match="newer Footfall"):
        People(tmp_path)
    assert version(tmp_path) == 3
