"""Builds `user_agents.tsv`, the most frequent browsers with their frequencies, from the npm package user-agents.

    python dashboards/demo/build_user_agents.py "$(npm pack user-agents)" dashboards/demo/user_agents.tsv

Input: the package as npm packs it (BSD-2-Clause), with 10,000 records of a User-Agent, a window's width and a weight.

Output: one line for each User-Agent: its share in millionths of all visits, the widths of its windows in pixels with
how many in 100 have each (`1920:62,1536:25`), the User-Agent. Left out are User-Agents with more than 1 % of all visits
of which nearly all have one and the same width: so much alike are not people but one program's many runs. (In release
2.1.198 one of these has 23 %: an old Chrome on macOS, always 1,366 pixels wide.)
"""

from __future__ import annotations

import json
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

RECORDS = "package/dist/user-agents.json"
MOST = 400
MOST_WIDTHS = 5
# A program's runs: more of all visits than the first, and of these more than the second with one width.
PROGRAM_SHARE = 0.01
PROGRAM_SAMENESS = 0.9


def read_widths(package: Path) -> dict[str, Counter[int]]:
    """For each User-Agent of the package the weights of its windows' widths."""
    with tarfile.open(package) as packed:
        member = packed.extractfile(RECORDS)
        if member is None:
            raise ValueError(f"{package}: {RECORDS} is no file")
        records = json.load(member)
    widths: dict[str, Counter[int]] = {}
    for record in records:
        widths.setdefault(record["userAgent"], Counter())[record["viewportWidth"]] += record["weight"]
    return widths


def is_program(widths: Counter[int]) -> bool:
    """Whether these visits are so frequent and so alike that one program makes them; weights sum to 1 over all."""
    share = widths.total()
    return share > PROGRAM_SHARE and max(widths.values()) > PROGRAM_SAMENESS * share


def lines(package: Path) -> Iterator[str]:
    """The table's lines, the most frequent User-Agent first."""
    people = {agent: widths for agent, widths in read_widths(package).items() if not is_program(widths)}
    everyone = sum(widths.total() for widths in people.values())
    for agent in sorted(people, key=lambda agent: (-people[agent].total(), agent))[:MOST]:
        widths = people[agent].most_common(MOST_WIDTHS)
        kept = sum(weight for _, weight in widths)
        shown = ",".join(f"{width}:{max(1, round(100 * weight / kept))}" for width, weight in widths)
        yield f"{round(1e6 * people[agent].total() / everyone)}\t{shown}\t{agent}\n"


def main(arguments: list[str]) -> int:
    """`build_user_agents.py PACKAGE.tgz OUTPUT`."""
    if len(arguments) != 2:
        print("usage: build_user_agents.py PACKAGE.tgz OUTPUT.tsv", file=sys.stderr)
        return 2
    package, output = map(Path, arguments)
    output.write_text("".join(lines(package)), encoding="utf-8")
    print(f"{output}: {output.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
