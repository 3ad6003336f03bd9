"""What is decided about an open day is there once it is said to be."""

from __future__ import annotations

from datetime import date

from aggregator.decisions import Decisions, SealId
from aggregator.rollup import Period
from aggregator.store import Store

DAY = Period(date(2026, 11, 1), "UTC")
RECORD = {"events": 3, "bounded": 0, "k": 5, "level": "rounded", "days": 1}


def test_of_two_seals_of_a_day_the_first_counts(store: Store) -> None:
    decisions = Decisions(store)
    assert decisions.commit(DAY, {"seal": 7, **RECORD}) == SealId(7)
    assert decisions.commit(DAY, {"seal": 8, **RECORD}) == SealId(7)
    assert decisions.committed(DAY) == SealId(7)


def test_a_seal_whose_record_is_lost_while_its_token_is_kept_can_be_committed_anew(store: Store) -> None:
    """What a power cut may leave: the store's log of tokens without the row that it speaks of."""
    decisions = Decisions(store)
    decisions.commit(DAY, {"seal": 7, **RECORD})
    store.command("ALTER TABLE seals DELETE WHERE true", settings={"mutations_sync": 2})
    assert decisions.committed(DAY) is None
    assert decisions.commit(DAY, {"seal": 8, **RECORD}) == SealId(8)
