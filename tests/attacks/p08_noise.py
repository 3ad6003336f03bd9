"""P8 at level dp: who commands everybody but one visitor, and knows that, cannot tell whether that one came.

At the other levels k-1 networks in one hand see one more visitor come (README says so; shown here beside). With noise
the attacker has as many visitors as he likes, the victim does all that counts (5 visits, 10 views), and the guess is
the best there is: the numbers that are published, each weighed by what the victim adds and by its noise, which are no
secrets.

(epsilon, delta) allow a guess between two equally likely worlds to be right in (e^epsilon + delta) / (e^epsilon + 1)
of all trials at most (Kairouz, Oh, Viswanath, arXiv 1311.0776); five standard deviations of luck are added.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from pathlib import Path

from aggregator.noise import Plan, plan_of
from collector import days
from collector.noise import VIEWS, VISITS, Noise
from tests.attacks.laboratory import BERLIN, DAY, Laboratory, Outputs, Scene
from tests.attacks.verdict import Count, Verdict
from tests.attacks.weakened import NOISE_OFF, Weakening
from tests.collector.collecting import MEMORY

PROMISED = Noise()
K, FAKES = 5, 120
# Fakes from k-1 networks; in every second site the victim besides, who looks twice at each of five visits.
ROWS = """
INSERT INTO open_events (day, timezone, site, at, batch, position, generation, visitor, network, kind, path, country)
SELECT {{day:Date}}, {{timezone:String}}, site, toDateTime64({{starts_at:Int64}} + 3600 + at, 3, 'UTC'), 1, place, 1,
    visitor, network, 'view', '/', 'DE'
FROM
(
    SELECT number AS place, concat('s', toString(intDiv(number, {fakes})), '.example') AS site, 0 AS at,
        sipHash64('fake', number) AS visitor, sipHash64('network', number % {networks}) AS network
    FROM numbers({sites} * {fakes})
    UNION ALL
    SELECT 1000000000 + number AS place, concat('s', toString(2 * intDiv(number, {views})), '.example') AS site,
        4000 * (number % {visits}) AS at, sipHash64('victim', intDiv(number, {views})) AS visitor,
        sipHash64('home', intDiv(number, {views})) AS network
    FROM numbers(intDiv({sites}, 2) * {views})
)
"""


def attack(laboratory: Laboratory, trials: int) -> Verdict:
    """A success is a right guess; half of them are right by luck."""
    allowed = (math.exp(PROMISED.epsilon) + PROMISED.delta) / (math.exp(PROMISED.epsilon) + 1)
    required = math.floor(trials * allowed + 5 * math.sqrt(trials * allowed * (1 - allowed)))
    verdict = Verdict("P8", "all visitors but one commanded: did that one come (level dp)?", trials, 0, required)
    verdict.successes = _right(laboratory, trials, FAKES, None)
    verdict.weakened.append(Count(NOISE_OFF.name, trials, _right(laboratory, trials, FAKES, NOISE_OFF)))
    rounded = _seen_at_rounded(laboratory, trials)
    verdict.remarks.append(f"at level rounded k-1 networks guess right in {rounded:,} of {trials:,}")
    return verdict


def _right(laboratory: Laboratory, trials: int, fakes: int, weakening: Weakening | None) -> int:
    folder = Path(tempfile.mkdtemp(prefix="footfall-test-", dir=MEMORY))
    try:
        with laboratory.scene() as scene:
            _fill(scene, trials, fakes)
            scene.draw({f"s{place}.example": K for place in range(trials)}, PROMISED, folder, weakening)
            outputs = scene.outputs()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    plan = plan_of(PROMISED)
    guesses = [_score(plan, outputs.get(f"s{place}.example"), fakes) > 0 for place in range(trials)]
    return sum(guess == (place % 2 == 0) for place, guess in enumerate(guesses))


def _fill(scene: Scene, trials: int, fakes: int) -> None:
    sql = ROWS.format(fakes=fakes, networks=K - 1, sites=trials, views=VIEWS, visits=VISITS)
    starts_at = int(days.starts_at(DAY, BERLIN))
    scene.store.command(sql, {"day": DAY, "timezone": BERLIN, "starts_at": starts_at})


def _score(plan: Plan, shown: Outputs | None, fakes: int) -> float:
    """How much likelier the published numbers are with the victim than without: above 0 it is."""
    if shown is None or shown.total is None:
        return -1.0
    scales = plan.totals
    seen = [
        (shown.total[0], 1, scales["visitors"]),
        (shown.total[1], VISITS, scales["visits"]),
        (shown.total[2], VIEWS, scales["views"]),
    ]
    for key, name in ((("country", "", "DE"), "country"), (("page", "/", "/"), "page")):
        if key in shown.values:
            seen.append((shown.values[key][0], 1, plan.dimensions[name].scale))
    return sum(adds * (number - fakes - adds / 2) / scale**2 for number, adds, scale in seen)


def _seen_at_rounded(laboratory: Laboratory, trials: int) -> int:
    """One visitor in each of k-1 networks: the day has numbers where the victim came, too."""
    with laboratory.scene() as scene:
        _fill(scene, trials, K - 1)
        scene.seal({f"s{place}.example": K for place in range(trials)})
        outputs = scene.outputs()
    guesses = [outputs.get(f"s{place}.example", Outputs({}, {})).total is not None for place in range(trials)]
    return sum(guess == (place % 2 == 0) for place, guess in enumerate(guesses))
