r"""Builds `country.mmdb`, the country of each network, from @ip-location-db/geo-whois-asn-country.

    for name in geo-whois-asn-country iptoasn-country-mmdb; do
        mkdir $name && tar xzf "$(npm pack @ip-location-db/$name)" -C $name --strip-components 1
    done
    python collector/data/build_country.py geo-whois-asn-country iptoasn-country-mmdb/iptoasn-country.mmdb \
        collector/data/country.mmdb

Input: the two CSV files of the package, one `first,last,country` a line, ranges inclusive. Its README warns of faults
in what is published on npm. Those that show in release 2.3.2026061719, and what is made of them:
- ranges overlap, 6,825 of 334,373 for IPv4 and 703 of 216,295 for IPv6: the narrower one wins (`disjoint`);
- private and reserved networks have countries, and one range the code of a dissolved state (AN): dropped;
- IPv6 pools of the Asian registry carry its own country, Australia, and so cover Japan, China and Indonesia: there,
  routing decides, from iptoasn-country, which is in the public domain (`without_pools`).
Where GeoLite2 and DB-IP agree on a random routed network, the result agrees with both on 98.5 % (IPv4) and 93.6 %
(IPv6; before the last correction 91.8 %). In all, 97.6 % of IPv4 agree with GeoLite2, of which DB-IP reaches 95.7 %.

Output: a MaxMind database in the layout of GeoIP2 Country, `{"country": {"iso_code": "DE"}}`, so that geoip2 reads
ours and a user's own file alike. The collector looks up addresses already cut to /24 and /48, so nothing finer can ever
be asked for: where several countries share such a network, the one with most of its addresses has it.

Needs mmdb-writer, which the collector itself does not.
"""

from __future__ import annotations

import csv
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address, ip_network
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import maxminddb
from mmdb_writer import MMDBWriter
from netaddr import IPNetwork, IPSet

DATABASE_TYPE = "Footfall-Country"  # geoip2 asks for "Country" in it
DESCRIPTION = "Countries of networks, /24 and /48 and wider. Data: Number Resource Organization (nro.net), CC BY 4.0"


class Family(NamedTuple):
    """An address family: its version, its width in bits, and the prefix length the collector truncates to."""

    version: int
    bits: int
    finest: int


FAMILIES = {"ipv4": Family(4, 32, 24), "ipv6": Family(6, 128, 48)}


class Span(NamedTuple):
    """Addresses `first` up to, not including, `end`, all of one country."""

    first: int
    end: int
    country: str


END = Span(1 << 128, (1 << 128) + 1, "")  # behind every address


def read_spans(file: Path) -> Iterator[Span]:
    """The spans of one CSV file; raises `ValueError` at a line that is none."""
    with file.open(encoding="ascii", newline="") as lines:
        for first, last, country in csv.reader(lines):
            span = Span(int(ip_address(first)), int(ip_address(last)) + 1, country)
            if span.first >= span.end:
                raise ValueError(f"{file}: the range at {first} ends before it starts")
            if len(country) != 2 or not country.isalpha() or not country.isupper():
                raise ValueError(f"{file}: {country!r} at {first} is no country code")
            if country not in NO_COUNTRIES:
                yield span


def disjoint(spans: Iterable[Span]) -> Iterator[Span]:
    """The same knowledge in order and without overlaps: where ranges overlap, the one that starts later, the narrower
    one, is the more specific statement and wins."""
    enclosing: list[Span] = []
    at = 0
    for span in [*sorted(spans, key=lambda span: (span.first, -span.end)), END]:
        while enclosing and enclosing[-1].end <= span.first:
            ended = enclosing.pop()
            if at < ended.end:
                yield Span(at, ended.end, ended.country)
                at = ended.end
        if enclosing and at < span.first:
            yield Span(at, span.first, enclosing[-1].country)
        at = span.first
        enclosing.append(span)


NO_COUNTRIES = frozenset(("AN", "AP", "EU", "ZZ"))  # a dissolved state, regions, and nowhere

RESERVED = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
    *("192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
    *("::/3", "2001::/32", "2001:2::/48", "2001:10::/28", "2001:20::/28", "2001:db8::/32", "2002::/16", "3fff::/20"),
    *("4000::/2", "8000::/1"),
)
"""IANA's special-purpose registries (RFC 6890), and IPv6 that is not global unicast."""

POOL_COUNTRY = "AU"
ALLOCATIONS = (1 << 96, 1 << 80)  # /32 and /48: real holders, right in nine cases of ten; other sizes in one of four


def read_routes(file: Path, family: Family) -> Iterator[Span]:
    """The spans of one family in a MaxMind database of networks with `country_code`, in order."""
    with maxminddb.open_database(file) as networks:
        for network, record in networks:
            if network.version == family.version and isinstance(record, dict):
                first = int(network.network_address)
                yield Span(first, first + network.num_addresses, str(record["country_code"]))


