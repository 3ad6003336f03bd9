"""POST /api/withdraw: always allowed, durable before it is answered, and it makes and tells nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, MutableMapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from collector.app import App
from collector.group import Group, Withdrawn
from collector.settings import load
from collector.spool import MAX_WITHDRAWALS, open_spool
from collector.spool_file import connect
from tests.clock import SetClock
from tests.collector.collecting import FIREFOX, MEMORY, VOUCHING_TOKEN, Answer, Collector, running

ORIGIN = "https://shop.example:8443"
OTHER_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:129.0) Gecko/20100101 Firefox/129.0"


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    with running(Collector(tmp_path, workers=2)) as collector:
        yield collector


def withdraw(collector: Collector, body: object = None, **headers: str) -> Answer:
    """A withdrawal from example.com by a visitor with Firefox."""
    told = {"d": "example.com"} if body is None else body
    sent = told if isinstance(told, bytes) else json.dumps(told).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return collector.ask("POST", "/api/withdraw", sent, {"User-Agent": FIREFOX, **named})


def waiting(collector: Collector) -> list[tuple[str, int, int]]:
    """Day, generation and visitor of each withdrawal in the spools."""
    found: list[tuple[str, int, int]] = []
    for file in sorted(collector.spool_dir.glob("spool-*.sqlite")):
        with contextlib.closing(connect(file)) as connection:
            rows = connection.execute("SELECT day, generation, visitor FROM withdrawals ORDER BY day")
            found += [(day, int(generation), int(visitor)) for day, generation, visitor in rows]
    return found


def test_a_withdrawal_names_the_visitor_as_an_event_does(collector: Collector) -> None:
    collector.event()
    answer = withdraw(collector)
    assert (answer.status, answer.footfall, answer.body) == (202, "withdrawn", b"ok")
    (event,) = collector.events()
    assert waiting(collector) == [(event["day"], event["generation"], event["visitor"])]


@pytest.mark.parametrize(
    "headers",
    [{"Sec_GPC": "1"}, {"DNT": "1"}, {"Cookie": "footfall_optout=1"}, {"Content_Type": "text/plain;charset=UTF-8"}],
    ids=lambda headers: next(iter(headers)),
)
def test_no_refusal_hinders_a_withdrawal(collector: Collector, headers: dict[str, str]) -> None:
    collector.event()
    assert withdraw(collector, **headers).footfall == "withdrawn"
    assert len(waiting(collector)) == 1


def test_without_a_key_there_is_nothing_to_withdraw_and_none_is_made(collector: Collector) -> None:
    assert withdraw(collector).footfall == "withdrawn"
    assert list(collector.keys.iterdir()) == []
    assert waiting(collector) == []
    collector.event()
    assert withdraw(collector, User_Agent="").footfall == "withdrawn"
    assert waiting(collector) == []


def test_every_day_whose_key_lives_is_withdrawn_from(collector: Collector) -> None:
    """A server reported the visitor's earlier days: their keys live until those days are sealed."""
    today = datetime.now(UTC).date()
    days = [today - timedelta(days=ago) for ago in (3, 2)]
    items = [{"n": "a", "u": "https://example.com/", "c": "1", "ip": "127.0.0.9", "ua": FIREFOX} for _ in days]
    times = [{"time": noon(day)} for day in days]
    collector.bulk(json.dumps([{**item, **at} for item, at in zip(items, times, strict=True)]).encode(), VOUCHING_TOKEN)
    collector.event()
    withdraw(collector)
    tokens = {(event["day"], event["generation"], event["visitor"]) for event in collector.events()}
    assert len(tokens) == 3
    assert set(waiting(collector)) == tokens


def noon(day: date) -> float:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()


def test_other_visitors_and_other_sites_are_not_meant(collector: Collector) -> None:
    collector.event()
    collector.event(headers={"User-Agent": OTHER_AGENT})
    collector.event({"d": "example.org", "u": "https://example.org/"})
    withdraw(collector)
    mine = next(event for event in collector.events() if event["site"] == "example.com")
    assert [visitor for _, _, visitor in waiting(collector)] == [mine["visitor"]]


def test_a_withdrawal_is_counted_nowhere_and_said_in_no_log(collector: Collector) -> None:
    collector.event()
    before, log = collector.counters(), collector.log.read_text()
    withdraw(collector)
    assert collector.counters() == before
    assert collector.log.read_text() == log


