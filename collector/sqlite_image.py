"""The records of a SQLite file that SQLite itself will not read: page by page, around what is damaged.

Nothing is written, and no tree is followed: each page says of itself what it is, so whatever page is whole gives its
records, even where the way to it is lost. A page of the write-ahead log comes before the one in the file. Where a log's
frame does not fit its checksum, its bytes are taken all the same, so what is read has to be checked by who reads it.

Formats: https://www.sqlite.org/fileformat2.html (b-tree pages, cells, records) and walformat.html beside it.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from collector.damage import FRAME_HEADER_BYTES, HEADER_BYTES, WAL_HEADER_BYTES, Frames, checksum

# What SQLite makes by default, and so each spool.
PAGE_BYTES = 4_096
LEAF_OF_ROWS, LEAF_OF_KEYS, INNER_OF_KEYS = 0x0D, 0x0A, 0x02
# A record in the spool is a row's lines: 10,000 events of some KB at the very most.
MAX_RECORD_BYTES = 1 << 30
MAX_COLUMNS = 32
MAX_VARINT_BYTES = 9

Value = int | float | str | bytes | None


class Unreadable(ValueError):
    """A cell, or what it points to, is damaged."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A record as the file has it; `row` is None in a table without row ids and in an index."""

    row: int | None
    values: tuple[Value, ...]


