"""Whether a spool file is damaged: what is looked at when it is opened, and what a whole reading finds.

A disk may flip or lose bytes that were synced. SQLite tells some of it (`is_damage`); three kinds it passes over in
silence, so they are looked for here before a file is used:

- a write-ahead log with a bad frame: SQLite ends the log before it, and everything that was committed behind is gone;
- a write-ahead log that lost its end, which the index beside it (`-shm`) still knows as long as the machine runs;
- a header that reads as another format, or a table under another name, beside which an empty one would be made.

Whoever finds damage leaves a note beside the file (`spool-N.damaged`) and the file alone: workers take another one, and
the drainer, which has to hold the file's lock for it, saves what can be read (`collector.salvage`). A file into which a
write failed is left in the same way, under a note of its own (`collector.failed_write`).

The lock's file names the spool a second time, and the boot of the machine in which it was last opened: what a process
wrote is all there while the machine runs, whereas after a power cut the last transaction may be torn, and with it the
deletions of rows before it, which a drainer does not sync one by one.

Formats: https://www.sqlite.org/fileformat2.html and https://www.sqlite.org/walformat.html.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import struct
import zlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from collector.failed_write import failure_note_of

log = logging.getLogger(__name__)

HEADER_BYTES = 100
MAGIC = b"SQLite format 3\0"
# Read-only connections, for looking, wait so long for a writer.
LOOK_TIMEOUT_S = 10.0
WAL_HEADER_BYTES, FRAME_HEADER_BYTES, INDEX_HEADER_BYTES = 32, 24, 48
WAL_MAGICS = (0x377F0682, 0x377F0683)
# The first byte of a page of an index, or of a table without row ids.
INDEX_PAGES = (2, 10)
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_DAMAGE = frozenset(
    (
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_FORMAT,
        # A table or a column that was there is not: its name was flipped.
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_TOOBIG,
    )
)
# A number was flipped that rows get theirs from, or the file ends too early.
_DAMAGE_IN_FULL = frozenset(
    (sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID, sqlite3.SQLITE_IOERR_SHORT_READ)
)


SURE = b"sure\n"
# How an error of ours begins that says the same as SQLite's own.
STRANGE = "strange contents"


def is_damage(error: sqlite3.Error) -> bool:
    """Whether `error` says that the file is damaged, not that it is busy, full or cannot be written."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    if code is None:  # Ours, or raised by Python's module: text that is none.
        return str(error).startswith(STRANGE) or "decode" in str(error)
    return code & 0xFF in _DAMAGE or code in _DAMAGE_IN_FULL


def note_of(file: Path) -> Path:
    return file.with_suffix(".damaged")


def notes_in(folder: Path) -> list[Path]:
    """The notes of spools that are left, one of each: that of damage where there are both."""
    notes = (*folder.glob("spool-*.failed"), *folder.glob("spool-*.damaged"))
    return sorted({note.stem: note for note in notes}.values())


def is_left(file: Path) -> bool:
    """Whether somebody has found damage, or a write failed, and nobody has mended it yet; may raise `OSError`."""
    return _is_there(note_of(file)) or _is_there(failure_note_of(file))


def _is_there(note: Path) -> bool:
    """Unlike `Path.exists`, which takes some faults of a disk for a no."""
    try:
        note.stat()
    except FileNotFoundError:
        return False
    return True


def is_surely_damaged(file: Path) -> bool:
    """Whether it need not be looked at again; a log that lost its end looks whole the second time."""
    return _is_there(note_of(file)) and note_of(file).read_bytes() == SURE


