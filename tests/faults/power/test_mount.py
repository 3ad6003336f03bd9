"""The simulated disk forgets what a disk may forget and nothing else, seen by programs that use it."""

from __future__ import annotations

import contextlib
import mmap
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.power.disk import Order
from tests.faults.power.switch import PoweredDisk, powered

SEEDS = range(12)


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PoweredDisk]:
    with powered(tmp_path_factory.mktemp("power") / "disk") as disk:
        yield disk


@pytest.fixture
def disk(mounted: PoweredDisk) -> PoweredDisk:
    mounted.revive()
    mounted.format()
    return mounted


def write(file: Path, content: bytes, *, is_synced: bool = False) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.write(descriptor, content)
    if is_synced:
        os.fsync(descriptor)
    os.close(descriptor)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(descriptor)
    os.close(descriptor)


def after_cuts(disk: PoweredDisk, work: Callable[[Path], None], order: Order = "journal") -> list[bytes | None]:
    """What is in `file` after `work` and a cut, None for no file; once for each seed."""
    found: list[bytes | None] = []
    for seed in SEEDS:
        disk.format()
        work(disk.folder)
        disk.cut(seed, order)
        disk.revive()
        file = disk.folder / "file"
        found.append(file.read_bytes() if file.exists() else None)
    return found


CONTENT = bytes(range(256)) * 20


def test_what_was_never_synced_may_be_gone_or_torn_or_there(disk: PoweredDisk) -> None:
    found = after_cuts(disk, lambda folder: write(folder / "file", CONTENT))
    assert None in found
    assert any(content not in {None, CONTENT} for content in found)


def test_a_synced_file_whose_folder_was_not_synced_may_lose_its_name_but_no_byte(disk: PoweredDisk) -> None:
    found = after_cuts(disk, lambda folder: write(folder / "file", CONTENT, is_synced=True))
    assert set(found) == {None, CONTENT}


def test_a_synced_folder_keeps_the_name_of_a_file_but_not_its_bytes(disk: PoweredDisk) -> None:
    def work(folder: Path) -> None:
        write(folder / "file", CONTENT)
        sync_folder(folder)

    found = after_cuts(disk, work)
    assert None not in found
    assert any(content != CONTENT for content in found)


@pytest.mark.parametrize("order", ["journal", "folders"])
def test_what_was_synced_with_its_folder_is_always_there(disk: PoweredDisk, order: Order) -> None:
    def work(folder: Path) -> None:
        write(folder / "file", CONTENT, is_synced=True)
        sync_folder(folder)
        write(folder / "other", CONTENT)

    assert set(after_cuts(disk, work, order)) == {CONTENT}


def test_a_rename_leaves_the_old_file_or_the_new_one(disk: PoweredDisk) -> None:
    def work(folder: Path) -> None:
        write(folder / "file", b"old", is_synced=True)
        sync_folder(folder)
        write(folder / "draft", b"new", is_synced=True)
        (folder / "draft").rename(folder / "file")

    assert set(after_cuts(disk, work)) == {b"old", b"new"}


def test_a_rename_of_what_was_not_synced_may_leave_an_empty_file(disk: PoweredDisk) -> None:
    """The classic: the name is there, the bytes are not."""

    def work(folder: Path) -> None:
        write(folder / "draft", b"new")
        (folder / "draft").rename(folder / "file")
        sync_folder(folder)

    assert b"" in after_cuts(disk, work)


def test_a_truncation_that_was_not_synced_may_be_undone(disk: PoweredDisk) -> None:
    def work(folder: Path) -> None:
        write(folder / "file", CONTENT, is_synced=True)
        sync_folder(folder)
        os.truncate(folder / "file", 0)

    assert set(after_cuts(disk, work)) == {b"", CONTENT}


def test_with_the_order_of_folders_a_later_name_may_survive_an_earlier_one_elsewhere(disk: PoweredDisk) -> None:
    def work(folder: Path) -> None:
        (folder / "other").mkdir()
        sync_folder(folder)
        write(folder / "other" / "earlier", b"", is_synced=True)
        write(folder / "file", b"later", is_synced=True)

    def is_out_of_order(order: Order, seed: int) -> bool:
        disk.format()
        work(disk.folder)
        disk.cut(seed, order)
        disk.revive()
        return (disk.folder / "file").exists() and not (disk.folder / "other" / "earlier").exists()

    assert not any(is_out_of_order("journal", seed) for seed in SEEDS)
    assert any(is_out_of_order("folders", seed) for seed in SEEDS)


