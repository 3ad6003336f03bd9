"""What became of a site's last request reaches whoever waits for it within seconds, and is kept for a day at most."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aggregator.arrivals import Arrival, last_arrival, of_one_network, publish
from aggregator.drain import Drainer
from aggregator.store import Store
from collector.arrivals import FEWEST_REQUESTS
from collector.clock import SystemClock
from collector.keys import Keys
from collector.settings import load
from tests.collector.collecting import Collector, running

DAY_S = 86_400


def test_of_several_spools_the_last_request_is_the_one(store: Store) -> None:
    now = time.time()
    first, last = Arrival(now - 2, "dropped", "no_consent", True), Arrival(now - 1, "accepted", "", False)
    publish(store, [(1, "example.com", first), (2, "example.com", last), (1, "example.org", first)])
    arrival = last_arrival(store, "example.com")
    assert arrival is not None
    assert (arrival.outcome, arrival.reason, arrival.behind_one_network) == ("accepted", "", False)
    assert arrival.at == pytest.approx(now - 1, abs=0.001)
    assert of_one_network(store) == ["example.org"]


def test_a_site_without_requests_has_none(store: Store) -> None:
    assert last_arrival(store, "example.com") is None
    assert of_one_network(store) == []


def test_what_is_older_than_a_day_is_not_told_and_not_kept(store: Store) -> None:
    publish(store, [(1, "example.com", Arrival(time.time() - DAY_S - 5, "accepted", "", True))])
    assert last_arrival(store, "example.com") is None
    assert of_one_network(store) == []
    assert store.query("SELECT count() FROM arrivals") == [(0,)]


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    with running(Collector(tmp_path / "collector", workers=2)) as collector:
        yield collector


@pytest.fixture
def drainer(collector: Collector, store: Store) -> Iterator[Drainer]:
    settings = load(collector.config, collector.data, {})
    clock = SystemClock()
    drainer = Drainer(settings, store, Keys(collector.keys, settings.privacy.grace_minutes * 60, clock), clock)
    yield drainer
    drainer.close()


def told_after(drainer: Drainer, store: Store, since: float) -> tuple[Arrival, float]:
    """The first arrival of example.com not before `since`, and how long it took from then."""
    while time.time() < since + 30:
        drainer.round()
        arrival = last_arrival(store, "example.com")
        if arrival is not None and arrival.at >= since:
            return arrival, time.time() - since
        time.sleep(0.1)
    raise AssertionError("the request was never told")


def test_a_request_is_told_within_two_seconds_with_the_reason_it_was_dropped_for(
    collector: Collector, drainer: Drainer, store: Store
) -> None:
    for fields, expected in (({"c": "0"}, ("dropped", "refused")), ({}, ("accepted", "")), ({}, ("accepted", ""))):
        since = round(time.time(), 3) - 0.001
        collector.event(fields)
        arrival, took_s = told_after(drainer, store, since)
        assert (arrival.outcome, arrival.reason) == expected
        assert took_s < 2.0


def test_a_site_whose_requests_all_come_from_the_loopback_is_named(
    collector: Collector, drainer: Drainer, store: Store
) -> None:
    for _ in range(4 * FEWEST_REQUESTS):
        collector.event()
    since = round(time.time(), 3) - 0.001
    collector.event()
    arrival, _ = told_after(drainer, store, since)
    assert arrival.behind_one_network
    assert of_one_network(store) == ["example.com"]
