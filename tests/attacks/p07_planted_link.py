"""P7 and P8: a link planted on one victim, and fake visitors beside the victim, unlock nothing.

P7: the attacker sends a victim a link with a unique `utm_campaign` and adds any number of visitors of one network to
it. P8: the attacker has k-2 networks and sets every dimension to one value that only the victim has besides. The value
may be in no output: trends, JSON, page, SQL, nor in the live view of the day before it was sealed.

With k = 2 the attacker's one network and the victim's are two: such a site does not start. Somebody with k-1 networks
does see the victim; README says so, and the attack shows it, as the proof that it can.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tests.aggregator.simulate import Crowd, Row
from tests.attacks.laboratory import BERLIN, DAY, NOON, Laboratory, Scene
from tests.attacks.reader import reading
from tests.attacks.verdict import Count, Verdict
from tests.attacks.weakened import LEAST_K_2, LIVE_UNFLOORED, THRESHOLD_OFF, VISITORS_COUNTED, Weakening

SITE = "example.com"
MOST_FAKES = 30
TRAP = re.compile(r"trap-(\d+)-")
AT_2: tuple[tuple[str, dict[str, str]], ...] = (
    ('[privacy]\nk = 2\n[[site]]\ndomain = "example.com"\n', {}),
    ('[[site]]\ndomain = "example.com"\nk = 2\n', {}),
    ('[[site]]\ndomain = "example.com"\n', {"FOOTFALL_PRIVACY__K": "2"}),
    ('[[site]]\ndomain = "example.com"\n', {"FOOTFALL_SITE__K": "2"}),
)
CONFIG = """
[[site]]
domain = "example.com"
timezone = "Europe/Berlin"
k = {k}
"""


@dataclass(frozen=True)
class Extent:
    """How much is tried: `trials` in total, over sites with each of `ks`; `weak_trials` on each weakened build."""

    trials: int
    weak_trials: int
    ks: tuple[int, ...] = (5, 3, 10)
    weakened: tuple[Weakening, ...] = (THRESHOLD_OFF, VISITORS_COUNTED, LIVE_UNFLOORED)


def attack_links(laboratory: Laboratory, extent: Extent) -> Verdict:
    """P7 on sites with k of 3 and more."""
    verdict = Verdict("P7", "a unique utm_campaign on one victim, visitors of one network beside it", 0, 0)
    with laboratory.scene() as scene:
        for k in extent.ks:
            verdict.trials += extent.trials // len(extent.ks)
            verdict.successes += _seen(scene, k, extent.trials // len(extent.ks), planted_link)
        for weakening in extent.weakened:
            found = _seen(scene, 5, extent.weak_trials, planted_link, weakening)
            verdict.weakened.append(Count(weakening.name, extent.weak_trials, found))
    return verdict


def attack_least_k(laboratory: Laboratory, trials: int) -> Verdict:
    """With k = 2 the victim and one network are k: so no such site may start, however it is said."""
    verdict = Verdict("P7", "a site with k = 2, where the victim and one network are k, is started", 0, 0)
    with laboratory.scene() as scene:
        for config, environment in AT_2:
            file = scene.folder / "at-2.toml"
            file.write_text(config)
            asked: dict[str, object] = {"config": str(file), "environment": environment}
            verdict.trials += 1
            verdict.successes += bool(scene.build().ask("starts", **asked))
            assert scene.build(LEAST_K_2).ask("starts", **asked), "nothing else is wrong with it"
        verdict.weakened.append(Count(f"{LEAST_K_2.name}: the link shows", trials, _seen_at_2(scene, trials)))
    return verdict


def _seen_at_2(scene: Scene, trials: int) -> int:
    chance = random.Random(2)
    scene.plant([row for trial in range(trials) for row in planted_link(chance, trial)])
    scene.seal({SITE: 2}, LEAST_K_2)
    return len(set(TRAP.findall(str(scene.store.query("SELECT * FROM breakdown")))))


def attack_fakes(laboratory: Laboratory, extent: Extent) -> Verdict:
    """P8; one network more than it speaks of does see the victim."""
    verdict = Verdict("P8", "k-2 networks with any number of visitors, and the victim, on every dimension", 0, 0)
    with laboratory.scene() as scene:
        for k in extent.ks:
            verdict.trials += extent.trials // len(extent.ks)
            verdict.successes += _seen(scene, k, extent.trials // len(extent.ks), fakes_of(k - 2))
        for weakening in extent.weakened:
            found = _seen(scene, 5, extent.weak_trials, fakes_of(3), weakening)
            verdict.weakened.append(Count(weakening.name, extent.weak_trials, found))
        edge = _seen(scene, 5, extent.weak_trials, fakes_of(4))
        verdict.weakened.append(Count("k-1 networks, which README says can", extent.weak_trials, edge))
    return verdict


Plan = Callable[[random.Random, int], list[Row]]


def planted_link(chance: random.Random, trial: int) -> list[Row]:
    """The victim, and up to 30 visitors of the attacker's network, on one campaign."""
    fakes = chance.randint(1, MOST_FAKES) if trial % 2 else MOST_FAKES
    people = [_person(chance, chance.getrandbits(62)), *(_person(chance, 4_711) for _ in range(fakes))]
    return [replace(person, campaign=f"trap-{trial}-", source="mail.example", channel="e-mail") for person in people]


def fakes_of(networks: int) -> Plan:
    """The victim, and many visitors of so many networks, with one value in all dimensions."""

    def plan(chance: random.Random, trial: int) -> list[Row]:
        of_attacker = [4_711 + number for number in range(networks)]
        people = [_person(chance, chance.getrandbits(62))]
        people += [_person(chance, network) for network in of_attacker for _ in range(chance.randint(1, 12))]
        return [row for person in people for row in _trapped(person, f"trap-{trial}-")]

    return plan


def _trapped(person: Row, value: str) -> tuple[Row, Row]:
    view = replace(
        person,
        path=f"/{value}/page",
        source=value,
        channel=value,
        campaign=value,
        country=value,
        browser=value,
        os=value,
        device=value,
        screen=value,
        language=value,
    )
    return view, replace(view, kind="event", name=value, at_ms=view.at_ms + 1_000)


def _person(chance: random.Random, network: int) -> Row:
    at_ms = int(NOON) * 1000 + chance.randrange(36_000_000)
    return Row(DAY, BERLIN, SITE, at_ms, visitor=chance.getrandbits(63) | 1, network=network)


def _seen(scene: Scene, k: int, trials: int, plan: Plan, weakening: Weakening | None = None) -> int:
    """In how many trials the value is in any output."""
    chance = random.Random(f"{k}/{trials}/{weakening}")
    scene.store.command("TRUNCATE TABLE open_events")
    crowd = Crowd(DAY, BERLIN, SITE, 200).rows()
    scene.plant(crowd + [row for trial in range(trials) for row in plan(chance, trial)])
    told = _live(scene, k, weakening)
    scene.seal({SITE: k}, weakening)
    with reading(scene, {SITE: k}) as reader:
        told += reader.everything()
    scene.forget_trends()
    return len(set(TRAP.findall(told)))


def _live(scene: Scene, k: int, weakening: Weakening | None) -> str:
    config = scene.folder / f"k-{k}.toml"
    config.write_text(CONFIG.format(k=k))
    answers: Sequence[object] = scene.build(weakening).ask("live", site=SITE, config=str(config), now=NOON, fresh=True)
    return str(answers)
