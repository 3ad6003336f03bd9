"""P3: a sealed day cannot be linked back to a known visitor.

The attacker knows the visitors (network, User-Agent, site) and has every byte that is on disk. While the day is open it
takes the key from where the workers keep it, and confirms each visitor by trying networks and User-Agents: the positive
control. After the seal it has only what is left, and tries:

- every token that the visitors had, as text and as bytes either way round, in every byte of every file;
- as the key every 32 bytes at every place of every file, with a token that it would make looked for in every 8 bytes;
- no key at all: the tokens that an unkeyed hash would make.

The whole space of 2^24 networks x 1,000 User-Agents is not walked: the full form walks all networks with one User-Agent
and 1,000 User-Agents with some networks, and tells how long the rest would take. That does not weaken the result: with
the key gone, a candidate can be made but there is nothing to compare it with, whatever its number.
"""

from __future__ import annotations

import gzip
import json
import random
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import blake2b
from pathlib import Path

import numpy as np
import numpy.typing as npt

from aggregator.migrate import migrate
from collector.days import day_of
from collector.keys import KEY_BYTES, Tokens
from tests.aggregator.front_process import FrontProcess
from tests.aggregator.spooling import BERLIN, GRACE_S, Place, place_in
from tests.attacks.verdict import Count, Verdict
from tests.collector.collecting import ROOT
from tests.test_sealing import forms, holders, sealer_of

SITE = "example.com"
NETWORKS = 2**24


@dataclass(frozen=True)
class Effort:
    """How far the attacker goes: visitors it knows, networks tried with one User-Agent, networks tried with each of
    1,000 User-Agents, and how many of the places in the files are tried as keys (0: all)."""

    visitors: int
    networks: int
    networks_each: int
    places: int


@dataclass(frozen=True)
class Known:
    """A visitor whom the attacker knows, and the tokens that it had (which only the judge knows)."""

    host: str
    agent: str
    tokens: Tokens


Words8 = npt.NDArray[np.uint64]


def attack(effort: Effort) -> Verdict:
    """One day from its first event to its destruction, through the real spool, drainer, store and sealer."""
    folder = Path(tempfile.mkdtemp(prefix="footfall-attacks-"))
    key_dir = Path(tempfile.mkdtemp(prefix="footfall-attacks-", dir="/dev/shm"))
    front = FrontProcess(folder / "data")
    front.data.mkdir()
    front.start()
    store = front.store()
    try:
        migrate(store)
        place = place_in(folder, key_dir, store, store.now())
        try:
            return _attack(place, (front.data, key_dir, front.elsewhere), effort)
        finally:
            place.close()
    finally:
        store.close()
        front.kill()
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(key_dir, ignore_errors=True)


def _attack(place: Place, folders: tuple[Path, ...], effort: Effort) -> Verdict:
    day = day_of(place.clock.wall(), BERLIN) - timedelta(days=30)
    worker, drainer, sealer = place.worker(), place.drainer(), sealer_of(place)
    known = list(_visit(place, day, effort))
    for one in known:
        worker.take(day, 3, BERLIN, **one.tokens._asdict())
    worker.beat()
    drainer.round()
    (key_file,) = folders[1].glob("????-??-??@*")
    key = key_file.read_bytes()[1 : 1 + KEY_BYTES]
    rows = {row[0] for row in place.store.query("SELECT DISTINCT visitor FROM open_events")}
    began = time.monotonic()
    tried, confirmed = _walk(key, rows, known, effort)
    rate = tried / (time.monotonic() - began)
    kept = b"".join(file.read_bytes() for folder in folders for file in folder.rglob("*") if file.is_file())
    control = _confirmed_by_places(kept, known, effort.places, hint=kept.find(key))

    # The walk took its time, and the sealer counts from when the store got the last row.
    place.clock.move_to(place.store.now() + GRACE_S + 1)
    worker.beat()
    drainer.round()
    (sealed,) = sealer.seal_due()
    assert (sealed.outcome, sealed.remains) == ("sealed", ())
    left = b"".join(file.read_bytes() for folder in folders for file in folder.rglob("*") if file.is_file())
    in_files = {one.tokens.visitor for one in known if holders(folders, forms([one.tokens]))}
    by_places = _confirmed_by_places(left, known, effort.places)
    unkeyed = _unkeyed(left, known)
    hours = NETWORKS * 1_000 / rate / 3_600
    return Verdict(
        "P3",
        "known visitors looked for with everything that is on disk after the seal",
        len(known),
        len(in_files | by_places | unkeyed),
        weakened=[
            Count("key and tokens kept: networks and User-Agents tried", len(known), len(confirmed)),
            Count("key and tokens kept: every place of the files tried as the key", len(known), len(control)),
        ],
        remarks=[
            f"{tried:,} candidates were walked with the key, {rate:,.0f} a second: all would take {hours:.1f} hours",
            f"{len(left) / 2**20:.1f} MiB are left after the seal; {effort.places or len(left):,} places tried as key",
        ],
    )