@pytest.mark.parametrize(
    ("body", "status", "footfall"),
    [
        ({"d": "unknown.example"}, 404, "invalid; field=d"),
        ({}, 400, "invalid; field=d"),
        ({"d": 5}, 400, "invalid; field=d"),
        ({"d": "x" * 300}, 400, "invalid; field=d"),
        ([], 400, "invalid; field=body"),
        (b"{", 400, "invalid; field=body"),
        (b" " * 65_537, 413, "invalid; field=body"),
    ],
)
def test_what_names_no_site_is_refused_as_an_event_is(
    collector: Collector, body: object, status: int, footfall: str
) -> None:
    collector.event()
    answer = withdraw(collector, body, Origin=ORIGIN)
    assert (answer.status, answer.footfall) == (status, footfall)
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert waiting(collector) == []


def test_a_page_of_any_origin_may_ask_and_read_the_answer(collector: Collector) -> None:
    asking = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    preflight = collector.ask("OPTIONS", "/api/withdraw", None, asking)
    assert (preflight.status, preflight.headers["access-control-allow-origin"]) == (204, ORIGIN)
    answer = withdraw(collector, Origin=ORIGIN)
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-expose-headers"] == "footfall"
    assert collector.ask("GET", "/api/withdraw").status == 405


def test_a_withdrawal_answered_is_on_disk_after_kill_9(collector: Collector) -> None:
    collector.event()
    withdraw(collector)
    collector.kill()
    assert len(waiting(collector)) == 1


def test_a_flood_of_withdrawals_is_refused_while_events_are_taken(tmp_path: Path) -> None:
    collector = Collector(tmp_path, workers=1)
    fill(collector.spool_dir)
    with running(collector):
        assert collector.event().footfall == "accepted"
        answer = withdraw(collector)
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert collector.event().footfall == "accepted"


def fill(folder: Path) -> None:
    """Leaves as many withdrawals in a spool as there may be."""
    spool, group, now = open_spool(folder, 1 << 30), Group(), time.time()
    day = datetime.now(UTC).date().isoformat()
    for visitor in range(MAX_WITHDRAWALS):
        group.withdrawals[Withdrawn(day, "UTC", "example.com", 1, visitor)] = now
    spool.commit(group, now)
    spool.close()


@pytest.mark.parametrize("step_s", [-3_600.0, -2.0, 0.0, 2.0])
def test_a_clock_set_back_puts_no_withdrawal_before_what_came_first(tmp_path: Path, step_s: float) -> None:
    """An event comes, somebody sets the clock, and the visitor withdraws, twice."""
    clock = SetClock(noon(date(2031, 5, 14)))
    received = clock.wall()

    async def run() -> list[float]:
        async with answering(tmp_path, clock) as client:
            event = {"d": "example.com", "u": "https://example.com/", "n": "a", "c": "1"}
            assert (await client.post("/api/event", json=event)).headers["footfall"] == "accepted"
            clock.set_wall(received + step_s)
            return [await withdrawn_until(client, clock, tmp_path) for _ in range(2)]

    step_seen = max(step_s, 0.0)
    assert asyncio.run(run()) == [received + step_seen + 0.25, received + step_seen + 0.5]


async def withdrawn_until(client: httpx.AsyncClient, clock: SetClock, folder: Path) -> float:
    """A quarter of a second later the visitor withdraws; returns up to when, as the spool has it."""
    clock.pass_time(0.25)
    assert (await client.post("/api/withdraw", json={"d": "example.com"})).headers["footfall"] == "withdrawn"
    with contextlib.closing(connect(folder / "data" / "spool" / "spool-0.sqlite")) as spool:
        ((at,),) = spool.execute("SELECT at FROM withdrawals")
    return float(at)


@contextlib.asynccontextmanager
async def answering(folder: Path, clock: SetClock) -> AsyncIterator[httpx.AsyncClient]:
    """One worker's application in this process, with a clock that can be set; asked by a visitor with Firefox."""
    with tempfile.TemporaryDirectory(prefix="footfall-test-", dir=MEMORY) as keys:
        file = folder / "footfall.toml"
        file.write_text(f'[privacy]\nkey_dir = "{keys}"\n[[site]]\ndomain = "example.com"\n')
        app = App(load(file, folder / "data", {}), clock)
        said: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        heard: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        life = asyncio.ensure_future(app({"type": "lifespan"}, said.get, heard.put))
        await said.put({"type": "lifespan.startup"})
        assert (await heard.get())["type"] == "lifespan.startup.complete"
        door = httpx.ASGITransport(app, client=("192.0.2.1", 5))
        async with httpx.AsyncClient(transport=door, base_url="http://a.test", headers={"User-Agent": FIREFOX}) as one:
            yield one
        await said.put({"type": "lifespan.shutdown"})
        await life
