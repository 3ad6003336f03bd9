"""What must hold after each step.

- What was acknowledged is accounted for, and what was dropped is counted: the ledger's sums are exact.
- Each acknowledged event of a day that takes events is in the spool or in the open day, and in neither twice, unless it
  was withdrawn; nothing of a commit that failed is anywhere; an answer kept under an idempotency key is there as long
  as its events were.
- A day has one seal, for good, and takes nothing after it.

And at the end of each example, when all works again: all days but today's are sealed, nothing is left of them, and all
withdrawals are carried out.

The spools are read after each step, by SQL alone. The store is looked at, and the product's ledger asked, after the
steps that reach it with anything that moves events; other steps cannot change it.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections import Counter
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from collector.answers import ANSWER_LIFE_S
from tests.collector.collecting import until
from tests.faults.steps.world import World

NAME = re.compile(rb'"name":"([^"]+)"')
# Calls of drainer and sealer that move no event.
STILL_CALLS = frozenset(
    ("query", "now", "kill", "insert_rows drains", "insert_rows coverage_totals", "insert_rows arrivals")
)
RUNNING = "SELECT 1 FROM system.mutations WHERE database = currentDatabase() AND table = 'open_events' AND NOT is_done"
UNSEALED = """
SELECT name FROM open_events WHERE (day, timezone) IN (SELECT day, timezone FROM committed_seals)
AND batch NOT IN (SELECT batch FROM batches WHERE outcome = 'late'
    OR (outcome = 'sealed' AND seal IN (SELECT seal FROM committed_seals)))
"""
SEALS = "SELECT day, seal, events FROM seals WHERE seal IN (SELECT seal FROM committed_seals)"
CLOSED = "SELECT day FROM closings UNION DISTINCT SELECT day FROM seals"
# Keys are given up after a day; until then there is room for what the clock passes within a step.
KEPT_S = ANSWER_LIFE_S - 6_400.0
ROUNDS_TO_REST = 40


@dataclass(frozen=True)
class Spool:
    """A spool file: requests by outcome with events by what became of them, names of waiting events, keys answered."""

    counts: Counter[str]
    names: Counter[str]
    keys: frozenset[bytes]


def read_spool(file: Path) -> Spool:
    with contextlib.closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        counts = Counter(dict(connection.execute("SELECT outcome, sum(requests) FROM counters GROUP BY outcome")))
        counts.update(dict(connection.execute("SELECT outcome, events FROM ledger")))
        names = Counter[str]()
        for events, lines in connection.execute("SELECT events, lines FROM rows"):
            counts["waiting"] += events
            names.update(name.decode() for name in NAME.findall(lines))
        keys = frozenset(key for (key,) in connection.execute("SELECT key FROM answers"))
        connection.execute("ROLLBACK")
    return Spool(counts, names, keys)


class Promises:
    """What was seen of a world's store when it was looked at last, and what must hold now."""

    def __init__(self, world: World) -> None:
        self._world, self._store = world, world.bench.store
        self._looked_at = 0
        self._stored = Counter[str]()
        self._seals: dict[date, tuple[int, int]] = {}

    def hold(self) -> None:
        if self._is_store_touched():
            self._look_at_store()
        self._look_at_spools()

    def spools(self) -> list[Spool]:
        return [read_spool(file) for file in sorted(self._world.place.spool_dir.glob("spool-*.sqlite"))]

    def come_true_in_the_end(self) -> None:
        """All works again: drained, sealed and forgotten, within rounds that always would do it."""
        world, today = self._world, self._world.day(0)
        grace_s = world.place.settings.privacy.grace_minutes * 60
        for number in range(ROUNDS_TO_REST):
            world.clock.pass_time(30 if number < 6 else 30 + grace_s)
            for worker in world.workers:
                worker.beat()
            world.drain()
            world.seal()
            if self._is_at_rest(today):
                break
        self._look_at_store()
        self._look_at_spools()
        assert self._is_at_rest(today), (world.sealer.waiting, self._open(), self.spools())

    def _is_at_rest(self, today: date) -> bool:
        names = self._open()
        is_past = any(day < today for day in names.values())
        is_left = any(self._world.account.has_to_go(name) for name in names.keys() & self._world.account.taken.keys())
        return not is_past and not is_left and not any(spool.names for spool in self.spools())

    def _open(self) -> dict[str, date]:
        return dict(self._store.query("SELECT DISTINCT name, day FROM open_events"))

    def _is_store_touched(self) -> bool:
        """Whether anything that moves events was asked of it since it was looked at last, be it in vain."""
        calls = self._world.watched.calls[self._looked_at :]
        self._looked_at += len(calls)
        return any(name not in STILL_CALLS for name in calls)

    def _look_at_spools(self) -> None:
        account, spools = self._world.account, self.spools()
        for each in spools:
            counts = each.counts
            assert counts["accepted"] == sum(counts[outcome] for outcome in ("waiting", "drained", "late")), counts
            assert counts["waiting"] == each.names.total()
        total = sum((spool.counts for spool in spools), Counter[str]())
        assert (total["accepted"], total["dropped"]) == (account.accepted, account.dropped), "all is counted"
        spooled = sum((spool.names for spool in spools), Counter[str]())
        found = spooled.keys() | self._stored.keys()
        assert not account.refused & found, "nothing that was not acknowledged is anywhere"
        assert max([*spooled.values(), *self._stored.values()], default=1) == 1, "nothing is anywhere twice"
        missing = {name for name in account.taken.keys() - found if not account.may_be_gone(name)}
        assert not missing, "what was acknowledged is there while its day takes events"
        self._look_at_answers(frozenset().union(*(spool.keys for spool in spools)))

    def _look_at_answers(self, keys: frozenset[bytes]) -> None:
        answered, now = self._world.account.answered, self._world.clock.wall()
        assert all(now > answered[key] + KEPT_S for key in answered.keys() - keys), "answers are kept for a day"

    def _look_at_store(self) -> None:
        account = self._world.account
        if account.has_withdrawals:
            until(lambda: not self._store.query(RUNNING), "mutations end")
        ledger = self._world.place.ledger()
        assert not ledger.imbalances, ledger
        assert (ledger.accepted, ledger.dropped) == (account.accepted, account.dropped), ledger
        assert (ledger.quarantined, ledger.expired) == (0, 0), ledger
        self._look_at_seals()
        account.close({day for (day,) in self._store.query(CLOSED)})
        self._stored = Counter(dict(self._store.query("SELECT name, count() FROM open_events GROUP BY name")))
        self._world.bench.tally.looks += 1

    def _look_at_seals(self) -> None:
        """A seal is there for good, and its day is as it left it."""
        seals = {day: (int(seal), int(events)) for day, seal, events in self._store.query(SEALS)}
        assert self._seals.items() <= seals.items(), "a seal stays as it is"
        self._world.bench.tally.seals += len(seals) - len(self._seals)
        self._seals = seals
        assert not self._store.query(UNSEALED), "nothing came into a day after its seal"
