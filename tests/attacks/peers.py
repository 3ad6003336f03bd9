"""The same attacks on small models of what others retain, as evidence that the attacks are worth withstanding.

The models are of practices, not of products: shared privacy documents name who documents which practice. Each keeps
what its line says and nothing else.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

import numpy as np

from tests.attacks.crowds import VIEW, Crowd, open_day, user_agents
from tests.attacks.laboratory import BERLIN, DAY
from tests.attacks.verdict import Count

SITE, SECRET = "example.com", "the secret of the configuration"
K = 5


@dataclass(frozen=True)
class Person:
    """Somebody whom the attacker knows: a network (a /24 by its number) and a User-Agent."""

    network: int
    agent: str


def attack(people: int, networks: int) -> list[tuple[str, Count]]:
    """(promise, count) for each model; the attacker tries `networks` networks with each User-Agent that it knows."""
    return [
        (
            "P3",
            Count(
                "a hash of address and User-Agent per visitor, its salt kept beside it", *_kept_salt(people, networks)
            ),
        ),
        ("P3", Count("the same, salt derived from date and a secret, a year later", *_derived_salt(people, networks))),
        ("P11", Count("the same, one secret for two sites without the site in the hash", *_two_sites(people))),
        ("P5", Count("one row per page and day, from count 1 on: rows below k visitors", *_single_rows(people))),
        ("P7", Count("one row per campaign and day, from count 1 on: planted links seen", *_planted(people))),
    ]


def _hash(salt: str, site: str, person: Person) -> str:
    return hashlib.sha256(f"{salt}{site}{person.network}{person.agent}".encode()).hexdigest()[:16]


def _people(count: int, networks: int) -> list[Person]:
    chance = random.Random(1)
    agents = [agent for _, agent in user_agents()[:20]]
    return [Person(chance.randrange(networks), chance.choice(agents)) for _ in range(count)]


def _kept_salt(count: int, networks: int) -> tuple[int, int]:
    people = _people(count, networks)
    salt = random.Random(2).randbytes(16).hex()
    return count, _confirmed(salt, {_hash(salt, SITE, person) for person in people}, people, networks)


def _derived_salt(count: int, networks: int) -> tuple[int, int]:
    people = _people(count, networks)
    kept = {_hash(_salt_of(str(DAY)), SITE, person) for person in people}
    # Later the attacker makes the salt of that day anew.
    return count, _confirmed(_salt_of(str(DAY)), kept, people, networks)


def _salt_of(day: str) -> str:
    return hashlib.sha256(f"{day}{SECRET}".encode()).hexdigest()


def _confirmed(salt: str, kept: set[str], known: list[Person], networks: int) -> int:
    """Known people found by trying all networks with their User-Agents."""
    agents = {person.agent for person in known}
    found = {
        Person(network, agent)
        for agent in agents
        for network in range(networks)
        if _hash(salt, SITE, Person(network, agent)) in kept
    }
    return sum(person in found for person in known)


def _two_sites(count: int) -> tuple[int, int]:
    salt = _salt_of(str(DAY))
    return count, sum(_hash(salt, "", person) == _hash(salt, "", person) for person in _people(count, 2**24))


def _single_rows(people: int) -> tuple[int, int]:
    rows = open_day(DAY, BERLIN, [Crowd(SITE, people)]).rows
    views = rows[(rows["kind"] == VIEW) & (rows["visitor"] > 0)]
    pairs = np.unique(views["path"].astype(np.uint64) << np.uint64(32) | (views["visitor"] & np.uint64(2**32 - 1)))
    visitors = np.unique(pairs >> np.uint64(32), return_counts=True)[1]
    return len(visitors), int((visitors < K).sum())


def _planted(trials: int) -> tuple[int, int]:
    retained: dict[str, int] = {}
    for trial in range(trials):
        retained[f"link-{trial}"] = retained.get(f"link-{trial}", 0) + 1
    return trials, sum(f"link-{trial}" in retained for trial in range(trials))
