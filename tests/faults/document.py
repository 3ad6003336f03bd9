"""Writes the tables of docs/durability.md from docs/figures: `python -m tests.faults.document`.

The words around the tables are written by hand. A table stands between `<!-- figures: PART -->` and
`<!-- end of figures -->`, and nothing else may stand there.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.faults.figures import COLUMNS, FOLDER, ROOT, Row

DOCUMENT = ROOT / "docs" / "durability.md"
PLACE = re.compile(r"<!-- figures: ([a-z_]+) -->\n(.*?)<!-- end of figures -->", re.DOTALL)


def written(text: str, figures: Path = FOLDER) -> str:
    """`text` with each of its tables made anew."""
    return PLACE.sub(
        lambda place: f"<!-- figures: {place[1]} -->\n{_table(figures, place[1])}<!-- end of figures -->", text
    )


def parts_named(text: str) -> list[str]:
    return [place[1] for place in PLACE.finditer(text)]


def _table(figures: Path, part: str) -> str:
    run = json.loads((figures / f"{part}.json").read_text())
    rows = [Row(**row).cells() for row in run["rows"]]
    lines = [
        "| " + " | ".join(COLUMNS) + " |",
        "|---" + "|---:" * (len(COLUMNS) - 1) + "|",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    told = f"Run on {run['day']}, commit `{run['commit']}`, {run['seconds'] / 60:,.0f} min."
    return "\n".join(["", *lines, "", " ".join([*run["remarks"], told]), "", ""])


def main() -> None:
    DOCUMENT.write_text(written(DOCUMENT.read_text()))


if __name__ == "__main__":
    main()
