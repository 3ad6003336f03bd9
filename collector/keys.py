"""The keys that make tokens: one random key per (day, time zone), in memory-backed storage, destroyed on time.

Promises (P3, P11):

- A key is 256 random bits, derived from nothing. Beside it stands a random 64-bit generation, so
  that tokens of two keys are never compared.
- A key lives in one file of `key_dir`, which must be memory-backed (tmpfs or ramfs), mode 0600,
  mapped and locked into memory. All workers of a machine share it.
- Each worker destroys keys by its own clocks once the day plus grace is over in that zone, sealed
  or not. The key of a day already over when its first event came waits for the seal that follows
  (the aggregator calls `destroy`), and for `FAIL_SAFE_S` at most. A wall clock that is set back lets no
  key live on: its file also says when it was made by the boot clock, and no key gets more of that time.
  One that is set forward ends keys early, and tokens of one day are then of two generations.
- Destroying overwrites the mapped file before unlinking it, so that no process still holds the
  bytes. A token is given out only if the key was alive after it was computed.

A file is `alive (1) | key (32) | generation (8, little-endian) | born (8, a double: seconds of the boot clock)`.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import mmap
import os
import secrets
import struct
from collections.abc import Collection, Iterator
from datetime import date
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

from collector.clock import Clock
from collector.days import day_of, ends_at
from collector.fault import Fault

KEY_BYTES = 32
BORN = struct.Struct("<d")
BORN_AT = 1 + KEY_BYTES + 8
SIZE = BORN_AT + BORN.size
ALIVE = b"\x01"
# The open day's own fail-safe (design.md section 9): no key outlives the events that it made.
FAIL_SAFE_S = 3 * 86_400.0
# A wall clock that NTP slews gains or loses 43 s a day on the boot clock at most (500 ppm, RFC 5905).
SLEWED_S = 120.0
MEMORY_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs"})

_libc = ctypes.CDLL(None, use_errno=True)


class KeyStorageError(Fault):
    """The key folder cannot hold keys: not memory-backed, or not ours."""


class Tokens(NamedTuple):
    """A visitor and its network on one site and day, comparable only within one generation; 0 = none."""

    generation: int
    visitor: int
    network: int


class Key:
    """One living key, mapped from its file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            # A key of the version before has nothing behind its generation.
            size = os.fstat(descriptor).st_size
            if size < BORN_AT:  # Cut off: it is no key any more, and a new generation begins.
                file.unlink(missing_ok=True)
                raise FileNotFoundError(f"the key file {file.name} is cut off")
            self._map = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        _lock_in_memory(self._map)
        self._bytes = memoryview(self._map)[1 : 1 + KEY_BYTES]
        self.generation = int.from_bytes(self._map[1 + KEY_BYTES : BORN_AT], "little")

    @property
    def is_alive(self) -> bool:
        return self._map[:1] == ALIVE

    def tokens(self, site: str, host: str, network: str, user_agent: str) -> Tokens | None:
        """Tokens of the visitor at truncated address `host` (/24, /48) in `network` (/24, /40); None once destroyed."""
        key = self._bytes
        someone, somewhere = f"{site}\0{host}\0{user_agent}".encode(), f"{site}\0{network}".encode()
        visitor = blake2b(someone, digest_size=8, key=key, person=b"visitor").digest()
        nearby = blake2b(somewhere, digest_size=8, key=key, person=b"network").digest()
        if self._map[0] != ALIVE[0]:
            return None
        return Tokens(self.generation, int.from_bytes(visitor, "little") or 1, int.from_bytes(nearby, "little") or 1)

    def destroy(self) -> None:
        """Overwrites the key for every process that maps it, then removes its file."""
        self._map[:1] = b"\0"
        self._map[1:] = bytes(len(self._map) - 1)
        with contextlib.suppress(FileNotFoundError):
            self.file.unlink()


