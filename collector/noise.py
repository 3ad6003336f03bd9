"""What level `dp` promises, and how much one visitor may add to what it publishes of a day: by that noise is measured.

Invariant: the aggregator counts no visitor with more than these bounds (aggregator/noisy_trends.py takes them from
here), whatever else bounds a visitor's events. `/privacy.json` prints them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from collector.toml_table import Table, between, matching

# In a day's totals a visitor is one, with so many visits and views. All noise grows with these bounds, and few people
# go over them; Wikimedia counts 10 views of a device and day, too (arXiv 2308.16298).
VISITS = 5
VIEWS = 10
# In how many values of a dimension a visitor is counted. What is one thing all day (a country, a browser) counts once;
# pages and sources are bounded so at the other levels, too.
VALUES: Mapping[str, int] = MappingProxyType(
    {
        "page": 10,
        "source": 2,
        "channel": 2,
        "campaign": 2,
        **dict.fromkeys(("country", "browser", "os", "device", "screen", "language"), 1),
    }
)
# The settings of [privacy] that are of this level alone.
NAMES = ("epsilon", "delta", "dp_dimensions")


@dataclass(frozen=True)
class Noise:
    """What is promised of each visitor token and day, over a day's totals and the values of `dimensions`."""

    # 1: Wikimedia's choice for its published views by country and page; halving it doubles the noise.
    epsilon: float = 1.0
    # 1 in 10,000,000, as there: below one in the visitors of a large site's day, so that it excuses no visitor's row.
    delta: float = 1e-7
    # What readers ask for first; each further table takes its part of the same epsilon.
    dimensions: tuple[str, ...] = ("page", "country")


def read_noise(table: Table) -> Noise:
    """The settings of the section [privacy] about noise; each fault is noted there."""
    usual = Noise()
    dimensions = usual.dimensions
    epsilon = table.take("epsilon", float, usual.epsilon, "a number from 0.01 to 10", between(0.01, 10.0))
    # Above 1 in 100,000 a value of a single visitor could show outright once in so many days.
    delta = table.take("delta", float, usual.delta, "a number from 1e-12 to 1e-5", between(1e-12, 1e-5))
    if table.has("dp_dimensions"):
        must = f"one of {', '.join(VALUES)}"
        dimensions = table.each("dp_dimensions", must, lambda text: matching("|".join(VALUES), text))
    if len(set(dimensions)) < len(dimensions):
        table.faults.append(f"{table.name}.dp_dimensions: must have each dimension once")
    return Noise(epsilon, delta, dimensions)
