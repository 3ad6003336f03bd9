"""Level dp: few numbers, each with the noise that is stated, which rows appear told by it alone, drawn once."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from aggregator import noise
from aggregator.draw import DRAFT_S
from aggregator.guard import ClockGuard, newest_event
from aggregator.seal import Sealed, Sealer, Surroundings
from aggregator.store import Store
from collector import days
from collector.keys import FAIL_SAFE_S
from collector.settings import Settings, load
from tests.aggregator.simulate import Crowd, insert
from tests.aggregator.test_seal import DAY, Crash, CrashAfter, after, trends
from tests.collector.collecting import environment

UTC = "UTC"
# Each visitor looks at the site's first page and at one of their own, in one visit.
CROWDS = """
INSERT INTO open_events (day, timezone, site, at, batch, position, generation, visitor, network, kind, path, country)
SELECT {{day:Date}}, {{timezone:String}}, concat('s', toString(intDiv(number, {people} * 2)), '.example'),
    toDateTime64({{starts_at:Int64}} + 36000 + number % 2, 3, 'UTC'), 1, number, 1,
    sipHash64('visitor', intDiv(number, 2)), sipHash64('network', intDiv(number, 2)), 'view',
    if(number % 2, concat('/own/', toString(intDiv(number, 2))), '/'), 'DE'
FROM numbers({sites} * {people} * 2)
"""
# A server reports 12 views of nobody for each site.
NOBODY = """
INSERT INTO open_events (day, timezone, site, at, batch, position, generation, visitor, network, kind, path, country)
SELECT {{day:Date}}, {{timezone:String}}, concat('s', toString(intDiv(number, 12)), '.example'),
    toDateTime64({{starts_at:Int64}} + 36000, 3, 'UTC'), 2, number, 1, 0, 0, 'view', '/', 'DE'
FROM numbers({sites} * 12)
"""
# Each of 300 visitors comes 12 times, half an hour apart and more, each time from another country and to another page,
# which they view twice.
EAGER = """
INSERT INTO open_events (day, timezone, site, at, batch, position, generation, visitor, network, kind, path, country)
SELECT {day:Date}, {timezone:String}, 's0.example',
    toDateTime64({starts_at:Int64} + 7000 * intDiv(number, 600) + number % 2, 3, 'UTC'), 1, number, 1,
    sipHash64(intDiv(number, 2) % 300), sipHash64('n', intDiv(number, 2) % 300), 'view',
    concat('/', toString((intDiv(number, 600) + intDiv(number, 2)) % 12)),
    ['DE', 'FR', 'US'][intDiv(number, 600) % 3 + 1]
