"""Draining: each event goes into the store exactly once, whatever is interrupted between any two steps."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Literal

import pytest

from aggregator.coverage import HourlyCoverage
from aggregator.drain import TRIES, Drainer, DrainerBusyError
from aggregator.store import Store, StoreRefused, StoreUnavailable
from collector.days import ends_at
from collector.spool_file import connect
from tests.aggregator.spooling import (
    BERLIN,
    GRACE_S,
    Place,
    WatchedStore,
    Worker,
    drain_fully,
    empty,
    failing_store,
    line,
    names_in,
    noon,
    place_in,
    promises,
    quarantined,
)

TODAY = date(2031, 5, 14)
YESTERDAY = TODAY - timedelta(days=1)
LONG_AGO = TODAY - timedelta(days=30)


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


def filled(place: Place) -> list[str]:
    """Two workers with events of three days; returns the names."""
    one, other = place.worker(), place.worker()
    one.take(TODAY, 5)
    other.take(TODAY, 4)
    one.take(LONG_AGO, 3)
    one.refuse(TODAY, "no_consent", 2)
    other.take(YESTERDAY, 2)
    one.take(TODAY, 1)
    return one.names + other.names


def assert_each_once(place: Place, names: list[str]) -> None:
    assert names_in(place.store) == Counter(names)
    ledger = place.ledger()
    assert ledger.imbalances == ()
    assert (ledger.accepted, ledger.open, ledger.waiting, ledger.late) == (len(names), len(names), 0, 0)


def coverage(store: Store) -> list[tuple[str, int]]:
    return store.query(
        "SELECT outcome, sum(largest) FROM (SELECT outcome, max(requests) AS largest"
        " FROM coverage_totals GROUP BY day, site, outcome, reason, spool) GROUP BY outcome ORDER BY 1"
    )


def test_every_event_of_every_spool_is_in_its_open_day_once_and_in_no_spool(place: Place) -> None:
    names = filled(place)
    assert drain_fully(place.drainer()) == len(names) == 15
    assert_each_once(place, names)
    days = place.store.query("SELECT day, timezone, count() FROM open_events GROUP BY day, timezone ORDER BY day")
    assert days == [(LONG_AGO, BERLIN, 3), (YESTERDAY, BERLIN, 2), (TODAY, BERLIN, 10)]


def test_positions_number_a_batch_and_batches_are_noted_as_open(place: Place) -> None:
    worker = place.worker()
    worker.take(TODAY, 3)
    worker.take(TODAY, 2)
    place.drainer().round()
    (batch,) = place.store.query(
        "SELECT batch, groupArray(position) FROM (SELECT * FROM open_events ORDER BY position) GROUP BY batch"
    )
    assert batch[1] == [0, 1, 2, 3, 4]
    assert place.store.query("SELECT batch, toString(outcome), events FROM batches") == [(batch[0], "open", 5)]


def test_the_events_of_one_instant_go_on_in_later_rounds(place: Place) -> None:
    worker, drainer = place.worker(), place.drainer()
    for _ in range(3):
        worker.take(TODAY, 2)
        assert drainer.round() == 2
    assert_each_once(place, worker.names)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("is_restarted", [True, False], ids=["process died", "process lived"])
def test_no_fault_at_any_call_loses_or_doubles_an_event(
    tmp_path: Path, key_dir: Path, store: Store, moment: Literal["before", "after"], is_restarted: bool
) -> None:
    """Every call of a round in turn gets no answer: it never arrived, or it did and its answer was lost."""
    call, faulty = 0, None
    while faulty is None or len(faulty.calls) >= call:
        call += 1
        empty(store)
        place = place_in(tmp_path / str(call), key_dir, store, noon(TODAY))
        names = filled(place)
        faulty = failing_store(store, call, moment)
        if is_restarted:
            _die_of_a_fault(place, faulty)
            drain_fully(place.drainer())
        else:
            _live_on_after_a_fault(place, faulty)
        assert_each_once(place, names)
        assert coverage(store) == [("accepted", 15), ("dropped", 2)]
        place.close()
    assert call > 15, "a round makes more calls than that"


def _die_of_a_fault(place: Place, faulty: WatchedStore) -> None:
    with contextlib.suppress(StoreUnavailable):
        place.drainer(faulty).round()
    if place.drainers:
        place.bury()


def _live_on_after_a_fault(place: Place, faulty: WatchedStore) -> None:
    """As the process does: whatever fails is tried again."""
    drainer: Drainer | None = None
    is_done = False
    while not is_done:
        with contextlib.suppress(StoreUnavailable):
            drainer = drainer or place.drainer(faulty)
            drain_fully(drainer)
            is_done = True


def seal_by_hand(store: Store, day: date, seal: int = 77) -> None:
    """What a sealer does to a day, without its rollups: close, note, commit, drop."""
    store.insert_rows("closings", ("day", "timezone"), [(day, BERLIN)])
    rows = store.query("SELECT batch, count() FROM open_events WHERE day = {day:Date} GROUP BY batch", {"day": day})
    noted = [(batch, day, BERLIN, events, "sealed", seal) for batch, events in rows]
    if noted:
        store.insert_rows("batches", ("batch", "day", "timezone", "events", "outcome", "seal"), noted)
    columns = ("day", "timezone", "origin", "seal", "events", "bounded", "k", "level", "days")
    events = sum(events for _, events in rows)
    store.insert_rows("seals", columns, [(day, BERLIN, "open day", seal, events, 0, 5, "rounded", 1)])
    store.command(f"ALTER TABLE open_events DROP PARTITION ('{day}', '{BERLIN}')")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_batch_sealed_and_dropped_while_its_drainer_was_away_is_not_inserted_again(
    place: Place, moment: Literal["before", "after"]
) -> None:
    """Its insert, or the note of it, got no answer; a day later the drainer is given up and the day is sealed."""
    worker = place.worker()
    worker.take(TODAY, 4)
    inserted_but_unnoted = WatchedStore(place.store, before=_never("insert_rows batches"))
    unanswered = WatchedStore(place.store, after=_never("insert_lines"))
    with pytest.raises(StoreUnavailable):
        place.drainer(unanswered if moment == "before" else inserted_but_unnoted).round()
    place.bury()
    seal_by_hand(place.store, TODAY)
    assert place.ledger().imbalances == (), "its rows wait and were sealed: they count once"
    place.clock.pass_time(30 * 3600)
    drain_fully(place.drainer())
    assert names_in(place.store) == Counter()
    ledger = place.ledger()
    assert (ledger.sealed, ledger.late, ledger.waiting, ledger.imbalances) == (4, 0, 0, ())


def _never(name: str) -> Callable[[int, str], None]:
    def fail(_: int, call: str) -> None:
        if call == name:
            raise StoreUnavailable(f"no answer to {name}")

    return fail


def test_a_drainer_back_after_30_hours_counts_its_events_of_a_sealed_day_as_late(place: Place) -> None:
    worker, drainer = place.worker(), place.drainer()
    worker.take(TODAY, 2)
    drainer.round()
    worker.take(TODAY, 7)
    seal_by_hand(place.store, TODAY)
    place.clock.pass_time(30 * 3600)
    worker.take(TODAY + timedelta(days=1), 1)
    drain_fully(drainer)
    ledger = place.ledger()
    assert (ledger.sealed, ledger.late, ledger.open, ledger.imbalances) == (2, 7, 1, ())


def test_a_day_is_promised_after_a_heartbeat_later_than_its_grace_and_not_before(place: Place) -> None:
    worker, drainer = place.worker(), place.drainer()
    worker.take(TODAY)
    over_at = ends_at(TODAY, BERLIN) + GRACE_S
    place.clock.pass_time(over_at - 1 - place.clock.wall())
    worker.beat()
    drainer.round()
    assert promises(place.store)[0][0] < TODAY
    place.clock.pass_time(2)
    drainer.round()
    assert promises(place.store)[0][0] < TODAY, "the last heartbeat is older than the end of grace"
    worker.beat()
    drainer.round()
    assert promises(place.store) == [(TODAY, [])]


def test_a_spool_without_a_worker_needs_no_heartbeat(place: Place) -> None:
    worker, drainer = place.worker(), place.drainer()
    worker.take(TODAY)
    drainer.round()
    place.workers.remove(worker)
    worker.close()
    place.clock.pass_time(ends_at(TODAY, BERLIN) + GRACE_S + 1 - place.clock.wall())
    drainer.round()
    assert promises(place.store) == [(TODAY, [])]


def test_a_day_is_promised_once_the_write_ahead_log_is_empty_and_not_while_somebody_reads_it(place: Place) -> None:
    worker, drainer = place.worker(), place.drainer()
    log = worker.spool.file.with_name(worker.spool.file.name + "-wal")
    drainer.round()
    worker.take(TODAY, 50)
    drainer.round()
    assert log.stat().st_size > 0
    place.clock.pass_time(ends_at(TODAY, BERLIN) + GRACE_S + 1 - place.clock.wall())
    worker.beat()
    reader = sqlite3.connect(worker.spool.file, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM rows").fetchone()
    drainer.round()
    assert promises(place.store)[0][0] < TODAY
    reader.close()
    drainer.round()
    assert promises(place.store) == [(TODAY, [])]
    assert log.stat().st_size == 0


def test_an_old_day_is_reopened_for_its_events_and_given_back_one_grace_after_its_last_batch(place: Place) -> None:
    worker, drainer = place.worker(), place.drainer()
    worker.beat()
    drainer.round()
    assert promises(place.store) == [(YESTERDAY, [])]
    worker.take(LONG_AGO)
    drainer.round()
    assert promises(place.store) == [(YESTERDAY, [LONG_AGO])]
    place.clock.pass_time(GRACE_S - 1)
    worker.take(LONG_AGO)
    drainer.round()
    place.clock.pass_time(GRACE_S - 1)
    drainer.round()
    assert promises(place.store) == [(YESTERDAY, [LONG_AGO])], "one grace after the last batch, not the first"
    place.clock.pass_time(1)
    drainer.round()
    assert promises(place.store) == [(YESTERDAY, [])]
    log = worker.spool.file.with_name(worker.spool.file.name + "-wal")
    assert log.stat().st_size == 0


def test_a_reopened_day_stays_reopened_across_a_restart(place: Place) -> None:
    worker = place.worker()
    worker.take(LONG_AGO)
    worker.beat()
    place.drainer().round()
    place.bury()
    drainer = place.drainer()
    drainer.round()
    assert promises(place.store) == [(YESTERDAY, [LONG_AGO])]
    place.clock.pass_time(GRACE_S)
    drainer.round()
    assert promises(place.store) == [(YESTERDAY, [])]


def refusing(store: Store, culprits: set[str]) -> WatchedStore:
    """A store that refuses a batch with one of these names in it, as ClickHouse refuses a line that it cannot parse."""

    class Refusing(WatchedStore):
        def insert_lines(self, table: str, lines: bytes | Iterable[bytes], *, tag: str, token: str) -> int:
            whole = lines if isinstance(lines, bytes) else b"".join(lines)
            if any(b'"name":"%b"' % name.encode() in whole for name in culprits):
                raise StoreRefused(27, "the rows were refused")
            return super().insert_lines(table, whole, tag=tag, token=token)

    return Refusing(store)


def test_a_batch_refused_for_its_content_is_halved_until_the_bad_lines_are_quarantined_and_all_others_are_in(
    place: Place,
) -> None:
    one, other = place.worker(), place.worker()
    for _ in range(6):
        one.take(TODAY, 8)
        other.take(TODAY, 1)
    culprits = {one.names[0], one.names[21], one.names[22], other.names[-1]}
    drainer = place.drainer(refusing(place.store, culprits))
    for _ in range(60):
        drainer.round()
        one.take(TODAY, 1)
    assert names_in(place.store) == Counter([name for name in one.names[:-1] + other.names if name not in culprits])
    drainer.round()
    found = {line["name"] for worker in place.workers for line in quarantined(worker.spool.file)}
    ledger = place.ledger()
    assert found == culprits
    assert (ledger.quarantined, ledger.waiting, ledger.imbalances) == (4, 0, ())


def test_lines_that_the_real_store_refuses_are_quarantined(place: Place) -> None:
    worker = place.worker()
    worker.commit(TODAY, BERLIN, [line("good", TODAY), line("bad", TODAY, engaged_ms="no number"), line("fine", TODAY)])
    drainer = place.drainer()
    for _ in range(30):
        drainer.round()
    assert names_in(place.store) == Counter(["good", "fine"])
    assert (place.ledger().quarantined, place.ledger().imbalances) == (1, ())


def test_a_batch_refused_less_than_three_times_stays_whole(place: Place) -> None:
    worker = place.worker()
    worker.take(TODAY, 4)
    culprits = {worker.names[0]}
    drainer = place.drainer(refusing(place.store, culprits))
    for _ in range(TRIES - 1):
        drainer.round()
    assert place.ledger().imbalances == ()
    culprits.clear()
    drainer.round()
    assert_each_once(place, worker.names)
    assert place.store.query("SELECT uniqExact(batch) FROM open_events") == [(1,)]


def test_rows_behind_a_refused_batch_go_on(place: Place) -> None:
    worker = place.worker()
    worker.take(TODAY, 2)
    drainer = place.drainer(refusing(place.store, {worker.names[0]}))
    drainer.round()
    worker.take(TODAY, 3)
    drainer.round()
    assert names_in(place.store) == Counter(worker.names[2:])


def test_quarantined_lines_are_forgotten_before_their_day_is_promised(place: Place) -> None:
    """They hold tokens (P13)."""
    worker = place.worker()
    worker.take(TODAY, 1)
    drainer = place.drainer(refusing(place.store, set(worker.names)))
    for _ in range(TRIES):
        drainer.round()
    assert len(quarantined(worker.spool.file)) == 1
    place.clock.pass_time(ends_at(TODAY, BERLIN) + GRACE_S + 1 - place.clock.wall())
    worker.beat()
    drainer.round()
    assert promises(place.store) == [(TODAY, [])]
    assert quarantined(worker.spool.file) == []
    assert (place.ledger().quarantined, place.ledger().imbalances) == (1, ())


def test_coverage_totals_pushed_twice_count_once(place: Place) -> None:
    worker = place.worker()
    worker.refuse(TODAY, "no_consent", 30)
    place.drainer().round()
    place.bury()
    drainer = place.drainer()
    drainer.round()
    worker.refuse(TODAY, "no_consent", 10)
    drainer.round()
    assert HourlyCoverage(place.store).round(place.store.now() - 3_600)
    assert place.store.query("SELECT outcome, reason, requests FROM coverage") == [("dropped", "no_consent", 40)]


def test_drainer_and_spools_keep_their_identity_across_restarts(place: Place) -> None:
    worker = place.worker()
    worker.take(TODAY)
    place.drainer().round()
    place.bury()
    place.workers.remove(worker)
    worker.close()
    again = place.worker()
    again.take(TODAY)
    place.drainer().round()
    assert place.store.query("SELECT uniqExact(drainer) FROM drains") == [(1,)]
    assert place.store.query("SELECT uniqExact(spool) FROM coverage_totals") == [(1,)]


def test_a_second_drainer_on_one_folder_says_so_and_the_first_goes_on(place: Place) -> None:
    worker, drainer = place.worker(), place.drainer()
    with pytest.raises(DrainerBusyError, match="another drainer"):
        place.drainer()
    worker.take(TODAY)
    assert drainer.round() == 3


def test_a_drainer_that_could_not_reach_the_store_leaves_the_folder_to_the_next(place: Place) -> None:
    with pytest.raises(StoreUnavailable):
        place.drainer(failing_store(place.store, 1, "before"))
    place.drainer().round()


def test_two_drainers_of_two_folders_both_have_to_promise(tmp_path: Path, key_dir: Path, place: Place) -> None:
    elsewhere = place_in(tmp_path / "elsewhere", key_dir, place.store, noon(TODAY))
    for each in (place, elsewhere):
        each.worker().take(TODAY)
        each.drainer().round()
    assert len(promises(place.store)) == 2
    assert names_in(place.store).total() == 6
    elsewhere.close()


def test_the_key_of_an_old_day_is_destroyed_after_its_seal_and_that_of_today_is_kept(place: Place) -> None:
    for day in (LONG_AGO, TODAY):
        place.keys.tokens(day, BERLIN, "example.com", "192.0.2.0", "192.0.2.0", "agent")
    worker, drainer = place.worker(), place.drainer()
    worker.take(LONG_AGO)
    drainer.round()
    assert len(place.keys.days()) == 2
    seal_by_hand(place.store, LONG_AGO)
    drainer.round()
    assert place.keys.days() == [(TODAY, BERLIN)]


def test_a_row_that_is_not_what_was_written_is_quarantined_and_the_others_of_its_batch_are_in(place: Place) -> None:
    """A byte that the disk flipped within a line: SQLite's page is whole, and the line may be valid JSON still."""
    worker, drainer = place.worker(), place.drainer()
    for _ in range(3):
        worker.take(TODAY, 2)
    with contextlib.closing(connect(worker.spool.file)) as connection:
        connection.execute("UPDATE rows SET lines = CAST(replace(lines, 'Firefox', 'Firefoy') AS BLOB) WHERE id = 2")
    for _ in range(3):
        drainer.round()
    assert names_in(place.store) == Counter(worker.names[:2] + worker.names[4:])
    ledger = place.ledger()
    assert (ledger.quarantined, ledger.waiting, ledger.imbalances) == (2, 0, ())


