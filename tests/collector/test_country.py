from __future__ import annotations

import csv
import gzip
import ipaddress
import random
from collections.abc import Iterator
from pathlib import Path

import geoip2.database
import maxminddb
import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from collector.address import truncate
from collector.country import SHIPPED, Countries

DATA = Path(__file__).parents[1] / "data"

WELL_KNOWN = {
    "8.8.8.8": "US",  # Google DNS
    "9.9.9.9": "US",  # Quad9
    "18.9.22.69": "US",  # MIT
    "171.64.1.1": "US",  # Stanford
    "142.103.1.1": "CA",  # University of British Columbia
    "132.248.10.2": "MX",  # UNAM
    "200.160.2.3": "BR",  # NIC.br
    "200.89.70.3": "CL",  # NIC Chile
    "193.0.6.139": "NL",  # RIPE NCC
    "130.89.1.1": "NL",  # Twente
    "193.99.144.80": "DE",  # heise
    "85.214.132.117": "DE",  # Strato
    "88.198.0.1": "DE",  # Hetzner
    "194.25.0.60": "DE",  # Telekom
    "212.58.244.20": "GB",  # BBC
    "81.2.69.142": "GB",  # Andrews & Arnold
    "134.226.1.1": "IE",  # Trinity College
    "193.252.19.3": "FR",  # Orange
    "212.27.40.240": "FR",  # Free
    "193.190.1.1": "BE",  # Belnet
    "130.60.1.1": "CH",  # Zurich
    "193.171.1.1": "AT",  # ACOnet
    "80.58.61.250": "ES",  # Telefónica
    "193.136.1.1": "PT",  # FCCN
    "151.99.125.1": "IT",  # TIM
    "147.102.1.1": "GR",  # NTUA
    "130.237.1.1": "SE",  # KTH
    "129.240.1.1": "NO",  # Oslo
    "130.225.1.1": "DK",  # DeiC
    "128.214.1.1": "FI",  # Helsinki
    "195.113.1.1": "CZ",  # CESNET
    "194.204.152.34": "PL",  # Orange Polska
    "141.85.1.1": "RO",  # Bucharest
    "77.88.8.8": "RU",  # Yandex
    "212.156.4.4": "TR",  # Türk Telekom
    "132.66.1.1": "IL",  # Tel Aviv
    "114.114.114.114": "CN",  # 114DNS
    "202.96.128.86": "CN",  # China Telecom
    "168.95.1.1": "TW",  # HiNet
    "133.11.1.1": "JP",  # Tokyo
    "202.232.2.1": "JP",  # IIJ
    "168.126.63.1": "KR",  # KT
    "117.239.1.1": "IN",  # BSNL
    "203.113.131.1": "VN",  # Viettel
    "165.21.83.88": "SG",  # Singtel
    "202.134.0.155": "ID",  # Telkom
    "139.130.4.5": "AU",  # Telstra
    "196.25.1.1": "ZA",  # Telkom
    "41.33.1.1": "EG",  # TE Data
    "197.248.1.1": "KE",  # Safaricom
    "2001:4860:4860::8888": "US",  # Google DNS
    "2600:1700::1": "US",  # AT&T
    "2a01:4f8::1": "DE",  # Hetzner
    "2a02:8108::1": "DE",  # Vodafone
    "2a01:e0a::1": "FR",  # Free
    "2001:630::1": "GB",  # Jisc
    "2001:6b0::1": "SE",  # SUNET
    "2001:620::1": "CH",  # SWITCH
    "2001:200::1": "JP",  # WIDE
    "2001:da8::1": "CN",  # CERNET
    "2405:200::1": "IN",  # Jio
    "2804:14c::1": "BR",  # Claro
    "2a02:6b8::1": "RU",  # Yandex
}

# ISO 3166-1, and XK, which everybody uses for Kosovo.
ISO_3166 = frozenset(
    """AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA
    CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB
    GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG
    KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV
    MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB
    SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US
    UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW""".split()  # noqa: SIM905  # 250 codes in quotes do not read
)


@pytest.fixture(scope="module")
def countries() -> Iterator[Countries]:
    opened = Countries()
    yield opened
    opened.close()


def country_of(countries: Countries, address: str) -> str:
    truncated = truncate(address)
    assert truncated is not None, address
    return countries.country_of(truncated.host)


def routed_addresses() -> list[tuple[str, str]]:
    with gzip.open(DATA / "routed_addresses.csv.gz", "rt", encoding="ascii") as lines:
        return [(address, country) for address, country in csv.reader(line for line in lines if line[0] != "#")]


