"""Withdrawing consent deletes the visitor's open rows, counts each once, and nothing else goes with them."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

from aggregator import withdrawal
from aggregator.drain import Drainer
from aggregator.live import LiveView, Measures
from aggregator.store import Store, StoreRefused, StoreUnavailable
from aggregator.withdrawal_record import opened_record
from collector.days import ends_at
from collector.group import Group, Withdrawn
from collector.spool_file import connect
from tests.aggregator.spooling import (
    BERLIN,
    GRACE_S,
    Place,
    WatchedStore,
    Worker,
    drain_fully,
    empty,
    line,
    names_in,
    noon,
    place_in,
    promises,
    quarantined,
)
from tests.collector.collecting import until

TODAY = date(2031, 5, 14)
LONG_AGO = TODAY - timedelta(days=30)
GENERATION = 0xFEED_FACE_CAFE_BEEF
# Seconds between rounds: then the old parts, which have a test of their own, are not waited for.
PATIENCE_S = 30.0
ANNA, BERND = 0xA11A_A11A_A11A_A11A, 0xBE12_BE12_BE12_BE12


@pytest.fixture
def key_dir() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="footfall-test-", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def place(tmp_path: Path, key_dir: Path, store: Store) -> Iterator[Place]:
    place = place_in(tmp_path / "place", key_dir, store, noon(TODAY))
    yield place
    place.close()


def see(
    place: Place, worker: Worker, visitor: int, events: int = 1, day: date = TODAY, kind: str = "event"
) -> list[str]:
    """The visitor sends events of `day`, now; returns their names."""
    worker.take(day, events, visitor=visitor, network=visitor, at=place.clock.wall(), kind=kind)
    return worker.names[-events:]


def withdraw(place: Place, worker: Worker, visitor: int, day: date = TODAY) -> None:
    """The visitor withdraws, now; a moment later is the next request."""
    group = Group()
    group.withdrawals[Withdrawn(day.isoformat(), BERLIN, "example.com", GENERATION, visitor)] = place.clock.wall()
    worker.spool.commit(group, place.clock.wall())
    place.clock.pass_time(0.01)


def waiting(place: Place) -> int:
    """Withdrawals that wait in the spools."""
    total = 0
    for file in place.spool_dir.glob("spool-*.sqlite"):
        with contextlib.closing(connect(file)) as connection:
            total += connection.execute("SELECT count(*) FROM withdrawals").fetchone()[0]
    return total


def carry_out(place: Place, drainer: Drainer, round_s: float = 0.25) -> None:
    """Rounds, so many seconds apart, until no withdrawal waits and nothing is being deleted."""
    place.clock.pass_time(60.0)

    def is_done() -> bool:
        place.clock.pass_time(round_s)
        drainer.round()
        with opened_record(place.spool_dir) as record:
            return waiting(place) == 0 and not record.days()

    until(is_done, "every withdrawal is carried out")


def mutations(store: Store) -> list[str]:
    """The mutations of open days that the store remembers."""
    found = store.query(
        "SELECT mutation_id FROM system.mutations WHERE database = currentDatabase() AND table = 'open_events'"
    )
    return [name for (name,) in found]


def assert_left(place: Place, names: list[str], withdrawn: int) -> None:
    assert names_in(place.store) == Counter(names)
    ledger = place.ledger()
    assert ledger.imbalances == ()
    assert (ledger.open, ledger.withdrawn, ledger.waiting) == (len(names), withdrawn, 0)
    assert ledger.accounted == ledger.accepted


def test_a_visitor_who_withdraws_leaves_the_open_day_and_nobody_else_does(place: Place) -> None:
    one, other = place.worker(), place.worker()
    drainer = place.drainer()
    see(place, one, ANNA, 3)
    kept = see(place, one, BERND, 2)
    drainer.round()
    see(place, other, ANNA, 2)
    kept += see(place, other, BERND, 1)
    withdraw(place, one, ANNA)
    carry_out(place, drainer)
    assert_left(place, kept, withdrawn=5)


def test_who_consents_again_is_counted_again(place: Place) -> None:
    worker, drainer = place.worker(), place.drainer()
    see(place, worker, ANNA, 3)
    withdraw(place, worker, ANNA)
    kept = see(place, worker, ANNA, 2)
    carry_out(place, drainer)
    kept += see(place, worker, ANNA, 1)
    drain_fully(drainer)
    assert_left(place, kept, withdrawn=3)
    withdraw(place, worker, ANNA)
    carry_out(place, drainer)
    assert_left(place, [], withdrawn=6)


def test_what_is_reported_after_a_withdrawal_goes_where_it_is_of_before_it_and_else_stays(place: Place) -> None:
    """A server may report an event later, with its own time; the withdrawal waits in the spool meanwhile."""
    worker, drainer, before = place.worker(), place.drainer(), place.clock.wall()
    place.clock.pass_time(900)
    withdraw(place, worker, ANNA)
    place.clock.pass_time(900)
    worker.take(TODAY, 2, visitor=ANNA, network=ANNA, at=before)
    kept = see(place, worker, ANNA)
    carry_out(place, drainer)
    assert_left(place, kept, withdrawn=2)


def test_a_withdrawal_without_open_rows_changes_nothing_and_is_forgotten(place: Place) -> None:
    worker, drainer = place.worker(), place.drainer()
    kept, before = see(place, worker, BERND, 2), mutations(place.store)
    withdraw(place, worker, ANNA)
    carry_out(place, drainer)
    assert_left(place, kept, withdrawn=0)
    assert mutations(place.store) == before


def test_equal_withdrawals_are_one_and_of_several_spools_count_once(place: Place) -> None:
    one, other = place.worker(), place.worker()
    see(place, one, ANNA, 4)
    for worker in (one, one, other, one):
        withdraw(place, worker, ANNA)
    assert waiting(place) == 2
    carry_out(place, place.drainer())
    assert_left(place, [], withdrawn=4)


def test_what_another_worker_had_received_and_not_committed_goes_too(place: Place) -> None:
    """It comes into a spool after the round has looked there, and the round lasts for longer than a second."""
    first, second = place.worker(), place.worker()
    assert first.spool.file.name < second.spool.file.name, "the order of the round"
    kept = see(place, second, BERND, 2)
    received = place.clock.wall()
    place.clock.pass_time(0.005)
    withdraw(place, second, ANNA)

    def commit_late(_: int, name: str) -> None:
        if name == "insert_lines" and not first.names:
            place.clock.pass_time(0.02)
            first.take(TODAY, 1, visitor=ANNA, network=ANNA, at=received)
            place.clock.pass_time(withdrawal.SETTLE_S + 0.2)
            first.beat()
            second.beat()

    drainer = place.drainer(WatchedStore(place.store, after=commit_late))
    drainer.round()
    assert waiting(place) == 1
    carry_out(place, drainer)
    assert_left(place, kept, withdrawn=1)


def test_a_commit_that_the_disk_holds_up_is_waited_for(place: Place) -> None:
    """No row shows it; what tells is that the worker's heart has not beaten since."""
    slow, other, drainer = place.worker(), place.worker(), place.drainer()
    slow.beat()
    begun = place.clock.wall()
    place.clock.pass_time(0.005)
    withdraw(place, other, ANNA)
    for _ in range(5):
        place.clock.pass_time(withdrawal.SILENT_S / 6)
        other.beat()
        drainer.round()
    assert waiting(place) == 1
    committed_at, now = begun, place.clock.wall()
    place.clock.set_wall(committed_at)
    see(place, slow, ANNA, 1)
    place.clock.set_wall(now)
    slow.beat()
    carry_out(place, drainer)
    assert_left(place, [], withdrawn=1)


