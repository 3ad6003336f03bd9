"""API tokens: shown once, kept as hashes, refused as soon as they are removed."""

from __future__ import annotations

import multiprocessing
import sqlite3
import stat
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.access import ROLES, Access, AccessFault, People


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def add(data: Path, name: str) -> str:
    return People(data).add_token(name, "viewer")


@pytest.mark.parametrize("role", ROLES)
def test_a_token_is_what_it_was_made_for(tmp_path: Path, role: str) -> None:
    people = People(tmp_path)
    assert people.authorised(people.add_token("anna", role, "example.com")) == Access("anna", role, "example.com")  # type: ignore[arg-type]  # parametrized


def test_tokens_differ_and_hold_256_bits(tmp_path: Path) -> None:
    people = People(tmp_path)
    tokens = [people.add_token(name, "viewer") for name in ("a", "b")]
    assert tokens[0] != tokens[1]
    assert all(len(token.removeprefix("footfall_")) == 43 for token in tokens)


def test_a_token_of_one_site_reads_no_other(tmp_path: Path) -> None:
    assert Access("a", "viewer", "example.com").may_read("example.com")
    assert not Access("a", "viewer", "example.com").may_read("other.example")
    assert Access("a", "viewer", None).may_read("other.example")


def test_no_file_of_the_folder_holds_the_token(tmp_path: Path) -> None:
    people = People(tmp_path)
    token = people.add_token("anna", "admin")
    keeper = sqlite3.connect(tmp_path / "people.sqlite")  # keeps the write-ahead log there
    keeper.execute("SELECT * FROM tokens").fetchall()
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert files
    assert not any(token.encode() in file.read_bytes() for file in files)
    keeper.close()


def test_the_files_are_their_owners_alone(tmp_path: Path) -> None:
    people = People(tmp_path / "data")
    keeper = sqlite3.connect(tmp_path / "data" / "people.sqlite")
    keeper.execute("SELECT * FROM tokens").fetchall()
    people.add_token("anna", "admin")
    people.development_token("localhost")
    files = [file for file in (tmp_path / "data").rglob("*") if file.is_file()]
    assert {file.name for file in files} >= {"people.sqlite", "people.sqlite-wal", "viewer-token"}
    assert {mode(file) for file in files} == {0o600}
    keeper.close()


def test_a_removed_token_is_refused_also_by_who_had_the_file_open_before(tmp_path: Path) -> None:
    running, command = People(tmp_path), People(tmp_path)
    token = command.add_token("anna", "viewer")
    assert running.authorised(token)
    assert command.remove_token("anna")
    assert running.authorised(token) is None
    assert not command.remove_token("anna")


@given(st.text())
def test_what_is_no_token_is_refused(tmp_path_factory: pytest.TempPathFactory, bearer: str) -> None:
    people = People(tmp_path_factory.getbasetemp() / "guesses")
    if not people.list_tokens():
        people.add_token("anna", "viewer")
    assert people.authorised(bearer) is None


@pytest.mark.parametrize("near", [lambda token: token[:-1], lambda token: token + "A", lambda token: token.upper()])
def test_a_token_almost_right_is_refused(tmp_path: Path, near: object) -> None:
    people = People(tmp_path)
    token = people.add_token("anna", "viewer")
    assert callable(near)
    assert people.authorised(near(token)) is None


def test_a_name_is_given_once_and_again_after_removal(tmp_path: Path) -> None:
    people = People(tmp_path)
    people.add_token("anna", "viewer")
    with pytest.raises(AccessFault, match="of this name exists"):
        people.add_token("anna", "admin")
    people.remove_token("anna")
    people.add_token("anna", "admin")
    assert people.list_tokens() == (Access("anna", "admin", None),)


@pytest.mark.parametrize(
    ("name", "good"), [("a" * 64, True), ("a" * 65, False), ("", False), ("a\nb", False), (" a", False)]
)
def test_names_have_bounds(tmp_path: Path, name: str, good: bool) -> None:
    people = People(tmp_path)
    if good:
        people.add_token(name, "viewer")
    else:
        with pytest.raises(AccessFault, match="name must be"):
            people.add_token(name, "viewer")


def test_an_unknown_role_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AccessFault, match="viewer, analyst, admin"):
        People(tmp_path).add_token("anna", "ingest")


def test_a_file_of_a_newer_footfall_is_refused(tmp_path: Path) -> None:
    People(tmp_path)
    newer = sqlite3.connect(tmp_path / "people.sqlite")
    newer.execute("PRAGMA user_version = 3")
    newer.close()
    with pytest.raises(AccessFault, match="newer Footfall"):
        People(tmp_path)


def test_processes_that_add_at_once_lose_no_token(tmp_path: Path) -> None:
    names = [f"p{place}" for place in range(12)]
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as processes:
        tokens = list(processes.map(add, [tmp_path] * len(names), names))
    people = People(tmp_path)
    assert {access.name for token in tokens if (access := people.authorised(token))} == set(names)


def test_the_development_token_is_the_same_at_every_start_and_can_be_read_again(tmp_path: Path) -> None:
    token = People(tmp_path).development_token("localhost")
    assert People(tmp_path).development_token("localhost") == token
    assert (tmp_path / "run" / "viewer-token").read_text() == token + "\n"
    assert People(tmp_path).authorised(token) == Access("development", "viewer", "localhost")


@pytest.mark.parametrize("content", ["", "something else", "footfall_x\n"])
def test_a_lost_or_spoilt_development_token_is_replaced(tmp_path: Path, content: str) -> None:
    people = People(tmp_path)
    before = people.development_token("localhost")
    (tmp_path / "run" / "viewer-token").write_text(content)
    after = people.development_token("localhost")
    assert people.authorised(before) is None
    assert people.authorised(after)


def test_the_development_token_moves_to_another_site_without_keeping_the_first(tmp_path: Path) -> None:
    people = People(tmp_path)
    people.development_token("localhost")
    token = people.development_token("shop.test")
    assert people.list_tokens() == (Access("development", "viewer", "shop.test"),)
    assert people.authorised(token) == Access("development", "viewer", "shop.test")
