"""What was drawn for a day's sites of level `dp`, kept until the seal is committed, so that a rerun draws nothing new.

OpenDP draws from the operating system's generator, which has no seed that could be kept. So the result is: the very
rows that will be published, in one file of the key folder, which is in memory (`collector.keys`), under a name that no
key has, mode 0600, there whole or not at all. It is written before the first of its rows goes to the store.

Promises:
- A rerun about the same events under the same terms publishes the same numbers. About other events, or under other
  terms, it draws anew, as it does where memory was lost (with a reboot the keys go, too): what an attempt that was
  not committed has written is deleted by the seal that is (`seal`).
- A draw is overwritten and unlinked once its day is committed or given up, and `FAIL_SAFE_S` after it was made in any
  case, by either clock.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import struct
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from urllib.parse import quote, unquote

import orjson

from aggregator.rollup import Period
from collector.clock import Clock
from collector.keys import FAIL_SAFE_S, prepared_folder
from collector.noise import Noise

PREFIX, DRAFT = "drawn-", ".drawn-"
NAME = re.compile(rf"{PREFIX}(\d{{4}}-\d{{2}}-\d{{2}})@(.+)")
# A draft lives for a moment.
DRAFT_S = 60.0
# In front of a draw, as at the end of a key: when it was made, in seconds of the boot clock.
BORN = struct.Struct("<d")

# A site with its visitors, visits and views; and with a dimension, a value's parent, the value and its visitors.
Total = tuple[str, int, int, int]
Value = tuple[str, str, str, str, int]


@dataclass(frozen=True)
class Terms:
    """What a draw is about: so many events of the day, these sites with the k of each, and what is promised of them."""

    events: int
    ks: tuple[tuple[str, int], ...]
    promised: Noise


@dataclass(frozen=True)
class Draw:
    """Rows as they are published, and what they cost (see `noise.Loss`)."""

    terms: Terms
    epsilon: float
    delta: float
    totals: tuple[Total, ...]
    values: tuple[Value, ...]


class DrawNotKept(Exception):
    """A draw could not be kept, so nothing of it may be published. The next run starts anew."""


class Draws:
    """The draws in one folder."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder, self._clock = folder, clock

    def kept(self, period: Period, terms: Terms) -> Draw | None:
        """The day's draw, if there is one under these terms; another one is destroyed."""
        draw = _read(self._folder / _file_name(period))
        if draw is not None and draw.terms == terms:
            return draw
        self.destroy(period)
        return None

    def keep(self, period: Period, draw: Draw) -> Draw:
        """Keeps the day's draw; returns the one that counts: another sealer may have been faster. Raises
        `DrawNotKept`, and `KeyStorageError` where the folder cannot hold keys either."""
        file = prepared_folder(self._folder) / _file_name(period)
        draft = file.with_name(f"{DRAFT}{secrets.token_hex(8)}")
        try:
            self._write(draft, draw)
            while True:
                with contextlib.suppress(FileExistsError):
                    os.link(draft, file)
                    return draw
                faster = self.kept(period, draw.terms)
                if faster is not None:
                    return faster
        except OSError as error:
            raise DrawNotKept(f"cannot keep a draw in {self._folder}: {error.strerror}") from error
        finally:
            draft.unlink(missing_ok=True)

    def periods(self) -> list[Period]:
        """The days that have a draw."""
        return [period for file in self._files(f"{PREFIX}*") if (period := period_of(file.name))]

    def destroy(self, period: Period) -> None:
        """Overwrites and unlinks the day's draw, if there is one."""
        _destroy(self._folder / _file_name(period))

    def destroy_overdue(self) -> None:
        """Destroys every draw that is older than any open day may be, and drafts that a crash left."""
        for file in self._files(f"{PREFIX}*"):
            if self._age_s(file) > FAIL_SAFE_S:
                _destroy(file)
        for file in self._files(f"{DRAFT}*"):
            if self._age_s(file) > DRAFT_S:
                _destroy(file)

    def _write(self, draft: Path, draw: Draw) -> None:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as written:
            written.write(BORN.pack(self._clock.boot()) + orjson.dumps(draw))
        os.utime(draft, times=(self._clock.wall(), self._clock.wall()))

    def _files(self, names: str) -> list[Path]:
        return sorted(self._folder.glob(names)) if self._folder.is_dir() else []

    def _age_s(self, file: Path) -> float:
        """By the clock that says more; one that is gone has no age."""
        try:
            (born,) = BORN.unpack(file.read_bytes()[: BORN.size].ljust(BORN.size, b"\0"))
            return max(self._clock.wall() - file.stat().st_mtime, self._clock.boot() - float(born))
        except FileNotFoundError:
            return 0.0


def period_of(name: str) -> Period | None:
    """The day of the draw in a file so called; None where that is no draw's name."""
    named = NAME.fullmatch(name)
    return Period(date.fromisoformat(named[1]), unquote(named[2])) if named else None


def _file_name(period: Period) -> str:
    return f"{PREFIX}{period.day.isoformat()}@{quote(period.timezone, safe='')}"


def _destroy(file: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        with file.open("r+b") as written:
            written.write(bytes(file.stat().st_size))
        file.unlink()


def _read(file: Path) -> Draw | None:
    """None where there is none, or one that somebody was about to destroy."""
    try:
        said = orjson.loads(file.read_bytes()[BORN.size :])
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None
    terms, promised = said["terms"], said["terms"]["promised"]
    return Draw(
        Terms(
            terms["events"],
            tuple((str(site), k) for site, k in terms["ks"]),
            Noise(promised["epsilon"], promised["delta"], tuple(promised["dimensions"])),
        ),
        said["epsilon"],
        said["delta"],
        tuple((str(site), visitors, visits, views) for site, visitors, visits, views in said["totals"]),
        tuple((str(a), str(b), str(c), str(d), count) for a, b, c, d, count in said["values"]),
    )
