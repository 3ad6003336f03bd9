"""Trends past their retention go, their bytes too, also where the retention was made shorter after the seal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from aggregator.guard import ClockGuard
from aggregator.retention import Retention
from aggregator.rollup import months_after
from aggregator.store import Store
from collector.settings import Settings, load
from tests.aggregator.loaded_anew import load_anew
from tests.bytes_on_disk import forms, holders
from tests.clock import SetClock

SITE, OTHER, DEVELOPMENT = "short.example", "long.example", "shop.test"
TABLES = ("trend_rows", "breakdown_rows", "cross_rows")


def settings_of(folder: Path, months: int) -> Settings:
    config = folder / "footfall.toml"
    sites = {SITE: months, OTHER: 25}
    config.write_text(
        "".join(f'[[site]]\ndomain = "{site}"\nretention_months = {kept}\n' for site, kept in sites.items())
        + f'[[site]]\ndomain = "{DEVELOPMENT}"\n'
    )
    return load(config, folder / "data", {})


def retention_of(store: Store, settings: Settings, clock: SetClock | None = None) -> Retention:
    clock = clock or SetClock(store.now())
    return Retention(store, settings, ClockGuard(clock, clock.wall, lambda: None))


def seal(store: Store, site: str, day: date, keep_until: date, value: str = "/") -> None:
    """One row in each table, as a seal writes them."""
    common = {"day": day.isoformat(), "timezone": "UTC", "seal": 7, "keep_until": keep_until.isoformat(), "site": site}
    listed, crossed = {"dimension": "page", "value": value}, {"dimension_a": "page", "value_a": value}
    for table, more in (("trend_rows", {"hour": 24}), ("breakdown_rows", listed), ("cross_rows", crossed)):
        row = {**common, **more}
        store.insert_rows(table, list(row), [list(row.values())])


def kept(store: Store, site: str) -> list[date]:
    """The days of which all tables have a row."""
    found = [
        {day for (day,) in store.query(f"SELECT day FROM {table} WHERE site = {{site:String}}", {"site": site})}
        for table in TABLES
    ]
    assert found[0] == found[1] == found[2]
    return sorted(found[0])


@pytest.fixture(scope="module", autouse=True)
def loaded_anew(session_store: Store) -> None:
    load_anew(session_store)


@pytest.fixture
def today(store: Store) -> Iterator[date]:
    """Without merges, which delete what is past `keep_until` at some time, so that it is not they who do it here."""
    for table in TABLES:
        store.command(f"SYSTEM STOP TTL MERGES {table}")
    yield datetime.fromtimestamp(store.now(), UTC).date()
    for table in TABLES:
        store.command(f"SYSTEM START TTL MERGES {table}")


def test_a_shorter_retention_deletes_what_was_sealed_under_a_longer_one(
    store: Store, today: date, tmp_path: Path
) -> None:
    old, young = today - timedelta(days=200), today - timedelta(days=20)
    for site in (SITE, OTHER):
        for day in (old, young):
            seal(store, site, day, months_after(day, 25), value=f"/planted-{site}-{day}")
    assert retention_of(store, settings_of(tmp_path, 25)).round() == 0
    assert retention_of(store, settings_of(tmp_path, 3)).round() == 3
    assert (kept(store, SITE), kept(store, OTHER)) == ([young], [old, young])
    root = Path(store.query("SELECT data_paths[1] FROM system.tables WHERE name = 'breakdown_rows'")[0][0])
    if root.is_dir():
        assert holders([root], forms([f"/planted-{SITE}-{young}"])), "the search finds what there is"
        assert holders([root], forms([f"/planted-{SITE}-{old}"])) == set()


def test_a_longer_retention_keeps_nothing_longer_and_brings_nothing_back(
    store: Store, today: date, tmp_path: Path
) -> None:
    day = today - timedelta(days=100)
    seal(store, SITE, day, today)
    seal(store, SITE, day + timedelta(days=1), today + timedelta(days=1))
    assert retention_of(store, settings_of(tmp_path, 25)).round() == 3
    assert kept(store, SITE) == [day + timedelta(days=1)]


def test_development_sites_are_kept_for_seven_days_whatever_their_rows_say(
    store: Store, today: date, tmp_path: Path
) -> None:
    for age in (6, 7):
        seal(store, DEVELOPMENT, today - timedelta(days=age), today + timedelta(days=400))
    retention_of(store, settings_of(tmp_path, 25)).round()
    assert kept(store, DEVELOPMENT) == [today - timedelta(days=6)]


def test_it_looks_once_a_day_and_waits_while_clocks_disagree(store: Store, today: date, tmp_path: Path) -> None:
    seal(store, SITE, today - timedelta(days=9), today)
    clock = SetClock(store.now())
    retention = retention_of(store, settings_of(tmp_path, 25), clock)
    clock.set_wall(clock.wall() + 7_200)
    assert retention.round() == 0
    clock.pass_time(3_700)
    assert retention.round() == 3
    seal(store, SITE, today - timedelta(days=9), today)
    assert retention.round() == 0
