"""Statements abreast: each runs once, two at a time, and when one fails none is left behind that still writes."""

from __future__ import annotations

import threading
import time

import pytest

from aggregator import abreast
from aggregator.abreast import AT_ONCE, Statement
from aggregator.store import Store, StoreRefused

TABLE = "CREATE OR REPLACE TABLE abreast_test (number UInt8) ENGINE = Memory"
RUNNING = "SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO abreast_test%'"
NUMBERS = "SELECT arraySort(groupArray(number)) FROM abreast_test"


@pytest.fixture
def table(store: Store) -> Store:
    store.command(TABLE)
    return store


def insert(number: int, seconds: float = 0.0, *, fails: bool = False) -> Statement:
    """Writes `number` after some seconds, or fails then."""
    condition = "throwIf(sleep({seconds:Float64}) = 0)" if fails else "sleep({seconds:Float64})"
    sql = f"INSERT INTO abreast_test SELECT {{number:UInt8}} + 0 * {condition}"
    return sql, {"number": number, "seconds": seconds}, {}


def test_every_statement_runs_once_and_the_rows_are_added_up(table: Store) -> None:
    assert abreast.run(table, []) == 0
    assert abreast.run(table, [insert(9)]) == 1
    assert abreast.run(table, [insert(number) for number in range(5)]) == 5
    assert table.query(NUMBERS) == [([0, 1, 2, 3, 4, 9],)]


def test_two_run_at_a_time_and_no_more(table: Store) -> None:
    most, is_over = [0], threading.Event()

    def watch() -> None:
        while not is_over.is_set():
            most.append(int(table.query(RUNNING)[0][0]))

    watching = threading.Thread(target=watch)
    watching.start()
    abreast.run(table, [insert(number, 0.5) for number in range(4)])
    is_over.set()
    watching.join()
    assert max(most) == min(AT_ONCE, int(table.query(abreast.THREADS)[0][0]))


def test_of_large_ones_one_runs_at_a_time_beside_others(table: Store) -> None:
    most, is_over = [0], threading.Event()

    def watch() -> None:
        while not is_over.is_set():
            most.append(int(table.query(f"{RUNNING} AND query LIKE '%) + 0%'")[0][0]))

    watching = threading.Thread(target=watch)
    watching.start()
    large = [(f"{sql} + 0", parameters, own) for sql, parameters, own in (insert(number, 0.4) for number in range(3))]
    assert abreast.run(table, [insert(number, 0.2) for number in range(3, 6)], large) == 6
    is_over.set()
    watching.join()
    assert max(most) == 1
    assert table.query(NUMBERS) == [(list(range(6)),)]


def test_when_one_fails_none_runs_any_more_and_none_begins(table: Store) -> None:
    statements = [insert(1, 1.5), insert(2, 0.1, fails=True), insert(3, 1.5), insert(4)]
    with pytest.raises(StoreRefused):
        abreast.run(table, statements)
    assert table.query(RUNNING) == [(0,)]
    before = table.query(NUMBERS)
    # The first one ran to its end; of the others, one at most took the place of the one that failed.
    assert before in ([([1],)], [([1, 3],)])
    time.sleep(0.5)
    assert table.query(NUMBERS) == before
