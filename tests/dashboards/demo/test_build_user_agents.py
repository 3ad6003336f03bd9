"""The table of browsers: how it is made of the npm package."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

from dashboards.demo.audience import read_browsers
from dashboards.demo.build_user_agents import RECORDS, main


def record(agent: str, width: int, weight: float) -> dict[str, object]:
    return {"userAgent": agent, "viewportWidth": width, "weight": weight}


def packed(folder: Path, records: list[dict[str, object]]) -> Path:
    package, body = folder / "user-agents.tgz", json.dumps(records).encode()
    with tarfile.open(package, "w:gz") as archive:
        member = tarfile.TarInfo(RECORDS)
        member.size = len(body)
        archive.addfile(member, io.BytesIO(body))
    return package


def test_weights_are_summed_and_what_one_program_made_is_left_out(tmp_path: Path) -> None:
    records = [
        record("Common/1.0", 400, 0.2),
        record("Common/1.0", 300, 0.1),
        record("Rare/1.0", 800, 0.005),
        record("Program/1.0", 1366, 0.6),
        record("Common/1.0", 400, 0.1),
    ]
    output = tmp_path / "table.tsv"
    assert main([str(packed(tmp_path, records)), str(output)]) == 0
    assert output.read_text() == "987654\t400:75,300:25\tCommon/1.0\n12346\t800:100\tRare/1.0\n"


def test_the_shipped_table_has_hundreds_of_browsers_and_most_of_all_visits() -> None:
    browsers = read_browsers()
    assert len(browsers) >= 300
    assert 900_000 < sum(browser.share for browser in browsers) <= 1_000_000
    assert [browser.share for browser in browsers] == sorted((browser.share for browser in browsers), reverse=True)
