"""The store takes an event's line as the collector writes it, whichever of its fields are there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import fields
from datetime import date
from pathlib import Path

import pytest

from aggregator.store import Store
from collector.event import Event, Kind
from tests.aggregator.spooling import BERLIN, Place, drain_fully, noon, place_in

DAY = date(2031, 5, 14)


@pytest.fixture
def place(tmp_path: Path, store: Store) -> Iterator[Place]:
    keys = Path(tempfile.mkdtemp(prefix="footfall-test-", dir="/dev/shm"))
    place = place_in(tmp_path / "place", keys, store, noon(DAY))
    yield place
    place.close()
    shutil.rmtree(keys, ignore_errors=True)


def event(kind: Kind, name: str = "") -> Event:
    return Event(DAY.isoformat(), BERLIN, "example.com", noon(DAY), kind, name, 0, 0, path="/shop")


def test_loyalty_operator_variant_and_classes_arrive_as_they_were_told_and_else_are_empty(place: Place) -> None:
    view, plain = event("view"), event("view")
    view.loyalty, view.network_operator, view.variant = "week", "Example Net", "button/green"
    error, vitals = event("error", "TypeError"), event("error", "vitals")
    vitals.properties = {"lcp": "good", "cls": "poor"}
    place.worker().commit(DAY, BERLIN, [told.line() for told in (view, plain, error, vitals)])
    assert drain_fully(place.drainer()) == 4
    columns = "toString(kind), name, path, loyalty, network_operator, variant, properties"
    assert place.store.query(f"SELECT {columns} FROM open_events ORDER BY position") == [
        ("view", "", "/shop", "week", "Example Net", "button/green", {}),
        ("view", "", "/shop", "", "", "", {}),
        ("error", "TypeError", "/shop", "", "", "", {}),
        ("error", "vitals", "/shop", "", "", "", {"lcp": "good", "cls": "poor"}),
    ]


def test_each_field_of_an_event_is_a_column(store: Store) -> None:
    columns = store.query(
        "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'open_events'"
    )
    assert {field.name for field in fields(Event)} <= {name for (name,) in columns}
