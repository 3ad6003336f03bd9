from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.address import MAX_HOPS, Truncated, client_address, truncate

PROXIES = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))

FORMS_OF_192_0_2_7 = [
    "192.0.2.7",
    "::ffff:192.0.2.7",
    "::ffff:c000:207",
    "0:0:0:0:0:ffff:c000:0207",
    "2002:c000:207::1",
    "2002:c000:0207:1:2:3:4:5",
    "2001:0:4136:e378:8000:63bf:3fff:fdf8",
    "64:ff9b::192.0.2.7",
    "64:ff9b::c000:207",
    "::ffff:192.0.2.7%eth0",
]


@pytest.mark.parametrize("form", FORMS_OF_192_0_2_7)
def test_every_form_of_an_ipv4_address_is_truncated_to_its_slash_24(form: str) -> None:
    assert truncate(form) == Truncated("192.0.2.0", "192.0.2.0/24", 4)


def test_addresses_of_one_slash_24_are_one() -> None:
    assert truncate("192.0.2.7") == truncate("192.0.2.200") != truncate("192.0.3.7")


def test_ipv6_keeps_48_bits_and_counts_by_40() -> None:
    assert truncate("2001:db8:1:2:3:4:5:6") == Truncated("2001:db8:1::", "2001:db8::/40", 6)
    assert truncate("2001:db8:1ff::1") == Truncated("2001:db8:1ff::", "2001:db8:100::/40", 6)


def test_a_loopback_address_is_not_taken_for_ipv4() -> None:
    assert truncate("::1") == Truncated("::", "::/40", 6)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "1.2.3",
        "1.2.3.4.5",
        "1.2.3.256",
        "1.2.3.04",
        "1.2.3.-4",
        "1.2.3. 4",
        "1.2.3.٤",
        "::g",
        ":::",
        "1::2::3",
        "unknown",
        "unix:/run/x.sock",
        "[::1]:80",
        "192.0.2.7:80",
        "\x00",
        "::\x00",
        "�",
        "1" * 10000,
    ],
)
def test_what_is_no_address_has_nothing_left(text: str) -> None:
    assert truncate(text) is None


@given(st.ip_addresses(v=4))
def test_the_last_octet_never_gets_through(address: ipaddress.IPv4Address) -> None:
    truncated = truncate(str(address))
    assert truncated == truncate(str(ipaddress.IPv4Address(int(address) ^ 0xA5)))
    assert truncated is not None
    assert ipaddress.ip_address(truncated.host) == ipaddress.IPv4Address(int(address) >> 8 << 8)
    assert ipaddress.ip_network(truncated.network) == ipaddress.ip_network(f"{truncated.host}/24")


@given(st.ip_addresses(v=6), st.integers(0, 2**80 - 1))
def test_the_last_80_bits_never_get_through_unless_they_hold_an_ipv4_prefix(
    address: ipaddress.IPv6Address, other_host: int
) -> None:
    truncated = truncate(str(address))
    assert truncated is not None
    if truncated.version == 6:
        neighbour = truncate(str(ipaddress.IPv6Address(int(address) >> 80 << 80 | other_host)))
        assert neighbour is not None
        assert neighbour == truncated or neighbour.version == 4
        assert int(ipaddress.IPv6Address(truncated.host)) & (2**80 - 1) == 0
        assert ipaddress.ip_address(truncated.host) in ipaddress.ip_network(truncated.network)
    else:
        assert truncated.host.endswith(".0")


@given(st.ip_addresses(v=4), st.integers(0, 2**80 - 1), st.integers(0, 2**64 - 1))
def test_transition_forms_equal_their_ipv4(address: ipaddress.IPv4Address, low: int, teredo: int) -> None:
    value, expected = int(address), truncate(str(address))
    for form in (
        0xFFFF << 32 | value,
        0x2002 << 112 | value << 80 | low,
        0x20010000 << 96 | teredo << 32 | value ^ 0xFFFFFFFF,
        0x0064FF9B << 96 | value,
    ):
        assert truncate(str(ipaddress.IPv6Address(form))) == expected


@given(st.text())
def test_any_text_is_an_address_or_none(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        assert truncate(text) is None or "%" in text
    else:
        assert truncate(text) is not None


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("198.51.100.1", None, "198.51.100.1"),
        ("198.51.100.1", "192.0.2.7", "198.51.100.1"),  # not a proxy of ours: its header is worth nothing
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("::ffff:10.0.0.1", "192.0.2.7", "192.0.2.7"),  # as a dual-stack socket reports it
        ("10.0.0.1", "203.0.113.9, 192.0.2.7", "192.0.2.7"),  # the left one is what the client claims
        ("10.0.0.1", "203.0.113.9, 192.0.2.7, 10.1.1.1 ,10.2.2.2", "192.0.2.7"),
        ("10.0.0.1", "10.9.9.9, 10.1.1.1", "10.9.9.9"),  # all ours: the client is inside
        ("10.0.0.1", "192.0.2.7:4711", "192.0.2.7"),
        ("10.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"),
        ("10.0.0.1", '"[2001:db8::7]"', "2001:db8::7"),
        ("10.0.0.1", "2001:db8::7%eth0", "2001:db8::7"),
        ("fd00::1", "2001:db8::7", "2001:db8::7"),
        ("10.0.0.1", "192.0.2.7, unknown", "10.0.0.1"),  # garbage: no further than the last good one
        ("10.0.0.1", "192.0.2.7, unknown, 10.3.3.3", "10.3.3.3"),
        ("10.0.0.1", "192.0.2.7,", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9, 2002:a00:1::1", "2002:a00:1::1"),  # 6to4 of 10.0.0.1 comes from outside
        ("unix:", "192.0.2.7", "unix"),
    ],
)
def test_the_client_is_the_right_most_untrusted_hop(peer: str, forwarded_for: str | None, client: str) -> None:
    assert client_address(peer, forwarded_for, PROXIES) == client


def test_without_trusted_proxies_only_the_peer_counts() -> None:
    assert client_address("10.0.0.1", "192.0.2.7", ()) == "10.0.0.1"


def test_a_chain_is_read_up_to_its_bound() -> None:
    within = ", ".join(["192.0.2.7"] + ["10.0.0.1"] * (MAX_HOPS - 1))
    assert client_address("10.0.0.1", within, PROXIES) == "192.0.2.7"
    assert client_address("10.0.0.1", f"192.0.2.7, {'10.0.0.1,' * MAX_HOPS}"[:-1], PROXIES) == "10.0.0.1"


@given(st.text(), st.text() | st.none())
def test_any_headers_give_some_address(peer: str, forwarded_for: str | None) -> None:
    assert isinstance(client_address(peer, forwarded_for, PROXIES), str)
    assert isinstance(client_address("10.0.0.1", forwarded_for, PROXIES), str)