def _visit(place: Place, day: date, effort: Effort) -> Iterator[Known]:
    chance = random.Random(3)
    agents = user_agents()
    for number in range(effort.visitors):
        # Half have the most usual User-Agent, which is tried with all networks; the others are of the first networks.
        network, agent = chance.randrange(NETWORKS), agents[0]
        if number % 2:
            network, agent = chance.randrange(effort.networks_each), chance.choice(agents)
        host = host_of(network)
        yield Known(host, agent, place.keys.tokens(day, BERLIN, SITE, host, f"{host}/24", agent))


def _walk(key: bytes, tokens: set[int], known: Iterable[Known], effort: Effort) -> tuple[int, set[int]]:
    """All candidates of the effort; returns how many, and the known visitors that were confirmed."""
    agents, found, tried = user_agents(), set[tuple[str, str]](), 0
    aim = {host_of_number(one.host) for one in known}
    # In a short form the networks of the victims are among those tried, or it could not show that it finds them.
    every = range(NETWORKS) if effort.networks >= NETWORKS else sorted(aim | set(range(effort.networks)))
    for hosts, of in ((every, agents[:1]), (range(effort.networks_each), agents)):
        for network in hosts:
            host = host_of(network)
            base = blake2b(f"{SITE}\0{host}\0".encode(), digest_size=8, key=key, person=b"visitor")
            for agent in of:
                candidate = base.copy()
                candidate.update(agent.encode())
                tried += 1
                if int.from_bytes(candidate.digest(), "little") in tokens:
                    found.add((host, agent))
    return tried, {one.tokens.visitor for one in known if (one.host, one.agent) in found}


def _confirmed_by_places(content: bytes, known: list[Known], places: int, hint: int | None = None) -> set[int]:
    """Visitors of whom some 32 bytes of `content`, taken as a key, make a token that is in it, too.

    With `places` > 0 only so many are tried; the control's are those around the key.
    """
    first = max(0, hint - places // 2) if hint is not None else 0
    ends = (first, first + places) if places else (0, len(content))
    words, seen, first_one = _words(content), set[int](), known[0]
    message = f"{SITE}\0{first_one.host}\0{first_one.agent}".encode()
    starts = range(ends[0], min(ends[1], len(content) - KEY_BYTES))
    keys = {content[at : at + KEY_BYTES] for at in starts}
    tokens = [
        int.from_bytes(blake2b(message, digest_size=8, key=key, person=b"visitor").digest(), "little") for key in keys
    ]
    hits = np.isin(np.array(tokens, np.uint64), words)
    for key in (key for key, is_hit in zip(keys, hits, strict=True) if is_hit):
        seen |= {one.tokens.visitor for one in known if _token(one, key) == one.tokens.visitor}
    return seen


def _unkeyed(content: bytes, known: list[Known]) -> set[int]:
    tokens = np.array([_token(one, b"") for one in known], np.uint64)
    hits = np.isin(tokens, _words(content))
    return {one.tokens.visitor for one, is_hit in zip(known, hits, strict=True) if is_hit}


def _token(one: Known, key: bytes) -> int:
    message = f"{SITE}\0{one.host}\0{one.agent}".encode()
    return int.from_bytes(blake2b(message, digest_size=8, key=key, person=b"visitor").digest(), "little")


def _words(content: bytes) -> Words8:
    """Every 8 bytes of `content` at every place, as numbers, either way round."""
    each = [np.frombuffer(content[at : at + (len(content) - at) // 8 * 8], "<u8") for at in range(8)]
    little = np.unique(np.concatenate(each))
    words: Words8 = np.concatenate([little, little.byteswap()])
    return words


def host_of(network: int) -> str:
    return f"{network >> 16}.{network >> 8 & 255}.{network & 255}.0"


def host_of_number(host: str) -> int:
    first, second, third, _ = map(int, host.split("."))
    return first << 16 | second << 8 | third


def user_agents() -> list[str]:
    """The 1,000 most usual of tests/data/user_agents.json.gz, the most usual first."""
    rows = json.loads(gzip.decompress((ROOT / "tests/data/user_agents.json.gz").read_bytes()))["rows"]
    by_weight = sorted(rows, key=lambda row: -float(row[2]))
    return [row[0] for row in by_weight[:1_000]]
