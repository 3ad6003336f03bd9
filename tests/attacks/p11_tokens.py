"""P11 and P12: sites and days cannot be linked, and the address is truncated before use.

The product's own functions make the tokens of the same visitors on two sites and two days, and of every address form of
one network; the attacker compares them.
"""

from __future__ import annotations

import ipaddress
import random
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.attacks.crowds import user_agents
from tests.attacks.laboratory import Laboratory, Scene
from tests.attacks.verdict import Count, Verdict
from tests.attacks.weakened import ONE_KEY_FOR_ALL_DAYS, ONE_TOKEN_FOR_ALL_SITES, WHOLE_ADDRESS, Weakening

DAYS = ("2027-05-04", "2027-05-05")
SITES = ("one.example", "other.example")


def attack_linking(laboratory: Laboratory, visitors: int) -> Verdict:
    """P11: `visitors` on two sites and two days, each pair of tokens compared."""
    with laboratory.scene() as scene:
        trials, successes = _equal(scene, visitors)
        weakened = [
            Count(weakening.name, *_equal(scene, visitors, weakening))
            for weakening in (ONE_TOKEN_FOR_ALL_SITES, ONE_KEY_FOR_ALL_DAYS)
        ]
    return Verdict("P11", "the same visitors on two sites and two days", trials, successes, weakened=weakened)


def attack_truncation(laboratory: Laboratory, networks: int) -> Verdict:
    """P12: of each /24 two hosts and all forms in which IPv6 writes them."""
    with laboratory.scene() as scene:
        trials, successes = _differing(scene, networks)
        weakened = [Count(WHOLE_ADDRESS.name, *_differing(scene, networks, WHOLE_ADDRESS))]
    return Verdict("P12", "hosts of one /24 and every form of their address", trials, successes, weakened=weakened)


Made = Sequence[tuple[int, int, int, str, str]]
"""Generation, visitor, network, the host as cut, the network as cut."""


def _made(scene: Scene, visitors: Sequence[tuple[str, str, str, str]], weakening: Weakening | None) -> Made:
    folder = Path(tempfile.mkdtemp(prefix="footfall-attacks-", dir="/dev/shm"))
    try:
        made: Made = scene.build(weakening).ask("tokens", folder=str(folder), visitors=visitors)
    finally:
        shutil.rmtree(folder)
    return made


def _equal(scene: Scene, count: int, weakening: Weakening | None = None) -> tuple[int, int]:
    """Pairs compared, and pairs in which the visitor or the network is the same number."""
    chance = random.Random(11)
    places = [(day, site) for day in DAYS for site in SITES]
    people = [(_address(chance), chance.choice(user_agents())[1]) for _ in range(count)]
    made = _made(scene, [(day, site, address, agent) for address, agent in people for day, site in places], weakening)
    pairs, equal = 0, 0
    for start in range(0, len(made), len(places)):
        of_one = made[start : start + len(places)]
        for first in range(len(of_one)):
            for second in range(first):
                pairs += 1
                equal += of_one[first][1] == of_one[second][1] or of_one[first][2] == of_one[second][2]
    return pairs, equal


def _differing(scene: Scene, count: int, weakening: Weakening | None = None) -> tuple[int, int]:
    """Addresses that should be one visitor, and those that are another one or show more than their network."""
    chance = random.Random(12)
    trials, differing = 0, 0
    asked: list[list[tuple[str, str, str, str]]] = []
    for _ in range(count):
        prefix = _address(chance).rpartition(".")[0]
        agent = chance.choice(user_agents())[1]
        forms = [form for host in (7, 200) for form in _forms(ipaddress.IPv4Address(f"{prefix}.{host}"))]
        asked.append([(DAYS[0], SITES[0], form, agent) for form in forms])
    made = _made(scene, [each for forms in asked for each in forms], weakening)
    for place, of_network in enumerate(asked):
        of_one = made[place * len(of_network) : (place + 1) * len(of_network)]
        trials += len(of_one)
        differing += sum(each[1:] != of_one[0][1:] or not each[3].endswith(".0") for each in of_one)
    return trials, differing


def _forms(address: ipaddress.IPv4Address) -> list[str]:
    """The address as IPv4, IPv4-mapped, 6to4, Teredo and NAT64 write it."""
    number = int(address)
    inverted = number ^ 0xFFFF_FFFF
    return [
        str(address),
        f"::ffff:{address}",
        f"2002:{number >> 16:x}:{number & 0xFFFF:x}::1",
        f"2001:0:4136:e378:8000:63bf:{inverted >> 16:x}:{inverted & 0xFFFF:x}",
        f"64:ff9b::{address}",
    ]


def _address(chance: random.Random) -> str:
    return f"{chance.randrange(1, 224)}.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(1, 255)}"
