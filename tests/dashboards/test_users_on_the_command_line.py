"""`footfall user`: makes people, lists them, lets them in again and takes them out."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dashboards.access import People
from tests.collector.collecting import environment

CONFIG = '[dashboards]\nlisten = "127.0.0.1:8123"\n[[site]]\ndomain = "example.com"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "footfall.toml").write_text(CONFIG)
    return tmp_path


def user(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "footfall", "user", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )


def token(done: subprocess.CompletedProcess[str]) -> str:
    """That of the link, which is all that was printed."""
    assert done.returncode == 0, done
    found = re.fullmatch(r"http://127\.0\.0\.1:8123/sign-in/([\w-]{43})\n", done.stdout)
    assert found, done.stdout
    return found[1]


def test_users_are_made_listed_let_in_again_and_removed(folder: Path) -> None:
    first = token(user(folder, "add", "alice", "--role", "admin"))
    token(user(folder, "add", "ben", "--site", "example.com"))
    assert user(folder, "list").stdout == "alice\tadmin\t(all sites)\nben\tviewer\texample.com\n"
    again = token(user(folder, "link", "alice"))
    users = People(folder / "footfall-data").users
    assert users.sign_in(first) is not None
    assert users.sign_in(again) is not None
    assert user(folder, "remove", "alice").returncode == 0
    assert user(folder, "list").stdout == "ben\tviewer\texample.com\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("add", "ben", "--site", "example.net"), "there is no site example.net in the configuration; add it first"),
        (("link", "zoe"), "there is no user named zoe; `footfall user list` shows all"),
        (("remove", "zoe"), "there is no user named zoe; `footfall user list` shows all"),
        (("add", "x" * 65), "a user's name must be 1 to 64 letters, digits, spaces and _.@-; choose another"),
    ],
)
def test_what_cannot_be_done_is_one_line(folder: Path, arguments: tuple[str, ...], told: str) -> None:
    done = user(folder, *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"footfall: {told}\n")
