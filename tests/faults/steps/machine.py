"""The steps, as rules of hypothesis; each is counted and noted, and followed by a look at what must hold."""

from __future__ import annotations

import functools
import sqlite3
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, Phase, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from collector.spool_fault import SpoolError
from tests.faults.power.disk import Order
from tests.faults.steps.bench import Bench
from tests.faults.steps.promises import Promises
from tests.faults.steps.world import World, key_of

SEEDS = st.integers(0, 2**32 - 1)
ORDERS = st.sampled_from(("journal", "folders"))
DAYS_AGO = st.integers(0, 2)
VISITORS = st.integers(1, 3)
WORKERS = st.integers(0, 1)
# What an operating system does in a commit, a beat or a round of the drainer, in operations of the disk.
OPERATIONS = st.integers(0, 60)
# Calls of the store in a round that has something to do.
CALLS = st.integers(1, 25)
MOMENTS = st.sampled_from(("before", "after"))
EXAMPLES_AT_ONCE = 100
# Workers do far more than drainer and sealer, and a round of these takes as long as ten of their steps: so often a rule
# is there, the others once. In each example hypothesis leaves some rules out, so there are others with rounds alone.
TIMES = {
    "take": 24,
    "drop": 12,
    "lose_power_in_a_commit": 12,
    "beat": 12,
    "restart_worker": 6,
    "lose_power_in_a_beat": 6,
    "withdraw": 5,
    "lose_power": 4,
    "pass_time": 3,
}


def step(**drawn: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Any]:
    """A rule whose steps are counted, and noted: the store is real, so hypothesis may not see a fault again."""

    def counted(work: Callable[..., None]) -> Any:  # noqa: ANN401  what hypothesis makes of a rule
        @functools.wraps(work)
        def step_of(machine: Machine, **values: object) -> None:
            machine.bench.tally.steps[work.__name__] += 1
            machine.story.append(f"{work.__name__} {values}")
            work(machine, **values)

        return rule(**drawn)(step_of)  # type: ignore[call-overload]  # strategies of any kinds, as the rule takes them

    return counted


