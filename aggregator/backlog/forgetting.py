"""What is not to be kept: the lines of who withdrew consent, of a removed site, and of days that are over.

What was set aside of a damaged file holds events, so it goes as the quarantined lines do: with the end of a day that it
names, with a withdrawal that it names, and after a day in any case.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from aggregator.backlog.file import SpoolFile
from collector.damage import remove, set_aside
from collector.spool_file import LAST_COMMITS, REMOVED, move_ledger

# An event's line begins with these two (collector.event.Event).
OF_A_DAY = re.compile(rb'\{"day":"(\d{4}-\d{2}-\d{2})","timezone":"([A-Za-z0-9_+/-]{1,64})"')
LONGEST_MATCH_BYTES = 128
# Files are searched so much at a time.
PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Asked:
    """A withdrawal that waits: row `id` of its spool; what was received by `at` is to go (Unix seconds)."""

    id: int
    site: str
    generation: int
    visitor: int
    at: float
    committed_at: float


class Forgetting(SpoolFile):
    """What one spool file, and what was set aside beside it, say of somebody or of a site."""

    def withdrawal_days(self, until: float = math.inf) -> list[tuple[date, str]]:
        """The (day, time zone) pairs of which withdrawals wait here that were committed by `until`."""
        found = self._connection.execute(
            "SELECT DISTINCT day, timezone FROM withdrawals WHERE committed_at <= ?", (until,)
        )
        return [(date.fromisoformat(day), timezone) for day, timezone in found]

    def withdrawals(self, day: date, timezone: str, until: float, most: int) -> list[Asked]:
        """The oldest withdrawals for a day that were committed by `until`."""
        found = self._connection.execute(
            "SELECT id, site, generation, visitor, at, committed_at FROM withdrawals"
            " WHERE day = ? AND timezone = ? AND committed_at <= ? ORDER BY id LIMIT ?",
            (day.isoformat(), timezone, until, most),
        )
        return [Asked(row, site, int(generation), int(visitor), *at) for row, site, generation, visitor, *at in found]

    def forget_withdrawals(self, carried_out: Sequence[Asked]) -> None:
        """Deletes these withdrawals of this spool, unless they were asked for again meanwhile."""
        with self._transaction():
            self._connection.executemany("DELETE FROM withdrawals WHERE id = ?", [(each.id,) for each in carried_out])

    def forget_quarantined_of(self, day: date, timezone: str, asked: Sequence[Asked]) -> None:
        """Deletes the quarantined lines of a day whose visitors withdrew, whichever spool they did so in."""
        tokens = [b'"visitor":%d,' % each.visitor for each in asked]
        with self._transaction():
            found = self._connection.execute(
                "SELECT id, lines FROM quarantine WHERE day = ? AND timezone = ?", (day.isoformat(), timezone)
            ).fetchall()
            theirs = [(row,) for row, lines in found if any(token in lines for token in tokens)]
            self._connection.executemany("DELETE FROM quarantine WHERE id = ?", theirs)
        for file, _ in set_aside(self.file.parent):
            if any(token in piece for piece in _pieces(file) for token in tokens):
                remove(file)

    def forget_quarantined(self, timezone: str, days: Callable[[date], bool]) -> None:
        """Deletes the quarantined lines of the days that `days` names: they hold tokens, which no seal may outlive."""
        with self._transaction():
            found = self._connection.execute("SELECT DISTINCT day FROM quarantine WHERE timezone = ?", (timezone,))
            for (day,) in [row for row in found.fetchall() if days(date.fromisoformat(row[0]))]:
                self._connection.execute("DELETE FROM quarantine WHERE timezone = ? AND day = ?", (timezone, day))
        for file, _ in set_aside(self.file.parent):
            if any(zone == timezone and days(day) for day, zone in days_named_in(file)):
                remove(file)

    def has_site(self, site: str) -> bool:
        """Whether events of a site wait here."""
        found = "SELECT 1 FROM rows WHERE instr(lines, ?) LIMIT 1"
        return self._connection.execute(found, (_named(site),)).fetchone() is not None

    def knows_site(self, site: str) -> bool:
        """Whether anything here names a site."""
        found = (
            "SELECT 1 FROM counters WHERE site = :site UNION ALL SELECT 1 FROM arrivals WHERE site = :site"
            " UNION ALL SELECT 1 FROM withdrawals WHERE site = :site"
            " UNION ALL SELECT 1 FROM quarantine WHERE instr(lines, :named) LIMIT 1"
        )
        named = {"site": site, "named": _named(site)}
        return self.has_site(site) or self._connection.execute(found, named).fetchone() is not None

    def forget_site(self, site: str) -> None:
        """Deletes what is known of a site, but for how many requests it had: one sum of all sites that were removed."""
        with self._transaction():
            # No number of a commit is used again.
            commits = int(self._connection.execute(LAST_COMMITS).fetchone()[0])
            self._connection.execute("INSERT OR REPLACE INTO facts VALUES ('commits', ?)", (commits,))
            requests = self._connection.execute(
                "SELECT outcome, sum(requests) FROM counters WHERE site = ? GROUP BY outcome", (site,)
            ).fetchall()
            for outcome, number in requests:
                move_ledger(self._connection, REMOVED[outcome], number)
            for table in ("counters", "arrivals", "withdrawals"):
                self._connection.execute(f"DELETE FROM {table} WHERE site = ?", (site,))
            self._connection.execute("DELETE FROM quarantine WHERE instr(lines, ?)", (_named(site),))
        for file, _ in set_aside(self.file.parent):
            if any(_named(site) in piece for piece in _pieces(file)):
                remove(file)


def _named(site: str) -> bytes:
    """How a line of an event names its site."""
    return b'"site":"%b"' % site.encode()


def _pieces(file: Path) -> Iterator[bytes]:
    """The bytes of a file that may vanish meanwhile, in pieces that overlap by more than what is looked for."""
    with contextlib.suppress(FileNotFoundError), file.open("rb") as content:
        end = b""
        while piece := content.read(PIECE_BYTES):
            yield end + piece
            end = piece[-LONGEST_MATCH_BYTES:]


def days_named_in(file: Path) -> set[tuple[date, str]]:
    """The days of the events whose lines begin somewhere in a file, damaged or not."""
    found = {match.groups() for piece in _pieces(file) for match in OF_A_DAY.finditer(piece)}
    days = set[tuple[date, str]]()
    for day, timezone in found:
        with contextlib.suppress(ValueError):
            days.add((date.fromisoformat(day.decode()), timezone.decode()))
    return days
