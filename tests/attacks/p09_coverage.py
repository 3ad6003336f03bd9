"""P9 against coverage: how many requests were accepted moves in tens, and shows one request come all the same.

On a quiet site the attacker sends requests of its own until the published number moves: now it knows the last digit.
After a while it does so again: ten requests if nobody came, nine if one did. Coverage is an output, it counts single
requests, and its steps are not of k networks.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.attacks.laboratory import DAY, Laboratory, Scene
from tests.attacks.verdict import Count, Verdict

COLUMNS = ("day", "site", "outcome", "reason", "spool", "requests")


@dataclass
class _Site:
    """The running total of accepted requests of one site, written as the drainer writes it."""

    scene: Scene
    name: str
    total: int

    def request(self) -> None:
        self.total += 1
        self.scene.store.insert_rows("coverage_totals", COLUMNS, [(DAY, self.name, "accepted", "", 1, self.total)])

    def published(self) -> int:
        ((requests,),) = self.scene.store.query(
            "SELECT sum(requests) FROM coverage WHERE site = {site:String}", {"site": self.name}
        )
        return int(requests)

    def requests_until_it_moves(self) -> int:
        before, sent = self.published(), 0
        while self.published() == before:
            self.request()
            sent += 1
        return sent


def attack(laboratory: Laboratory, trials: int) -> Verdict:
    """In each trial one victim comes or does not; a success is a visit that the attacker saw."""
    chance, came, seen, wrong = random.Random(9), 0, 0, 0
    with laboratory.scene() as scene:
        for trial in range(trials):
            site = _Site(scene, f"quiet-{trial}.example", chance.randrange(20, 200))
            site.request()
            site.requests_until_it_moves()
            is_visited = trial % 2 == 0
            if is_visited:
                site.request()
            says_visited = site.requests_until_it_moves() == 9
            came += is_visited
            seen += is_visited and says_visited
            wrong += is_visited != says_visited
    return Verdict(
        "P9",
        "coverage of today: own requests until it moves, before and after a victim",
        came,
        seen,
        weakened=[Count("the product itself", came, seen)],
        remarks=[f"of {trials} trials, one visit came in {came}, was seen in {seen}, and {wrong} answers were wrong"],
    )