class Machine(RuleBasedStateMachine):
    """One example."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench = bench
        self.story: list[str] = []

    @initialize(workers=st.integers(1, 2), chance=st.integers(0, 1_000))
    def begin(self, workers: int, chance: int) -> None:
        """Hypothesis begins with the simplest example, all of whose steps are the same: that one is left out."""
        assume(chance > 0 and not self.bench.is_done())
        self.bench.tally.examples += 1
        self.story.append(f"begin {workers}")
        self.world = World(self.bench, workers)
        self.promises = Promises(self.world)

    def teardown(self) -> None:
        if not hasattr(self, "promises"):
            return
        fault = sys.exc_info()[1]
        try:
            if fault is None:
                self.promises.come_true_in_the_end()
        except AssertionError as failed:
            fault = failed
            raise
        finally:
            if isinstance(fault, Exception):
                print("\n".join(["", *self.story, *traceback.format_exception(fault)]))
            self.bench.tally.acknowledged += self.world.account.accepted
            self.bench.ended(self.bench.tally)
            self.world.lose_processes()

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "promises"):
            self.promises.hold()

    # --- what a worker does ----------------------------------------------------------------------------------------

    @step(worker=WORKERS, ago=DAYS_AGO, events=st.integers(1, 12), visitor=VISITORS, has_key=st.booleans())
    def take(self, worker: int, ago: int, events: int, visitor: int, has_key: bool) -> None:
        names, group = self.world.group(self.world.day(ago), events, visitor, has_key=has_key)
        self.world.commit(worker, group)
        self.world.acknowledge(names, group, visitor)

    @step(worker=WORKERS, reason=st.sampled_from(("bot", "no consent")))
    def drop(self, worker: int, reason: str) -> None:
        self.world.worker(worker).refuse(self.world.day(0), reason)
        self.world.account.dropped += 1

    @step(worker=WORKERS, ago=DAYS_AGO, visitor=VISITORS)
    def withdraw(self, worker: int, ago: int, visitor: int) -> None:
        self.world.withdraw(worker, self.world.day(ago), visitor)

    @step(worker=WORKERS)
    def beat(self, worker: int) -> None:
        self.world.worker(worker).beat()

    @step(seconds=st.sampled_from((0.5, 3.0, 40.0, 900.0, 4_000.0, 20_000.0)))
    def pass_time(self, seconds: float) -> None:
        self.world.clock.pass_time(seconds)

    @step(worker=WORKERS)
    def restart_worker(self, worker: int) -> None:
        self.world.restart_worker(worker)

    # --- what drainer and sealer do --------------------------------------------------------------------------------

    @step()
    def drain(self) -> None:
        self.world.drain()

    @step(call=CALLS, moment=MOMENTS)
    def drain_without_an_answer(self, call: int, moment: str) -> None:
        self.world.without_an_answer(call, moment, self.world.drain)

    @step()
    def restart_drainer(self) -> None:
        self.world.restart_drainer()

    @step()
    def seal(self) -> None:
        self.world.seal()

    @step(call=CALLS, moment=MOMENTS)
    def seal_without_an_answer(self, call: int, moment: str) -> None:
        self.world.without_an_answer(call, moment, self.world.seal)

    # --- the power -------------------------------------------------------------------------------------------------

    @step(cut=SEEDS, order=ORDERS)
    def lose_power(self, cut: int, order: Order) -> None:
        self.world.cut(cut, order)

    @step(cut=SEEDS, order=ORDERS, operations=OPERATIONS, ago=DAYS_AGO, has_key=st.booleans(), worker=WORKERS)
    def lose_power_in_a_commit(
        self, cut: int, order: Order, operations: int, ago: int, has_key: bool, worker: int
    ) -> None:
        world = self.world
        names, group = world.group(world.day(ago), 3, 1, has_key=has_key)
        self.bench.disk.cut_after(operations % 12, cut, order)
        is_acknowledged = False
        with suppress(SpoolError, sqlite3.Error, OSError):
            world.commit(worker, group)
            is_acknowledged = True
        world.cut(cut, order)
        found = {name for spool in self.promises.spools() for name in spool.names.keys() & set(names)}
        assert found in (set(), set(names)), "a commit is whole or not there"
        assert found or not is_acknowledged, "what was acknowledged is there"
        if found:
            world.acknowledge(names, group, 1)
        else:
            world.account.refused.update(names)
        has_answer = world.answer(key_of(names)) is not None
        assert has_answer == bool(found and has_key), "an answer is kept with its events, or not at all"

    @step(cut=SEEDS, order=ORDERS, operations=OPERATIONS, worker=WORKERS)
    def lose_power_in_a_beat(self, cut: int, order: Order, operations: int, worker: int) -> None:
        self.bench.disk.cut_after(operations % 12, cut, order)
        with suppress(SpoolError, sqlite3.Error, OSError):
            self.world.worker(worker).beat()
        self.world.cut(cut, order)

    @step(cut=SEEDS, order=ORDERS, operations=OPERATIONS)
    def lose_power_in_a_round(self, cut: int, order: Order, operations: int) -> None:
        self.bench.disk.cut_after(operations, cut, order)
        self.world.drain()
        self.world.cut(cut, order)


def play(bench: Bench, steps: int, each: int) -> None:
    """Examples of `each` steps at most until so many steps are played in all; raises at what does not hold."""

    def begun(self: Machine) -> None:
        Machine.__init__(self, bench)

    copies = {f"{name}_{copy}": getattr(Machine, name) for name, times in TIMES.items() for copy in range(1, times)}
    # What hypothesis makes without arguments.
    machine = type("Benched", (Machine,), {"__init__": begun, **copies})
    chosen = settings(
        # Each example by chance alone: the other way is to begin with the simplest and to repeat parts of earlier ones.
        backend="hypothesis-urandom",
        max_examples=EXAMPLES_AT_ONCE,
        stateful_step_count=each,
        deadline=None,
        database=None,  # Its folder would lie in the repository, and the store is too real to play anything again.
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    bench.is_done = lambda: bench.tally.played >= steps
    while not bench.is_done():
        run_state_machine_as_test(machine, settings=chosen)