class Keys:
    """The keys in one folder, created when first needed."""

    def __init__(self, folder: Path, grace_s: float, clock: Clock) -> None:
        self._folder = prepared_folder(folder)
        self._grace_s = grace_s
        self._clock = clock
        self._open: dict[tuple[date, str], Key] = {}

    def tokens(self, day: date, timezone: str, site: str, host: str, network: str, user_agent: str) -> Tokens:
        """Tokens under the key of (day, timezone); a key destroyed meanwhile is followed by one of a new generation."""
        while True:
            key = self._open.get((day, timezone)) or self._opened(day, timezone)
            tokens = key.tokens(site, host, network, user_agent)
            if tokens is not None:
                return tokens
            self._open.pop((day, timezone), None)

    def living(
        self, timezones: Collection[str], site: str, host: str, network: str, user_agent: str
    ) -> Iterator[tuple[date, str, Tokens]]:
        """Each day of these time zones whose key lives here, with the tokens under it; makes no key."""
        for day, zone, file in self._files():
            if zone not in timezones:
                continue
            with contextlib.suppress(FileNotFoundError):
                key = self._open.get((day, zone)) or Key(file)
                tokens = key.tokens(site, host, network, user_agent)
                if tokens is not None:
                    self._open[day, zone] = key
                    yield day, zone, tokens

    def destroy(self, day: date, timezone: str) -> None:
        """Destroys the key of one day, if there is one."""
        file = self._folder / _file_name(day, timezone)
        if file.exists():
            Key(file).destroy()
        self._open.pop((day, timezone), None)

    def destroy_overdue(self) -> list[tuple[date, str]]:
        """Destroys every key whose time is over; returns the days that lost theirs.

        Raises OSError at the end for one that cannot be destroyed, which keeps no other from it.
        """
        now = self._clock.wall()
        overdue = [
            (day, timezone) for day, timezone, file in self._files() if self._is_overdue(day, timezone, file, now)
        ]
        faults: list[OSError] = []
        for day, timezone in overdue:
            try:
                self.destroy(day, timezone)
            except OSError as fault:
                faults.append(fault)
        for gone in [at for at, key in self._open.items() if not key.is_alive]:
            del self._open[gone]
        if faults:
            raise faults[0]
        return overdue

    def days(self) -> list[tuple[date, str]]:
        """The (day, time zone) pairs that have a key now."""
        return [(day, timezone) for day, timezone, _ in self._files()]

    def _opened(self, day: date, timezone: str) -> Key:
        file = self._folder / _file_name(day, timezone)
        while True:
            with contextlib.suppress(FileNotFoundError):
                key = Key(file)
                if key.is_alive:
                    self._open[(day, timezone)] = key
                    return key
                # Destroyed between our look and the unlink of whoever destroyed it.
                with contextlib.suppress(FileNotFoundError):
                    file.unlink()
            self._create(file)

    def _create(self, file: Path) -> None:
        """Puts a new key under its name whole or not at all; of two workers the first wins."""
        draft = file.with_name(f".{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            born = BORN.pack(self._clock.boot())
            os.write(descriptor, ALIVE + secrets.token_bytes(KEY_BYTES) + _generation() + born)
            os.utime(draft, times=(self._clock.wall(), self._clock.wall()))
            with contextlib.suppress(FileExistsError):
                os.link(draft, file)
        finally:
            os.close(descriptor)
            draft.unlink()

    def _files(self) -> Iterator[tuple[date, str, Path]]:
        for file in sorted(self._folder.glob("????-??-??@*")):
            day, _, timezone = file.name.partition("@")
            yield date.fromisoformat(day), unquote(timezone), file

    def _is_overdue(self, day: date, timezone: str, file: Path, now: float) -> bool:
        with contextlib.suppress(FileNotFoundError):
            born = file.stat().st_mtime
            is_of_its_day = day_of(born, timezone) <= day
            due_at = ends_at(day, timezone) + self._grace_s if is_of_its_day else born + FAIL_SAFE_S
            return now >= due_at or self._clock.boot() >= _born_by_boot_clock(file) + due_at - born + SLEWED_S
        return False


def prepared_folder(folder: Path) -> Path:
    """`folder`, made with mode 0700; raises `KeyStorageError` unless it is memory-backed and ours alone."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        raise KeyStorageError(
            f"cannot make the key folder {folder}: {error.strerror}; set privacy.key_dir to a folder on a tmpfs"
        ) from error
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise KeyStorageError(
            f"the key folder {folder} must belong to this user with mode 0700; remove it or set privacy.key_dir"
        )
    if file_system_of(folder) not in MEMORY_FILE_SYSTEMS:
        raise KeyStorageError(
            f"the key folder {folder} is not memory-backed; set privacy.key_dir to a folder on a tmpfs such as /dev/shm"
        )
    return folder


def file_system_of(folder: Path) -> str:
    """The type of the file system that holds `folder`, by the longest mount point in /proc/self/mountinfo (proc(5))."""
    best, kind = "", ""
    resolved = str(folder.resolve())
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mounted, _, source = line.partition(" - ")
        point = mounted.split()[4].encode().decode("unicode_escape")
        is_above = resolved == point or resolved.startswith(point.rstrip("/") + "/")
        if is_above and len(point) >= len(best):
            best, kind = point, source.split()[0]
    return kind


def _file_name(day: date, timezone: str) -> str:
    return f"{day.isoformat()}@{quote(timezone, safe='')}"


def _born_by_boot_clock(file: Path) -> float:
    """Seconds of the boot clock; infinite where the version before made the key, and did not say."""
    written = file.read_bytes()[BORN_AT:]
    return float(BORN.unpack(written)[0]) if len(written) == BORN.size else math.inf


def _generation() -> bytes:
    return (secrets.randbits(64) or 1).to_bytes(8, "little")


def _lock_in_memory(mapped: mmap.mmap) -> None:
    """mlock(2), so that the key is not swapped out; where the limit forbids it, it could be: `doctor` reports that."""
    view = ctypes.c_char.from_buffer(mapped)
    _libc.mlock(ctypes.c_void_p(ctypes.addressof(view)), ctypes.c_size_t(SIZE))