def forms_of(address: str, chance: random.Random) -> Iterator[str]:
    """The ways in which an IPv4 address can arrive over IPv6."""
    value = int(ipaddress.IPv4Address(address))
    yield str(ipaddress.IPv6Address(0xFFFF << 32 | value))
    yield str(ipaddress.IPv6Address(0x2002 << 112 | value << 80 | chance.getrandbits(80)))
    yield str(ipaddress.IPv6Address(0x20010000 << 96 | chance.getrandbits(64) << 32 | value ^ 0xFFFFFFFF))
    yield str(ipaddress.IPv6Address(0x0064FF9B << 96 | value))


@pytest.mark.parametrize(("address", "country"), WELL_KNOWN.items())
def test_well_known_networks_are_where_they_are(countries: Countries, address: str, country: str) -> None:
    assert country_of(countries, address) == country


def test_over_10_000_addresses_have_sensible_countries(countries: Countries) -> None:
    """iptoasn.com says where a network's announcer is registered, we where it is used: they differ on some 7 % (IPv4),
    as GeoLite2 and iptoasn do."""
    checked = {4: 0, 6: 0}
    known, agreed = dict(checked), dict(checked)
    forms = 0
    chance = random.Random(1)
    for address, announced in routed_addresses():
        version = ipaddress.ip_address(address).version
        country = country_of(countries, address)
        assert country == "" or country in ISO_3166
        checked[version] += 1
        known[version] += country != ""
        agreed[version] += country == announced
        if version == 4:
            for form in forms_of(address, chance):
                assert country_of(countries, form) == country, form
                forms += 1
    assert sum(checked.values()) + forms > 10_000
    assert known[4] / checked[4] >= 0.995
    assert known[6] / checked[6] >= 0.975
    assert agreed[4] / checked[4] >= 0.91
    assert agreed[6] / checked[6] >= 0.72


@pytest.mark.parametrize("host", ["10.0.0.0", "127.0.0.0", "192.168.1.0", "fd00::", "::", "fe80::", "", "no address"])
def test_what_is_nowhere_has_no_country(countries: Countries, host: str) -> None:
    assert countries.country_of(host) == ""


def test_the_shipped_file_is_small_knows_iso_codes_only_and_nothing_finer_than_is_asked_for() -> None:
    assert SHIPPED.stat().st_size < 6_000_000
    with maxminddb.open_database(SHIPPED) as networks:
        for network, record in networks:
            assert isinstance(record, dict)
            assert isinstance(record["country"], dict)
            assert record["country"]["iso_code"] in ISO_3166
            is_v4 = network.version == 4 or int(network.network_address) < 2**32
            assert network.prefixlen <= (24 if network.version == 4 else 120 if is_v4 else 48), network


def test_geoip2_reads_the_shipped_file() -> None:
    with geoip2.database.Reader(SHIPPED) as reader:
        assert reader.country("193.0.6.0").country.iso_code == "NL"


def written(path: Path, database_type: str, record: dict[str, object], ip_version: int = 4) -> Path:
    writer = MMDBWriter(ip_version=ip_version, database_type=database_type)
    writer.insert_network(IPSet(["192.0.2.0/24"]), record)
    writer.to_db_file(str(path))
    return path


@pytest.mark.parametrize(
    "kind", ["GeoLite2-Country", "GeoIP2-City", "DBIP-Country-Lite", "DBIP-Location (compat=City)"]
)
def test_a_file_of_the_operators_is_used_instead(tmp_path: Path, kind: str) -> None:
    file = written(tmp_path / "own.mmdb", kind, {"country": {"iso_code": "NZ", "geoname_id": 2186224}, "city": {}})
    own = Countries(file)
    assert own.country_of("192.0.2.0") == "NZ"
    assert own.country_of("198.51.100.0") == ""
    assert own.country_of("2001:db8::") == ""  # a file of IPv4 networks only


@pytest.mark.parametrize(
    "record", [{}, {"country": {}}, {"country": "NZ"}, {"country": {"iso_code": 7}}, {"continent": {}}]
)
def test_a_record_without_a_country_is_none(tmp_path: Path, record: dict[str, object]) -> None:
    assert Countries(written(tmp_path / "own.mmdb", "GeoLite2-Country", record)).country_of("192.0.2.0") == ""


def test_a_missing_file_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="cannot open the country file") as caught:
        Countries(tmp_path / "none.mmdb")
    assert "none.mmdb" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_database_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.mmdb").write_text("no database")
    with pytest.raises(ValueError, match=r"text\.mmdb is no MaxMind database"):
        Countries(tmp_path / "text.mmdb")


def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="GeoLite2-ASN, not countries"):
        Countries(written(tmp_path / "asn.mmdb", "GeoLite2-ASN", {"autonomous_system_number": 64496}))
