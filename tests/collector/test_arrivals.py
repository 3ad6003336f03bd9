"""The last request of each site, and whether all of them come through one proxy: in memory, then in the spool."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from collector.arrivals import FEWEST_REQUESTS, LAST_REQUESTS, PUBLISH_EVERY_S, Arrivals
from collector.group import Arrived
from collector.settings import Settings, Site, load
from collector.spool_file import connect
from tests.collector.collecting import Collector, event_body, running, until

PUBLIC, PROXY = "192.0.2.0/24", "10.1.2.0/24"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    file = tmp_path / "footfall.toml"
    file.write_text('[[site]]\ndomain = "example.com"\n[[site]]\ndomain = "localhost"\n')
    return load(file, tmp_path / "data", {})


@pytest.fixture
def site(settings: Settings) -> Site:
    return settings.sites["example.com"]


def is_behind_one(site: Site, networks: Sequence[str]) -> bool:
    """Whether requests from these networks, one after the other, look like those of one proxy."""
    arrivals = Arrivals()
    arrivals.note(site, 1.0, "accepted", "")
    for network in networks:
        arrivals.note_network(site, network)
    return arrivals.due(1.0)[site.domain].behind_one_network


@pytest.mark.parametrize(
    "network",
    ["127.0.0.0/24", "10.1.2.0/24", "172.16.0.0/24", "172.31.255.0/24", "192.168.1.0/24", "::/40", "fd00::/40"],
)
def test_all_from_one_local_network_is_a_proxy(site: Site, network: str) -> None:
    assert is_behind_one(site, [network] * 50)


@pytest.mark.parametrize("network", [PUBLIC, "172.15.0.0/24", "172.32.0.0/24", "11.0.0.0/24", "2001:db8::/40"])
def test_all_from_one_public_network_is_not(site: Site, network: str) -> None:
    assert not is_behind_one(site, [network] * 50)


def test_more_than_nine_tenths_are_nearly_all_and_nine_tenths_are_not(site: Site) -> None:
    assert is_behind_one(site, [PROXY] * 181 + [PUBLIC] * 19)
    assert not is_behind_one(site, [PROXY] * 180 + [PUBLIC] * 20)


def test_several_local_networks_are_not_one_proxy(site: Site) -> None:
    assert not is_behind_one(site, [f"10.0.{number}.0/24" for number in range(50)])


def test_a_few_requests_tell_nothing(site: Site) -> None:
    assert is_behind_one(site, [PROXY] * FEWEST_REQUESTS)
    assert not is_behind_one(site, [PROXY] * (FEWEST_REQUESTS - 1))


def test_the_last_200_requests_count(site: Site) -> None:
    assert not is_behind_one(site, [PROXY] * 1_000 + [PUBLIC] * LAST_REQUESTS)
    assert is_behind_one(site, [PUBLIC] * 1_000 + [PROXY] * LAST_REQUESTS)


def test_at_a_development_site_the_loopback_is_no_proxy(settings: Settings) -> None:
    assert not is_behind_one(settings.sites["localhost"], ["127.0.0.0/24"] * 200)


def test_what_changed_is_told_at_most_once_a_second(site: Site) -> None:
    arrivals = Arrivals()
    arrivals.note(site, 10.0, "dropped", "no_consent")
    told = arrivals.due(10.0)
    assert told == {"example.com": Arrived(10.0, "dropped", "no_consent", False)}
    arrivals.published(told, 10.0)
    assert arrivals.due(20.0) == {}
    arrivals.note(site, 10.1, "accepted", "")
    assert arrivals.due(10.0 + PUBLISH_EVERY_S - 0.01) == {}
    assert arrivals.due(10.0 + PUBLISH_EVERY_S)["example.com"].outcome == "accepted"


def test_what_could_not_be_written_is_told_again(site: Site) -> None:
    arrivals = Arrivals()
    arrivals.note(site, 10.0, "dropped", "bot")
    assert arrivals.due(10.0) == arrivals.due(10.1) != {}


def test_a_clock_set_back_does_not_silence_it(site: Site) -> None:
    arrivals = Arrivals()
    arrivals.note(site, 1_000.0, "accepted", "")
    arrivals.published(arrivals.due(1_000.0), 1_000.0)
    arrivals.note(site, 500.0, "accepted", "")
    assert arrivals.due(500.0)


def arrived(collector: Collector) -> dict[str, tuple[str, str, bool]]:
    """Outcome, reason and whether all come from one network, by site, as the spools have them."""
    found = {}
    for file in sorted(collector.spool_dir.glob("spool-*.sqlite")):
        with contextlib.closing(connect(file)) as connection:
            for site, *last in connection.execute("SELECT site, outcome, reason, behind_one_network FROM arrivals"):
                found[site] = (last[0], last[1], bool(last[2]))
    return found


def test_each_outcome_is_in_the_spool_soon_and_no_address_is(tmp_path: Path) -> None:
    with running(Collector(tmp_path)) as collector:
        for fields, expected in (
            ({"c": "0"}, ("dropped", "refused", False)),
            ({"u": "mailto:someone"}, ("invalid", "", False)),
            ({}, ("accepted", "", False)),
        ):
            collector.event(fields)
            until(lambda expected=expected: arrived(collector) == {"example.com": expected}, "it is told")  # type: ignore[misc]  # bound now
        for _ in range(FEWEST_REQUESTS):
            collector.event()
        until(lambda: arrived(collector) == {"example.com": ("accepted", "", True)}, "all come from the loopback")
        assert b"127.0.0" not in collector.spool_bytes()


def test_a_request_without_consent_does_not_tell_its_network(tmp_path: Path) -> None:
    with running(Collector(tmp_path)) as collector:
        for _ in range(2 * FEWEST_REQUESTS):
            collector.event({"c": "0"})
        collector.ask("POST", "/api/event", event_body({"d": "unknown.example"}))
        until(lambda: arrived(collector) == {"example.com": ("dropped", "refused", False)}, "it is told")
