"""A spool as a killed worker left it, and what a disk does to its files: bytes flipped, and ends cut off.

`Scene` is made once: a spool with drained, doubtful and waiting events, and what the store was told. Each case gets a
copy of both.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from aggregator.backlog import opened
from aggregator.store import Store, StoreUnavailable
from collector.group import Group, Withdrawn
from tests.aggregator.spooling import BERLIN, Place, WatchedStore, empty, line, noon, place_in

TODAY = date(2031, 5, 14)
PAGE_BYTES, FILE_HEADER_BYTES = 4_096, 100
LOG_HEADER_BYTES, FRAME_HEADER_BYTES = 32, 24
FRAME_BYTES = FRAME_HEADER_BYTES + PAGE_BYTES
# Of a page: its type, its numbers, the first pointers, and places among its cells; of its end, where cells begin.
PLACES = (0, 3, 4, 5, 8, 9, 1_500, 2_700, 3_900, 4_095)


class Recording(WatchedStore):
    """A store that remembers what it was told, so that another one can be told the same."""

    def __init__(self, inner: Store, before: Callable[[int, str], None] = lambda number, name: None) -> None:
        super().__init__(inner, before=before)
        self.told: list[Callable[[Store], object]] = []

    def insert_lines(self, table: str, lines: bytes | Iterable[bytes], *, tag: str, token: str) -> int:
        whole = lines if isinstance(lines, bytes) else b"".join(lines)
        written = super().insert_lines(table, whole, tag=tag, token=token)
        self.told.append(lambda store: store.insert_lines(table, whole, tag=tag, token=f"{token}-{random.random()}"))
        return written

    def insert_rows(
        self,
        table: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[object]],
        *,
        tag: str | None = None,
        token: str | None = None,
    ) -> None:
        super().insert_rows(table, columns, rows, tag=tag, token=token)
        if table in {"batches", "coverage_totals"}:
            self.told.append(lambda store: store.insert_rows(table, columns, rows))


@dataclass(frozen=True)
class Hit:
    """One damage: `length` bytes of `file` from `offset` on are flipped, or everything from there on is cut off."""

    file: str
    offset: int
    is_cut: bool = False
    length: int = 1

    def strike(self, folder: Path) -> None:
        with (folder / self.file).open("r+b") as opened_file:
            if self.is_cut:
                opened_file.truncate(self.offset)
                return
            opened_file.seek(self.offset)
            bytes_there = opened_file.read(self.length)
            opened_file.seek(self.offset)
            opened_file.write(bytes(byte ^ (1 << (self.offset % 8)) for byte in bytes_there))

    def bytes_at_risk(self, whole: bytes) -> bytes:
        """The page that was hit, or what was cut off with the page that it begins in."""
        header, each = (LOG_HEADER_BYTES, FRAME_BYTES) if self.file.endswith("-wal") else (0, PAGE_BYTES)
        start = header + max(0, self.offset - header) // each * each
        return whole[start:] if self.is_cut else whole[start : start + each]


@dataclass
class Scene:
    """`files` as they were at the kill; `names` are all accepted events, and `told` what the store knows."""

    files: Path
    names: list[str] = field(default_factory=list)
    # Of a row that is hit every event is lost: no line has a check of its own.
    large_row: frozenset[str] = frozenset()
    told: list[Callable[[Store], object]] = field(default_factory=list)

    def laid_out(self, folder: Path, key_dir: Path, store: Store) -> Place:
        """A place with a copy of the files, and the store with a copy of what it had."""
        empty(store)
        for tell in self.told:
            tell(store)
        place = place_in(folder, key_dir, store, noon(TODAY) + 60)
        place.spool_dir.mkdir(mode=0o700, parents=True)
        for file in self.files.iterdir():
            shutil.copy(file, place.spool_dir / file.name)
        return place

    def hits(self) -> Iterator[Hit]:
        """Every byte of every header, places in every page, and cuts at and within every page."""
        size = (self.files / "spool-0.sqlite").stat().st_size
        yield from (Hit("spool-0.sqlite", offset) for offset in range(FILE_HEADER_BYTES))
        for page in range(0, size, PAGE_BYTES):
            begin = FILE_HEADER_BYTES if page == 0 else 0
            yield from (Hit("spool-0.sqlite", page + place) for place in PLACES if place >= begin)
            yield Hit("spool-0.sqlite", page, length=PAGE_BYTES)
            yield from (Hit("spool-0.sqlite", page + place, is_cut=True) for place in (0, 1_000))
        log = "spool-0.sqlite-wal"
        size = (self.files / log).stat().st_size
        yield from (Hit(log, offset) for offset in range(LOG_HEADER_BYTES))
        for frame in range(LOG_HEADER_BYTES, size, FRAME_BYTES):
            yield from (Hit(log, frame + place) for place in range(FRAME_HEADER_BYTES))
            yield from (Hit(log, frame + FRAME_HEADER_BYTES + place) for place in PLACES)
            yield from (Hit(log, frame + place, is_cut=True) for place in (0, 10, 1_000))
        yield from (Hit("spool-0.sqlite-shm", offset) for offset in range(0, 136, 3))


def scene(folder: Path, key_dir: Path, store: Store, *, is_in_log: bool) -> Scene:
    """A spool with events of each kind, killed; the log holds most of it, or the last commits alone."""
    place = place_in(folder, key_dir, store, noon(TODAY))
    recording = Recording(store)
    worker, drainer = place.worker(), place.drainer(recording)
    drainer.round()
    yesterday = TODAY - timedelta(days=1)
    for _ in range(4):
        worker.take(TODAY, 2)
        worker.take(yesterday, 1)
    _empty_log(place)
    _drained_in_pairs(place, recording)  # What it deletes of them is in the log.
    drainer.round()
    place.bury()
    for _ in range(3):
        worker.take(TODAY, 2)
    unnoted = Recording(store, before=_never("insert_rows batches"))
    with suppress(StoreUnavailable):
        place.drainer(unnoted).round()
    place.bury()
    for number in range(5):
        worker.take(TODAY, 3)
        worker.take(yesterday, 1)
        worker.refuse(TODAY, "no_consent", number + 1)
    large_row = [worker.new_name() for _ in range(40)]
    worker.commit(TODAY, BERLIN, [line(name, TODAY) for name in large_row])
    _commit_rarities(place)
    if not is_in_log:
        _empty_log(place)
    for _ in range(4):
        worker.take(TODAY, 1)
    worker.beat()
    made = Scene(folder / "killed", list(worker.names), frozenset(large_row), [*recording.told, *unnoted.told])
    made.files.mkdir()
    for file in place.spool_dir.glob("spool-0*"):
        shutil.copy(file, made.files / file.name)
    place.close()
    return made


def _drained_in_pairs(place: Place, store: Store) -> None:
    """As a drainer does, in batches of two rows: rows that come back are then not one batch that the store knows."""
    with opened(place.spool_dir) as (backlog,):
        for day, timezone in backlog.days():
            while (batch := backlog.record(day, timezone, 2)) is not None:
                store.insert_lines("open_events", backlog.lines(batch), tag=batch.tag, token=batch.tag)
                columns = ("batch", "day", "timezone", "events", "outcome", "seal")
                row = (batch.batch, batch.day.isoformat(), batch.timezone, batch.events, "open", 0)
                store.insert_rows("batches", columns, [row])
                backlog.end(batch, "drained")


def _never(name: str) -> Callable[[int, str], None]:
    def fail(_: int, call: str) -> None:
        if call == name:
            raise StoreUnavailable(f"no answer to {name}")

    return fail


def _empty_log(place: Place) -> None:
    with opened(place.spool_dir) as backlogs:
        for backlog in backlogs:
            assert backlog.truncate_log()


def _commit_rarities(place: Place) -> None:
    """Answers, and withdrawals of visitors of whom there is no event."""
    (worker,) = place.workers
    group = Group()
    for number in range(10):
        group.answers[bytes([number] * 32)] = b'{"accepted": 3}'
        group.withdrawals[Withdrawn(TODAY.isoformat(), BERLIN, "example.com", 7, 1_000 + number)] = place.clock.wall()
    worker.spool.commit(group, place.clock.wall())


def files_with_events(folder: Path) -> list[str]:
    """The files of a spool folder in which an event's line begins, those set aside among them."""
    return sorted(file.name for file in folder.iterdir() if b'{"day":"' in file.read_bytes())