@pytest.mark.parametrize("bad", [{0}, {299}, {150}, {0, 1, 77, 150, 298, 299}], ids=["first", "last", "middle", "six"])
def test_wherever_bad_lines_stand_in_a_batch_the_others_are_in_after_few_rounds(place: Place, bad: set[int]) -> None:
    worker = place.worker()
    for start in range(0, 300, 30):
        numbers = range(start, start + 30)
        lines = [line(str(n), TODAY, engaged_ms="no number" if n in bad else 0) for n in numbers]
        worker.commit(TODAY, BERLIN, lines)
    drainer, rounds = place.drainer(), 0
    while place.ledger().waiting:
        drainer.round()
        rounds += 1
        assert rounds < 60
    assert names_in(place.store) == Counter([str(n) for n in range(300) if n not in bad])
    assert (place.ledger().quarantined, place.ledger().imbalances) == (len(bad), ())


def killed_with_a_batch_in_doubt(place: Place) -> Worker:
    """A spool file that nobody has: the store has its one batch, which its drainer could not note any more."""
    worker = place.worker()
    for _ in range(3):
        worker.take(TODAY, 2)
    unnoted = WatchedStore(place.store, before=_never("insert_rows batches"))
    with pytest.raises(StoreUnavailable):
        place.drainer(unnoted).round()
    place.bury()
    worker.close()
    place.workers.clear()
    return worker