@pytest.mark.parametrize("ends", [True, False], ids=["dead", "silent"])
def test_a_worker_without_a_heartbeat_holds_no_withdrawal_up_for_long(place: Place, ends: bool) -> None:
    living, silent, drainer = place.worker(), place.worker(), place.drainer()
    withdraw(place, living, ANNA)
    if ends:
        silent.close()
        place.workers.remove(silent)
    place.clock.pass_time(withdrawal.SETTLE_S if ends else withdrawal.SILENT_S)
    living.beat()
    drainer.round()
    assert waiting(place) == (0 if ends else 1)
    place.clock.pass_time(withdrawal.SETTLE_S)
    drainer.round()
    assert waiting(place) == 0


@pytest.mark.parametrize("day", [TODAY, LONG_AGO], ids=["today", "a day that is over"])
def test_events_and_withdrawals_without_end_put_none_off(place: Place, day: date) -> None:
    """In every round something comes into a spool that the round has looked at; it goes in the next."""
    first, second = place.worker(), place.worker()
    see(place, first, ANNA, 3, day)
    visitors = iter(range(1, 1_000))

    def keep_coming(_: int, name: str) -> None:
        if name == "insert_lines":
            place.clock.pass_time(0.1)
            see(place, first, BERND, 1, day)
            see(place, second, BERND, 1, day)
            withdraw(place, second, next(visitors), day)

    withdraw(place, second, ANNA, day)
    drainer = place.drainer(WatchedStore(place.store, after=keep_coming))

    def is_carried_out() -> bool:
        place.clock.pass_time(withdrawal.SETTLE_S)
        for worker in (first, second):
            worker.beat()
        drainer.round()
        return place.ledger().withdrawn == 3

    until(is_carried_out, "the visitor's rows are gone")
    assert waiting(place) > 0


