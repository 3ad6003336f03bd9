"""What deploy/ holds is valid, as far as a machine without the engine can tell."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.collector.collecting import ROOT

UNIT = ROOT / "deploy" / "systemd" / "footfall.service"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_no_fault_with_the_unit(tmp_path: Path) -> None:
    # The program is not installed here, so that its absence is not the fault that is found.
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/footfall/.venv/bin/footfall", "/bin/true"))
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], check=False, capture_output=True, text=True
    )
    faults = [line for line in checked.stderr.splitlines() if UNIT.name in line]
    assert (checked.returncode, faults) == (0, [])
