"""P6, with the day's whole live history: what subtraction pins for who notes every state of the live view.

The attacker asks after every visitor. Of each cell that shows it knows a least number, at each moment, and that no cell
ever shrinks. It also knows by which rules cells change, so that one that does not change tells of at most k - 1 more:

- where each cell changes at a moment of its own (the weakened build), always;
- where cells change together and by no more than what holds them, of the whole; and, when lists change and have left
  room for a further group, of a cell that never showed. One that did may have had k - 1 more already when it changed
  last, so of it 2(k - 1); nothing is known of one that may have been cut short.

A linear program over all moments, and the seal behind them, asks for the least and the greatest value of each hidden
count: a version or browser that is not shown yet, and what a browser or the day has beside those that are shown.

Each visitor of this site has a network and one browser, so that visitors and networks are the same number.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linprog

from tests.aggregator.simulate import Row
from tests.attacks.laboratory import BERLIN, DAY, NOON, Key, Laboratory, Numbers, Scene
from tests.attacks.verdict import Count, Verdict
from tests.attacks.weakened import LIVE_EACH_AT_ITS_MOMENT, Weakening

SITE = "noted.example"
CONFIG = """
[[site]]
domain = "noted.example"
timezone = "Europe/Berlin"
k = {k}
"""
BROWSERS = (("Firefox", ("140", "141", "128")), ("Chrome", ("142", "141")), ("Safari", ("19",)))
TOTAL: Key = ("", "", "(all)")
# A value of a hidden count is whole, and the program's are not.
EDGE = 1e-6
Shown = Mapping[Key, int]
Part = tuple[str, str]
Weights = np.ndarray[tuple[int], np.dtype[np.float64]]


@dataclass
class Found:
    """`narrow`: fewer than k values; `pinned`: moreover surely some, and fewer than k. `sealed`: after the seal."""

    trials: int = 0
    narrow: int = 0
    pinned: int = 0
    sealed: int = 0
    example: str = ""

    def add(self, low: int, high: int, k: int, told: str, *, is_sealed: bool) -> None:
        self.trials += 1
        if high - low + 1 >= k:
            return
        self.narrow += 1
        self.sealed += is_sealed
        if low >= 1 and high < k:
            self.pinned += 1
            self.example = self.example or f"{told}: {low} to {high}"


@dataclass
class History:
    """What the view showed at each moment that it changed, and, last, what the seal shows."""

    k: int
    each_at_its_moment: bool = False
    moments: list[Shown] = field(default_factory=list)
    # The truth at each of them, by browser and version.
    truths: list[Counter[Part]] = field(default_factory=list)

    @property
    def browsers(self) -> list[str]:
        return sorted({key[2] for shown in self.moments for key in shown if key[0] == "browser"})

    @property
    def versions(self) -> list[tuple[str, str]]:
        return sorted({(key[1], key[2]) for shown in self.moments for key in shown if key[0] == "browser_version"})


def attack(
    laboratory: Laboratory,
    crowds: Sequence[tuple[int, int]],
    weakened: Sequence[Weakening] = (LIVE_EACH_AT_ITS_MOMENT,),
) -> Verdict:
    """`crowds` are (people, k), each a day of its own."""
    found = Found()
    with laboratory.scene() as scene:
        for seed, (people, k) in enumerate(crowds):
            _reckon(_noted(scene, people, k, seed), found)
        verdict = Verdict("P6", "the whole live history and the seal", found.trials, found.narrow)
        verdict.remarks.append(
            f"{found.trials:,} hidden counts of {len(crowds)} days, at each moment: {found.narrow:,} narrow, of these"
            f" {found.sealed:,} after the seal; {found.pinned:,} pinned; {found.example or 'no example'}"
        )
        for weakening in weakened:
            weak = Found()
            _reckon(_noted(scene, *crowds[0], 0, weakening), weak)
            verdict.weakened.append(Count(weakening.name, weak.trials, weak.narrow))
    return verdict


def _noted(scene: Scene, people: int, k: int, seed: int, weakening: Weakening | None = None) -> History:
    """A visitor comes, the view is asked, and so on; then the day is sealed."""
    scene.store.command("TRUNCATE TABLE open_events")
    scene.forget_trends()
    config = scene.folder / f"noted-{k}.toml"
    config.write_text(CONFIG.format(k=k))
    history, start = History(k, weakening is not None), int(scene.store.now()) - 3_600
    came = Counter[Part]()
    for number, row in enumerate(_people(people, seed), 1):
        scene.plant([Row(**{**vars(row), "inserted": start + number, "batch": number})], number)
        answer = scene.build(weakening).ask("live", site=SITE, config=str(config), now=NOON, fresh=number == 1)
        shown = {(name, parent, value): numbers[0] for name, parent, value, *numbers in answer}
        came[row.browser, f"{row.browser} {row.browser_version}"] += 1
        if not history.moments or shown != history.moments[-1]:
            history.moments.append(shown)
            history.truths.append(came.copy())
    scene.seal({SITE: k})
    outputs = scene.outputs()[SITE]
    history.moments.append(_visitors({TOTAL: outputs.total} if outputs.total else {}, outputs.values))
    history.truths.append(came)
    return history


def _visitors(total: Mapping[Key, Numbers], values: Mapping[Key, Numbers]) -> Shown:
    """What was shown of a value before the seal, and is left out by it, is still true; a rest is no value."""
    return {key: numbers[0] for key, numbers in {**total, **values}.items() if key[2] != "(other)"}


def _people(people: int, seed: int) -> Iterator[Row]:
    drawn = random.Random(seed)
    looks = [(browser, version) for browser, versions in BROWSERS for version in versions]
    weights = [1 / place for place in range(1, len(looks) + 1)]
    drawn.shuffle(weights)
    for number, (browser, version) in enumerate(drawn.choices(looks, weights, k=people), 1):
        at_ms = int(NOON * 1000) - 3_600_000 + number * 1_000
        yield Row(DAY, BERLIN, SITE, at_ms, visitor=number, network=number, browser=browser, browser_version=version)


def _reckon(history: History, found: Found) -> None:
    """Asks for the range of each count that is hidden at a moment."""
    system = _System(history)
    for moment, shown in enumerate(history.moments):
        for part in system.parts:
            if system.is_shown(part, shown):
                continue
            low, high = system.range_of(moment, part)
            if not low <= system.truth_of(moment, part) <= high:
                raise ValueError(f"{part} at moment {moment} is in truth none of {low} to {high}")
            told = f"{' '.join(filter(None, part)) or 'other browsers'} at moment {moment}, k = {history.k}"
            found.add(low, high, history.k, told, is_sealed=shown is history.moments[-1])


class _System:
    """The inequalities. A part is (browser, version), (browser, "") for its versions that never show, or ("", "")."""

    def __init__(self, history: History) -> None:
        self._history = history
        self.parts: list[Part] = [*history.versions, *((browser, "") for browser in history.browsers), ("", "")]
        self._left: list[Weights] = []
        self._right: list[float] = []
        self._cut: set[Key] = set()
        # What was known when lists changed last.
        self._listed: dict[Key, int] = {}
        known: dict[Key, int] = {}
        for moment, shown in enumerate(history.moments):
            known |= {key: number for key, number in shown.items() if number > known.get(key, 0)}
            self._observe(moment, known, self._most_beside(moment, known))

    @property
    def _groups(self) -> dict[Key, list[Part]]:
        """What each cell that ever shows is made of."""
        of_browser = {
            ("browser", "", browser): [part for part in self.parts if part[0] == browser]
            for browser in self._history.browsers
        }
        of_version = {("browser_version", *version): [version] for version in self._history.versions}
        return {TOTAL: self.parts, **of_browser, **of_version}

    def is_shown(self, part: Part, shown: Shown) -> bool:
        return ("browser_version", *part) in shown

    def truth_of(self, moment: int, part: Part) -> int:
        browser, version = part
        came = self._history.truths[moment]
        if version:
            return came[part]
        if browser:
            return sum(number for of, number in came.items() if of[0] == browser and of not in self.parts)
        return sum(number for of, number in came.items() if of[0] not in self._history.browsers)

    def range_of(self, moment: int, part: Part) -> tuple[int, int]:
        """The least and the greatest whole number that the part may have at a moment."""
        aim = self._row(moment, {part: 1.0})
        ends = [linprog(sign * aim, A_ub=np.array(self._left), b_ub=self._right, method="highs") for sign in (1, -1)]
        if any(end.status != 0 for end in ends):
            raise ValueError(f"what was noted cannot be: {[end.message for end in ends]}")
        return int(np.ceil(ends[0].fun - EDGE)), int(np.floor(-ends[1].fun + EDGE))

    def _most_beside(self, moment: int, known: Mapping[Key, int]) -> Mapping[Key, int]:
        """By cell how many more are there than show, at most; the others may have any number."""
        groups, k = self._groups, self._history.k
        if self._history.each_at_its_moment:
            return dict.fromkeys(groups, k - 1)
        if moment == len(self._history.moments) - 1:
            return dict.fromkeys({TOTAL, *self._history.moments[-1]} & groups.keys(), k - 1)
        grown = {key: known.get(key, 0) - self._listed.get(key, 0) for key in groups}
        if not any(grown[key] for key in groups if key != TOTAL):
            return {TOTAL: k - 1}
        self._listed = dict(known)
        beside = {TOTAL: k - 1}
        for whole in [TOTAL, *(("browser", "", browser) for browser in self._history.browsers)]:
            name = "browser" if whole == TOTAL else "browser_version"
            cells = [key for key in groups if key[0] == name and (whole == TOTAL or key[1] == whole[2])]
            if grown[whole] - sum(grown[key] for key in cells) < k:
                self._cut |= {key for key in cells if grown[key]}
            elif grown[whole]:
                beside |= {key: 2 * (k - 1) if key in known else k - 1 for key in cells}
        return {key: most for key, most in beside.items() if key not in self._cut}

    def _observe(self, moment: int, known: Mapping[Key, int], beside: Mapping[Key, int]) -> None:
        for key, parts in self._groups.items():
            number = known.get(key, 0)
            self._at_most(self._row(moment, dict.fromkeys(parts, -1.0)), -number)
            if key in beside:
                self._at_most(self._row(moment, dict.fromkeys(parts, 1.0)), number + beside[key])
        if moment:
            for part in self.parts:
                self._at_most(self._row(moment - 1, {part: 1.0}) - self._row(moment, {part: 1.0}), 0)

    def _row(self, moment: int, weights: Mapping[Part, float]) -> Weights:
        row = np.zeros(len(self._history.moments) * len(self.parts))
        for part, weight in weights.items():
            row[moment * len(self.parts) + self.parts.index(part)] = weight
        return row

    def _at_most(self, row: Weights, limit: float) -> None:
        self._left.append(row)
        self._right.append(limit)
