"""Users: a link works once and not for ever, a session ends with its user, and nothing of either can be read."""

from __future__ import annotations

import multiprocessing
import sqlite3
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from dashboards.access import ROLES, Access, AccessFault, People
from dashboards.users import LINK_S, SESSION_S, START_LINK_S
from tests.dashboards.conftest import StillClock

HOUR_S, DAY_S = 3_600, 86_400


@pytest.fixture
def people(tmp_path: Path, noon: StillClock) -> People:
    return People(tmp_path, noon)


def signed_in(people: People, token: str) -> str:
    session = people.users.sign_in(token)
    assert session is not None
    return session.session


def sign_in(data: Path, token: str) -> bool:
    return People(data).users.sign_in(token) is not None


def test_the_times_are_those_that_are_promised() -> None:
    assert (LINK_S, START_LINK_S, SESSION_S) == (DAY_S, HOUR_S, 30 * DAY_S)


@pytest.mark.parametrize("role", ROLES)
def test_a_user_may_do_what_it_was_made_for(people: People, role: str) -> None:
    session = signed_in(people, people.users.add("ben", role, "example.com"))
    assert people.users.signed_in(session) == Access("ben", role, "example.com")  # type: ignore[arg-type]  # parametrized


def test_a_link_works_once(people: People) -> None:
    token = people.users.add("ben", "viewer")
    assert people.users.has_link(token)
    assert people.users.has_link(token), "looking uses nothing up"
    assert people.users.sign_in(token) is not None
    assert not people.users.has_link(token)
    assert people.users.sign_in(token) is None


def test_of_many_who_use_a_link_at_once_one_gets_in(tmp_path: Path) -> None:
    token = People(tmp_path).users.add("ben", "viewer")
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as processes:
        assert sum(processes.map(sign_in, [tmp_path] * 8, [token] * 8)) == 1


@pytest.mark.parametrize(("age_s", "works"), [(DAY_S - 1, True), (DAY_S, False)])
def test_a_link_lasts_a_day(people: People, noon: StillClock, age_s: float, works: bool) -> None:
    token = people.users.add("ben", "viewer")
    noon.now += age_s
    assert people.users.has_link(token) is works
    assert (people.users.sign_in(token) is not None) is works


@pytest.mark.parametrize(("age_s", "works"), [(HOUR_S - 1, True), (HOUR_S, False)])
def test_the_link_of_a_start_lasts_an_hour(people: People, noon: StillClock, age_s: float, works: bool) -> None:
    token = people.users.owner_link(is_terminal=True)
    assert token is not None
    noon.now += age_s
    assert (people.users.sign_in(token) is not None) is works


@pytest.mark.parametrize(("age_s", "works"), [(30 * DAY_S - 1, True), (30 * DAY_S, False)])
def test_a_session_lasts_30_days(people: People, noon: StillClock, age_s: float, works: bool) -> None:
    session = signed_in(people, people.users.add("ben", "viewer"))
    noon.now += age_s
    assert (people.users.signed_in(session) is not None) is works


def test_signing_out_ends_this_session_alone(people: People) -> None:
    here = signed_in(people, people.users.add("ben", "viewer"))
    there = signed_in(people, people.users.link("ben"))
    people.users.sign_out(here)
    assert people.users.signed_in(here) is None
    assert people.users.signed_in(there) is not None


def test_a_removed_user_is_out_at_once_for_who_had_the_file_open_before(tmp_path: Path) -> None:
    running, command = People(tmp_path), People(tmp_path)
    session = signed_in(running, command.users.add("ben", "viewer"))
    unused = command.users.link("ben")
    assert command.users.remove("ben")
    assert running.users.signed_in(session) is None
    assert running.users.sign_in(unused) is None
    assert not command.users.remove("ben")
    command.users.add("ben", "admin")
    assert running.users.signed_in(session) is None, "a new user of the same name is another one"


@pytest.mark.parametrize("near", [lambda token: token[:-1], lambda token: token + "A", lambda token: "", str.swapcase])
def test_what_is_no_link_and_no_session_is_refused(people: People, near: object) -> None:
    token = people.users.add("ben", "viewer")
    assert callable(near)
    assert people.users.sign_in(near(token)) is None
    session = signed_in(people, token)
    assert people.users.signed_in(near(session)) is None
    assert people.users.signed_in(token) is None
    assert people.users.sign_in(session) is None


def test_no_file_of_the_folder_holds_a_link_or_a_session(tmp_path: Path) -> None:
    people = People(tmp_path)
    token = people.users.add("ben", "viewer")
    keeper = sqlite3.connect(tmp_path / "people.sqlite")  # keeps the write-ahead log there
    keeper.execute("SELECT * FROM users").fetchall()
    session = signed_in(people, token)
    kept = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    keeper.close()
    assert b"ben" in kept
    assert token.encode() not in kept
    assert session.encode() not in kept


def test_links_and_sessions_hold_256_bits(people: People) -> None:
    token = people.users.add("ben", "viewer")
    assert [len(secret) for secret in (token, signed_in(people, token))] == [43, 43]


def test_what_has_expired_is_deleted(people: People, noon: StillClock, tmp_path: Path) -> None:
    signed_in(people, people.users.add("ben", "viewer"))
    people.users.link("ben")
    noon.now += 31 * DAY_S
    signed_in(people, people.users.link("ben"))
    keeper = sqlite3.connect(tmp_path / "people.sqlite")
    counts = [keeper.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("sign_in_links", "sessions")]
    keeper.close()
    assert counts == [0, 1]


def test_the_first_start_makes_an_owner_who_may_do_everything(people: People) -> None:
    token = people.users.owner_link(is_terminal=False)
    assert token is not None
    assert people.users.list() == (Access("owner", "admin", None),)
    assert people.users.signed_in(signed_in(people, token)) == Access("owner", "admin", None)


def test_a_start_without_a_terminal_gives_links_until_the_owner_has_signed_in(people: People) -> None:
    first, second = (people.users.owner_link(is_terminal=False) for _ in range(2))
    assert first is not None
    assert second is not None
    signed_in(people, second)
    assert people.users.owner_link(is_terminal=False) is None
    assert people.users.owner_link(is_terminal=True) is not None


def test_an_owner_who_was_removed_does_not_come_back_beside_others(people: People) -> None:
    people.users.owner_link(is_terminal=True)
    people.users.add("ben", "admin")
    people.users.remove("owner")
    assert people.users.owner_link(is_terminal=True) is None
    assert [user.name for user in people.users.list()] == ["ben"]


def test_names_and_roles_are_checked(people: People) -> None:
    people.users.add("ben", "viewer")
    for name, role, told in (("ben", "viewer", "exists"), ("a\nb", "viewer", "name must be"), ("x", "ingest", "role")):
        with pytest.raises(AccessFault, match=told):
            people.users.add(name, role)
    with pytest.raises(AccessFault, match="no user named zoe"):
        people.users.link("zoe")
