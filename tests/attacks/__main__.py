"""`python -m tests.attacks`: every attack in full, and the table; exit status 1 where a promise does not hold.

`python -m tests.attacks P5 P6` runs only these. Needs the extra `attack`, chDB, and for P14 root and strace.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator

from collector.days import Every
from tests.attacks import (
    held_by_tests,
    p03_linking_back,
    p04_what_is_retained,
    p05_small_cells,
    p06_live_history,
    p06_subtraction,
    p07_planted_link,
    p08_noise,
    p09_coverage,
    p09_watching,
    p10_repeating,
    p11_tokens,
    p13_deletion,
    p14_egress,
    peers,
    usefulness,
)
from tests.attacks.crowds import Crowd
from tests.attacks.laboratory import Laboratory
from tests.attacks.verdict import Verdict, table

SEALED_ROWS = 1_000_000
LARGE = [Crowd(f"large-{people}.example", people) for people in (1_500, 5_000, 20_000, 500_000)]
FULL = p03_linking_back.Effort(visitors=60, networks=p03_linking_back.NETWORKS, networks_each=4_096, places=0)
USEFUL: tuple[tuple[int, int, Every], ...] = (
    *((50, 200, "day"), (50, 200, "week"), (500, 60, "day"), (500, 60, "week")),
    *((5_000, 10, "day"), (500_000, 1, "day")),
)

Attack = Callable[[], Verdict]


def attacks(laboratory: Laboratory) -> Iterator[tuple[str, Attack]]:
    """Every attack in full, by its promise."""
    days = [*p05_small_cells.crowds_of(SEALED_ROWS), LARGE]
    yield "P3", lambda: p03_linking_back.attack(FULL)
    yield "P4", lambda: p04_what_is_retained.attack(laboratory, 2_000)
    yield "P5", lambda: p05_small_cells.attack(laboratory, days, list(p05_small_cells.small()))
    yield "P6", lambda: p06_subtraction.attack(laboratory, p06_subtraction.crowds_of(60), p06_subtraction.crowds_of(20))
    crossed = p06_subtraction.crossed_crowds_of
    yield "P6", lambda: p06_subtraction.attack_crosses(laboratory, crossed(60), crossed(20))
    yield "P6", lambda: p06_live_history.attack(laboratory, ((14, 3), (24, 3), (30, 5), (40, 5), (40, 4), (24, 3)))
    yield "P7", lambda: p07_planted_link.attack_links(laboratory, p07_planted_link.Extent(2_001, 200))
    yield "P7", lambda: p07_planted_link.attack_least_k(laboratory, 200)
    yield "P8", lambda: p07_planted_link.attack_fakes(laboratory, p07_planted_link.Extent(600, 100))
    yield "P8", lambda: p08_noise.attack(laboratory, 2_000)
    yield "P9", lambda: p09_watching.attack(laboratory, ((14, 3), (24, 5)), weak_rows=30)
    yield "P9", lambda: p09_coverage.attack(laboratory, 100)
    yield "P10", lambda: p10_repeating.attack(laboratory, 10_000, 200)
    yield "P11", lambda: p11_tokens.attack_linking(laboratory, 2_000)
    yield "P12", lambda: p11_tokens.attack_truncation(laboratory, 2_000)
    yield "P13", lambda: p13_deletion.attack(laboratory, 20)
    yield "P14", p14_egress.attack
    for held in held_by_tests.ALL:
        yield held.promise, lambda held=held: held_by_tests.attack(held)  # type: ignore[misc]  # mypy sees no type of it


def main(wanted: list[str]) -> int:
    verdicts: list[Verdict] = []
    with Laboratory() as laboratory:
        for promise, attack in attacks(laboratory):
            if wanted and promise not in wanted:
                continue
            began = time.monotonic()
            verdicts.append(attack())
            print(f"{promise}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            for remark in verdicts[-1].remarks:
                print(f"  {remark}", file=sys.stderr, flush=True)
        verdicts.sort(key=lambda verdict: int(verdict.promise[1:]))
        print(table(verdicts))
        if not wanted:
            _tell_peers()
            measured = [usefulness.measure(laboratory, *size) for size in USEFUL]
            print(f"\n{usefulness.table(measured)}")
    return 0 if all(verdict.holds and verdict.can_fail for verdict in verdicts) else 1


def _tell_peers() -> None:
    print("\n| promise | what is retained | trials | successes |\n| --- | --- | ---: | ---: |")
    for promise, count in peers.attack(people=200, networks=2**14):
        print(f"| {promise} | {count.build} | {count.trials:,} | {count.successes:,} |")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
