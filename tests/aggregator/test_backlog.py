"""A spool file seen by the drainer: batches that keep their identity, and nothing left of what was ended."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from aggregator.backlog import MAX_BATCH_EVENTS, Backlog, Batch, opened
from collector.group import Counted, Group
from collector.spool_file import connect
from tests.aggregator.spooling import BERLIN, Worker, line, noon, quarantined
from tests.clock import SetClock

TODAY = date(2031, 5, 14)
NO_LIMIT = 1 << 40


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    worker = Worker(tmp_path / "spool", SetClock(noon(TODAY)))
    yield worker
    worker.close()


@pytest.fixture
def backlog(worker: Worker) -> Iterator[Backlog]:
    backlog = Backlog(worker.spool.file)
    yield backlog
    backlog.close()


def recorded(backlog: Backlog, max_rows: int = NO_LIMIT, day: date = TODAY) -> Batch:
    batch = backlog.record(day, BERLIN, max_rows)
    assert batch is not None
    return batch


def test_days_are_told_oldest_row_first(worker: Worker, backlog: Backlog) -> None:
    yesterday = TODAY - timedelta(days=1)
    worker.take(yesterday)
    worker.take(TODAY)
    worker.take(TODAY, timezone="Asia/Kolkata")
    worker.take(yesterday)
    assert backlog.days() == [(yesterday, BERLIN), (TODAY, BERLIN), (TODAY, "Asia/Kolkata")]


def test_a_batch_has_the_same_identity_and_lines_after_a_crash(worker: Worker, backlog: Backlog) -> None:
    worker.take(TODAY, 2)
    worker.take(TODAY - timedelta(days=1))
    worker.take(TODAY, 3)
    batch = recorded(backlog)
    worker.take(TODAY, 4)
    again = Backlog(worker.spool.file)
    assert again.recorded() == [batch]
    assert b"".join(again.lines(batch)) == b"".join(backlog.lines(batch))
    again.close()
    rows = [json.loads(row) for row in b"".join(backlog.lines(batch)).splitlines()]
    assert [row["position"] for row in rows] == [0, 1, 2, 3, 4]
    assert {(row["batch"], row["day"]) for row in rows} == {(batch.batch, TODAY.isoformat())}
    assert 0 < batch.batch < 2**63


def test_a_large_batch_counts_as_gone_at_once_and_its_rows_go_by_and_by(worker: Worker, backlog: Backlog) -> None:
    """The process ends between two of the transactions that delete; the next one goes on, and counts nothing again."""
    for _ in range(40):
        worker.commit(TODAY, BERLIN, [line("long", TODAY, path="/" + "x" * 60_000)])
    batch = recorded(backlog)
    with contextlib.closing(connect(worker.spool.file)) as other:
        other.execute(
            "CREATE TRIGGER dies BEFORE DELETE ON rows WHEN old.id > 20 BEGIN SELECT RAISE(ABORT, 'dies'); END"
        )
    with pytest.raises(sqlite3.Error):
        backlog.end(batch, "drained")
    with contextlib.closing(connect(worker.spool.file)) as other:
        other.execute("DROP TRIGGER dies")
    with contextlib.closing(Backlog(worker.spool.file)) as again:
        assert 0 < len(again.days()) <= 1
        assert (again.recorded(), again.ledger()["waiting"], again.ledger()["drained"]) == ([], 0, 40)
        again.clear()
        assert (again.days(), again.ledger()["waiting"], again.ledger()["drained"]) == ([], 0, 40)


def test_batches_of_two_spools_differ(tmp_path: Path, worker: Worker, backlog: Backlog) -> None:
    other = Worker(worker.folder, worker.clock)
    for each in (worker, other):
        each.take(TODAY)
    with opened(worker.folder) as backlogs:
        batches = {recorded(each).batch for each in backlogs}
    assert len(batches) == 2
    other.close()


def test_a_batch_takes_200_000_events_and_not_one_row_more(worker: Worker, backlog: Backlog) -> None:
    for _ in range(21):
        worker.commit(TODAY, BERLIN, [b"{}\n"] * 10_000)
    assert recorded(backlog).events == MAX_BATCH_EVENTS
    assert recorded(backlog).events == 10_000
    assert backlog.record(TODAY, BERLIN, NO_LIMIT) is None


def test_a_batch_is_bounded_in_bytes_but_has_one_row_at_least(worker: Worker, backlog: Backlog) -> None:
    large = [b'{"name":"' + b"x" * (70 << 20) + b'"}\n']
    worker.commit(TODAY, BERLIN, large)
    worker.commit(TODAY, BERLIN, large)
    assert recorded(backlog).events == 1
    assert recorded(backlog).events == 1


def test_batches_of_a_day_never_overlap(worker: Worker, backlog: Backlog) -> None:
    for _ in range(5):
        worker.take(TODAY, 1)
    batches = [recorded(backlog, max_rows=2) for _ in range(3)]
    assert [(batch.first, batch.last) for batch in batches] == [(1, 2), (3, 4), (5, 5)]


def test_ending_a_batch_deletes_its_rows_alone_and_moves_the_ledger(worker: Worker, backlog: Backlog) -> None:
    worker.take(TODAY, 3)
    batch = recorded(backlog)
    worker.take(TODAY, 2)
    worker.take(TODAY - timedelta(days=1), 4)
    backlog.end(batch, "drained")
    assert backlog.recorded() == []
    assert backlog.ledger() == {"accepted": 9, "drained": 3, "waiting": 6}
    assert backlog.has(TODAY, BERLIN)
    backlog.end(recorded(backlog), "late")
    assert backlog.ledger() == {"accepted": 9, "drained": 3, "late": 2, "waiting": 4}
    assert not backlog.has(TODAY, BERLIN)


def test_narrowing_a_row_splits_it_and_a_single_line_is_quarantined(worker: Worker, backlog: Backlog) -> None:
    worker.take(TODAY, 3)
    assert backlog.narrow(recorded(backlog)) == 1
    first, second = recorded(backlog, max_rows=1), recorded(backlog, max_rows=1)
    assert (first.events, second.events) == (1, 2)
    backlog.narrow(first)
    assert [row["name"] for row in quarantined(worker.spool.file)] == worker.names[:1]
    assert backlog.ledger() == {"accepted": 3, "quarantined": 1, "waiting": 2}


def test_narrowing_several_rows_only_forgets_the_batch_and_tells_how_many_they_are(
    worker: Worker, backlog: Backlog
) -> None:
    for day in (TODAY, TODAY - timedelta(days=1), TODAY, TODAY):
        worker.take(day, 1)
    batch = recorded(backlog)
    assert backlog.narrow(batch) == 3
    assert backlog.recorded() == []
    assert recorded(backlog, max_rows=1).events == 1


def test_quarantined_lines_are_forgotten_by_day_and_zone(worker: Worker, backlog: Backlog) -> None:
    days = [TODAY - timedelta(days=ago) for ago in range(3)]
    for day in days:
        worker.take(day, 1)
        backlog.narrow(recorded(backlog, day=day))
    backlog.forget_quarantined("Asia/Kolkata", lambda day: True)
    assert len(quarantined(worker.spool.file)) == 3
    backlog.forget_quarantined(BERLIN, lambda day: day < TODAY)
    assert [row["day"] for row in quarantined(worker.spool.file)] == [TODAY.isoformat()]
    assert backlog.ledger()["quarantined"] == 3


def test_nothing_of_an_ended_batch_is_left_in_any_byte_once_the_log_is_truncated(
    worker: Worker, backlog: Backlog
) -> None:
    secret = b"d3adbeef-c0ffee"
    for size in (1, 200, 20_000):
        worker.commit(TODAY, BERLIN, [line(f"{secret.decode()}{number}", TODAY) for number in range(size // 100 + 1)])
    backlog.end(recorded(backlog), "drained")

    def found() -> list[str]:
        return [file.name for file in worker.folder.iterdir() if secret in file.read_bytes()]

    assert found() == ["spool-0.sqlite-wal"]
    assert backlog.truncate_log()
    assert found() == []


def test_counters_are_told_as_totals_of_what_changed_since(worker: Worker, backlog: Backlog) -> None:
    worker.refuse(TODAY, "no_consent", 2)
    worker.refuse(TODAY, "bot", 1)
    totals, commit = backlog.counters_since(0)
    assert {(counted.reason, requests) for counted, requests in totals} == {("no_consent", 2), ("bot", 1)}
    worker.refuse(TODAY, "bot", 5)
    totals, later = backlog.counters_since(commit)
    assert totals == [(Counted(TODAY.isoformat(), "example.com", "dropped", "bot"), 6)]
    assert backlog.counters_since(later) == ([], later)


def test_a_heartbeat_counts_if_it_is_later_and_a_spool_without_a_worker_needs_none(
    worker: Worker, backlog: Backlog
) -> None:
    now = worker.clock.wall()
    assert not backlog.is_beaten_since(now)
    worker.beat()
    assert not backlog.is_beaten_since(now)
    assert backlog.is_beaten_since(now - 1)
    assert not backlog.is_orphaned()
    orphan = Worker(worker.folder, worker.clock)
    orphan.close()
    found = Backlog(orphan.spool.file)
    assert found.is_orphaned()
    assert found.is_beaten_since(now)
    found.close()


def test_the_fail_safe_leaves_rows_that_a_batch_names_to_the_drainer(worker: Worker, backlog: Backlog) -> None:
    worker.take(TODAY, 2)
    batch = recorded(backlog)
    worker.take(TODAY, 3)
    assert worker.spool.expire(worker.clock.wall() + 1) == 5
    backlog.end(batch, "drained")
    assert backlog.ledger() == {"accepted": 5, "drained": 2, "expired": 3, "waiting": 0}


def test_a_file_that_its_worker_is_still_making_is_passed_over(worker: Worker) -> None:
    (worker.folder / "spool-7.sqlite").touch()
    with opened(worker.folder) as backlogs:
        assert [backlog.file.name for backlog in backlogs] == ["spool-0.sqlite"]


def test_a_group_without_events_leaves_no_row(worker: Worker, backlog: Backlog) -> None:
    worker.spool.commit(Group(), worker.clock.wall())
    assert backlog.days() == []
    assert backlog.record(TODAY, BERLIN, NO_LIMIT) is None
