"""Group commit: who waits is answered after the sync, one commit for all that gathered."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import date
from pathlib import Path

import pytest

from collector.clock import SystemClock
from collector.committer import MAX_WAITING, Committer
from collector.keys import Keys
from collector.spool import Counted, SpoolFullError

DAY, ZONE = date(2026, 3, 4), "Europe/Berlin"
COUNTED = Counted("2026-03-04", "example.com", "accepted", "")


@asynccontextmanager
async def committing(folder: Path) -> AsyncIterator[Committer]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as keys:
        clock = SystemClock()
        committer = Committer(folder, 1 << 30, Keys(Path(keys), 900.0, clock), clock)
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


def test_20000_waiting_requests_pass_and_one_more_is_refused_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with committing(tmp_path) as committer:
            waiting = [add(committer) for _ in range(MAX_WAITING)]
            with pytest.raises(SpoolFullError):
                add(committer)
            await asyncio.gather(*waiting)
            assert stored(tmp_path)[1] == MAX_WAITING

    asyncio.run(run())
