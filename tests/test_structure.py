"""The shape of the code: imports follow the data backwards only, and a package's docstring is the map of its files."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.collector.collecting import ROOT, environment

PARTS = ("collector", "aggregator", "dashboards")
# Who may import whom: only what the data has passed before.
MAY_IMPORT = {
    "collector": {"collector"},
    "aggregator": {"aggregator", "collector"},
    "dashboards": {"dashboards", "aggregator", "collector"},
}
CLICKHOUSE = ("clickhouse_connect", "chdb")
CACHES = {"__pycache__", ".mypy_cache", ".ruff_cache"}


def sources(part: str) -> list[Path]:
    return sorted(file for file in (ROOT / part).rglob("*.py"))


def imported(file: Path) -> Iterator[str]:
    """The modules that `file` imports, inside functions too."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            yield node.module or ""


@pytest.mark.parametrize("part", PARTS)
def test_imports_follow_the_data_backwards_only(part: str) -> None:
    ours = {*PARTS, "footfall", "tests"}
    for file in sources(part):
        reached = {module.partition(".")[0] for module in imported(file)} & ours
        assert reached <= MAY_IMPORT[part], f"{file.relative_to(ROOT)} imports {reached - MAY_IMPORT[part]}"


def test_no_part_imports_the_command_line_or_the_tests() -> None:
    for part in PARTS:
        for file in sources(part):
            assert {"footfall", "tests"}.isdisjoint(module.partition(".")[0] for module in imported(file)), file


def test_only_the_store_speaks_to_clickhouse() -> None:
    speakers = {
        str(file.relative_to(ROOT))
        for part in PARTS
        for file in sources(part)
        if any(module.partition(".")[0] in CLICKHOUSE for module in imported(file))
    }
    assert speakers == {"aggregator/store.py", "aggregator/engine.py"}


def modules_after(statement: str) -> set[str]:
    """The modules of a fresh process that has run `statement`."""
    program = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment(), timeout=60
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import collector.server, collector.app, collector.bulk, collector.supervisor",
        "import footfall",
        # What `serve` holds while it starts its children.
        "import footfall, collector.supervisor, dashboards.access",
    ],
)
def test_a_process_of_the_public_side_loads_no_clickhouse(statement: str) -> None:
    assert not {name for name in modules_after(statement) if name.partition(".")[0] in CLICKHOUSE}


def test_every_module_of_the_collector_is_loaded_without_the_other_parts() -> None:
    names = [module_name(file) for file in sources("collector") if "data" not in file.parts]
    loaded = modules_after(f"import {', '.join(names)}")
    assert not {name for name in loaded if name.partition(".")[0] in {"aggregator", "dashboards", *CLICKHOUSE}}


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def product_files() -> list[Path]:
    """Every file of the product that a person reads, but for the tests, which may know the contract."""
    kinds = {".py", ".sql", ".toml", ".md", ".mmdb.json", ""}
    top = [file for file in ROOT.iterdir() if file.is_file() and file.suffix in kinds and file.name != ".coverage"]
    inner = [file for part in (*PARTS, "deploy", ".ci") for file in (ROOT / part).rglob("*") if file.is_file()]
    return [file for file in [*top, *inner] if CACHES.isdisjoint(file.parts) and file.suffix != ".mmdb"]


def test_no_file_of_the_product_leans_on_what_is_not_shipped() -> None:
    for file in product_files():
        text = file.read_bytes().decode("utf-8", "replace")
        assert "../shared" not in text, file


@pytest.mark.parametrize("part", PARTS)
def test_the_docstring_of_a_package_names_every_file_of_its_folder(part: str) -> None:
    told = ast.get_docstring(ast.parse((ROOT / part / "__init__.py").read_text())) or ""
    named = set(re.findall(r"`([\w/]+)`", told))
    modules = {file.stem for file in (ROOT / part).glob("*.py") if file.stem != "__init__"}
    folders = {f"{file.name}/" for file in (ROOT / part).iterdir() if file.name not in CACHES and holds_files(file)}
    assert modules | folders == {name for name in named if name in modules or name.endswith("/")}


def holds_files(folder: Path) -> bool:
    return folder.is_dir() and any(file.is_file() and CACHES.isdisjoint(file.parts) for file in folder.rglob("*"))


@pytest.mark.parametrize("part", PARTS)
def test_every_module_says_what_it_promises(part: str) -> None:
    for file in sources(part):
        docstring = ast.get_docstring(ast.parse(file.read_text()))
        assert docstring is not None, file
        assert len(docstring) > 40, file


@pytest.mark.parametrize("part", [*PARTS, "tests"])
def test_nothing_works_at_import(part: str) -> None:
    """A module's body defines: no loops, no files, no connections; constants and `if TYPE_CHECKING` are fine."""
    for file in sources(part):
        for node in ast.parse(file.read_text()).body:
            is_main_guard = isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)
            # A library that may be missing is tried for, and nothing else.
            is_import = isinstance(node, ast.Try) and all(
                isinstance(tried, ast.Import | ast.ImportFrom) for tried in node.body
            )
            allowed = is_import or not isinstance(node, ast.For | ast.While | ast.With | ast.Try)
            assert allowed or is_main_guard, f"{file}:{node.lineno}"


# Promises of a part that no single module keeps.
ACROSS = {"bad_input", "full_disk", "slow_clients", "cors"}


def test_a_test_file_is_named_for_a_module_or_package() -> None:
    for part in PARTS:
        known = ACROSS.union(*((file.stem, file.parent.name) for file in (ROOT / part).rglob("*.py")))
        for file in (ROOT / "tests" / part).glob("test_*.py"):
            name = file.stem.removeprefix("test_")
            assert name in known or any(name.startswith(f"{module}_") for module in known), file
