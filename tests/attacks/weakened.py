"""The product as it is, and copies of it that break one promise on purpose: what an attack has to succeed against.

A weakened build is a copy of the product's folders in which a few texts are replaced. Each text must be there exactly
as often as stated, so that a change of the product cannot turn a weakened build into the product unnoticed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aggregator.endpoint import Endpoint
from tests.collector.collecting import ROOT

PARTS = ("collector", "aggregator", "dashboards")
WORKER = Path(__file__).with_name("worker.py")


@dataclass(frozen=True)
class Replacement:
    """`old` is in `file` exactly `times` times."""

    file: str
    old: str
    new: str
    times: int = 1


@dataclass(frozen=True)
class Weakening:
    """What is broken, in words for the table."""

    name: str
    replacements: tuple[Replacement, ...]


SQL = "aggregator/sql/"
THRESHOLD_OFF = Weakening(
    "threshold off",
    (
        Replacement(SQL + "counted_cells.sql", "size >= k AND place", "size >= 1 AND place"),
        Replacement(SQL + "counted_cells.sql", "HAVING cell_networks >= k", "HAVING cell_networks >= 1"),
        Replacement(SQL + "trend_cells.sql", "HAVING cell_networks >= k", "HAVING cell_networks >= 1"),
        Replacement(SQL + "crossed_cells.sql", "HAVING cell_networks >= k", "HAVING cell_networks >= 1"),
    ),
)
MEASURES_UNGUARDED = Weakening(
    "k rule for cells only, not for each measure",
    (
        Replacement(SQL + "measure_totals.sql", ">= k,", ">= 1,", 3),
        Replacement(SQL + "measure_totals.sql", ">= k AND (", ">= 1 AND ("),
        Replacement(SQL + "measure_totals.sql", "staying_networks >= k", "staying_networks >= 1"),
        Replacement(SQL + "measure_totals.sql", "all_visits >= 4 * k", "all_visits >= 1"),
    ),
)
COMPLEMENT_UNGUARDED = Weakening(
    "bounces shown whatever remains",
    (
        Replacement(SQL + "measure_totals.sql", "staying_networks >= k", "staying_networks >= 1"),
        Replacement(SQL + "measure_totals.sql", "all_visits >= 4 * k", "all_visits >= 1"),
    ),
)
GENERATIONS_ADDED = Weakening(
    "networks of all generations added up",
    (
        Replacement(SQL + "measure_totals.sql", "max(numbers.networks)", "sum(numbers.networks)"),
        Replacement(
            SQL + "counted_cells.sql",
            "max(finalizeAggregation(networks)) OVER",
            "sum(finalizeAggregation(networks)) OVER",
            2,
        ),
        Replacement(SQL + "crossed_cells.sql", "max(networks) AS cell_networks", "sum(networks) AS cell_networks"),
    ),
)
VISITORS_COUNTED = Weakening(
    "visitors counted in place of networks",
    (
        Replacement(
            SQL + "measure_states.sql",
            "uniqExactStateIf(network, network != 0",
            "uniqExactStateIf(visitor, network != 0",
        ),
        Replacement(
            SQL + "measure_states.sql",
            "StateIf({largest_k:UInt16})(network, network != 0",
            "StateIf({largest_k:UInt16})(visitor, network != 0",
            5,
        ),
        Replacement(
            SQL + "crossed_cells.sql", "uniqExactIf(network, network != 0)", "uniqExactIf(visitor, network != 0)"
        ),
        Replacement("aggregator/rollup.py", "spans(of_site, rules(site).k)", "spans(of_site, 1)"),
    ),
)
LIVE_UNFLOORED = Weakening(
    "live view unfloored",
    (
        Replacement("aggregator/live.py", '"live_counted" if k == 1 else "live_cells"', '"live_counted"'),
        Replacement("aggregator/live.py", '{**key, "k": k,', '{**key, "k": 1,'),
        Replacement("aggregator/live.py", "if site.k == 1:", "if site.k >= 1:"),
    ),
)
LIVE_EACH_AT_ITS_MOMENT = Weakening(
    "each cell of the live view at its own moment",
    (
        Replacement(
            "aggregator/release.py",
            "if not self._is_due(now, ALL):\n            return",
            "if ALL not in now:\n            return",
        ),
        Replacement("aggregator/release.py", "< self._groups + GROUPS_BETWEEN", "< 0"),
        Replacement("aggregator/release.py", "self._grow(key, now[key], room)", "self._grow(key, now[key], wanted)"),
    ),
)
LIVE_WITHOUT_GROUPS = Weakening(
    "live view floored, but at every moment",
    (
        Replacement(
            SQL + "live_cells.sql",
            "largest[complete * {k:UInt16}] AS completed_at",
            "arrayMax(largest) AS completed_at",
        ),
        Replacement(
            SQL + "live_cells.sql",
            "intDiv(length(largest), {k:UInt16}) AS complete",
            "intDiv(length(largest), {k:UInt16}) AS full_groups, length(largest) AS complete",
        ),
        Replacement(SQL + "live_cells.sql", "HAVING complete > 0", "HAVING full_groups > 0"),
    ),
)
ONE_TOKEN_FOR_ALL_SITES = Weakening(
    "token without the site",
    (
        Replacement("collector/keys.py", r'f"{site}\0{host}\0{user_agent}"', r'f"{host}\0{user_agent}"'),
        Replacement("collector/keys.py", r'f"{site}\0{network}"', r'f"{network}"'),
    ),
)
ONE_KEY_FOR_ALL_DAYS = Weakening(
    "one key for all days",
    (
        Replacement(
            "collector/keys.py",
            "self._folder / _file_name(day, timezone)",
            "self._folder / _file_name(date(2000, 1, 1), timezone)",
            2,
        ),
        Replacement("collector/keys.py", "self._open.get((day, timezone)) or", ""),
    ),
)
WHOLE_ADDRESS = Weakening(
    "address not truncated",
    (Replacement("collector/address.py", 'host = f"{octets[0]}.{octets[1]}.{octets[2]}.0"', "host = address", 1),),
)
EACH_NUMBER_ROUNDED_DOWN = Weakening(
    "each number rounded down by itself",
    (
        Replacement(SQL + "components.sql", "all_visits - all_visitors,", "all_visits,"),
        Replacement(
            SQL + "components.sql", "if(all_views < all_visits, all_views, all_views - all_visits)", "all_views"
        ),
        Replacement(SQL + "shown.sql", "visitors + floors[2]", "floors[2]"),
        Replacement(SQL + "shown.sql", "all_views < all_visits, least(", "false, least("),
        Replacement(SQL + "shown.sql", "visits + floors[3])", "floors[3])"),
    ),
)
TO_THE_NEAREST = Weakening(
    "each number rounded to the nearest multiple",
    (
        *EACH_NUMBER_ROUNDED_DOWN.replacements,
        Replacement(SQL + "shown.sql", "intDiv(component, step)", "intDiv(2 * component + step, 2 * step)"),
        Replacement(SQL + "breakdown_cells.sql", "AND NOT exceeds ", ""),
    ),
)
SUMS_BIND = Weakening(
    "sums complete, whatever they bind",
    (
        Replacement(SQL + "breakdown_cells.sql", "NOT exceeds AND NOT (is_rest AND binds)", "true"),
        Replacement(SQL + "trend_cells.sql", "NOT (exceeds OR (is_least AND binds))", "true"),
    ),
)
CROSSES_BEYOND_THE_WHOLE = Weakening(
    "two dimensions at a time, whatever they add up to",
    (Replacement(SQL + "cross_cells.sql", "QUALIFY max(exceeds_whole) OVER (PARTITION BY site, cell) = 0", ""),),
)
LEAST_K_2 = Weakening("k = 2 allowed", (Replacement("collector/settings.py", "LEAST_K = 3\n", "LEAST_K = 2\n"),))
COVERAGE_AT_ONCE = Weakening(
    "coverage shown as it moves",
    (
        Replacement("aggregator/coverage.py", "hour = int(now // HOUR_S) * HOUR_S", "hour = int(now)"),
        Replacement("aggregator/coverage.py", 'f"coverage/{hour}"', 'f"coverage/{now}"'),
    ),
)
NOISE_OFF = Weakening(
    "noise off",
    (
        Replacement("aggregator/noise.py", "_adding(plan.totals[measure])(list(counts))", "counts"),
        Replacement(
            "aggregator/noise.py",
            "_selecting(selection.scale, selection.threshold)(dict(enumerate(counts)))",
            "dict(enumerate(counts))",
        ),
    ),
)
LIGHTWEIGHT_DELETE = Weakening(
    "lightweight delete",
    (
        Replacement(
            "aggregator/deletion.py",
            "ALTER TABLE {table.name} DELETE IN PARTITION ID {{id:String}} WHERE",
            "DELETE FROM {table.name} WHERE",
        ),
    ),
)
ACTIVE_PARTS_ALONE = Weakening(
    "only active parts deleted, the replaced ones left to the engine",
    (
        Replacement("aggregator/destroy.py", "while left := waited_for &", "while left := set() and waited_for &"),
        Replacement("aggregator/destroy.py", "while left := remains(", "while left := () and remains("),
    ),
)


@dataclass
class Build:
    """A running product: the checkout, or a weakened copy of it made in `folder`."""

    endpoint: Endpoint
    folder: Path
    weakening: Weakening | None = None
    _process: subprocess.Popen[str] | None = field(default=None, init=False)

    @property
    def name(self) -> str:
        return self.weakening.name if self.weakening else "product"

    def ask(self, do: str, **request: object) -> Any:  # noqa: ANN401  JSON
        """One request to `worker.Worker`; RuntimeError where the product gave up."""
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"do": do, **request}) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if not answer:
            told = (self.folder / "worker.log").read_text().splitlines()
            raise RuntimeError(f"the {self.name} build ended: {told[-1] if told else 'without a word'}")
        return json.loads(answer)

    def close(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(30)
            self._process = None

    def _start(self) -> subprocess.Popen[str]:
        self.folder.mkdir(parents=True, exist_ok=True)
        root = ROOT if self.weakening is None else weakened_copy(self.weakening, self.folder / "copy")
        with (self.folder / "worker.log").open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(WORKER), json.dumps(asdict(self.endpoint))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=self.folder,
                env=os.environ | {"PYTHONPATH": str(root)},
            )
        return self._process


def weakened_copy(weakening: Weakening, folder: Path) -> Path:
    """A copy of the product with the replacements made; ValueError where a text is not there as often as stated."""
    if folder.exists():
        return folder
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    replace_in(folder, weakening.replacements)
    return folder


def replace_in(folder: Path, replacements: Sequence[Replacement]) -> None:
    for each in replacements:
        file = folder / each.file
        text = file.read_text()
        if text.count(each.old) != each.times:
            raise ValueError(f"{each.file} has {text.count(each.old)} times, not {each.times}: {each.old}")
        file.write_text(text.replace(each.old, each.new))