def test_a_store_that_forgets_who_asks_is_asked_again(place: Place) -> None:
    """What is asked is in its memory, and a restart between filling and reading it looks as if nobody had rows."""
    worker = place.worker()
    see(place, worker, ANNA, 3)
    place.drainer().round()
    withdraw(place, worker, ANNA)
    place.bury()

    def restart(_: int, name: str) -> None:
        if name == "insert_rows withdrawals":
            place.store.command("TRUNCATE TABLE withdrawals")

    drainer = place.drainer(WatchedStore(place.store, after=restart))
    place.clock.pass_time(60.0)
    with pytest.raises(StoreUnavailable, match="restarted"):
        drainer.round()
    assert waiting(place) == 1
    place.bury()
    carry_out(place, place.drainer())
    assert_left(place, [], withdrawn=3)


def test_tokens_that_a_drainer_left_in_the_stores_memory_go_with_the_next_ones_first_round(place: Place) -> None:
    def fail(_: int, name: str) -> None:
        if name == "insert_rows withdrawals":
            raise StoreUnavailable("no answer")

    def held() -> list[tuple[int]]:
        return place.store.query("SELECT count() FROM withdrawals")

    worker = place.worker()
    see(place, worker, ANNA, 3)
    withdraw(place, worker, ANNA)
    drainer = place.drainer(WatchedStore(place.store, after=fail))
    place.clock.pass_time(60.0)
    with pytest.raises(StoreUnavailable):
        drainer.round()
    place.bury()
    assert held() == [(1,)]
    place.clock.set_wall(place.clock.wall() - 60.0)
    place.drainer().round()
    assert waiting(place) == 1, "it is not due by this clock, and not what forgets them"
    assert held() == [(0,)]


@pytest.mark.parametrize(("moment", "is_restarted"), [("before", False), ("after", True)])
def test_no_fault_at_any_call_leaves_a_row_or_counts_one_twice(
    tmp_path: Path, key_dir: Path, store: Store, moment: Literal["before", "after"], is_restarted: bool
) -> None:
    """Every call that changes something in turn gets no answer, and the drainer's process dies of it, or lives on."""
    call, is_beyond = 0, False
    while not is_beyond:
        call += 1
        empty(store)
        place = place_in(tmp_path / str(call), key_dir, store, noon(TODAY))
        worker = place.worker()
        see(place, worker, ANNA, 3)
        kept = see(place, worker, BERND, 2)
        withdraw(place, worker, ANNA)
        place.drainer().round()
        drainer = place.drainers[0]
        is_beyond = not meets_its_fault(place, drainer, unsure_store(store, call, moment))
        if is_restarted:
            place.bury()
            drainer = place.drainer()
        until(lambda: not is_mutating(store), "no mutation is running")
        assert place.ledger().accounted == place.ledger().accepted
        kept += see(place, worker, BERND)
        carry_out(place, drainer, PATIENCE_S)
        drain_fully(drainer)
        assert_left(place, kept, withdrawn=3)
        place.close()
    assert call > 6, "a deletion makes more calls than that"


def meets_its_fault(place: Place, drainer: Drainer, faulty: WatchedStore) -> bool:
    """Rounds with a faulty store until the fault comes, or until all is done."""
    users: list[Any] = [drainer, drainer._withdrawals, drainer._watermark]
    for user in users:
        user._store = faulty
    try:
        carry_out(place, drainer, PATIENCE_S)
    except StoreUnavailable:
        return True
    finally:
        for user in users:
            user._store = place.store
    return False


