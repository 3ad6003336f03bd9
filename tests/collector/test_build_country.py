from __future__ import annotations

import ipaddress
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from collector.country import Countries
from collector.data.build_country import (
    FAMILIES,
    Span,
    build,
    disjoint,
    joined,
    overlaid,
    prefixes,
    read_spans,
    whole_networks,
)

SPANS = st.builds(
    lambda first, length, country: Span(first, first + length, country),
    st.integers(0, 100),
    st.integers(1, 40),
    st.sampled_from(["DE", "FR", "IT"]),
)


def as_map(spans: list[Span]) -> dict[int, str]:
    return {address: span.country for span in spans for address in range(span.first, span.end)}


@given(st.lists(SPANS))
def test_where_ranges_overlap_the_later_and_narrower_one_wins(spans: list[Span]) -> None:
    result = list(disjoint(spans))
    assert all(one.end <= other.first for one, other in pairwise(result))
    written = as_map(sorted(spans, key=lambda span: (span.first, -span.end)))
    assert as_map(result) == written


@given(st.lists(SPANS))
def test_a_network_belongs_to_whom_most_of_its_addresses_belong(spans: list[Span]) -> None:
    apart = list(disjoint(spans))
    held = as_map(apart)
    for first, end, country in whole_networks(apart, 8):
        assert first % 8 == end % 8 == 0
        for network in range(first, end, 8):
            owners = [held[address] for address in range(network, network + 8) if address in held]
            assert owners.count(country) == max(map(owners.count, owners))


@given(st.lists(SPANS))
def test_joining_changes_no_address(spans: list[Span]) -> None:
    apart = list(disjoint(spans))
    result = list(joined(apart))
    assert as_map(result) == as_map(apart)
    assert all(one.end < other.first or one.country != other.country for one, other in pairwise(result))


@given(SPANS, st.lists(SPANS))
def test_what_is_laid_over_a_span_covers_its_part_of_it(span: Span, others: list[Span]) -> None:
    above = list(disjoint(others))
    result = as_map(list(overlaid(span, above, [upper.first for upper in above])))
    over = as_map(above)
    assert result == {address: over.get(address, span.country) for address in range(span.first, span.end)}


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_prefixes_cover_a_span_exactly(one: int, other: int) -> None:
    first, last = sorted((one, other))
    expected = ipaddress.summarize_address_range(ipaddress.IPv4Address(first), ipaddress.IPv4Address(last))
    found = prefixes(Span(first, last + 1, "DE"), FAMILIES["ipv4"])
    assert [str(network) for network in found] == [str(network) for network in expected]


@pytest.mark.parametrize("line", ["1.0.0.9,1.0.0.1,DE", "1.0.0.0,1.0.0.1,de", "1.0.0.0,1.0.0.1,DEU", "x,y,DE"])
def test_a_faulty_line_is_not_built_upon(tmp_path: Path, line: str) -> None:
    file = tmp_path / "ranges.csv"
    file.write_text(f"{line}\n")
    with pytest.raises(ValueError, match=r"ranges\.csv|address"):
        list(read_spans(file))


def test_the_known_faults_of_the_package_are_put_right(tmp_path: Path) -> None:
    (tmp_path / "geo-whois-asn-country-ipv4.csv").write_text(
        "5.0.0.0,5.0.3.255,DE\n5.0.1.0,5.0.1.255,FR\n5.0.2.10,5.0.2.20,IT\n6.0.0.0,6.0.0.255,AN\n192.168.0.0,192.168.255.255,AU\n"
    )
    (tmp_path / "geo-whois-asn-country-ipv6.csv").write_text(
        "2001:200::,2001:218:2000:51:ffff:ffff:ffff:ffff,AU\n2403:580::,2403:580:ffff:ffff:ffff:ffff:ffff:ffff,AU\n"
    )
    routes = MMDBWriter(ip_version=6, database_type="routes")
    routes.insert_network(IPSet(["2001:200::/32", "2403:580::/32"]), {"country_code": "JP"})
    routes.to_db_file(str(tmp_path / "routes.mmdb"))

    build(tmp_path, tmp_path / "routes.mmdb", tmp_path / "country.mmdb")

    asked = ("5.0.0.0", "5.0.1.0", "5.0.2.0", "6.0.0.0", "192.168.0.0", "2001:200::", "2001:210::", "2403:580::")
    countries = Countries(tmp_path / "country.mmdb")
    assert {host: countries.country_of(host) for host in asked} == {
        "5.0.0.0": "DE",
        "5.0.1.0": "FR",
        "5.0.2.0": "DE",  # most of that /24
        "6.0.0.0": "",
        "192.168.0.0": "",
        "2001:200::": "JP",  # a pool of the registry: routing knows better
        "2001:210::": "AU",  # the same pool, not routed
        "2403:580::": "AU",  # an allocation
    }
