"""P9: polling the live view does not show one person arrive.

The attacker holds every cell at its edge with visitors of one /24 and one /48 (a network token each), keeps adding such
visitors, and asks after every row that comes. Between two changes of any cell at least k new networks must have reached
it. The judge is the oracle of tests/aggregator/simulate.py, in order of arrival.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tests.aggregator.simulate import Crowd, Row, cells, counted
from tests.attacks.laboratory import BERLIN, DAY, NOON, Key, Laboratory, Numbers, Scene
from tests.attacks.verdict import Count, Verdict
from tests.attacks.weakened import LIVE_UNFLOORED, LIVE_WITHOUT_GROUPS, Weakening

SITE = "watched.example"
# The tokens of one /24 and of one /48.
OF_ATTACKER = (111, 222)
CONFIG = """
[[site]]
domain = "watched.example"
timezone = "Europe/Berlin"
k = {k}
"""


@dataclass
class Found:
    """How often the view was asked, how many cells changed, and how many of these after fewer than k new networks."""

    polls: int = 0
    changes: int = 0
    shown_one: int = 0

    def plus(self, other: Found) -> Found:
        return Found(self.polls + other.polls, self.changes + other.changes, self.shown_one + other.shown_one)


def attack(
    laboratory: Laboratory,
    crowds: Sequence[tuple[int, int]],
    weak_rows: int,
    *,
    every: int = 1,
    weakened: Sequence[Weakening] = (LIVE_UNFLOORED, LIVE_WITHOUT_GROUPS),
) -> Verdict:
    """`crowds` are (people, k); asked after every `every`th row. Weakened builds see the first `weak_rows` rows."""
    found = Found()
    with laboratory.scene() as scene:
        for crowd in crowds:
            found = found.plus(_watch(scene, crowd, every=every))
        attack_is = "the live view asked after every row, every cell held at its edge"
        verdict = Verdict("P9", attack_is, found.changes, found.shown_one)
        verdict.remarks.append(f"asked {found.polls:,} times, cells changed {found.changes:,} times")
        for weakening in weakened:
            weak = _watch(scene, crowds[0], weakening, weak_rows)
            verdict.weakened.append(Count(weakening.name, weak.changes, weak.shown_one))
    return verdict


def _watch(
    scene: Scene,
    crowd: tuple[int, int],
    weakening: Weakening | None = None,
    most_rows: int | None = None,
    *,
    every: int = 1,
) -> Found:
    people, k = crowd
    scene.store.command("TRUNCATE TABLE open_events")
    config = scene.folder / f"watched-{k}-{people}.toml"
    config.write_text(CONFIG.format(k=k))
    start, inserted, found = int(scene.store.now()) - 3600, list[Row](), Found()
    seen: dict[Key, tuple[Numbers, frozenset[tuple[int, int]]]] = {}
    arrivals = list(_arriving(people, most_rows))
    for batch, place in enumerate(range(0, len(arrivals), every), 1):
        fresh = [row for rows in arrivals[place : place + every] for row in rows]
        rows = [replace(row, inserted=start + batch, batch=batch, position=at) for at, row in enumerate(fresh)]
        scene.plant(rows, batch)
        inserted += rows
        answer = scene.build(weakening).ask("live", site=SITE, config=str(config), now=NOON, fresh=not found.polls)
        found.polls += 1
        _judge({(cell[0], cell[1], cell[2]): tuple(cell[3:]) for cell in answer}, inserted, seen, k, found)
    return found


def _arriving(people: int, most_rows: int | None) -> Iterator[list[Row]]:
    """First the attacker, on every cell that will ever be; then row by row the crowd, with further fakes between."""
    crowd = Crowd(DAY, BERLIN, SITE, people).rows()[:most_rows]
    yield [
        replace(row, visitor=1_000 + place * 2 + which, network=network, generation=1, kind="view")
        for place, row in enumerate(crowd)
        for which, network in enumerate(OF_ATTACKER)
    ]
    for place, row in enumerate(crowd):
        yield [row]
        if place % 3 == 0:
            yield [replace(row, visitor=900_000 + place, network=OF_ATTACKER[place % 2], generation=1)]


def _judge(
    shown: dict[Key, Numbers],
    inserted: Sequence[Row],
    seen: dict[Key, tuple[Numbers, frozenset[tuple[int, int]]]],
    k: int,
    found: Found,
) -> None:
    changed = {key for key in shown.keys() | seen.keys() if shown.get(key) != (seen[key][0] if key in seen else None)}
    if not changed:
        return
    used, _ = counted(inserted, by_arrival=True)
    true = {**cells(used), ("", "", "(all)"): used}
    for key in changed:
        reached = frozenset((one.row.generation, one.row.network) for one in true.get(key, []) if one.row.network)
        known = seen[key][1] if key in seen else frozenset()
        found.changes += 1
        found.shown_one += len(reached - known) < k
        seen[key] = (shown.get(key, ()), reached)
