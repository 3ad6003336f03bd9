"""A changed time zone: when it takes effect, that no day of a site is in two of them, and that it is remembered."""

from __future__ import annotations

import itertools
import json
import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.days import day_of, ends_at
from collector.group import Counted, Group
from collector.settings import Site, load
from collector.spool import open_spool
from collector.zones import (
    FILE,
    SPREAD_S,
    SiteDay,
    Terms,
    Zones,
    changed,
    day_at,
    declare,
    first_term,
    period_of,
    waiting,
    zone_of,
)

LOS_ANGELES, KOLKATA, BERLIN = "America/Los_Angeles", "Asia/Kolkata", "Europe/Berlin"
ALL = (
    *(LOS_ANGELES, KOLKATA, BERLIN, "UTC", "America/Havana", "Asia/Beirut", "Asia/Kathmandu", "Australia/Eucla"),
    *("Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham", "Pacific/Kiritimati", "Pacific/Kwajalein"),
    *("Pacific/Pago_Pago", "Etc/GMT+12", "America/St_Johns"),
    *("Europe/Berlin/week", "America/Los_Angeles/week", "Asia/Kolkata/week"),
)
HOUR_S = 3_600.0


def at(text: str) -> float:
    """Unix seconds of an RFC 3339 time."""
    return datetime.fromisoformat(text).timestamp()


NOON = at("2026-11-22T20:00:00+00:00")  # In Los Angeles.


def on(terms: Terms, text: str) -> tuple[str, str]:
    found = day_at(terms, at(text))
    return found.iso, found.timezone


def test_to_the_east_the_next_day_is_shorter() -> None:
    terms = changed(first_term(LOS_ANGELES), KOLKATA, NOON, date.min)
    assert on(terms, "2026-11-23T07:59:59+00:00") == ("2026-11-22", LOS_ANGELES)
    assert on(terms, "2026-11-23T08:00:00+00:00") == ("2026-11-23", KOLKATA)  # 13:30 there.
    assert on(terms, "2026-11-23T18:29:59+00:00") == ("2026-11-23", KOLKATA)
    assert on(terms, "2026-11-23T18:30:00+00:00") == ("2026-11-24", KOLKATA)


def test_to_the_west_the_next_day_is_longer() -> None:
    terms = changed(first_term(KOLKATA), LOS_ANGELES, NOON, date.min)
    assert on(terms, "2026-11-23T18:29:59+00:00") == ("2026-11-23", KOLKATA)
    assert on(terms, "2026-11-23T18:30:00+00:00") == ("2026-11-24", LOS_ANGELES)  # 10:30 of the 23rd there.
    assert on(terms, "2026-11-25T07:59:59+00:00") == ("2026-11-24", LOS_ANGELES)
    assert on(terms, "2026-11-25T08:00:00+00:00") == ("2026-11-25", LOS_ANGELES)


def test_what_is_reported_of_days_before_the_change_stays_in_the_old_zone() -> None:
    terms = changed(first_term(LOS_ANGELES), KOLKATA, NOON, date.min)
    assert on(terms, "2025-11-30T19:00:00+00:00") == ("2025-11-30", LOS_ANGELES)
    assert zone_of(terms, date(2026, 11, 22)) == LOS_ANGELES
    assert zone_of(terms, date(2026, 11, 23)) == KOLKATA


def test_a_change_within_its_last_minutes_waits_for_another_day() -> None:
    midnight = ends_at(date(2026, 11, 22), BERLIN)
    assert changed(first_term(BERLIN), KOLKATA, midnight - SPREAD_S - 1.0, date.min)[-1].since == midnight
    assert changed(first_term(BERLIN), KOLKATA, midnight - SPREAD_S, date.min)[-1].since > midnight


def test_a_change_that_waits_is_taken_back_without_a_trace() -> None:
    terms = changed(first_term(LOS_ANGELES), KOLKATA, NOON, date(2026, 11, 22))
    assert changed(terms, LOS_ANGELES, NOON + HOUR_S, date(2026, 11, 22)) == first_term(LOS_ANGELES)


def test_a_change_that_waits_is_replaced_by_the_next() -> None:
    terms = changed(first_term(LOS_ANGELES), KOLKATA, NOON, date(2026, 11, 22))
    again = changed(terms, BERLIN, NOON + HOUR_S, date(2026, 11, 22))
    assert [(term.timezone, term.since) for term in again[1:]] == [(BERLIN, terms[1].since)]


def test_a_change_that_took_effect_is_changed_back_after_a_day_of_its_own() -> None:
    terms = changed(first_term(LOS_ANGELES), KOLKATA, NOON, date(2026, 11, 22))
    back = changed(terms, LOS_ANGELES, terms[1].since + HOUR_S, date(2026, 11, 23))
    assert [term.timezone for term in back] == [LOS_ANGELES, KOLKATA, LOS_ANGELES]
    assert back[2].since == ends_at(date(2026, 11, 23), KOLKATA)
    assert back[2].first_day == date(2026, 11, 24)


