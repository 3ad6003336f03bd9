"""P13: deletion is real. The attacker reads every file of the data folder after it, raw and decompressed.

Planted, each unique: tokens of visitors in an open day that is sealed and destroyed; a page of a sealed day that is
past a retention then; a site's name, its page, and tokens of its open day, before the site is removed. Each has to be
found before its deletion, or the search proves nothing, and nowhere after it.

Against the build that does not wait the engine is slow to remove what was replaced, as a busy one is: waiting is the
promise.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from collector import days
from tests.aggregator.loaded_anew import load_anew
from tests.aggregator.simulate import Row
from tests.attacks.laboratory import BERLIN, Laboratory, Scene
from tests.attacks.verdict import Count, Verdict
from tests.attacks.weakened import ACTIVE_PARTS_ALONE, LIGHTWEIGHT_DELETE, Weakening
from tests.bytes_on_disk import forms, holders

K = 5
VISITORS = 12
KEPT = "kept.example"
TABLES = ("open_events", "trend_rows", "breakdown_rows", "cross_rows", "coverage_totals")
CONFIG = """
[[site]]
domain = "kept.example"
timezone = "Europe/Berlin"
retention_months = 2
"""


@dataclass
class Planted:
    """What is looked for: secrets by the deletion that has to take them."""

    scene: Scene
    laboratory: Laboratory
    left: list[str] = field(default_factory=list)
    trials: int = 0

    def must_be_there(self, *planted: str | int) -> None:
        for each in planted:
            if not self._holders(each):
                raise AssertionError(f"{each} was planted and is not found: the search proves nothing")

    def must_be_gone(self, *planted: str | int) -> None:
        for each in planted:
            self.trials += 1
            files = self._holders(each)
            self.left += [f"{each} in {', '.join(sorted(files)[:3])}"] if files else []

    def _holders(self, secret: str | int) -> set[str]:
        sought = forms([secret]) if isinstance(secret, str) else forms((), [secret])
        return holders([self.laboratory.folder / "data", self.scene.folder], sought)


def attack(
    laboratory: Laboratory, rounds: int, weakened: Sequence[Weakening] = (LIGHTWEIGHT_DELETE, ACTIVE_PARTS_ALONE)
) -> Verdict:
    """Every deletion, `rounds` times, then once by each weakened build."""
    verdict = Verdict("P13", "every byte searched after the seal, past a retention and after a site's removal", 0, 0)
    for _ in range(rounds):
        found = _try(laboratory, None)
        verdict.trials += found.trials
        verdict.successes += len(found.left)
        verdict.remarks += found.left[:3]
    for weakening in weakened:
        found = _try(laboratory, weakening)
        verdict.weakened.append(Count(weakening.name, found.trials, len(found.left)))
    return verdict


def _try(laboratory: Laboratory, weakening: Weakening | None) -> Planted:
    with laboratory.scene() as scene:
        planted = Planted(scene, laboratory)
        load_anew(scene.store)
        if weakening is ACTIVE_PARTS_ALONE:
            for table in TABLES:
                scene.store.command(f"ALTER TABLE {table} MODIFY SETTING old_parts_lifetime = 600")
        today = days.day_of(scene.store.now(), BERLIN)
        _past_retention(planted, weakening, today - timedelta(days=100))
        _removed(planted, weakening, today)
    return planted


def _past_retention(planted: Planted, weakening: Weakening | None, day: date) -> None:
    scene, page = planted.scene, f"/{secrets.token_hex(12)}/page"
    rows = _visits(KEPT, day, page)
    tokens = [row.visitor for row in rows]
    scene.plant(rows)
    planted.must_be_there(tokens[0])
    scene.seal({KEPT: K}, weakening, day=day)
    scene.build(weakening).ask("destroy", day=day.isoformat())
    planted.must_be_there(page)
    planted.must_be_gone(*tokens)
    config = scene.folder / "kept.toml"
    config.write_text(CONFIG)
    scene.build(weakening).ask("retain", config=str(config))
    planted.must_be_gone(page)


def _removed(planted: Planted, weakening: Weakening | None, today: date) -> None:
    scene, site, page = planted.scene, f"{secrets.token_hex(12)}.example", f"/{secrets.token_hex(12)}/page"
    sealed = today - timedelta(days=3)
    scene.plant(_visits(site, sealed, page))
    scene.seal({site: K}, weakening, day=sealed)
    scene.build(weakening).ask("destroy", day=sealed.isoformat())
    columns = ("day", "site", "outcome", "reason", "spool", "requests")
    scene.store.insert_rows("coverage_totals", columns, [(sealed, site, "accepted", "", 1, VISITORS)])
    rows = _visits(site, today, page)
    tokens = [row.visitor for row in rows]
    scene.plant(rows, batch=2)
    planted.must_be_there(site, page, tokens[0])
    scene.build(weakening).ask("remove", config=str(scene.folder / "kept.toml"), site=site)
    planted.must_be_gone(site, page, *tokens)


def _visits(site: str, day: date, page: str) -> list[Row]:
    """So many visitors, each of a network of its own, on one page."""
    noon = int(days.starts_at(day, BERLIN) + 12 * 3_600) * 1_000
    some = Row(day, BERLIN, site, noon, path=page)
    return [
        replace(some, at_ms=noon + number, visitor=secrets.randbits(62), network=secrets.randbits(62), position=number)
        for number in range(VISITORS)
    ]