def unsure_store(inner: Store, change: int, moment: Literal["before", "after"]) -> WatchedStore:
    """A store whose change number `change` (from 1) gets no answer; the drainer's promises are not counted."""
    changes: list[str] = []

    def fail(_: int, name: str) -> None:
        if name not in ("query", "insert_rows drains"):
            changes.append(name)
            if len(changes) == change:
                raise StoreUnavailable(f"no answer to {name}")

    return WatchedStore(inner, before=fail) if moment == "before" else WatchedStore(inner, after=fail)


def is_mutating(store: Store) -> bool:
    return bool(
        store.query(
            "SELECT 1 FROM system.mutations"
            " WHERE database = currentDatabase() AND table = 'open_events' AND NOT is_done"
        )
    )


def test_a_batch_in_doubt_is_settled_before_its_visitor_is_deleted_and_never_inserted_again(place: Place) -> None:
    """The insert arrived, its answer did not: the batch is asked for, and by then its only visitor has withdrawn."""

    def fail(_: int, name: str) -> None:
        if name == "insert_lines":
            raise StoreUnavailable("no answer")

    worker = place.worker()
    see(place, worker, ANNA, 3)
    with pytest.raises(StoreUnavailable):
        place.drainer(WatchedStore(place.store, after=fail)).round()
    place.bury()
    withdraw(place, worker, ANNA)
    drainer = place.drainer()
    carry_out(place, drainer)
    drain_fully(drainer)
    assert_left(place, [], withdrawn=3)


def test_a_day_is_not_promised_before_its_withdrawals_are_carried_out(place: Place) -> None:
    worker = place.worker()
    over_at = ends_at(TODAY, BERLIN) + GRACE_S
    place.clock.move_to(over_at - 0.5)
    see(place, worker, ANNA, 2)
    withdraw(place, worker, ANNA)
    place.clock.move_to(over_at + 0.1)
    worker.beat()

    def fail(_: int, name: str) -> None:
        if name == "insert_rows withdrawn_rows":
            raise StoreUnavailable("no answer")

    drainer = place.drainer(WatchedStore(place.store, before=fail))
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            drainer.round()
    assert all(through < TODAY or TODAY in reopened for through, reopened in promises(place.store))
    place.bury()
    drainer = place.drainer()
    carry_out(place, drainer)
    place.clock.pass_time(GRACE_S)
    drainer.round()
    assert promises(place.store) == [(TODAY, [])]
    assert_left(place, [], withdrawn=2)


@pytest.mark.parametrize("table", ["closings", "seals"])
def test_the_withdrawal_of_a_closed_day_is_forgotten(place: Place, table: str) -> None:
    worker, drainer = place.worker(), place.drainer()
    kept = see(place, worker, ANNA, 2, LONG_AGO)
    drainer.round()
    place.clock.pass_time(GRACE_S)
    drainer.round()
    assert promises(place.store)[0][1] == []
    place.store.insert_rows(table, ("day", "timezone"), [(LONG_AGO, BERLIN)])
    withdraw(place, worker, ANNA, LONG_AGO)
    carry_out(place, drainer)
    assert names_in(place.store) == Counter(kept)
    assert place.ledger().withdrawn == 0


def test_a_closed_day_whose_deletion_was_never_sent_is_promised_sealed_and_let_go(place: Place) -> None:
    """The drainer died with its record written, and the sealer closed the day before the next one came."""
    worker = place.worker()
    kept = see(place, worker, ANNA, 3)
    withdraw(place, worker, ANNA)

    def fail(_: int, name: str) -> None:
        if name == "insert_rows withdrawn_rows":
            raise StoreUnavailable("no answer")

    drainer = place.drainer(WatchedStore(place.store, before=fail))
    place.clock.pass_time(60.0)
    with pytest.raises(StoreUnavailable):
        drainer.round()
    place.bury()
    place.clock.move_to(ends_at(TODAY, BERLIN) + GRACE_S + 10.0)
    place.store.insert_rows("closings", ("day", "timezone"), [(TODAY, BERLIN)])
    worker.beat()
    watched = WatchedStore(place.store)
    drainer = place.drainer(watched)
    drainer.round()
    assert promises(place.store) == [(TODAY, [])]
    assert waiting(place) == 0, "no token outlives the promise"
    watched.calls.clear()
    for _ in range(5):
        drainer.round()
    assert "insert_rows drains" not in watched.calls, "it is not reopened and given back each round"
    assert names_in(place.store) == Counter(kept)
    seal(place, TODAY)
    place.store.command(f"ALTER TABLE open_events DROP PARTITION ('{TODAY}', '{BERLIN}')")
    carry_out(place, drainer)
    assert (place.ledger().sealed, place.ledger().withdrawn, place.ledger().imbalances) == (3, 0, ())


