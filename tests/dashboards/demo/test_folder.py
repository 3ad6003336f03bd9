"""The demo's folder: fresh at each start, and never anybody else's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from collector.fault import Fault
from collector.settings import load
from dashboards.demo.folder import MARKER, SITE, made_fresh
from tests.collector.collecting import environment


def made_by_another_process(folder: Path) -> None:
    """In a process of its own, which gives the folder's lock back when it ends."""
    program = (
        "import sys, pathlib; from dashboards.demo.folder import made_fresh; made_fresh(pathlib.Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", program, str(folder)], check=True, env=environment(), timeout=60)


def test_what_an_earlier_demo_left_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    made_by_another_process(folder)
    (folder / "store").mkdir()
    (folder / "store" / "rows").write_text("old")
    (folder / "people.sqlite").write_text("old")
    made_fresh(folder)
    assert {entry.name for entry in folder.iterdir()} == {MARKER, "serve.lock", "footfall.toml"}


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    assert load(made_fresh(tmp_path), tmp_path, {}).sites[SITE].k == 5


def test_its_site_is_an_ordinary_one(tmp_path: Path) -> None:
    site = load(made_fresh(tmp_path / "demo"), tmp_path / "demo", {}).sites[SITE]
    assert (site.is_development, site.k, site.level) == (False, 5, "rounded")


def test_a_folder_with_files_of_others_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(Fault, match="was not made by footfall demo"):
        made_fresh(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_link_to_another_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "demo").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Fault, match="no folder of the demo's own"):
        made_fresh(tmp_path / "demo")


def test_a_link_within_it_is_removed_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    folder, precious = tmp_path / "demo", tmp_path / "precious"
    made_by_another_process(folder)
    precious.mkdir()
    (precious / "file").write_text("mine")
    (folder / "link").symlink_to(precious)
    made_fresh(folder)
    assert (precious / "file").read_text() == "mine"
    assert not (folder / "link").is_symlink()
