"""What the promises cost: how much of a site's day, or week, is still seen, at 50 to 500,000 visits a day.

- in leaves: the share of page views that a shown page tells;
- at some level: that, and what the rest of a shown directory tells;
- Kendall's tau between the true views of the 20 most viewed pages and what is shown of them (0 where one is hidden);
- the error of the day's views, relative to the truth.

A week is seven days of other people: who comes again on another day of it adds nothing to any group of k.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import kendalltau

from aggregator.dimensions import OTHER
from collector.days import DAYS_OF_WEEK, Every, calendar_of, first_of
from tests.attacks.crowds import Crowd, open_day, words
from tests.attacks.laboratory import BERLIN, DAY, Laboratory, Outputs
from tests.attacks.oracle import Counted, counted

VISITS_PER_VISITOR = 1.6
COLUMNS = ("visits a day", "sealed", "sites", "in leaves", "at some level", "tau of the top 20", "error of views")
VIEWS = 2


@dataclass(frozen=True)
class Useful:
    """Means over some sites of one size; days without any number count as nothing seen."""

    visits: int
    every: Every
    sites: int
    leaves: float
    levels: float
    tau: float
    error: float

    def cells(self) -> tuple[str, ...]:
        shares = (f"{self.leaves:.0%}", f"{self.levels:.0%}", f"{self.tau:.2f}", f"{self.error:.1%}")
        return (f"{self.visits:,}", f"each {self.every}", f"{self.sites:,}", *shares)


def measure(laboratory: Laboratory, visits: int, sites: int, every: Every = "day") -> Useful:
    """Seals a day or a week of `sites` sites with about `visits` visits a day, with the default k and level."""
    people = max(1, round(visits * (DAYS_OF_WEEK if every == "week" else 1) / VISITS_PER_VISITOR))
    crowds = [Crowd(f"useful-{n}.example", people, 5, n) for n in range(sites)]
    calendar = calendar_of(BERLIN, every)
    day = first_of(DAY, calendar)
    opened = open_day(day, calendar, crowds)
    with laboratory.scene() as scene:
        scene.fill(opened)
        scene.seal({crowd.site: crowd.k for crowd in crowds}, day=day, timezone=calendar)
        outputs = scene.outputs()
    of_site = [
        _of_site(outputs.get(crowd.site, Outputs({}, {})), counted(opened.rows[opened.rows["site"] == place]))
        for place, crowd in enumerate(crowds)
    ]
    leaves, levels, tau, error = (float(np.mean(each)) for each in zip(*of_site, strict=True))
    return Useful(visits, every, sites, leaves, levels, tau, error)


def _of_site(outputs: Outputs, truth: Counted) -> tuple[float, float, float, float]:
    cells = words().cells("page")
    codes = truth.codes("page")
    true = truth.group(codes, len(cells)).views
    whole = int(true.sum())
    shown = {key[1:]: numbers[VIEWS] for key, numbers in outputs.values.items() if key[0] == "page"}
    leaves = sum(int(number) for number, cell in zip(true, cells, strict=True) if cell in shown and cell[1] != OTHER)
    rests = sum(
        int(number)
        for number, (parent, value) in zip(true, cells, strict=True)
        if (parent, value) not in shown and parent and (parent, OTHER) in shown
    )
    top = np.argsort(-true, kind="stable")[:20]
    tau = kendalltau(true[top], [shown.get(cells[code], 0) for code in top]).statistic
    total = outputs.total[VIEWS] if outputs.total else 0
    return leaves / whole, (leaves + rests) / whole, 0.0 if np.isnan(tau) else float(tau), abs(total - whole) / whole


def table(measured: Sequence[Useful]) -> str:
    rows = [COLUMNS, tuple("---:" for _ in COLUMNS), *(each.cells() for each in measured)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
