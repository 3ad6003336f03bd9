"""docs/durability.md shows the figures of the recorded runs, all of them and no others."""

from __future__ import annotations

from pathlib import Path

from tests.faults.document import DOCUMENT, parts_named, written
from tests.faults.figures import FOLDER, Figures


def test_the_tables_of_the_document_are_those_of_the_recorded_runs() -> None:
    text = DOCUMENT.read_text()
    assert written(text) == text, "write it anew: python -m tests.faults.document"


def test_every_recorded_run_is_in_the_document() -> None:
    recorded = sorted(file.stem for file in FOLDER.glob("*.json"))
    assert recorded
    assert sorted(parts_named(DOCUMENT.read_text())) == recorded


def test_a_loss_in_a_run_is_a_loss_in_the_document(tmp_path: Path) -> None:
    figures = Figures("kills", remarks=["The slowest recovery took 3.1 s."])
    figures.row("store").rounds += 1_000
    figures.row("store").acknowledged += 1_360_425
    figures.row("store").lost += 7
    figures.record(tmp_path / "kills.json")
    text = written("Before.\n<!-- figures: kills -->\nold\n<!-- end of figures -->\nAfter.\n", tmp_path)
    assert "| store | 1,000 | 1,360,425 | 7 | 0 | 0 |" in text
    assert "The slowest recovery took 3.1 s." in text
    assert text.startswith("Before.\n<!-- figures: kills -->\n")
    assert text.endswith("<!-- end of figures -->\nAfter.\n")
    assert "old" not in text
    assert written(text, tmp_path) == text


def test_the_printed_table_names_each_fault_and_counts_what_broke() -> None:
    figures = Figures("disk")
    figures.row("full").rounds += 2
    figures.row("full").lost += 1
    figures.row("read-only").kept += 1
    figures.is_kept_looked_for = False
    figures.row("slow").rounds += 1
    assert figures.faults == 2
    told = str(figures).splitlines()
    assert told[1].split() == ["fault", "rounds", "acknowledged", "lost", "doubled", "kept", "too", "long"]
    assert told[2].split() == ["full", "2", "0", "1", "0", "0"]
    assert told[4].split() == ["slow", "1", "0", "0", "0", "not", "looked", "for"]
