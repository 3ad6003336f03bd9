"""Group commit: who waits is answered after the sync, one commit for all that gathered; no fault ends it."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import date
from pathlib import Path

import pytest

from aggregator.backlog import Backlog
from collector.clock import Clock, SystemClock
from collector.committer import BEAT_EVERY_S, MAX_WAITING, Committer
from collector.days import starts_at
from collector.group import Counted, Group
from collector.keys import ALIVE, SIZE, Keys
from collector.spool import open_spool
from collector.spool_fault import SpoolError, SpoolFullError
from tests.clock import SetClock
from tests.collector.collecting import until

DAY, ZONE = date(2026, 3, 4), "Europe/Berlin"
COUNTED = Counted("2026-03-04", "example.com", "accepted", "")


@asynccontextmanager
async def committing(
    folder: Path, clock: Clock | None = None, max_bytes: int = 1 << 30, keys: Path | None = None
) -> AsyncIterator[Committer]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as own:
        clock = clock or SystemClock()
        committer = Committer(folder, max_bytes, Keys(keys or Path(own), 900.0, clock), clock)
        yield committer
        await committer.close()


def add(committer: Committer) -> asyncio.Future[None]:
    group = committer.group()
    group.add(DAY, ZONE, b"{}\n")
    group.count(COUNTED)
    return committer.committed()


def stored(folder: Path) -> tuple[int, int, int]:
    """Rows, events, and requests counted."""
    with closing(sqlite3.connect(folder / "spool-0.sqlite")) as spool:
        rows, events = spool.execute("SELECT count(*), coalesce(sum(events), 0) FROM rows").fetchone()
        return rows, events, spool.execute("SELECT coalesce(sum(requests), 0) FROM counters").fetchone()[0]


@pytest.mark.parametrize("requests", [1, 15, 16, 17, 400])
def test_what_gathered_is_in_the_file_when_its_requests_are_answered(tmp_path: Path, requests: int) -> None:
    async def run() -> None:
        async with committing(tmp_path) as committer:
            for time in range(1, 4):
                await asyncio.gather(*[add(committer) for _ in range(requests)])
                assert stored(tmp_path) == (time, time * requests, time * requests)

    asyncio.run(run())


def test_nothing_is_answered_before_its_own_commit(tmp_path: Path) -> None:
    async def run() -> None:
        async with committing(tmp_path) as committer:
            first = [add(committer) for _ in range(100)]
            await first[0]
            second = add(committer)
            await second
            assert stored(tmp_path)[1] == 101

    asyncio.run(run())


def test_a_request_whose_client_left_is_stored_and_disturbs_nobody(tmp_path: Path) -> None:
    async def run() -> None:
        async with committing(tmp_path) as committer:
            gone, stays = add(committer), add(committer)
            gone.cancel()
            await stays
            assert stored(tmp_path) == (1, 2, 2)

    asyncio.run(run())


def test_what_waits_when_the_worker_stops_is_committed_and_answered(tmp_path: Path) -> None:
    async def run() -> None:
        async with committing(tmp_path) as committer:
            waiting = [add(committer) for _ in range(50)]
        await asyncio.wait_for(asyncio.gather(*waiting), 10)
        assert stored(tmp_path)[1] == 50

    asyncio.run(run())


def test_4096_waiting_requests_pass_and_one_more_is_refused_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with committing(tmp_path) as committer:
            waiting = [add(committer) for _ in range(MAX_WAITING)]
            with pytest.raises(SpoolFullError):
                add(committer)
            await asyncio.gather(*waiting)
            await add(committer)
            assert stored(tmp_path)[1] == MAX_WAITING + 1

    asyncio.run(run())


# --- faults ---------------------------------------------------------------------------------------------------------


def stopped() -> SetClock:
    """Noon of `DAY`; no beat comes before somebody lets time pass."""
    return SetClock(starts_at(DAY, ZONE) + 12 * 3_600)


async def answer(waiting: asyncio.Future[None]) -> None:
    await asyncio.wait_for(waiting, 10)


def add_broken(committer: Committer) -> asyncio.Future[None]:
    """A request whose answer SQLite refuses, as it would with a disk that fails."""
    committer.group().answers[b"key"] = None  # type: ignore[assignment]  # what no caller may pass
    return add(committer)


def add_unforeseen(committer: Committer) -> asyncio.Future[None]:
    """A request that cannot be stored for a reason other than SQLite's: half a character."""
    committer.group().count(Counted("2026-03-04", "canary-\ud800", "invalid", ""))
    return add(committer)


def last_beat(folder: Path) -> float:
    with closing(sqlite3.connect(folder / "spool-0.sqlite")) as spool:
        beat = spool.execute("SELECT value FROM facts WHERE name = 'heartbeat'").fetchone()
        return 0.0 if beat is None else float(beat[0])


def test_a_next_file_that_cannot_be_made_is_answered_each_time_until_it_can(tmp_path: Path) -> None:
    async def run() -> None:
        async with committing(tmp_path) as committer:
            await answer(add(committer))
            (tmp_path / "spool-1.lock").mkdir()
            with pytest.raises(SpoolError, match=r"cannot write the spool spool-0\.sqlite"):
                await answer(add_broken(committer))
            for _ in range(3):
                with pytest.raises(SpoolError, match=r"cannot make or lock the spool spool-1\.sqlite"):
                    await answer(add(committer))
            assert "spool-1.sqlite" in str(committer.fault)
            (tmp_path / "spool-1.lock").rmdir()
            await answer(add(committer))
            assert committer.fault is None

    asyncio.run(run())
    assert (tmp_path / "spool-1.sqlite").exists()


