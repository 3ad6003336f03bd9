"""One holder at a time, by a clock that the tests move."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from aggregator.lease import VALID_S, Lease
from aggregator.store import Store


class HandClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.at = 1_800_000_000.0

    def __call__(self) -> float:
        return self.at


def epochs(store: Store) -> int:
    return int(store.query("SELECT count() FROM leases")[0][0])


def test_the_first_to_ask_holds_it_and_the_second_does_not(store: Store) -> None:
    clock = HandClock()
    one, two = Lease(store, "seal", 1, clock), Lease(store, "seal", 2, clock)
    assert one.acquire()
    assert not two.acquire()
    assert one.acquire()


def test_it_is_renewed_at_half_time_only(store: Store) -> None:
    clock = HandClock()
    lease = Lease(store, "seal", 2**64 - 1, clock)
    assert lease.acquire()
    clock.at += VALID_S / 2 - 1
    assert lease.acquire()
    assert epochs(store) == 1
    clock.at += 1
    assert lease.acquire()
    assert epochs(store) == 2


def test_it_passes_on_when_its_time_is_over(store: Store) -> None:
    clock = HandClock()
    one, two = Lease(store, "seal", 1, clock), Lease(store, "seal", 2, clock)
    assert one.acquire()
    clock.at += VALID_S - 1
    assert not two.acquire()
    clock.at += 1
    assert two.acquire()
    assert not one.acquire()


def test_of_eight_at_once_one_wins_each_epoch(store: Store) -> None:
    clock = HandClock()
    leases = [Lease(store, "seal", holder, clock) for holder in range(1, 9)]
    together = Barrier(len(leases))

    def ask(lease: Lease) -> bool:
        together.wait()
        return lease.acquire()

    with ThreadPoolExecutor(len(leases)) as pool:
        for _ in range(5):
            assert sum(pool.map(ask, leases)) == 1
            clock.at += VALID_S
    assert epochs(store) == 5


def test_leases_of_different_names_are_apart(store: Store) -> None:
    clock = HandClock()
    assert Lease(store, "seal", 1, clock).acquire()
    assert Lease(store, "import", 2, clock).acquire()


def test_an_epoch_whose_row_is_lost_while_its_token_is_kept_is_passed_over(store: Store) -> None:
    """What a power cut may leave: the store's log of tokens without the row that it speaks of."""
    clock = HandClock()
    lease = Lease(store, "seal", 7, clock)
    for _ in range(3):
        assert lease.acquire()
        clock.at += VALID_S
    store.command("ALTER TABLE leases DELETE WHERE true", settings={"mutations_sync": 2})
    assert epochs(store) == 0
    assert lease.acquire()
    assert epochs(store) == 1