def test_a_day_that_is_over_is_reopened_for_a_withdrawal_and_given_back(place: Place) -> None:
    worker, drainer = place.worker(), place.drainer()
    see(place, worker, ANNA, 2, LONG_AGO)
    drainer.round()
    place.clock.pass_time(GRACE_S)
    drainer.round()
    assert promises(place.store)[0][1] == []
    withdraw(place, worker, ANNA, LONG_AGO)
    carry_out(place, drainer)
    assert promises(place.store)[0][1] == [LONG_AGO]
    assert_left(place, [], withdrawn=2)
    place.clock.pass_time(GRACE_S)
    drainer.round()
    assert promises(place.store)[0][1] == []


def test_withdrawals_of_visitors_unknown_do_not_keep_a_day_open(place: Place) -> None:
    """Each round finds another one, as in a flood."""
    worker, drainer = place.worker(), place.drainer()
    see(place, worker, BERND, 1, LONG_AGO)
    drainer.round()
    for number in range(1, 5):
        place.clock.pass_time(GRACE_S / 4)
        withdraw(place, worker, number, LONG_AGO)
        drainer.round()
    assert promises(place.store)[0][1] == []


def test_a_drainer_given_up_in_the_midst_of_a_deletion_counts_what_the_seal_did_not_read(place: Place) -> None:
    """Two batches: one lost its rows before the seal, the other was sealed with them."""
    worker, drainer = place.worker(), place.drainer()
    see(place, worker, ANNA, 2)
    drainer.round()
    see(place, worker, ANNA, 3)
    withdraw(place, worker, ANNA)

    def fail(_: int, name: str) -> None:
        if name == "insert_rows withdrawn_rows":
            raise StoreUnavailable("no answer")

    place.bury()
    drainer = place.drainer(WatchedStore(place.store, before=fail))
    place.clock.pass_time(60.0)
    with pytest.raises(StoreUnavailable):
        drainer.round()
    place.bury()
    delete = "ALTER TABLE open_events DELETE WHERE name IN ('spool-0-0', 'spool-0-1')"
    place.store.command(delete, settings={"mutations_sync": 2})
    assert (place.ledger().open, place.ledger().withdrawn, place.ledger().imbalances) == (3, 2, ())
    seal(place, TODAY)
    assert (place.ledger().sealed, place.ledger().withdrawn, place.ledger().imbalances) == (3, 2, ())
    place.store.command(f"ALTER TABLE open_events DROP PARTITION ('{TODAY}', '{BERLIN}')")
    assert (place.ledger().sealed, place.ledger().withdrawn, place.ledger().imbalances) == (3, 2, ())
    carry_out(place, place.drainer())
    assert (place.ledger().sealed, place.ledger().withdrawn, place.ledger().imbalances) == (3, 2, ())


def seal(place: Place, day: date) -> None:
    """What a sealer notes of a day, and its commit record."""
    batches = place.store.query("SELECT batch, count() FROM open_events GROUP BY batch")
    place.store.insert_rows(
        "batches",
        ("batch", "day", "timezone", "events", "outcome", "seal"),
        [(batch, day, BERLIN, events, "sealed", 1) for batch, events in batches],
    )
    place.store.insert_rows(
        "seals",
        ("day", "timezone", "origin", "seal", "events", "bounded", "k", "level", "days"),
        [(day, BERLIN, "open day", 1, sum(events for _, events in batches), 0, 5, "rounded", 1)],
    )


def test_quarantined_lines_of_who_withdraws_are_deleted_and_others_stay(place: Place) -> None:
    def refuse(_: int, name: str) -> None:
        if name == "insert_lines":
            raise StoreRefused(27, "the rows were refused")

    worker = place.worker()
    for visitor in (ANNA, BERND):
        see(place, worker, visitor, 1)
    drainer = place.drainer(WatchedStore(place.store, before=refuse))
    until(lambda: drainer.round() == 0 and place.ledger().quarantined == 2, "both are quarantined")
    withdraw(place, worker, ANNA)
    carry_out(place, drainer)
    assert [each["visitor"] for each in quarantined(worker.spool.file)] == [BERND]
    assert_left(place, [], withdrawn=0)