def test_a_fault_that_nobody_foresaw_fails_its_group_alone_and_is_told_once_without_its_text(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def run() -> None:
        async with committing(tmp_path, stopped()) as committer:
            await answer(add(committer))
            for _ in range(2):
                with pytest.raises(
                    SpoolError, match=r"cannot commit a group of requests: UnicodeEncodeError at spool\.py"
                ):
                    await answer(add_unforeseen(committer))
            assert "UnicodeEncodeError" in str(committer.fault)
            await answer(add(committer))
            assert committer.fault is None
            assert stored(tmp_path) == (2, 2, 2)

    asyncio.run(run())
    first, second = caplog.messages
    assert "UnicodeEncodeError" in first
    assert second == "the spool takes events again"
    assert "canary" not in caplog.text
    assert "ud800" not in caplog.text


def test_a_good_beat_after_a_failed_one_makes_the_worker_ready_without_a_request(tmp_path: Path) -> None:
    async def run() -> None:
        clock = stopped()
        async with committing(tmp_path, clock) as committer:
            await answer(add(committer))
            until(lambda: last_beat(tmp_path) > 0, "the first beat")
            with closing(sqlite3.connect(tmp_path / "spool-0.sqlite")) as spool:
                spool.execute("ALTER TABLE facts RENAME TO lost")
            clock.pass_time(BEAT_EVERY_S)
            until(lambda: committer.fault is not None, "a beat has failed")
            clock.pass_time(BEAT_EVERY_S)
            until(lambda: committer.fault is None, "the worker is ready again")

    asyncio.run(run())


def test_a_beat_does_not_call_a_full_spool_ready_and_does_once_it_is_drained(tmp_path: Path) -> None:
    async def fill(committer: Committer) -> None:
        while True:
            committer.group().add(DAY, ZONE, b"x" * 50_000 + b"\n")
            await answer(add(committer))

    async def run() -> None:
        clock = stopped()
        async with committing(tmp_path, clock, max_bytes=200_000) as committer:
            with pytest.raises(SpoolFullError):
                await fill(committer)
            clock.pass_time(BEAT_EVERY_S)
            until(lambda: last_beat(tmp_path) == clock.wall(), "a beat")
            # In the thread this comes after the proof that followed the beat.
            committer.group().count(COUNTED)
            await answer(committer.committed())
            assert "has reached its limit" in str(committer.fault)
            with closing(Backlog(tmp_path / "spool-0.sqlite")) as backlog:
                batch = backlog.record(DAY, ZONE, 1_000)
                assert batch is not None
                backlog.end(batch, "drained")
            clock.pass_time(BEAT_EVERY_S)
            until(lambda: committer.fault is None, "the worker is ready again")

    asyncio.run(run())


def test_a_key_that_cannot_be_destroyed_is_told_and_tried_again_and_events_are_taken_meanwhile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run(keys: Path) -> None:
        clock = stopped()
        overdue = keys / "2026-03-02@UTC"
        overdue.mkdir()
        os.utime(overdue, times=(starts_at(date(2026, 3, 2), "UTC"),) * 2)
        async with committing(tmp_path, clock, keys=keys) as committer:
            await answer(add(committer))
            until(lambda: last_beat(tmp_path) == clock.wall(), "a beat, for all that")
            for _ in range(2):
                await answer(add(committer))
                assert committer.fault == "cannot destroy the keys whose time is over: Is a directory"
                clock.pass_time(BEAT_EVERY_S)
            overdue.rmdir()
            overdue.write_bytes(ALIVE + bytes(SIZE - 1))
            os.utime(overdue, times=(starts_at(date(2026, 3, 2), "UTC"),) * 2)
            clock.pass_time(BEAT_EVERY_S)
            until(lambda: not overdue.exists() and committer.fault is None, "the key is destroyed")
            assert stored(tmp_path)[1] == 3

    with tempfile.TemporaryDirectory(dir="/dev/shm") as keys:
        asyncio.run(run(Path(keys)))
    told = [message for message in caplog.messages if "Is a directory" in message]
    assert told == ["cannot destroy the keys whose time is over: Is a directory; it is tried again every 2 s"]


def test_a_living_worker_lets_what_no_worker_has_expire(tmp_path: Path) -> None:
    """Its own file is the first; the second is left by a worker that is gone, and so is its drainer."""
    clock = SetClock(starts_at(DAY, ZONE))
    own, gone = (open_spool(tmp_path, 1 << 30) for _ in range(2))
    group = Group()
    group.add(DAY, ZONE, b"{}\n")
    gone.commit(group, clock.wall())
    for each in (own, gone):
        each.close()

    def waiting() -> int:
        with closing(Backlog(gone.file)) as backlog:
            return backlog.ledger()["waiting"]

    async def live(committer: Committer, hours: int) -> None:
        for _ in range(hours):
            clock.pass_time(3_600.0)
            await add(committer)

    async def run() -> None:
        async with committing(tmp_path, clock) as committer:
            await live(committer, 71)
            assert waiting() == 1
            await live(committer, 4)
            until(lambda: waiting() == 0, "it has expired")

    asyncio.run(run())
