"""CPU of a User-Agent not seen before: the verdict of `refuse` and the names of `client`."""

from __future__ import annotations

import time
from collections.abc import Iterator

from collector.client import Clients
from collector.refuse import refusal_of
from tests.bench.figure import Figure
from tests.bench.traffic import user_agents

MOST_US = 250.0


def figures(number: int) -> Iterator[Figure]:
    """Real User-Agents, each made one of its own by a word at its end, so that nothing remembered answers."""
    agents, _ = user_agents()
    clients = Clients()
    spent_us = []
    for count in range(number):
        agent = f"{agents[count % len(agents)]} Unseen/{count}"
        started = time.process_time_ns()
        refusal_of({}, agent)
        clients.client_of(agent, None)
        spent_us.append((time.process_time_ns() - started) / 1e3)
    yield Figure("a User-Agent not seen before: CPU", sum(spent_us) / number, "us", MOST_US)