def overlaid(span: Span, above: Sequence[Span], starts: Sequence[int]) -> Iterator[Span]:
    """`span` with the parts of `above` (disjoint, in order, beginning at `starts`) that lie in it."""
    at = span.first
    for upper in above[max(0, bisect_right(starts, at) - 1) : bisect_left(starts, span.end)]:
        first, end = max(at, upper.first), min(span.end, upper.end)
        if first < end:
            if at < first:
                yield Span(at, first, span.country)
            yield Span(first, end, upper.country)
            at = end
    if at < span.end:
        yield Span(at, span.end, span.country)


def without_pools(spans: Iterable[Span], routes: Sequence[Span]) -> Iterator[Span]:
    """`spans` where those that are pools of the registry give way to `routes`, disjoint and in order, within them."""
    starts = [route.first for route in routes]
    for span in spans:
        is_pool = span.country == POOL_COUNTRY and span.end - span.first not in ALLOCATIONS
        yield from overlaid(span, routes, starts) if is_pool else (span,)


def assigned(spans: Iterable[Span], family: Family) -> Iterator[Span]:
    """`spans` without what IANA keeps for private and special use."""
    reserved = sorted(
        Span(int(network.network_address), int(network.broadcast_address) + 1, "")
        for network in map(ip_network, RESERVED)
        if network.version == family.version
    )
    starts = [network.first for network in reserved]
    for span in spans:
        yield from (part for part in overlaid(span, reserved, starts) if part.country)


def cut_at_networks(spans: Iterable[Span], size: int) -> Iterator[Span]:
    """The same spans, cut so that each either is made of whole networks of `size` addresses or lies in one."""
    for first, end, country in spans:
        inner_first, inner_end = -(-first // size) * size, end // size * size
        if inner_first > inner_end:
            yield Span(first, end, country)
            continue
        if first < inner_first:
            yield Span(first, inner_first, country)
        if inner_first < inner_end:
            yield Span(inner_first, inner_end, country)
        if inner_end < end:
            yield Span(inner_end, end, country)


def whole_networks(spans: Iterable[Span], size: int) -> Iterator[Span]:
    """Spans of whole networks of `size` addresses: a shared network goes to whom most of its addresses belong."""
    for network, shared in groupby(cut_at_networks(spans, size), key=lambda span: span.first // size):
        parts = list(shared)
        if len(parts) == 1:
            yield Span(network * size, -(-parts[0].end // size) * size, parts[0].country)
            continue
        held: dict[str, int] = {}
        for first, end, country in parts:
            held[country] = held.get(country, 0) + end - first
        yield Span(network * size, (network + 1) * size, max(held.items(), key=itemgetter(1))[0])


def joined(spans: Iterable[Span]) -> Iterator[Span]:
    """The same spans, neighbours of one country joined."""
    current: Span | None = None
    for span in spans:
        if current and current.end == span.first and current.country == span.country:
            current = current._replace(end=span.end)
            continue
        if current:
            yield current
        current = span
    if current:
        yield current


def prefixes(span: Span, family: Family) -> Iterator[IPNetwork]:
    """The fewest prefixes that cover `span` exactly."""
    first = span.first
    while first < span.end:
        aligned = (first & -first).bit_length() - 1 if first else family.bits
        host_bits = min(aligned, (span.end - first).bit_length() - 1)
        yield IPNetwork((first, family.bits - host_bits), version=family.version)
        first += 1 << host_bits


def spans_of(family_name: str, package: Path, routing: Path) -> Iterator[Span]:
    """What is known of one address family, in networks no finer than can be asked for."""
    family = FAMILIES[family_name]
    spans = disjoint(read_spans(package / f"geo-whois-asn-country-{family_name}.csv"))
    if family.version == 6:
        spans = without_pools(spans, list(read_routes(routing, family)))
    return joined(whole_networks(assigned(spans, family), 1 << (family.bits - family.finest)))


def build(package: Path, routing: Path, output: Path) -> int:
    """Writes the database; returns how many prefixes are in it."""
    by_country: dict[str, list[IPNetwork]] = {}
    for name, family in FAMILIES.items():
        for span in spans_of(name, package, routing):
            by_country.setdefault(span.country, []).extend(prefixes(span, family))
    writer = MMDBWriter(
        ip_version=6, ipv4_compatible=True, database_type=DATABASE_TYPE, languages=["en"], description=DESCRIPTION
    )
    for country, networks in sorted(by_country.items()):
        writer.insert_network(IPSet(networks), {"country": {"iso_code": country}})
    writer.to_db_file(str(output))
    return sum(map(len, by_country.values()))


def main(arguments: list[str]) -> int:
    """`build_country.py PACKAGE ROUTING OUTPUT`."""
    if len(arguments) != 3:
        print("usage: build_country.py PACKAGE_FOLDER ROUTING_MMDB OUTPUT_FILE", file=sys.stderr)
        return 2
    package, routing, output = map(Path, arguments)
    count = build(package, routing, output)
    print(f"{output}: {count:,} prefixes, {output.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
