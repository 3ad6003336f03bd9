"""The border of what may be stored: an event's line has exactly the fields of `Event`."""

from __future__ import annotations

from dataclasses import fields

import orjson

from collector.event import Event

STORABLE = {
    *("day", "timezone", "site", "at", "kind", "name", "engaged_ms", "scroll", "generation", "visitor", "network"),
    *("hostname", "path", "source", "channel", "campaign", "country", "browser", "browser_version", "os", "os_version"),
    *("device", "screen", "language", "properties", "variant", "loyalty", "network_operator"),
}
RARE = {"variant", "loyalty", "network_operator"}


def event() -> Event:
    return Event("2026-03-04", "Europe/Berlin", "example.com", 1_772_600_000.123, "view", "", 0, 0)


def test_the_fields_are_those_that_may_be_stored() -> None:
    assert {field.name for field in fields(Event)} == STORABLE


def test_a_line_has_the_fields_and_nothing_else() -> None:
    line = event().line()
    assert orjson.loads(line).keys() == STORABLE - RARE
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1


def test_a_line_has_what_few_sites_switch_on_only_where_it_is_there() -> None:
    told = event()
    told.loyalty, told.network_operator, told.variant = "week", "Example Net", "button/green"
    assert orjson.loads(told.line()).keys() == STORABLE
    assert event().loyalty == event().network_operator == ""


def test_text_with_quotes_and_line_ends_stays_one_line() -> None:
    told = event()
    told.path, told.properties = '/"\n\\', {"a\n": '"'}
    assert told.line().count(b"\n") == 1
    assert orjson.loads(told.line())["path"] == '/"\n\\'


def test_tokens_of_64_bits_and_milliseconds_survive() -> None:
    told = event()
    told.visitor = 2**64 - 1
    assert orjson.loads(told.line())["visitor"] == 2**64 - 1
    assert orjson.loads(told.line())["at"] == 1_772_600_000.123
