"""The demo's visitors: a process that sends a month of visits, waits until it is sealed, and goes on with live ones.

It may be killed and started again at any time: the month is the same again, its requests have the same
Idempotency-Keys, and what was counted once is not counted twice. Live visits are others each time.

The month's days are sent one after the other, each whole, because a day that is over is sealed one grace after its last
batch; while one is sealed, the next is sent.
"""

from __future__ import annotations

import contextlib
import functools
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.resources import files

from aggregator.store import Store, StoreUnavailable, open_store
from collector.days import day_of
from collector.settings import Address, Settings
from dashboards.demo.audience import Audience
from dashboards.demo.folder import SITE, TIMEZONE
from dashboards.demo.progress import Progress
from dashboards.demo.sending import Sender
from dashboards.demo.traffic import Item, Traffic, visits_by_day

POLL_S = 0.3
# What comes live goes out this often: with the second that the drain and the live view take, that looks immediate.
LIVE_TICK_S = 1.0
# One visit in so many seconds, more than the month's: the live view moves in groups of five networks, and somebody
# looks at it.
LIVE_VISIT_EVERY_S = 3.0
# Where in the bar the sending ends. Most days are sealed meanwhile.
SENDING_SHARE = 0.8


@dataclass(frozen=True)
class Month:
    """What is asked for: the Unix time it ends at, whole days before that, visits on an average day, and the number
    that all chance comes from."""

    ends_at: float
    days: int
    visits_per_day: int
    seed: int

    @property
    def today(self) -> date:
        return day_of(self.ends_at, TIMEZONE)


class Visitors:
    """Everybody who comes, until `stopping` is set."""

    def __init__(self, settings: Settings, token: str, month: Month, stopping: threading.Event) -> None:
        self._month, self._stopping = month, stopping
        self._sender = Sender(settings.collector.listen, token, stopping)
        audience = Audience(month.seed, settings.collector.country_file)
        self._traffic = Traffic(audience, month.seed, SITE, TIMEZONE)
        self._visits = visits_by_day(month.today, month.days, month.visits_per_day, month.seed)
        self._sealing = Sealing(settings, month)
        self._progress = Progress()

    def run(self, ready: Callable[[], str]) -> None:
        """Sends the month, waits for its seals, says what `ready` returns, and goes on. Raises `Fault`."""
        with contextlib.closing(self._sender), contextlib.closing(self._sealing):
            self._send_past_days()
            later = self._send_today()
            self._wait_until_sealed()
            if not self._stopping.is_set():
                self._progress.say(ready())
            self._go_on(later)

    def _send_past_days(self) -> None:
        past = {day: visits for day, visits in self._visits.items() if day < self._month.today}
        all_visits, sent = sum(past.values()), 0
        for day, items in self._days_of(past):
            self._show(sent / all_visits, f"sending visit {sent:,} of {all_visits:,}")
            self._sender.send(items, f"{self._month.seed}/{day}")
            sent += past[day]
            if self._stopping.is_set():
                return

    def _days_of(self, visits: Mapping[date, int]) -> Iterator[tuple[date, list[Item]]]:
        """Each day's events; while one day is sent, the next is made (0.25 s for 2,000 visits)."""
        with ThreadPoolExecutor(1) as making:
            # One more than the days, which nobody waits for.
            to_make: list[Callable[[], list[Item]]] = [
                *(functools.partial(self._traffic.day, day, number) for day, number in visits.items()),
                list,
            ]
            coming = making.submit(to_make[0])
            for day, make in zip(visits, to_make[1:], strict=True):
                items, coming = coming.result(), making.submit(make)
                yield day, items

    def _send_today(self) -> list[Item]:
        """Sends what has happened today; returns what visitors who are there now do later."""
        now = self._month.ends_at
        items = self._traffic.day(self._month.today, self._visits[self._month.today])
        past = [item for item in items if item["time"] <= now]
        self._sender.send(past, f"{self._month.seed}/today")
        begun = {item["ip"] for item in past}
        return [item for item in items if item["time"] > now and item["ip"] in begun]

    def _wait_until_sealed(self) -> None:
        while self._sealing.sealed() < self._month.days and not self._stopping.wait(POLL_S):
            self._show(1.0, "everything is sent")

    def _show(self, sent: float, text: str) -> None:
        sealed, days = self._sealing.sealed(), self._month.days
        share = SENDING_SHARE * sent + (1 - SENDING_SHARE) * sealed / days
        self._progress.show(share, f"{text}; {sealed} of {days} days are sealed")

    def _go_on(self, later: Sequence[Item]) -> None:
        """Live visits: those of the day's plan, and one more every few seconds."""
        chance = random.Random()  # noqa: S311  visitors, not secrets
        pending, run = list(later), secrets.token_hex(8)
        next_visit_at, tick = time.time(), 0
        while not self._stopping.wait(LIVE_TICK_S):
            now = time.time()
            while next_visit_at <= now:
                pending += self._traffic.visit_now(chance, now)
                next_visit_at += chance.expovariate(1 / LIVE_VISIT_EVERY_S)
            due = sorted((item for item in pending if item["time"] <= now), key=lambda item: item["time"])
            pending = [item for item in pending if item["time"] > now]
            tick += 1
            self._sender.send(due, f"live/{run}/{tick}")


def welcome(shop: Address, sign_in: str) -> str:
    """What to do next, once the month is there."""
    return "\n".join(
        [
            "Ready.",
            f"  The shop:       http://{shop}/",
            f"  Its dashboard:  {sign_in}",
            f"                  (the link works once, within an hour; the site is {SITE})",
            "Visitors keep coming. Today's numbers move in groups of five networks, and your own visit is one of them.",
            "Ctrl-C ends it.",
        ]
    )


class Sealing:
    """How many of the month's days are sealed, by the store."""

    def __init__(self, settings: Settings, month: Month) -> None:
        self._settings = settings
        self._question = {
            "timezone": TIMEZONE,
            "first": month.today - timedelta(days=month.days),
            "last": month.today - timedelta(days=1),
        }
        self._statement = (files("dashboards") / "statements" / "sealed_days.sql").read_text()
        self._store: Store | None = None
        self._asked_at = 0.0
        self._sealed = 0

    def sealed(self) -> int:
        """Asks at most every `POLL_S`; a store that is away says nothing new."""
        if time.monotonic() - self._asked_at > POLL_S:
            with contextlib.suppress(StoreUnavailable):
                self._store = self._store or open_store(self._settings, wait_s=0.0)
                self._sealed = len(self._store.query(self._statement, self._question))
            self._asked_at = time.monotonic()
        return self._sealed

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