class Image:
    """A database file and its log, as they lie on the disk. Reading the log's headers is all that is done at first."""

    def __init__(self, file: Path, log: Path) -> None:
        self._file = file.open("rb")
        self._log = log.open("rb") if log.exists() else None
        self._places = _places(log)
        size = file.stat().st_size
        self.pages = max(-(-size // PAGE_BYTES), max(self._places, default=0))

    def close(self) -> None:
        self._file.close()
        if self._log is not None:
            self._log.close()

    def page(self, number: int) -> bytes:
        """Page `number` (from 1), filled with zeros where bytes are missing or the disk does not give them."""
        content = b""
        with contextlib.suppress(OSError):
            if number in self._places and self._log is not None:
                self._log.seek(self._places[number])
                content = self._log.read(PAGE_BYTES)
            else:
                self._file.seek((number - 1) * PAGE_BYTES)
                content = self._file.read(PAGE_BYTES)
        return content.ljust(PAGE_BYTES, b"\0")

    def cells(self, number: int) -> tuple[list[Cell], int]:
        """The records of one page that can be read, and how many of its cells cannot."""
        page = self.page(number)
        start = HEADER_BYTES if number == 1 else 0
        kind = page[start]
        if kind not in (LEAF_OF_ROWS, LEAF_OF_KEYS, INNER_OF_KEYS):
            return [], 0
        pointers = start + (12 if kind == INNER_OF_KEYS else 8)
        count = min(struct.unpack_from(">H", page, start + 3)[0], (PAGE_BYTES - pointers) // 2)
        found, unreadable = list[Cell](), 0
        for (place,) in struct.iter_unpack(">H", page[pointers : pointers + 2 * count]):
            try:
                found.append(self.cell(page, place, kind))
            except (Unreadable, IndexError, struct.error, UnicodeDecodeError):
                unreadable += 1
        return found, unreadable

    def cell(self, page: bytes, place: int, kind: int) -> Cell:
        """The record whose cell begins at `place`; raises `Unreadable` and what parsing raises."""
        if kind == INNER_OF_KEYS:
            place += 4
        size, place = varint(page, place)
        row = None
        if kind == LEAF_OF_ROWS:
            row, place = varint(page, place)
        return Cell(row, record(self._payload(page, place, size, is_row=kind == LEAF_OF_ROWS)))

    def _payload(self, page: bytes, place: int, size: int, *, is_row: bool) -> bytes:
        if not 0 < size <= MAX_RECORD_BYTES:
            raise Unreadable
        smallest = (PAGE_BYTES - 12) * 32 // 255 - 23
        largest = PAGE_BYTES - 35 if is_row else (PAGE_BYTES - 12) * 64 // 255 - 23
        if size <= largest:
            return page[place : place + size]
        here = smallest + (size - smallest) % (PAGE_BYTES - 4)
        if here > largest:
            here = smallest
        pieces, left = [page[place : place + here]], size - here
        (following,) = struct.unpack_from(">I", page, place + here)
        while left > 0:
            if not 1 < following <= self.pages:
                raise Unreadable
            more = self.page(following)
            pieces.append(more[4 : 4 + min(left, PAGE_BYTES - 4)])
            left -= PAGE_BYTES - 4
            (following,) = struct.unpack_from(">I", more)
        return b"".join(pieces)

    def __iter__(self) -> Iterator[tuple[list[Cell], int]]:
        """Page by page."""
        return (self.cells(number) for number in range(1, self.pages + 1))


def varint(content: bytes, place: int) -> tuple[int, int]:
    """A number of SQLite's and the place behind it."""
    value = 0
    for number in range(MAX_VARINT_BYTES):
        byte = content[place + number]
        if number == MAX_VARINT_BYTES - 1:
            value = value << 8 | byte
            return value - (1 << 64) if value >> 63 else value, place + number + 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            break
    return value, place + number + 1


def record(payload: bytes) -> tuple[Value, ...]:
    """The values of a record; raises `Unreadable` where its lengths do not fit."""
    end, place = varint(payload, 0)
    if not place <= end <= len(payload):
        raise Unreadable
    kinds = []
    while place < end:
        kind, place = varint(payload, place)
        kinds.append(kind)
    if place != end or len(kinds) > MAX_COLUMNS:
        raise Unreadable
    values = []
    for kind in kinds:
        value, place = _value(payload, place, kind)
        values.append(value)
    if place != len(payload):
        raise Unreadable
    return tuple(values)


_WIDTHS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


def _value(payload: bytes, place: int, kind: int) -> tuple[Value, int]:
    if kind in (0, 8, 9):
        return None if kind == 0 else kind - 8, place
    if kind in _WIDTHS:
        end = place + _WIDTHS[kind]
        return int.from_bytes(payload[place:end], "big", signed=True), end
    if kind == 7:
        return struct.unpack_from(">d", payload, place)[0], place + 8
    if kind < 12:
        raise Unreadable
    end = place + (kind - 12) // 2
    content = payload[place:end]
    return content.decode() if kind % 2 else content, end


def _places(log: Path) -> dict[int, int]:
    """Where in the log the newest image of each page lies, up to the last commit of its generation."""
    frames = Frames(log, PAGE_BYTES)
    commits = [number for number, each in enumerate(frames.headers) if frames.ends_transaction(each)]
    if not commits:
        return {}
    most = max(struct.unpack_from(">I", frames.headers[number], 4)[0] for number in commits)
    places = {}
    with log.open("rb") as opened:
        head = opened.read(WAL_HEADER_BYTES)
        is_little = head[3] & 1 == 0
        before = _Sums(_stored(head, 24), checksum(head[:24], (0, 0), is_little=is_little))
        for _ in range(commits[-1] + 1):
            place = opened.tell()
            page, before = _page_number(opened.read(FRAME_HEADER_BYTES + PAGE_BYTES), before, is_little=is_little)
            if 0 < page <= most:
                places[page] = place + FRAME_HEADER_BYTES
    return places


@dataclass(frozen=True, slots=True)
class _Sums:
    """A frame's checksum as it is stored and as it should be; the next one's is made from it."""

    stored: tuple[int, int]
    made: tuple[int, int]


def _stored(content: bytes, place: int) -> tuple[int, int]:
    first, second = struct.unpack_from(">II", content, place)
    return first, second


def _page_number(frame: bytes, before: _Sums, *, is_little: bool) -> tuple[int, _Sums]:
    """Which page a frame is of, and its sums. Where these differ, one flipped bit of the number is looked for.

    Not so behind a frame whose own sums differ: a bit of its stored one may look like a bit of this one's number.
    """
    stated, stored = int.from_bytes(frame[:4], "big"), _stored(frame, 16)

    def made(number: int, start: tuple[int, int]) -> tuple[int, int]:
        header = checksum(struct.pack(">I", number) + frame[4:8], start, is_little=is_little)
        return checksum(frame[FRAME_HEADER_BYTES:], header, is_little=is_little)

    for start in {before.stored, before.made}:
        if made(stated, start) == stored:
            return stated, _Sums(stored, stored)
    if before.stored == before.made:
        others = (stated ^ 1 << bit for bit in range(32))
        found = next((number for number in others if made(number, before.stored) == stored), None)
        if found is not None:
            return found, _Sums(stored, stored)
    return stated, _Sums(stored, made(stated, before.made))
