"""`footfall demo` from its start to its numbers, by its own command line."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import subprocess
import sys
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pytest

from collector.days import day_of
from dashboards.demo.folder import SITE, TIMEZONE
from tests.collector.collecting import environment, until
from tests.dashboards.demo.demonstration import DAYS, VISITS_PER_DAY, Demonstration

MEASURES = ("visitors", "visits", "views", "events", "bounces", "engaged_s")


@pytest.fixture(scope="module")
def month(demonstration: Demonstration) -> tuple[date, date]:
    """The first and the last whole day, from the store: a midnight may have passed since the demo began."""
    with demonstration.store() as store:
        (first,) = store.query("SELECT min(day) FROM committed_seals WHERE timezone = {z:String}", {"z": TIMEZONE})[0]
    return first, first + timedelta(days=DAYS - 1)


def test_it_says_how_far_it_is_in_plain_lines_where_there_is_no_terminal(demonstration: Demonstration) -> None:
    lines = demonstration.said().splitlines()
    assert lines[0].startswith("0 %: sending visit 0 of ")
    assert "\r" not in demonstration.said()
    assert "\x1b" not in demonstration.said()


def test_when_ready_it_tells_the_shop_and_a_link_into_the_dashboards(demonstration: Demonstration) -> None:
    shop = re.search(rf"http://127\.0\.0\.1:{demonstration.shop_port}/", demonstration.said())
    link = re.search(rf"http://127\.0\.0\.1:{demonstration.dashboards_port}(/sign-in/\S+)", demonstration.said())
    assert shop is not None
    assert link is not None
    assert demonstration.get(demonstration.shop_port, "/")[0] == 200
    assert demonstration.get(demonstration.dashboards_port, link[1])[0] == 200


def test_every_day_of_the_month_is_sealed_when_it_says_that_it_is_ready(
    demonstration: Demonstration, month: tuple[date, date]
) -> None:
    days = demonstration.stats(*month)["days"]
    assert [day["state"] for day in days] == ["sealed"] * DAYS
    # Some refuse, and a weekend has fewer.
    assert all(VISITS_PER_DAY / 3 < day["visits"] < 2 * VISITS_PER_DAY for day in days)


@pytest.mark.parametrize("dimension", ["page", "source", "country", "browser", "os", "device", "screen", "event"])
def test_trends_are_of_five_networks_and_in_fives_in_every_dimension(
    demonstration: Demonstration, month: tuple[date, date], dimension: str
) -> None:
    answer = demonstration.stats(*month, dimension)
    assert (answer["k"], answer["level"], answer["development"]) == (5, "rounded", False)
    assert answer["values"], dimension
    told = [*answer["values"], *(day for day in answer["days"] if day["state"] == "sealed")]
    assert all(row[measure] % 5 == 0 for row in told for measure in MEASURES)


def test_coverage_tells_of_what_was_dropped(demonstration: Demonstration, month: tuple[date, date]) -> None:
    requests: Counter[str] = Counter()
    # By outcome: a reason rarer than ten a day is told as "(other)".
    for row in demonstration.stats(*month)["coverage"]:
        requests[row["outcome"]] += row["requests"]
    assert requests["accepted"] > requests["dropped"] > 0


def test_no_event_of_the_month_came_late_or_was_invalid(demonstration: Demonstration, month: tuple[date, date]) -> None:
    with demonstration.store() as store:
        late = store.query("SELECT count() FROM batches WHERE outcome IN ('late', 'expired')")
    assert late == [(0,)]
    assert not any(row["outcome"] == "invalid" for row in demonstration.stats(*month)["coverage"])


def test_visitors_keep_coming(demonstration: Demonstration) -> None:
    with demonstration.store() as store:

        def events() -> int:
            return int(store.query("SELECT count() FROM open_events")[0][0])

        before = events()
        until(lambda: events() > before, "somebody came")


def test_the_token_of_its_visitors_is_in_no_file(demonstration: Demonstration) -> None:
    config = demonstration.data / "footfall.toml"
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert "sha256" in config.read_text()
    for folder, _, names in os.walk(demonstration.data):
        for name in names:
            # The store makes and removes files while one looks.
            with contextlib.suppress(FileNotFoundError):
                assert b"footfall_ingest_" not in (Path(folder) / name).read_bytes(), name


def test_a_second_demo_on_its_folder_is_refused_and_harms_nothing(demonstration: Demonstration) -> None:
    done = command(demonstration.folder, "--listen", "127.0.0.1:1")
    assert done.returncode == 2
    assert "another footfall serve runs on" in done.stderr
    assert (demonstration.data / "run" / "store.json").exists()
    today = day_of(0.0, TIMEZONE)
    assert demonstration.stats(today, today)["site"] == SITE


def test_a_folder_that_is_not_its_own_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "footfall-demo").mkdir()
    precious = tmp_path / "footfall-demo" / "footfall.toml"
    precious.write_text("# mine")
    done = command(tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "was not made by footfall demo" in done.stderr
    assert [precious] == list((tmp_path / "footfall-demo").iterdir())
    assert precious.read_text() == "# mine"


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "footfall", "demo", *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