def test_after_a_cut_every_call_fails_until_the_power_is_back(disk: PoweredDisk) -> None:
    write(disk.folder / "file", CONTENT, is_synced=True)
    descriptor = os.open(disk.folder / "file", os.O_RDWR)
    disk.cut(1)
    for call in (lambda: os.write(descriptor, b"x"), lambda: os.fsync(descriptor), lambda: list(disk.folder.iterdir())):
        with pytest.raises(OSError, match="Input/output"):
            call()
    disk.revive()
    with pytest.raises(OSError, match="Input/output"):  # As on a disk that was pulled out: open it again.
        os.write(descriptor, b"x")
    with contextlib.suppress(OSError):
        os.close(descriptor)
    assert [file.name for file in disk.folder.iterdir()] in ([], ["file"])


def test_a_cut_can_wait_for_a_name_and_some_operations(disk: PoweredDisk) -> None:
    def work() -> None:
        with contextlib.suppress(OSError):
            for number in range(1_000_000):
                write(disk.folder / f"draft-{number}", b"", is_synced=True)
                sync_folder(disk.folder)

    thread = threading.Thread(target=work)
    thread.start()
    assert disk.cut_at("draft-70", 12, seed=1).was_met
    thread.join()
    disk.revive()
    numbers = {int(file.name.partition("-")[2]) for file in disk.folder.iterdir()}
    assert 70 <= max(numbers) < 75
    assert not disk.cut_at("never", 0, seed=1, wait_s=0.05).was_met


def test_an_unlinked_file_is_there_for_whoever_has_it_open(disk: PoweredDisk) -> None:
    with (disk.folder / "file").open("w+b", buffering=0) as file:
        (disk.folder / "file").unlink()
        file.write(CONTENT)
        os.fsync(file.fileno())
        file.seek(0)
        assert file.read() == CONTENT
    assert not (disk.folder / "file").exists()


def test_a_shared_mapping_is_seen_by_another_process_and_synced_by_a_sync(disk: PoweredDisk) -> None:
    write(disk.folder / "file", bytes(8192), is_synced=True)
    sync_folder(disk.folder)
    with (disk.folder / "file").open("r+b") as file, mmap.mmap(file.fileno(), 8192) as mapped:
        mapped[4096:4101] = b"hello"
        read = "import mmap,sys;f=open(sys.argv[1],'r+b');print(mmap.mmap(f.fileno(),8192)[4096:4101].decode())"
        told = subprocess.run([sys.executable, "-c", read, file.name], capture_output=True, check=True)
        assert told.stdout == b"hello\n"
        mapped.flush()
        os.fsync(file.fileno())
    disk.cut(3)
    disk.revive()
    assert (disk.folder / "file").read_bytes()[4096:4101] == b"hello"


def test_a_long_folder_is_listed_whole_while_it_changes(disk: PoweredDisk) -> None:
    for number in range(500):
        write(disk.folder / f"{number}", b"")
    with os.scandir(disk.folder) as entries:
        first = next(entries).name
        (disk.folder / first).unlink()
        assert {first, *(entry.name for entry in entries)} == {str(number) for number in range(500)}


WRITER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(f"PRAGMA synchronous={sys.argv[2]}")
for number in range(400):
    connection.execute("INSERT INTO numbers VALUES (?)", (number,))
    print(number, flush=True)
"""


def acknowledged_and_kept(disk: PoweredDisk, synchronous: str, seed: int) -> tuple[int, int]:
    """Rows that a program in a process of its own told as committed, and those found after a cut in its midst."""
    disk.format()
    with contextlib.closing(sqlite3.connect(disk.folder / "file", isolation_level=None)) as connection:
        connection.executescript("PRAGMA journal_mode=WAL; CREATE TABLE numbers (number INTEGER)")
    sync_folder(disk.folder)
    arguments = [sys.executable, "-c", WRITER, str(disk.folder / "file"), synchronous]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(20 + 7 * seed)]
        disk.cut(seed, "folders")
        process.kill()
        told += process.stdout.readlines()
    disk.revive()
    with contextlib.closing(sqlite3.connect(disk.folder / "file")) as connection:
        rows = [number for (number,) in connection.execute("SELECT number FROM numbers ORDER BY number")]
        assert rows == list(range(len(rows)))
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return len(told), len(rows)


def test_sqlite_keeps_what_it_synced_and_loses_what_it_did_not(disk: PoweredDisk) -> None:
    for seed in range(4):
        told, kept = acknowledged_and_kept(disk, "FULL", seed)
        assert kept >= told
    assert any(kept < told for told, kept in (acknowledged_and_kept(disk, "NORMAL", seed) for seed in range(4)))
