"""What deploy/ holds is valid, as far as a machine without the engine can tell."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.collector.collecting import ROOT

UNIT = ROOT / "deploy" / "systemd" / "footfall.service"
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
COMPOSE = ROOT / "deploy" / "docker" / "compose.yaml"
CACHES = {"__pycache__", ".mypy_cache", ".ruff_cache"}


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


def found_faults(tool: str, *arguments: str) -> str:
    """What a checker of the test environment says, or nothing."""
    program = Path(sys.executable).with_name(tool)
    if not program.exists():
        pytest.skip(f"{tool} is not installed")
    checked = subprocess.run([program, *arguments], check=False, capture_output=True, text=True, timeout=60)
    return "" if checked.returncode == 0 else checked.stdout + checked.stderr


def test_hadolint_finds_no_fault_with_the_dockerfile(tmp_path: Path) -> None:
    assert found_faults("hadolint", str(DOCKERFILE)) == ""
    faulty = tmp_path / "Dockerfile"
    faulty.write_text(DOCKERFILE.read_text() + "\nRUN cd /tmp && sudo ls\n")
    assert found_faults("hadolint", str(faulty)) != ""


def test_the_compose_file_is_one_by_its_schema(tmp_path: Path) -> None:
    schema = ("--builtin-schema", "vendor.compose-spec")
    assert found_faults("check-jsonschema", *schema, str(COMPOSE)) == ""
    faulty = tmp_path / "compose.yaml"
    faulty.write_text(COMPOSE.read_text().replace("read_only: true", "read_only: [often]"))
    assert found_faults("check-jsonschema", *schema, str(faulty)) != ""


def test_what_the_dockerfile_copies_makes_the_whole_wheel(tmp_path: Path) -> None:
    """The files that it copies are enough to build from, and what the parts read at run time is in the wheel."""
    source, wheels = tmp_path / "source", tmp_path / "wheels"
    source.mkdir()
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE.read_text(), re.MULTILINE):
        *names, target = line.split()
        for name in names:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, source / target, ignore=shutil.ignore_patterns(*CACHES))
            else:
                shutil.copy(ROOT / name, source / target)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(wheels), str(source)]
    subprocess.run(build, check=True, timeout=300)
    (wheel,) = wheels.glob("footfall-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        listed = set(archive.namelist())
        (metadata,) = (archive.read(name).decode() for name in listed if name.endswith("/METADATA"))
    required = re.findall(r"^Requires-Dist: ([\w-]+)[^;\n]*$", metadata, re.MULTILINE)
    assert "starlette" in required
    assert {"clickhouse-connect", "chdb"}.isdisjoint(required), "a collector alone installs without ClickHouse"
    read = {
        str(file.relative_to(ROOT))
        for part in ("collector", "aggregator", "dashboards")
        for file in (ROOT / part).rglob("*")
        if file.is_file() and CACHES.isdisjoint(file.parts)
    }
    assert {"footfall.py", *read} <= listed
