"""What one commit moves, from the requests that gathered to the rows of the spool."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, NamedTuple

from collector.spool_file import Row, new_row

# A row is what a drainer can take whole into one batch of 200,000 events or 128 MiB.
MAX_ROW_EVENTS = 10_000

Outcome = Literal["accepted", "dropped", "invalid"]


class Counted(NamedTuple):
    """What a request is counted under: its site's local day, the site ("" = unknown), the outcome and its reason."""

    day: str
    site: str
    outcome: Outcome
    reason: str


class Withdrawn(NamedTuple):
    """Whose open rows are to be deleted: a visitor's token, of one generation, on one day of a site."""

    day: str
    timezone: str
    site: str
    generation: int
    visitor: int


class Arrived(NamedTuple):
    """A site's last request, as its worker remembers it (Unix seconds), and where its requests come from."""

    at: float
    outcome: Outcome
    reason: str
    behind_one_network: bool


@dataclass(slots=True)
class Group:
    """What one commit moves: lines and their number by (day, time zone), counters, answers by idempotency key.

    Withdrawals with the time of their request, and the last request by site.
    """

    lines: dict[tuple[date, str], list[bytes]] = field(default_factory=dict)
    events: dict[tuple[date, str], int] = field(default_factory=dict)
    counters: dict[Counted, int] = field(default_factory=dict)
    answers: dict[bytes, bytes] = field(default_factory=dict)
    withdrawals: dict[Withdrawn, float] = field(default_factory=dict)
    arrivals: dict[str, Arrived] = field(default_factory=dict)

    def count(self, counted: Counted, requests: int = 1) -> None:
        self.counters[counted] = self.counters.get(counted, 0) + requests

    def add(self, day: date, timezone: str, lines: bytes, events: int = 1) -> None:
        at = (day, timezone)
        self.lines.setdefault(at, []).append(lines)
        self.events[at] = self.events.get(at, 0) + events

    def merge(self, other: Group) -> None:
        for at, lines in other.lines.items():
            self.lines.setdefault(at, []).extend(lines)
            self.events[at] = self.events.get(at, 0) + other.events[at]
        for counted, requests in other.counters.items():
            self.counters[counted] = self.counters.get(counted, 0) + requests
        self.answers.update(other.answers)
        for withdrawn, asked_at in other.withdrawals.items():
            self.withdrawals[withdrawn] = max(asked_at, self.withdrawals.get(withdrawn, asked_at))


def rows_of(group: Group, now: float, last: int) -> Iterable[Row]:
    """The rows of a group committed at `now` (Unix seconds), with the ids after `last`."""
    for (day, timezone), lines in group.lines.items():
        for events, part in _parts(b"".join(lines), group.events[day, timezone]):
            last += 1
            yield new_row(last, day.isoformat(), timezone, now, events, part)


def _parts(lines: bytes, events: int) -> Iterable[tuple[int, bytes]]:
    if events <= MAX_ROW_EVENTS:
        yield events, lines
        return
    whole = lines.splitlines(keepends=True)
    for start in range(0, len(whole), MAX_ROW_EVENTS):
        part = whole[start : start + MAX_ROW_EVENTS]
        yield len(part), b"".join(part)
