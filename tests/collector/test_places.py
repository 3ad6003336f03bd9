from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.address import Networks, client_address, truncate
from collector.country import Countries
from collector.places import PLACES_KEPT, PROXIES_KEPT, Place, Places

PROXY = "10.1.2.3"
TRUSTED: Networks = (
    ipaddress.ip_network("10.1.2.0/30"),
    ipaddress.ip_network("192.0.2.128/25"),
    ipaddress.ip_network("2001:db8:1:2::/64"),
)
COUNTRIES = Countries()
FORMS = ["8.8.8.8", "::ffff:8.8.8.8", "2002:808:808::1", "2001:0:4136:e378:8000:63bf:f7f7:f7f7", "64:ff9b::808:808"]
# Each beside others of its network, so that what is remembered of one is there when the next comes.
ADDRESSES = st.sampled_from(
    [
        *("192.0.2.1", "192.0.2.129", "192.0.2.255", "192.0.2.256", "192.0.2.01", "192.0.2.1.5", "192.0.2.0.5"),
        *(
            "2001:db8:1::7",
            "2001:db8:1:2::7",
            "2001:db8:1:3::7",
            "2001:db8:1::.5",
            "2001:db8:1::7%eth0",
            "[2001:db8:1::7]",
        ),
        *("10.1.2.3", "10.1.2.4", "192.0.2.1:80", "::1", "::", "::7", "64:ff9b::7", "fe80::1", "", "x", ".5", "\u0664"),
        *FORMS,
    ]
)


def place_by_steps(peer: str, forwarded: str | None) -> tuple[str, str, str] | None:
    """What `Places` must find, by its parts alone."""
    truncated = truncate(client_address(peer, forwarded, TRUSTED))
    if truncated is None:
        return None
    return truncated.host, truncated.network, COUNTRIES.country_of(truncated.host)


def shown(place: Place | None) -> tuple[str, str, str] | None:
    return None if place is None else (place.host, place.network, place.country)


@settings(max_examples=300)
@given(st.lists(st.tuples(ADDRESSES, st.none() | st.lists(ADDRESSES, max_size=3).map(", ".join)), min_size=2))
def test_what_is_remembered_changes_no_answer(hits: list[tuple[str, str | None]]) -> None:
    places = Places(COUNTRIES, TRUSTED)
    for peer, forwarded in hits:
        given_to_it = None if forwarded is None else forwarded.encode("latin-1", "replace")
        by_steps = place_by_steps(peer, None if given_to_it is None else given_to_it.decode("latin-1"))
        assert shown(places.behind(peer, given_to_it)) == by_steps


@settings(max_examples=300)
@given(st.lists(st.one_of(st.ip_addresses(), ADDRESSES).map(str), min_size=1))
def test_each_address_has_the_place_of_its_truncated_form(addresses: list[str]) -> None:
    places = Places(COUNTRIES, ())
    for address in addresses * 2:
        assert shown(places.place_of(address)) == place_by_steps_of(address)


def place_by_steps_of(address: str) -> tuple[str, str, str] | None:
    truncated = truncate(address)
    return None if truncated is None else (*truncated[:2], COUNTRIES.country_of(truncated.host))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_an_address_has_one_country(form: str) -> None:
    assert shown(Places(COUNTRIES, ()).place_of(form)) == ("8.8.8.0", "8.8.8.0/24", "US")


def test_a_hop_that_may_be_a_proxy_is_looked_at_each_time() -> None:
    places = Places(COUNTRIES, TRUSTED)
    assert shown(places.behind(PROXY, b"192.0.2.1")) == ("192.0.2.0", "192.0.2.0/24", "")
    assert shown(places.behind(PROXY, b"8.8.8.8, 192.0.2.129")) == ("8.8.8.0", "8.8.8.0/24", "US")
    assert shown(places.behind(PROXY, b"8.8.8.8, 192.0.2.127")) == ("192.0.2.0", "192.0.2.0/24", "")


def test_nothing_that_is_remembered_tells_a_whole_address() -> None:
    places = Places(COUNTRIES, TRUSTED)
    sent = ["203.0.113.77", "2400:cb00:60:ea3:b892:5695:3770:ea68", *FORMS]
    for address in sent:
        places.behind(PROXY, address.encode())
        places.behind(address, b"198.51.100.77")
        places.place_of(address)
    remembered = repr(vars(places))
    assert "203.0.113." in remembered
    assert ".77" not in remembered
    for address in sent:
        packed = ipaddress.ip_address(address).packed
        assert address not in remembered
        assert repr(packed[:7])[2:-1] not in remembered
    assert "8.8.8.8" not in remembered


def test_what_is_remembered_is_bounded() -> None:
    places = Places(COUNTRIES, (ipaddress.ip_network("10.0.0.0/8"),))
    for number in range(PLACES_KEPT + 1):
        places.place_of(f"20.{number >> 8}.{number & 255}.1")
    assert places.remembered == 1
    for number in range(PROXIES_KEPT + 10):
        assert places.behind(f"10.0.{number >> 8}.{number & 255}", b"8.8.8.8") is not None
    assert places.proxies_remembered == PROXIES_KEPT