def test_a_site_goes_over_to_weeks_when_its_day_ends_and_its_first_week_ends_on_sunday() -> None:
    terms = changed(first_term(BERLIN), f"{BERLIN}/week", at("2026-11-25T12:00:00+00:00"), date.min)
    assert on(terms, "2026-11-25T22:59:59+00:00") == ("2026-11-25", BERLIN)
    assert on(terms, "2026-11-25T23:00:00+00:00") == ("2026-11-26", f"{BERLIN}/week")
    assert on(terms, "2026-11-29T22:59:59+00:00") == ("2026-11-26", f"{BERLIN}/week")
    assert on(terms, "2026-11-29T23:00:00+00:00") == ("2026-11-30", f"{BERLIN}/week")
    assert period_of(terms, date(2026, 11, 28)) == (date(2026, 11, 26), date(2026, 11, 29))


def test_a_site_goes_back_to_days_when_its_week_ends() -> None:
    terms = changed(first_term(f"{BERLIN}/week"), BERLIN, at("2026-11-25T12:00:00+00:00"), date(2026, 11, 25))
    assert on(terms, "2026-11-29T22:59:59+00:00") == ("2026-11-23", f"{BERLIN}/week")
    assert on(terms, "2026-11-29T23:00:00+00:00") == ("2026-11-30", BERLIN)
    assert on(terms, "2026-12-01T12:00:00+00:00") == ("2026-12-01", BERLIN)


def test_requests_of_a_week_are_counted_on_their_dates() -> None:
    found = day_at(first_term(f"{BERLIN}/week"), at("2026-11-25T23:30:00+00:00"))
    assert (found.iso, found.date_iso) == ("2026-11-23", "2026-11-26")


def test_days_that_a_clock_ahead_has_filled_are_waited_for() -> None:
    filled = date(2026, 12, 24)
    assert changed(first_term(BERLIN), KOLKATA, NOON, filled)[-1].first_day == filled + timedelta(days=1)
    terms = changed(first_term(BERLIN), KOLKATA, NOON, date.min)
    assert changed(terms, BERLIN, NOON, filled)[1].timezone == KOLKATA  # An event of it was accepted: no taking back.


MOVES = st.lists(
    st.tuples(st.sampled_from(ALL), st.floats(-50 * HOUR_S, 80 * HOUR_S), st.booleans()), min_size=1, max_size=12
)


@given(st.sampled_from(ALL), MOVES, st.floats(0, 86_400.0))
@settings(max_examples=150, deadline=None)
def test_whatever_is_changed_when_no_day_has_two_zones_and_days_never_go_back(
    zone: str, moves: list[tuple[str, float, bool]], start: float
) -> None:
    """Clocks go back, too; what was counted, and where, stays as it is for ever."""
    terms, now = first_term(zone), NOON + start
    counted: dict[float, SiteDay] = {}
    for timezone, passes_s, has_event in moves:
        now += passes_s
        if has_event:
            counted[now] = day_at(terms, now)
        newest = max((date.fromisoformat(found.date_iso) for found in counted.values()), default=date.min)
        terms = changed(terms, timezone, now, newest)
        assert {when: day_at(terms, when) for when in counted} == counted
    zones: dict[date, str] = {}
    last = date.min
    for when in itertools.count(NOON - 60 * HOUR_S, 900.0):
        found = day_at(terms, when)
        assert found.day >= last
        assert zones.setdefault(found.day, found.timezone) == found.timezone == zone_of(terms, found.day)
        last = found.day
        first, through = period_of(terms, date.fromisoformat(found.date_iso))
        assert first == found.day <= date.fromisoformat(found.date_iso) <= through
        if when > terms[-1].since + 60 * HOUR_S and when > NOON + 60 * HOUR_S:
            break


@pytest.fixture
def site(tmp_path: Path) -> Callable[[str], Site]:
    def made(timezone: str) -> Site:
        environ = {"FOOTFALL_SITE__DOMAIN": "example.com", "FOOTFALL_SITE__TIMEZONE": timezone}
        return load(None, tmp_path, environ).sites["example.com"]

    return made


def test_a_site_is_counted_in_its_configured_zone_at_first(tmp_path: Path, site: Callable[[str], Site]) -> None:
    declare(tmp_path, [site(BERLIN)], NOON)
    assert Zones(tmp_path).day(site(BERLIN), NOON) == SiteDay(date(2026, 11, 22), "2026-11-22", BERLIN, "2026-11-22")


def test_whoever_has_read_the_file_learns_of_a_change_before_it_matters(
    tmp_path: Path, site: Callable[[str], Site]
) -> None:
    declare(tmp_path, [site(BERLIN)], NOON)
    other = Zones(tmp_path)
    other.day(site(BERLIN), NOON)
    declare(tmp_path, [site(KOLKATA)], NOON)
    # One worker has the old configuration still, the other the new one.
    for configured in (BERLIN, KOLKATA):
        assert other.day(site(configured), NOON + HOUR_S).timezone == BERLIN
        assert other.day(site(configured), ends_at(date(2026, 11, 22), BERLIN)).timezone == KOLKATA