def test_quarantined_lines_go_whichever_spool_the_withdrawal_came_to(place: Place) -> None:
    def refuse(_: int, name: str) -> None:
        if name == "insert_lines":
            raise StoreRefused(27, "the rows were refused")

    one, other = place.worker(), place.worker()
    for visitor in (ANNA, BERND):
        see(place, one, visitor, 1)
    drainer = place.drainer(WatchedStore(place.store, before=refuse))
    until(lambda: drainer.round() == 0 and place.ledger().quarantined == 2, "both are quarantined")
    withdraw(place, other, ANNA)
    carry_out(place, drainer)
    assert [each["visitor"] for each in quarantined(one.spool.file)] == [BERND]


def test_a_flood_of_withdrawals_is_few_mutations_and_does_not_hold_events_up(place: Place) -> None:
    worker, drainer, visitors = place.worker(), place.drainer(), range(1, 2_001)
    lines = [line(f"s{visitor}", TODAY, visitor=visitor, at=place.clock.wall()) for visitor in visitors]
    worker.commit(TODAY, BERLIN, lines)
    drainer.round()
    before = mutations(place.store)
    kept: list[str] = []
    for some in (visitors[:1_000], visitors[1_000:]):
        for visitor in some:
            withdraw(place, worker, visitor)
            place.clock.pass_time(-0.009)
        kept += see(place, worker, BERND, 5)
        assert drainer.round() == 5, "draining goes on"
        place.clock.pass_time(withdrawal.SETTLE_S)
        worker.beat()
        drainer.round()
    carry_out(place, drainer)
    assert len(set(mutations(place.store)) - set(before)) == 2
    assert_left(place, kept, withdrawn=2_000)


def test_after_a_deletion_the_next_one_waits(place: Place) -> None:
    worker, drainer = place.worker(), place.drainer()
    see(place, worker, ANNA)
    see(place, worker, BERND)
    withdraw(place, worker, ANNA)
    carry_out(place, drainer, 0.001)
    withdraw(place, worker, BERND)
    place.clock.pass_time(withdrawal.SETTLE_S)
    worker.beat()
    drainer.round()
    with opened_record(place.spool_dir) as record:
        assert record.days() == [], "it rests"
    place.clock.pass_time(60.0)
    drainer.round()
    with opened_record(place.spool_dir) as record:
        assert record.days() == [(TODAY, BERLIN)]


def test_neither_the_drainers_record_nor_a_mutation_holds_a_token(place: Place) -> None:
    worker = place.worker()
    see(place, worker, ANNA, 3)
    see(place, worker, BERND, 3)
    withdraw(place, worker, ANNA)
    place.clock.pass_time(60.0)
    place.drainer().round()
    found = b"".join(file.read_bytes() for file in place.spool_dir.glob("drainer.*"))
    assert ANNA.to_bytes(8, "big") not in found
    assert str(ANNA).encode() not in found
    commands = place.store.query("SELECT command FROM system.mutations WHERE database = currentDatabase()")
    assert commands
    assert not [text for (text,) in commands if str(ANNA) in text or f"{ANNA:x}" in text.lower()]


def test_the_live_view_is_computed_without_who_withdrew(place: Place) -> None:
    worker, drainer = place.worker(), place.drainer()
    site = dataclasses.replace(place.settings.sites["example.com"], k=1)
    live = LiveView(place.store, place.clock)
    for visitor in (ANNA, BERND):
        see(place, worker, visitor, 2, kind="view")
    drainer.round()
    assert live.of(site).totals == Measures(2, 2, 4, events=0, bounces=0, engaged_s=0)
    withdraw(place, worker, ANNA)
    carry_out(place, drainer)
    assert live.of(site).totals == Measures(1, 1, 2, events=0, bounces=0, engaged_s=0)


def test_nothing_of_a_withdrawal_is_left_in_the_spool_but_the_sum(place: Place) -> None:
    worker = place.worker()
    see(place, worker, ANNA, 3)
    withdraw(place, worker, ANNA)
    assert str(ANNA).encode() in spooled(place)
    carry_out(place, place.drainer())
    assert str(ANNA).encode() not in spooled(place)
    assert place.ledger().withdrawn == 3


def spooled(place: Place) -> bytes:
    """Every byte of every file in the spool folder, write-ahead logs included."""
    return b"".join(file.read_bytes() for file in place.spool_dir.iterdir() if file.is_file())
