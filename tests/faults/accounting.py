"""What senders know against what an installation has: how a proof counts events lost, doubled and kept too long.

Single events of today (`s...`) are looked for one by one, by name, in the open day. Bulk events of past days (`b...`)
are sealed meanwhile, so the sums of the ledger are what tells of them. Those of the visitor who withdraws (`w...`) must
be nowhere. Once a day is sealed, nothing of it may be left.
"""

from __future__ import annotations

import ast
import contextlib
import random
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest

from aggregator.ledger import Ledger
from aggregator.store import Store, StoreRefused, StoreUnavailable
from collector.spool_file import connect
from tests.collector.collecting import until
from tests.faults.figures import Figures
from tests.installation import RECOVERY_S, Installation
from tests.sender import Sent

DAY_S = 86_400
OLDEST_DAYS = 390
# Two deletions that follow each other, each of which waits for the engine to remove parts: for up to a minute.
WITHDRAWN_WITHIN_S = 180.0
SEALED = "(day, timezone) IN (SELECT day, timezone FROM committed_seals)"
WHAT_IS_THERE = (
    "SELECT day, seal, events, committed_at FROM seals ORDER BY committed_at",
    "SELECT day, outcome, seal, count(), sum(events), min(at), max(at) FROM batches GROUP BY ALL ORDER BY day, min(at)",
    "SELECT day, count(), uniq(batch), min(inserted), max(inserted) FROM open_events GROUP BY day ORDER BY day",
    """SELECT batch, day, events, at FROM batches
        WHERE outcome = 'open' AND batch NOT IN (SELECT batch FROM open_events)
        AND batch NOT IN (SELECT batch FROM batches WHERE outcome != 'open')""",
    "SELECT table, name, reason FROM system.detached_parts",
)
LOG_LINES = 60
# The names of events that may be in no file of a spool once their days are sealed, or their visitor withdrew.
GONE_NAMES = re.compile(rb'"name":"[bw]\d+-\d+-\d+')