def note_damage(file: Path, why: str, *, is_sure: bool = True) -> None:
    """Leaves the note, synced, with one line in the log where it is new."""
    is_new = not _is_there(note_of(file))
    note = os.open(note_of(file), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(note, SURE if is_sure else b"")
        os.fsync(note)
    finally:
        os.close(note)
    if is_new:
        log.error(
            "the spool %s is damaged: %s; it is left alone until the drainer has saved what can be read", file, why
        )


def set_aside(folder: Path) -> list[tuple[Path, float]]:
    """The damaged files of a folder that were saved, their logs too, with when that was (Unix seconds)."""
    found = []
    for file in folder.glob("damaged-*"):
        moved_at = file.name.split(".")[0].rpartition("-")[2]
        found.append((file, int(moved_at) / 1_000 if moved_at.isdecimal() else 0.0))
    return sorted(found)


def aside(file: Path, now: float) -> Path:
    """The name of a damaged file from `now` (Unix seconds) on; no pattern for spools fits it."""
    return file.with_name(f"damaged-{file.stem}-{now * 1_000:.0f}{file.suffix}")


def remove_set_aside(folder: Path, before: float) -> None:
    """Removes what was set aside before `before` (Unix seconds)."""
    for file, moved_at in set_aside(folder):
        if moved_at < before:
            remove(file)


def remove(file: Path) -> None:
    """Overwrites a file with zeros, synced, and removes it: as secure delete does with rows."""
    with contextlib.suppress(FileNotFoundError), file.open("r+b", buffering=0) as opened:
        left = file.stat().st_size
        while left > 0:
            left -= opened.write(bytes(min(left, 1 << 20)))
        os.fsync(opened.fileno())
    file.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Owner:
    """What the lock's file remembers: the spool's identity, and the boot of the machine in which it was opened."""

    identity: int
    boot: str


def owner_of(file: Path) -> Owner | None:
    """None where the lock's file says nothing, or nothing that can be relied upon."""
    try:
        words = file.with_suffix(".lock").read_text("ascii").split()
        identity, boot, check = words
    except (OSError, ValueError):
        return None
    return Owner(int(identity), boot) if check == _checked(identity, boot) and identity.isdecimal() else None


def remember_owner(lock: int, identity: int) -> None:
    """Writes the identity and this boot into the lock's file, synced."""
    words = (str(identity), boot_id())
    text = f"{' '.join(words)} {_checked(*words)}\n".encode("ascii")
    if os.pread(lock, len(text) + 1, 0) != text:
        os.pwrite(lock, text, 0)
        os.ftruncate(lock, len(text))
        os.fsync(lock)


def _checked(identity: str, boot: str) -> str:
    return f"{zlib.crc32(f'{identity} {boot}'.encode()):08x}"


def boot_id() -> str:
    return BOOT_ID.read_text().strip()


def fault_of(file: Path) -> str | None:
    """What is wrong with a file that nobody writes now, by its header, log and tables; None where nothing is seen.

    Reads 100 bytes of the file and at most 25 of each frame of the log, whatever their sizes; after a power cut some of
    the frames behind a torn place whole. May raise `sqlite3.Error` where the file cannot be looked at, damaged or not.
    """
    with file.open("rb") as opened:
        header = opened.read(HEADER_BYTES)
    if not header:  # Not made yet; or SQLite would remove the log.
        has_log = log_of(file).exists() and log_of(file).stat().st_size > 0
        return "it is empty, and its log is not" if has_log else None
    return _header_fault(header) or _log_fault(file)


def _header_fault(header: bytes) -> str | None:
    if len(header) < HEADER_BYTES:
        return "its header is cut off"
    if header[:16] != MAGIC:
        return "its header is none of SQLite's"
    # Write and read version, no reserved bytes, and three fractions that never change.
    if not {header[18], header[19]} <= {1, 2} or header[20:24] != b"\x00\x40\x20\x20":
        return "its header is of another format"
    schema_format, encoding = struct.unpack_from(">I", header, 44)[0], struct.unpack_from(">I", header, 56)[0]
    # Automatic vacuum (52, 64) and what is reserved (72) are 0 in every file of ours.
    if schema_format not in (0, 4) or encoding not in (0, 1) or any(header[52:56] + header[64:68] + header[72:92]):
        return "its header is of another format"
    return None


def log_of(file: Path) -> Path:
    """The write-ahead log of a spool file."""
    return file.with_name(file.name + "-wal")


def _log_fault(file: Path) -> str | None:
    """Frames of committed transactions behind the place where SQLite ends the log, or frames that it has lost."""
    owner = owner_of(file)
    is_same_boot = owner is not None and owner.boot == boot_id()
    before = _indexed(file) if is_same_boot else None
    uri = f"{file.absolute().as_uri()}?mode=ro"
    # Such a connection leaves the log as it is, even if it is the last one.
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=LOOK_TIMEOUT_S)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        page_bytes = int(connection.execute("PRAGMA page_size").fetchone()[0])
        batches = {root for (root,) in connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'batches'")}
        now = _indexed(file)
    frames = Frames(log_of(file), page_bytes)
    if before is not None and before.frames > frames.whole and frames.salts in (b"", before.salts):
        return f"its log has lost {before.frames - frames.whole} of {before.frames} pages"
    # Of what the index did not know either, a worker was killed before it noted it: that is no damage.
    known = before.frames if before is not None else frames.whole
    end = now.frames if now is not None else 0
    behind = frames.commits_between(end, known)
    if behind and (is_same_boot or frames.counts_between(end, known, batches) > 1):
        return f"its log is damaged before its last {behind} transactions"
    return None


@dataclass(frozen=True, slots=True)
class Indexed:
    """What the index of the write-ahead log says of it."""

    frames: int
    salts: bytes
    # The checksum of the last frame, from which that of the next one goes on.
    sums: tuple[int, int]


def index_of(file: Path) -> Path:
    """The index of the write-ahead log of a spool file."""
    return file.with_name(file.name + "-shm")


def _indexed(file: Path) -> Indexed | None:
    """The header of `-shm`, where both of its copies agree. Not while this process has a connection to the file: to
    close `-shm` gives up all locks that the process has on it (fcntl(2))."""
    try:
        with index_of(file).open("rb") as index:
            return indexed_by(index.read(2 * INDEX_HEADER_BYTES))
    except OSError:
        return None


def indexed_by(header: bytes) -> Indexed | None:
    """What the first bytes of an index say, where both copies of its header agree."""
    one, other = header[:INDEX_HEADER_BYTES], header[INDEX_HEADER_BYTES : 2 * INDEX_HEADER_BYTES]
    if one != other or len(one) < INDEX_HEADER_BYTES or not one[12]:
        return None
    frames, first, second = struct.unpack_from("=I4xII", one, 16)
    return Indexed(frames, one[32:40], (first, second))


class Frames:
    """A write-ahead log, read without SQLite: its frames of the newest generation, the damaged ones among them.

    `headers` has of each frame its header and the first byte of its page.

    `salts` tells the generation: each frame of it repeats them. Empty where there is no log.
    """

    def __init__(self, file: Path, page_bytes: int) -> None:
        self.page_bytes, self._file = page_bytes, file
        self._each = FRAME_HEADER_BYTES + page_bytes
        try:
            self._bytes = file.open("rb")
            size = file.stat().st_size
        except FileNotFoundError:
            self.whole, self.salts, self.headers = 0, b"", list[bytes]()
            return
        with self._bytes:
            header = self._bytes.read(WAL_HEADER_BYTES)
            self.whole = max(0, size - WAL_HEADER_BYTES) // self._each
            self.headers = [self._header(number) for number in range(self.whole)]
        self.salts = self._generation(header)

    def _header(self, number: int) -> bytes:
        self._bytes.seek(WAL_HEADER_BYTES + number * self._each)
        return self._bytes.read(FRAME_HEADER_BYTES + 1)

    def _generation(self, header: bytes) -> bytes:
        """A header that is whole tells it; otherwise most of the first frames do."""
        if len(header) == WAL_HEADER_BYTES and struct.unpack_from(">I", header)[0] in WAL_MAGICS:
            is_little = header[3] & 1 == 0
            if checksum(header[:24], (0, 0), is_little=is_little) == struct.unpack_from(">II", header, 24):
                return header[16:24]
        first = Counter(frame[8:16] for frame in self.headers[:3])
        return first.most_common(1)[0][0] if first else b""

    def commits_between(self, first: int, last: int) -> int:
        """How many transactions end in frames of this generation behind the first `first`, up to the number `last`."""
        return sum(map(self.ends_transaction, self.headers[first:last]))

    def counts_between(self, first: int, last: int, batches: Collection[int]) -> int:
        """How many of these move a number or a batch (the pages `batches`), as each does that is synced before the next
        one begins: of those a power cut tears one."""
        counts, found = False, 0
        for number, header in enumerate(self.headers[first:last], first):
            page = int.from_bytes(header[:4], "big")
            is_counting = header[FRAME_HEADER_BYTES] in INDEX_PAGES or page in batches
            counts = counts or (is_counting and header[8:16] == self.salts and self._is_whole(number))
            if self.ends_transaction(header):
                counts, found = False, found + counts
        return found

    def _is_whole(self, number: int) -> bool:
        """Whether a frame is what was written behind the one before it, whatever became of that."""
        with self._file.open("rb") as log:
            log.seek(WAL_HEADER_BYTES + number * self._each)
            frame = log.read(self._each)
            log.seek(0)
            head = log.read(WAL_HEADER_BYTES)
        before = self.headers[number - 1][16:24] if number else head[24:32]
        one, other = struct.unpack(">II", before)
        made = checksum(frame[:8] + frame[FRAME_HEADER_BYTES:], (one, other), is_little=head[3] & 1 == 0)
        return made == struct.unpack(">II", frame[16:24])

    def ends_transaction(self, header: bytes) -> bool:
        """Whether the frame with this header is of this generation and the last one of a transaction."""
        return header[8:16] == self.salts and header[4:8] != bytes(4)


def checksum(content: bytes, start: tuple[int, int], *, is_little: bool) -> tuple[int, int]:
    """SQLite's checksum of a log's header or frame; `content` is a multiple of 8 bytes."""
    first, second = start
    words: Sequence[int] = struct.unpack(f"{'<' if is_little else '>'}{len(content) // 4}I", content)
    for place in range(0, len(words), 2):
        first = (first + words[place] + second) & 0xFFFFFFFF
        second = (second + words[place + 1] + first) & 0xFFFFFFFF
    return first, second
