"""From hit to event: what k counts, networks, or the visitors of a site that says so, such as an intranet behind one
address."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.collector.collecting import FIREFOX, Collector, running, sha256

TOKEN, VOUCHING_TOKEN = "footfall_ingest_of-an-intranet", "footfall_ingest_of-an-intranet-whose-addresses-count"
INTRANET, PUBLIC = "intranet.example", "public.example"
SITES = f"""
[[site]]
domain = "{PUBLIC}"
[[site]]
domain = "{INTRANET}"
distinct = "visitor"
[[site.ingest_tokens]]
name = "server"
sha256 = "{sha256(TOKEN)}"
[[site.ingest_tokens]]
name = "proxy"
sha256 = "{sha256(VOUCHING_TOKEN)}"
trusted_addresses = true
"""
BROWSERS = [FIREFOX.replace("128.0", f"{version}.0") for version in (126, 127, 128)]


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    with running(Collector(tmp_path_factory.mktemp("distinct"), sites=SITES)) as collector:
        yield collector


def visited(collector: Collector, site: str, path: str) -> list[dict[str, Any]]:
    """The events of three browsers at one address."""
    for browser in BROWSERS:
        page = {"u": f"https://{site}{path}", "d": site}
        assert collector.event(page, {"User-Agent": browser}).footfall == "accepted"
    return spooled(collector, site, path)


def spooled(collector: Collector, site: str, path: str) -> list[dict[str, Any]]:
    return [event for event in collector.events() if (event["site"], event["path"]) == (site, path)]


def reported(collector: Collector, path: str, token: str) -> list[dict[str, Any]]:
    """The same, as a server asserts them."""
    event = {"n": "pageview", "u": f"https://{INTRANET}{path}", "c": 1, "ip": "192.0.2.7"}
    assert collector.bulk(json.dumps([{**event, "ua": browser} for browser in BROWSERS]).encode(), token).status == 202
    return spooled(collector, INTRANET, path)


def test_three_browsers_at_one_address_are_one_network_unless_the_site_counts_visitors(collector: Collector) -> None:
    usual, counted = (visited(collector, site, "/") for site in (PUBLIC, INTRANET))
    assert len({event["visitor"] for event in usual}) == len({event["visitor"] for event in counted}) == 3
    assert len({event["network"] for event in usual}) == 1
    assert len({event["network"] for event in counted}) == 3


def test_who_comes_again_is_no_further_one(collector: Collector) -> None:
    twice = visited(collector, INTRANET, "/again") + visited(collector, INTRANET, "/again")
    assert len({event["network"] for event in twice}) == 3


def test_visitors_that_a_server_makes_up_are_one_unless_its_token_vouches_for_them(collector: Collector) -> None:
    assert len({event["network"] for event in reported(collector, "/asserted", TOKEN)}) == 1
    assert len({event["network"] for event in reported(collector, "/vouched", VOUCHING_TOKEN)}) == 3