def assert_drained_once(place: Place, worker: Worker) -> None:
    drainer = place.drainer()
    for _ in range(4):
        drainer.round()
    assert names_in(place.store) == Counter(worker.names)
    assert place.ledger().imbalances == ()


@pytest.mark.parametrize(
    "damage",
    ["events = 7", "events = -122", "batch = batch + 1", "last = last - 1", "first = first + 1", "day = '2026-01-01'"],
)
def test_a_record_of_a_batch_that_is_not_what_was_written_doubles_nothing(place: Place, damage: str) -> None:
    worker = killed_with_a_batch_in_doubt(place)
    with contextlib.closing(connect(worker.spool.file)) as connection:
        assert connection.execute(f"UPDATE batches SET {damage}").rowcount == 1
    assert_drained_once(place, worker)


def test_rows_of_a_batch_that_a_damaged_page_hides_are_not_inserted_again(place: Place) -> None:
    """The search for a row goes wrong where another one's id is damaged; a reading of all of them finds it."""
    worker = killed_with_a_batch_in_doubt(place)
    with contextlib.closing(connect(worker.spool.file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        root = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'rows'").fetchone()[0]
        page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
    content = bytearray(worker.spool.file.read_bytes())
    place_of_first = (root - 1) * page_bytes + 8
    first_cell = (root - 1) * page_bytes + int.from_bytes(content[place_of_first : place_of_first + 2])
    content[first_cell + 2] ^= 1 << 6  # Its id, behind the length of its content.
    worker.spool.file.write_bytes(content)
    assert_drained_once(place, worker)