def test_events_of_spools_are_known_to_a_change(tmp_path: Path, site: Callable[[str], Site]) -> None:
    declare(tmp_path, [site(BERLIN)], NOON)
    spool, group = open_spool(tmp_path, 1 << 30), Group()
    group.count(Counted("2026-12-24", "example.com", "accepted", ""))
    group.count(Counted("2027-12-24", "example.org", "accepted", ""))
    group.count(Counted("2027-12-24", "example.com", "dropped", "bot"))
    spool.commit(group, NOON)
    spool.close()
    declare(tmp_path, [site(KOLKATA)], NOON)
    assert Zones(tmp_path).terms(site(KOLKATA))[-1].first_day == date(2026, 12, 25)


def test_a_damaged_spool_does_not_hinder_a_change(tmp_path: Path, site: Callable[[str], Site]) -> None:
    declare(tmp_path, [site(BERLIN)], NOON)
    (tmp_path / "spool-0.sqlite").write_bytes(b"no database" * 1_000)
    declare(tmp_path, [site(KOLKATA)], NOON)
    assert len(Zones(tmp_path).terms(site(KOLKATA))) == 2


def test_workers_that_start_at_once_agree(tmp_path: Path, site: Callable[[str], Site]) -> None:
    declare(tmp_path, [site(BERLIN)], NOON)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=declare, args=(tmp_path, [site(zone)], NOON)) for zone in (KOLKATA, LOS_ANGELES)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    terms = Zones(tmp_path).terms(site(BERLIN))
    assert len(terms) == 2
    assert terms[1].since == ends_at(date(2026, 11, 22), BERLIN)


def test_a_site_that_vanished_and_comes_again_is_remembered(tmp_path: Path, site: Callable[[str], Site]) -> None:
    declare(tmp_path, [site(BERLIN)], NOON)
    declare(tmp_path, [replace(site(BERLIN), domain="other.example")], NOON)
    declare(tmp_path, [site(KOLKATA)], NOON)
    assert [term.timezone for term in Zones(tmp_path).terms(site(KOLKATA))] == [BERLIN, KOLKATA]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[1]",
        b'{"version": 1, "sites": {"example.com": []}}',
        b'{"version": 1, "sites": {"example.com": [{"timezone": "No/Zone", "since": 0.0, "first_day": "0001-01-01"}]}}',
        b'{"version": 1, "sites": {"example.com": [{"timezone": 5, "since": 0.0, "first_day": "0001-01-01"}]}}',
    ],
)
def test_a_file_that_cannot_be_read_is_set_aside(
    tmp_path: Path, site: Callable[[str], Site], content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert Zones(tmp_path).day(site(BERLIN), NOON).timezone == BERLIN
    declare(tmp_path, [site(BERLIN)], NOON)
    assert (tmp_path / "zones.damaged").read_bytes() == content
    assert "zones.damaged" in caplog.text
    assert list(json.loads((tmp_path / FILE).read_bytes())["sites"]) == ["example.com"]


def test_what_waits_is_told_in_a_sentence(tmp_path: Path, site: Callable[[str], Site]) -> None:
    declare(tmp_path, [site(BERLIN)], NOON)
    assert waiting(Zones(tmp_path), [site(BERLIN)], NOON) == []
    declare(tmp_path, [site(KOLKATA)], NOON)
    (told,) = waiting(Zones(tmp_path), [site(KOLKATA)], NOON)
    assert told.startswith("example.com is counted in Europe/Berlin until 2026-11-22 ends there (2026-11-22 23:00 UTC)")
    assert told.endswith(", and in Asia/Kolkata from 2026-11-23 on")
    assert waiting(Zones(tmp_path), [site(KOLKATA)], NOON + 24 * HOUR_S) == []


def test_taking_a_change_back_is_told(
    tmp_path: Path, site: Callable[[str], Site], caplog: pytest.LogCaptureFixture
) -> None:
    for zone in (BERLIN, KOLKATA, BERLIN):
        declare(tmp_path, [site(zone)], NOON)
    assert "example.com stays counted in Europe/Berlin" in caplog.text


def test_without_a_folder_the_configured_zone_counts(site: Callable[[str], Site]) -> None:
    assert Zones().day(site(KOLKATA), NOON).timezone == KOLKATA


def test_days_of_a_zone_are_those_that_the_calendar_has(tmp_path: Path, site: Callable[[str], Site]) -> None:
    zones, of = Zones(tmp_path), site("Australia/Lord_Howe")
    for when in range(int(NOON), int(NOON) + 400 * 86_400, 7_919):
        assert zones.day(of, when).day == day_of(when, of.timezone)