FROM numbers(12 * 600)
"""


def crowded(store: Store, sites: int, people: int) -> None:
    _run(store, CROWDS.format(sites=sites, people=people))


def _run(store: Store, sql: str) -> None:
    store.command(sql, {"day": DAY, "timezone": UTC, "starts_at": int(days.starts_at(DAY, UTC))})


@pytest.fixture
def key_dir() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="footfall-test-", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def configured(tmp_path: Path, key_dir: Path) -> Callable[..., Settings]:
    """Settings with so many sites of level dp, and what else a test wants in [privacy] or after it."""

    def settings(sites: int = 1, privacy: str = "", more: str = "") -> Settings:
        file = tmp_path / "footfall.toml"
        listed = "".join(f'[[site]]\ndomain = "s{number}.example"\n' for number in range(sites))
        head = f'[privacy]\nlevel = "dp"\nlive_view = false\nkey_dir = "{key_dir}"\n{privacy}\n'
        file.write_text(head + listed + more)
        return load(file, tmp_path / "data", {})

    return settings


def sealer(store: Store, settings: Settings, step: Callable[[str], None] = lambda _: None) -> Sealer:
    clock = after(DAY, UTC)
    guard = ClockGuard(clock, clock.wall, lambda: newest_event(store))
    return Sealer(store, settings, clock, guard, Surroundings(step=step))


def files(key_dir: Path) -> list[str]:
    return [path.name for path in key_dir.iterdir()]


def test_a_sealed_day_has_totals_and_the_chosen_dimensions_and_states_what_it_cost(
    store: Store, configured: Callable[..., Settings], key_dir: Path
) -> None:
    insert(store, Crowd(DAY, UTC, "s0.example", 600).rows())
    settings = configured(privacy="epsilon = 4")
    sealer(store, settings).seal_due()
    ((hour, span, visitors, visits, views, *others),) = store.query(
        "SELECT hour, span, visitors, visits, views, events, bounces, engaged_s FROM trend"
    )
    assert (hour, span, others) == (24, 24, [0, 0, 0])
    assert visitors > 500
    assert visits > 0
    assert views > 0
    assert set(store.query("SELECT DISTINCT dimension FROM breakdown")) == {("page",), ("country",)}
    told = store.query("SELECT sum(visits), sum(views), sum(events), sum(bounces), sum(engaged_s) FROM breakdown")
    assert told == [(0, 0, 0, 0, 0)]
    assert store.query("SELECT count() FROM breakdown WHERE value = '(other)'") == [(0,)]
    assert store.query("SELECT count() FROM cross_breakdown") == [(0,)]
    numbers = [number for row in trends(store) for number in row if isinstance(number, int) and number > 24]
    assert any(number % 5 for number in numbers), "noise is not rounded"
    ((level, epsilon, delta, k),) = store.query("SELECT level, epsilon, delta, k FROM seals")
    assert (level, k) == ("dp", 5)
    assert 3.99 < epsilon <= 4
    assert 5e-8 <= delta <= 1e-7
    assert files(key_dir) == []


def test_other_sites_of_the_day_are_rounded_as_ever_and_the_record_states_the_weakest_level(
    store: Store, configured: Callable[..., Settings]
) -> None:
    rounded = '[[site]]\ndomain = "rounded.example"\nlevel = "rounded"\n'
    rows = Crowd(DAY, UTC, "s0.example", 300).rows() + Crowd(DAY, UTC, "rounded.example", 300).rows()
    insert(store, rows)
    sealer(store, configured(privacy="epsilon = 4", more=rounded)).seal_due()
    ((level, epsilon, events),) = store.query("SELECT level, epsilon, events FROM seals")
    assert (level, events) == ("rounded", len(rows))
    assert epsilon > 3.99
    numbers = store.query("SELECT visitors, visits, views, events FROM breakdown WHERE site = 'rounded.example'")
    assert numbers
    assert all(number % 5 == 0 for row in numbers for number in row)
    assert store.query("SELECT count() > 0 FROM cross_breakdown WHERE site = 'rounded.example'") == [(1,)]
    assert store.query("SELECT count() FROM trend WHERE site = 's0.example'") == [(1,)]


def test_of_a_site_that_is_not_configured_any_more_nothing_is_published(
    store: Store, configured: Callable[..., Settings]
) -> None:
    """That it has rows at all would tell that somebody came."""
    insert(store, Crowd(DAY, UTC, "gone.example", 300).rows())
    sealer(store, configured(privacy="epsilon = 4")).seal_due()
    for table in ("trend_rows", "breakdown_rows", "cross_rows"):
        assert store.query(f"SELECT count() FROM {table} WHERE site = 'gone.example'") == [(0,)]
    assert store.query("SELECT level, epsilon > 3.9 FROM seals") == [("dp", 1)]


SITES, PEOPLE, EMPTY = 1_000, 100, 200


def test_numbers_have_the_noise_that_is_stated_around_what_visitors_did_and_no_page_of_one_visitor_ever_shows(
    store: Store, configured: Callable[..., Settings]
) -> None:
    """Of 1,000 sites that are alike the mean deviation is known to 2.4 %, so that 15 % are wrong once in 10^9 runs; one
    of the pages shows once in 10^6."""
    crowded(store, SITES, PEOPLE)
    _run(store, NOBODY.format(sites=SITES))
    settings = configured(SITES + EMPTY, "epsilon = 4\ndelta = 1e-10")
    sealer(store, settings).seal_due()
    plan = noise.plan_of(settings.privacy.noise)

    def close(column: str, table: str, where: str, exact: int, scale: float) -> None:
        rows = store.query(f"SELECT {column} FROM {table} WHERE {where}")
        assert len(rows) > 0.97 * SITES
        deviation = sum(abs(number - exact) for (number,) in rows) / len(rows)
        assert deviation == pytest.approx(scale * math.sqrt(2 / math.pi), rel=0.15)
        mean = sum(number for (number,) in rows) / len(rows)
        assert mean == pytest.approx(exact, abs=6 * scale / math.sqrt(SITES)), "without those of nobody"

    crowded_sites = f"toUInt32(substring(splitByChar('.', toString(site))[1], 2)) < {SITES}"
    close("visitors", "trend", crowded_sites, PEOPLE, plan.totals["visitors"])
    close("visits", "trend", crowded_sites, PEOPLE, plan.totals["visits"])
    close("views", "trend", crowded_sites, 2 * PEOPLE, plan.totals["views"])
    close("visitors", "breakdown", "dimension = 'page' AND value = '/'", PEOPLE, plan.dimensions["page"].scale)
    close("visitors", "breakdown", "value = 'DE'", PEOPLE, plan.dimensions["country"].scale)
    assert store.query("SELECT count() FROM breakdown WHERE value LIKE '/own/%'") == [(0,)], "of 100,000 pages"
    # A site that nobody came to has totals where its noise says so: one in eleven.
    ((empty,),) = store.query(f"SELECT count() FROM trend WHERE NOT {crowded_sites}")
    assert 1 <= empty <= 60
    assert store.query("SELECT count() FROM trend WHERE visitors < 5") == [(0,)]


def test_a_visitor_adds_no_more_than_the_bounds_that_noise_is_measured_by(
    store: Store, configured: Callable[..., Settings]
) -> None:
    """12 visits, 12 pages, 24 views and 3 countries each."""
    _run(store, EAGER)
    sealer(store, configured(privacy="epsilon = 10\ndelta = 1e-5")).seal_due()
    ((visitors, visits, views),) = store.query("SELECT visitors, visits, views FROM trend")
    # Standard deviations are 1.3, 9.4 and 18.8; of the sums below 10.3 and 1.6.
    assert visitors == pytest.approx(300, abs=10)
    assert visits == pytest.approx(5 * 300, abs=70)
    assert views == pytest.approx(10 * 300, abs=140)
    sums = dict(store.query("SELECT dimension, sum(visitors) FROM breakdown GROUP BY dimension"))
    assert sums["page"] == pytest.approx(10 * 300, abs=80)
    assert sums["country"] == pytest.approx(300, abs=15)


@pytest.mark.parametrize("step", ["drawn", "written", "noted", "committed"])
def test_after_a_crash_a_rerun_publishes_the_very_numbers_that_were_drawn(
    store: Store, configured: Callable[..., Settings], key_dir: Path, step: str
) -> None:
    crowded(store, 40, 80)
    settings = configured(40, "epsilon = 4")
    with pytest.raises(Crash):
        sealer(store, settings, CrashAfter(step)).seal_due()
    (kept,) = list(key_dir.iterdir())
    assert kept.stat().st_mode & 0o777 == 0o600
    said = orjson.loads(kept.read_bytes()[8:])
    drawn = {(site, visitors, visits, views) for site, visitors, visits, views in said["totals"]}
    sealer(store, settings).seal_due()
    assert set(store.query("SELECT site, visitors, visits, views FROM trend")) == drawn
    values = store.query("SELECT site, dimension, parent, value, visitors FROM breakdown")
    assert sorted(values) == sorted(tuple(row) for row in said["values"]) != []
    assert files(key_dir) == []
    assert store.query("SELECT uniqExact(seal) FROM trend_rows") == [(1,)]


def test_without_what_was_kept_or_with_other_events_a_rerun_draws_anew(
    store: Store, configured: Callable[..., Settings], key_dir: Path
) -> None:
    crowded(store, 40, 80)
    settings = configured(40, "epsilon = 4")

    def attempt() -> bytes:
        with pytest.raises(Crash):
            sealer(store, settings, CrashAfter("drawn")).seal_due()
        (kept,) = list(key_dir.iterdir())
        return kept.read_bytes()

    first = attempt()
    assert attempt() == first
    next(key_dir.iterdir()).unlink()
    second = attempt()
    assert second != first
    insert(store, Crowd(DAY, UTC, "s0.example", 30).rows(), batch=2)
    assert attempt() != second


def test_two_sealers_at_once_publish_one_draw(store: Store, configured: Callable[..., Settings], key_dir: Path) -> None:
    crowded(store, 20, 80)
    settings = configured(20, "epsilon = 4")
    together = threading.Barrier(2)
    results: list[Sealed] = []

    def meet(step: str) -> None:
        if step in ("read", "noted"):
            together.wait(timeout=60)

    def work() -> None:
        results.extend(sealer(store, settings, meet).seal_due())

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.outcome for result in results) == ["finished", "sealed"]
    assert store.query("SELECT count(), uniqExact(site) FROM trend") == [(20, 20)]
    assert files(key_dir) == []


def test_a_draw_that_nobody_came_back_for_goes_with_the_fail_safe_or_with_another_sealers_commit(
    store: Store, configured: Callable[..., Settings], key_dir: Path
) -> None:
    crowded(store, 2, 80)
    settings = configured(2, "epsilon = 4")
    with pytest.raises(Crash):
        sealer(store, settings, CrashAfter("drawn")).seal_due()
    (kept,) = list(key_dir.iterdir())
    draft = key_dir / ".drawn-1234"
    draft.write_bytes(kept.read_bytes())
    content = kept.read_bytes()
    store.command("TRUNCATE TABLE open_events")
    clock = after(DAY, UTC)
    aging = Sealer(store, settings, clock, ClockGuard(clock, clock.wall, lambda: None))
    clock.pass_time(FAIL_SAFE_S - DRAFT_S)
    aging.seal_due()
    assert files(key_dir) == [kept.name]
    clock.set_wall(clock.wall() - 30 * 86_400)
    clock.boot_s += 2 * DRAFT_S
    aging.seal_due()
    assert files(key_dir) == []

    kept.write_bytes(content)
    record = (DAY, UTC, "open day", 7, 1, 0, 5, "dp", 1)
    store.insert_rows(
        "seals", ("day", "timezone", "origin", "seal", "events", "bounded", "k", "level", "days"), [record]
    )
    sealer(store, settings).seal_due()
    assert files(key_dir) == []


def test_without_the_library_a_site_of_level_dp_refuses_to_be_sealed_in_one_line(
    configured: Callable[..., Settings], tmp_path: Path
) -> None:
    configured()
    program = """
import sys
from pathlib import Path
sys.modules["opendp"] = None
from aggregator.noisy_sites import NoiseMissing, require_noise
from collector.settings import load
require_noise(load(None, Path("data"), {}))
try:
    require_noise(load(Path("footfall.toml"), Path("data"), {}))
except NoiseMissing as fault:
    print(fault)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        'level "dp" needs OpenDP, which is not installed: run `pip install "footfall[dp]"`, or set another level'
    ]