@contextmanager
def told(figures: Figures, capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Prints and records the figures of a `with` block, also of one that fails, which they then say."""
    try:
        yield
    except BaseException as fault:
        figures.remarks.append(f"This run failed: {str(fault).partition(chr(10))[0]}")
        raise
    finally:
        with capsys.disabled():
            figures.tell()
    assert figures.faults == 0


def zone_at_noon() -> str:
    """A time zone in which no day ends within the next hours. `Etc/GMT+5` is five hours behind UTC (tzdata's signs)."""
    behind = datetime.now(UTC).hour - 12
    return f"Etc/GMT{behind:+d}" if behind else "Etc/GMT"


@dataclass
class Past:
    """Times of a past day; each round has one of its own, so that some day is sealed in every round."""

    days_ago: int = 2

    def __call__(self) -> float:
        return time.time() - self.days_ago * DAY_S + random.randint(-3_600, 3_600)

    def move(self) -> None:
        self.days_ago = self.days_ago % OLDEST_DAYS + 2


def merged(all_sent: Sequence[Sent]) -> Sent:
    total = Sent()
    for sent in all_sent:
        total.acknowledged.update(sent.acknowledged)
        total.doubtful.update(sent.doubtful)
        total.bulk.update(sent.bulk)
        total.withdrawing |= sent.withdrawing
        total.doubtfully_withdrawing |= sent.doubtfully_withdrawing
        total.unexpected += sent.unexpected
        total.refused.update(sent.refused)
    return total


def balanced(installation: Installation, store: Store) -> Ledger:
    """The ledger once everything has been drained and no part of the store moves."""
    found: list[Ledger] = []

    def is_at_rest() -> bool:
        try:
            found[:] = [installation.ledger(store)]
        except (StoreUnavailable, StoreRefused):
            return False
        return found[0].waiting == 0 and not found[0].imbalances

    installation.wait_until_ready()
    try:
        until(is_at_rest, "the ledger balances", RECOVERY_S)
    except AssertionError as fault:
        raise AssertionError(f"{fault}: {found}\n{_what_is_there(installation, store)}") from fault
    return found[0]


def _what_is_there(installation: Installation, store: Store) -> str:
    """For whoever reads of a fault that does not come again: the store day by day, and the end of the log."""
    told = []
    for sql in WHAT_IS_THERE:
        try:
            told += [sql, *map(str, store.query(sql))]
        except (StoreUnavailable, StoreRefused) as fault:
            told.append(f"{sql}: {fault}")
    return "\n".join([*told, *installation.log.read_text(errors="replace").splitlines()[-LOG_LINES:]])


def named(store: Store) -> Counter[str]:
    """How often the name of each single event is in an open day."""
    return Counter(dict(store.query("SELECT name, count() FROM open_events WHERE name LIKE 's%' GROUP BY name")))


def examine(ledger: Ledger, found: Counter[str], sent: Sent, figures: Figures, blamed: str) -> None:
    """Counts what was lost and doubled: single events in the row of their mark, bulk events in that of `blamed`."""
    for name, fault in sent.acknowledged.items():
        figures.row(fault).lost += found[name] == 0
    for name, times in found.items():
        known = sent.acknowledged.get(name, sent.doubtful.get(name))
        assert known is not None, f"{name} was refused or never sent, and is counted"
        figures.row(known).doubled += times - 1
    surplus = ledger.accounted - ledger.withdrawn - found.total() - len(sent.bulk)
    figures.row(blamed).lost += max(-surplus, 0)
    figures.row(blamed).doubled += max(surplus, 0)
    assert ledger.accounted == ledger.accepted
    assert (ledger.quarantined, ledger.expired) == (0, 0), ledger
    taken_back = len(sent.withdrawing)
    assert taken_back <= ledger.withdrawn <= taken_back + len(sent.doubtfully_withdrawing), (taken_back, ledger)
    assert not sent.unexpected, sent.unexpected[:5]


def note_imbalance(ledger: Ledger, figures: Figures, blamed: str) -> None:
    """Counts by how much a ledger is off that does not balance: what was drained, against what the store has."""
    surplus = ledger.in_store - sum(spool.drained for spool in ledger.spools)
    figures.row(blamed).lost += max(-surplus, 0)
    figures.row(blamed).doubled += max(surplus, 0)


def wait_for_sealing(store: Store, deadline_s: float = 7.0) -> None:
    """Returns as the sealer closes a day, which is its first step."""
    closed, deadline = closings(store), time.monotonic() + deadline_s
    while closings(store) <= closed and time.monotonic() < deadline:
        time.sleep(0.01)


def closings(store: Store) -> int:
    try:
        return int(store.query("SELECT count() FROM closings")[0][0])
    except (StoreUnavailable, StoreRefused):
        return 0


def wait_for_withdrawals(store: Store) -> None:
    """Returns once no event of the visitor who withdrew is open."""

    def is_none_open() -> bool:
        try:
            return bool(store.query("SELECT count() FROM open_events WHERE name LIKE 'w%'")[0][0] == 0)
        except (StoreUnavailable, StoreRefused):
            return False

    until(is_none_open, "all that was withdrawn is deleted", WITHDRAWN_WITHIN_S)


def wait_for_seals(store: Store, deadline_s: float = 2 * RECOVERY_S) -> None:
    """Returns once every past day is sealed."""

    def are_all_sealed() -> bool:
        try:
            return bool(store.query("SELECT count() FROM open_events WHERE name LIKE 'b%'")[0][0] == 0)
        except (StoreUnavailable, StoreRefused):
            return False

    until(are_all_sealed, "every past day is sealed", deadline_s)


def kept_too_long(installation: Installation, store: Store, deadline_s: float = RECOVERY_S) -> Counter[str]:
    """What is left of sealed days after `deadline_s` (files are cleaned seconds after a seal): how much, by its place.

    Call it when every past day is sealed and every withdrawal carried out.
    """
    deadline = time.monotonic() + deadline_s
    while (kept := _kept(installation, store)).total() and time.monotonic() < deadline:
        time.sleep(0.25)
    return kept


def _kept(installation: Installation, store: Store) -> Counter[str]:
    sealed = {(f"{day}", zone) for day, zone in store.query("SELECT DISTINCT day, timezone FROM committed_seals")}
    keys = {f"{day}@{quote(zone, safe='')}" for day, zone in sealed}
    return Counter(
        {
            "open events": int(store.query(f"SELECT count() FROM open_events WHERE {SEALED}")[0][0]),
            "parts": _parts_kept(store, sealed),
            "rows of spools": sum(_rows_kept(file, sealed) for file in installation.spool_dir.glob("spool-*.sqlite")),
            "bytes of spools": sum(_names_in(file) for file in installation.spool_dir.iterdir() if file.is_file()),
            "keys": len(keys.intersection(installation.keys_kept())),
        }
    )


def _parts_kept(store: Store, sealed: set[tuple[str, str]]) -> int:
    """Parts of sealed days in any state, by the store; and folders of the table on disk that are of no open day."""
    parts = store.query(
        "SELECT partition, partition_id FROM system.parts WHERE database = currentDatabase() AND table = 'open_events'"
    )
    is_over = {part_id: ast.literal_eval(partition) in sealed for partition, part_id in parts}
    (paths,) = store.query(
        "SELECT data_paths FROM system.tables WHERE database = currentDatabase() AND name = 'open_events'"
    )[0]
    folders = [folder for path in paths for place in ("", "detached") for folder in (Path(path) / place).glob("*_*_*")]
    open_ids = {part_id for part_id, over in is_over.items() if not over}
    strangers = [folder for folder in folders if not any(part_id in folder.name for part_id in open_ids)]
    return sum(is_over[part_id] for _, part_id in parts) + len(strangers)


def _rows_kept(file: Path, sealed: set[tuple[str, str]]) -> int:
    with contextlib.closing(connect(file)) as connection:
        return sum(
            (day, zone) in sealed
            for table in ("rows", "batches", "quarantine", "withdrawals")
            for day, zone in _days_in(connection, table)
        )


def _days_in(connection: sqlite3.Connection, table: str) -> list[tuple[str, str]]:
    with contextlib.suppress(sqlite3.OperationalError):  # An older version's spool has fewer tables.
        return connection.execute(f"SELECT day, timezone FROM {table}").fetchall()
    return []


def _names_in(file: Path) -> int:
    """How many names of events that are gone can be read in a file's bytes."""
    try:
        return len(set(GONE_NAMES.findall(file.read_bytes())))
    except FileNotFoundError:
        return 0
