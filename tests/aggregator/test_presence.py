"""Whether the store has a batch, and has it once."""

from __future__ import annotations

from datetime import date

import pytest

from aggregator.presence import Presence, doubled_batches, presence_of, take_out_doubles
from aggregator.store import Store
from tests.aggregator.event_lines import DAY, TIMEZONE, event_lines

AT = (date.fromisoformat(DAY), TIMEZONE)


def insert(store: Store, batch: int, events: int, times: int = 1) -> None:
    """The same batch so many times, as a store takes it whose log of tokens is lost."""
    for turn in range(times):
        store.insert_lines("open_events", event_lines(batch, events), tag="batch", token=f"{batch}-{turn}")


def names(store: Store) -> list[tuple[int, int]]:
    """Every row by its event's name."""
    return [
        (batch, position) for batch, position in store.query("SELECT batch, position FROM open_events ORDER BY ALL")
    ]


def test_a_batch_is_whole_when_each_of_its_events_is_there_once(store: Store) -> None:
    insert(store, 1, 5)
    insert(store, 2, 5, times=2)
    assert presence_of(store, *AT, 1) == presence_of(store, *AT, 1, within_s=3_600) == Presence(5, 5)
    assert presence_of(store, *AT, 2) == Presence(10, 5)
    assert [Presence(5, 5).is_whole(5), Presence(5, 5).is_whole(6), Presence(10, 5).is_whole(5)] == [True, False, False]


@pytest.mark.parametrize("is_merged", [False, True])
@pytest.mark.parametrize("times", [2, 3])
def test_what_is_there_more_than_once_is_taken_out_and_nothing_else(store: Store, times: int, is_merged: bool) -> None:
    insert(store, 1, 40)
    insert(store, 2, 30, times)
    insert(store, 3, 1, times)
    if is_merged:
        store.command("OPTIMIZE TABLE open_events FINAL")
    assert doubled_batches(store, *AT) == [2, 3]
    take_out_doubles(store, *AT, doubled_batches(store, *AT))
    assert doubled_batches(store, *AT) == []
    assert names(store) == [(batch, place) for batch, events in ((1, 40), (2, 30), (3, 1)) for place in range(events)]


def test_a_double_is_found_after_some_of_it_was_withdrawn(store: Store) -> None:
    """Two rows are left of what had two events: as many as there were, but the same one twice."""
    insert(store, 1, 2, times=2)
    store.command("ALTER TABLE open_events DELETE WHERE position = 0", None, {"mutations_sync": 2})
    assert doubled_batches(store, *AT) == [1]
    take_out_doubles(store, *AT, [1])
    assert names(store) == [(1, 1)]
