"""The operator of a network: looked up for the truncated address, where a file is given, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from collector.fault import Fault
from collector.network_operator import MAX_OPERATOR_CHARS, Operators
from collector.policy.facts import policies_of
from collector.policy.machine import document_of
from collector.policy.page import Pages, View
from collector.policy.sentences import languages
from collector.settings import load
from collector.startup import check_collector
from tests.collector.collecting import Collector, running

HOME, OFFICE = "203.0.113.0/25", "198.51.100.0/24"


def written(folder: Path, records: Mapping[str, Mapping[str, object]], kind: str = "GeoLite2-ASN") -> Path:
    """A database of `records` by network."""
    writer = MMDBWriter(6, kind, ipv4_compatible=True)
    for network, record in records.items():
        writer.insert_network(IPSet([network]), dict(record))
    writer.to_db_file(str(folder / "operators.mmdb"))
    return folder / "operators.mmdb"


@pytest.mark.parametrize(
    ("kind", "record"),
    [
        ("GeoLite2-ASN", {"autonomous_system_number": 64496, "autonomous_system_organization": "Example Net"}),
        ("DBIP-ASN-Lite", {"autonomous_system_number": 64496, "autonomous_system_organization": "Example Net"}),
        ("GeoIP2-ISP", {"autonomous_system_organization": "Holding", "isp": "Example Net", "organization": "School"}),
        ("ipinfo generic_asn_free.mmdb", {"asn": "AS64496", "domain": "example.net", "name": "Example Net"}),
        ("ipinfo bundle_location_lite.mmdb", {"asn": "AS64496", "as_name": "Example Net", "country": "DE"}),
    ],
)
def test_the_name_is_read_from_each_layout_in_use(tmp_path: Path, kind: str, record: dict[str, object]) -> None:
    operators = Operators(written(tmp_path, {HOME: record}, kind))
    assert operators.operator_of("203.0.113.0") == "Example Net"
    assert operators.operator_of("192.0.2.0") == ""
    operators.close()


@pytest.mark.parametrize("record", [{"autonomous_system_number": 64496}, {"name": 7}, {"name": ""}])
def test_a_record_without_a_name_is_nobody(tmp_path: Path, record: dict[str, object]) -> None:
    assert Operators(written(tmp_path, {HOME: record})).operator_of("203.0.113.0") == ""


def test_a_name_is_bounded_and_free_of_what_points_at_a_person(tmp_path: Path) -> None:
    records = {HOME: {"name": "n " * 100}, OFFICE: {"name": "Bob\n<bob@example.com>"}}
    operators = Operators(written(tmp_path, records))
    assert len(operators.operator_of("203.0.113.0")) <= MAX_OPERATOR_CHARS
    assert operators.operator_of("198.51.100.0") == "Bob<[email]>"


@pytest.mark.parametrize("content", ["GeoLite2-Country", "no database", None])
def test_another_file_is_refused_by_name(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "operators.mmdb"
    if content == "no database":
        file.write_text(content)
    elif content:
        written(tmp_path, {HOME: {}}, content)
    with pytest.raises((OSError, ValueError), match=r"operator file.*operators\.mmdb|operators\.mmdb"):
        Operators(file)


def test_a_collector_does_not_start_with_a_file_that_is_none(tmp_path: Path) -> None:
    config = tmp_path / "footfall.toml"
    config.write_text('[collector]\noperator_file = "nowhere.mmdb"\n[privacy]\nkey_dir = "/dev/shm/footfall-none"\n')
    settings = load(config, tmp_path / "data", {})
    with pytest.raises(Fault, match=r"operator file.*nowhere\.mmdb.*set collector\.operator_file"):
        check_collector(settings)
    settings.privacy.key_dir.rmdir()


def events_of(folder: Path, settings: str) -> list[dict[str, Any]]:
    """What is kept of a hit from each half of a /24, and of one from an unknown network."""
    trusting = f'trusted_proxies = ["127.0.0.0/8"]\n{settings}'
    with running(Collector(folder, settings=trusting)) as collector:
        for address in ("203.0.113.200", "203.0.113.7", "192.0.2.1"):
            assert collector.event(headers={"X-Forwarded-For": address}).footfall == "accepted"
        return collector.events()


def test_the_operator_of_the_truncated_address_is_kept_where_a_file_is_given(tmp_path: Path) -> None:
    """Only the lower half of the /24 is in the file: the upper half, cut to the /24, is its first address, too."""
    file = written(tmp_path, {HOME: {"autonomous_system_organization": "Example Net"}})
    events = events_of(tmp_path, f'operator_file = "{file}"')
    assert [event.get("network_operator") for event in events] == ["Example Net", "Example Net", None]


def test_without_a_file_no_operator_is_kept(tmp_path: Path) -> None:
    assert all("network_operator" not in event for event in events_of(tmp_path, ""))


@pytest.mark.parametrize(
    ("kind", "source"),
    [("GeoLite2-ASN", "GeoLite Data created by MaxMind"), ("Own-ASN", "A database that the operator has chosen.")],
)
def test_the_policy_names_field_and_source_where_a_file_is_given_and_only_there(
    tmp_path: Path, kind: str, source: str
) -> None:
    file = written(tmp_path, {}, kind)
    given, absent = (policy(tmp_path, setting) for setting in (f'operator_file = "{file}"', ""))
    for said in ("is looked up with the same rest, and is kept", "Names of network operators:", source):
        assert said in given[0]
        assert said not in absent[0]
    assert "Stays empty: the operator of this software has given no data" in absent[0]
    assert isinstance(given[1], dict)
    assert given[1].keys() == {"name", "url"}
    assert absent[1] is None


def policy(folder: Path, setting: str) -> tuple[str, object]:
    """The page as text, and what the document says of the source."""
    config = folder / "footfall.toml"
    config.write_text(f'[collector]\n{setting}\n[[site]]\ndomain = "example.com"\n')
    policies = policies_of(load(config, folder / "data", {}))
    shown = Pages(policies, languages()).policy(View("example.com", "en", None, "none", ""))
    return " ".join(shown.decode().split()), document_of(policies["example.com"])["operator_source"]
