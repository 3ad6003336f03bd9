"""P9 against coverage: how many requests came moves in tens, and at full hours.

On a quiet site the attacker sends requests of its own until the published number moves: now it knows the last digit,
and whether one more request came shows in the next step. So what is published of today is as of a full hour. The view
that all readers have is asked after every request, with a sealer that runs on and one that was started anew: before the
next full hour nothing may change, and what changes then says that within an hour some request came.

The numbers are taken as the sealer takes them, at instants that the attack chooses, long enough ago that what was taken
is shown at once: the first minute of an hour, in which the numbers before are shown, would only hide more.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from tests.attacks.laboratory import Laboratory, Scene
from tests.attacks.verdict import Count, Verdict
from tests.attacks.weakened import COVERAGE_AT_ONCE, Weakening

COLUMNS = ("day", "site", "outcome", "reason", "spool", "requests")
HOUR_S = 3_600
# A visitor comes at some minute of an hour; the sealer goes round every few seconds.
ROUND_S = 5


@dataclass
class _Site:
    """The running total of accepted requests of one site, written as the drainer writes it, and the published one."""

    scene: Scene
    weakening: Weakening | None
    name: str
    total: int
    now: int
    changed_at: list[int] = field(default_factory=list)
    seen: int = 0

    def request(self) -> None:
        self.total += 1
        self.scene.store.insert_rows(
            "coverage_totals", COLUMNS, [(_day_of(self.scene), self.name, "accepted", "", 1, self.total)]
        )

    def look(self, fresh: bool = True) -> bool:
        """Whether the published number is another one; a round of the sealer comes first."""
        self.now += ROUND_S
        self.scene.build(self.weakening).ask("coverage", now=self.now, fresh=fresh)
        ((published,),) = self.scene.store.query(
            "SELECT sum(requests) FROM coverage WHERE site = {site:String}", {"site": self.name}
        )
        has_changed = bool(published != self.seen)
        if has_changed:
            self.changed_at.append(self.now)
        self.seen = published
        return has_changed


def attack(laboratory: Laboratory, trials: int, weakened: tuple[Weakening, ...] = (COVERAGE_AT_ONCE,)) -> Verdict:
    """A success is a visit that shows before the next full hour, or two changes less than an hour apart."""
    verdict = Verdict("P9", "coverage of today asked after each request, own ones until it moves", trials, 0)
    verdict.successes = _watch(laboratory, trials, None)
    for weakening in weakened:
        verdict.weakened.append(Count(weakening.name, trials, _watch(laboratory, trials, weakening)))
    verdict.remarks.append(
        "a change of coverage says that within an hour some request came, to who knows the last digit"
    )
    return verdict


def _watch(laboratory: Laboratory, trials: int, weakening: Weakening | None) -> int:
    chance, successes = random.Random(9), 0
    with laboratory.scene() as scene:
        for trial in range(trials):
            hour = (int(scene.store.now()) // HOUR_S - 3 * (trial + 1)) * HOUR_S
            scene.store.command("TRUNCATE TABLE coverage_rows")
            site = _Site(scene, weakening, f"quiet-{trial}.example", chance.randrange(20, 200), hour - ROUND_S)
            site.request()
            assert site.look(), "the first full hour shows what came before it"
            successes += _has_shown(site, hour, chance)
    return successes


def _has_shown(site: _Site, hour: int, chance: random.Random) -> bool:
    """The attacker fills a step within the hour, at its end a visitor comes, and the next full hour follows."""
    site.now = hour + chance.randrange(60, HOUR_S - 600)
    for _ in range(12):
        site.request()
        site.look()
    before = len(site.changed_at)
    site.request()  # The visitor.
    shows_at_once = site.look() or site.look(fresh=False) or before > 1
    site.now = hour + HOUR_S
    for _ in range(12):
        site.request()  # In the minute in which the hour is taken.
        site.look(fresh=site.total % 2 == 0)
    assert len(site.changed_at) > 1, "the next full hour shows what came in this one"
    gaps = [later - earlier for earlier, later in zip(site.changed_at, site.changed_at[1:], strict=False)]
    return shows_at_once or min(gaps) < HOUR_S


def _day_of(scene: Scene) -> date:
    return datetime.fromtimestamp(scene.store.now(), UTC).date()
