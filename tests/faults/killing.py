"""Rounds of traffic and kill -9 or a restart of a part, at random moments, and what was lost, doubled or kept in them.

The site's time zone is one in which it is about noon, so that today's events stay open and each can be looked for by
its name. Bulk requests bring events of past days, so that days are sealed all the while; the ledger checks those, and
what is left of them is looked for in the end. `python -m tests.faults.killing ROUNDS FOLDER` plays some rounds.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from tests.faults.accounting import (
    Past,
    balanced,
    examine,
    kept_too_long,
    merged,
    named,
    note_imbalance,
    wait_for_seals,
    wait_for_withdrawals,
    zone_at_noon,
)
from tests.faults.figures import Figures, Row
from tests.faults.side_by_side import side_by_side
from tests.faults.strikes import FAULTS, strike
from tests.installation import Installation
from tests.sender import Senders, Sent

# After so many rounds everything is looked up, and after as many each installation of the soak is replaced.
CHECK_EVERY = 6
REPLACE_EVERY = 50


@contextmanager
def installed(folder: Path) -> Iterator[Installation]:
    """A running one whose days are sealed seconds after their last batch."""
    installation = Installation(folder, zone_at_noon(), grace_minutes=0.03)
    try:
        installation.start()
        yield installation
    finally:
        installation.remove()


def figures_of_kills() -> Figures:
    figures = Figures("kills")
    for fault in FAULTS:
        figures.row(fault)
    return figures


def endure(installation: Installation, faults: list[str], figures: Figures, *, stops_in_time: bool = True) -> Sent:
    """Rounds of traffic and one fault each; everything is looked up after every few, and what is kept at the end.

    With `stops_in_time` no part may need longer for a stop than it is given; on a busy machine one may.
    """
    store, past = installation.store(), Past()
    history: list[Sent] = []
    while faults:
        senders = Senders(installation.port, singles=6, bulks=2, past_times=past, withdrawers=1)
        history.append(senders.sent)
        senders.mark = faults[0]
        with senders:
            for fault in islice(iter(faults), CHECK_EVERY):
                senders.mark = fault
                past.move()
                in_time = strike(installation, store, fault)
                assert in_time or not stops_in_time, "a part did not stop in time"
                figures.row(fault).rounds += 1
                time.sleep(random.uniform(0, 1.0))
        blamed = ", ".join(faults[:CHECK_EVERY])
        del faults[:CHECK_EVERY]
        try:
            balanced(installation, store)
        except AssertionError:
            note_imbalance(installation.ledger(store), figures, senders.mark)
            raise
        wait_for_withdrawals(store)
        examine(balanced(installation, store), named(store), merged(history), figures, senders.mark)
        assert figures.faults == 0, f"after {blamed}; see {installation.log}"
    sent = merged(history)
    for fault in (*sent.acknowledged.values(), *sent.bulk.values()):
        figures.row(fault).acknowledged += 1
    wait_for_seals(store)
    kept = kept_too_long(installation, store)
    figures.row(next(reversed(sent.bulk.values()))).kept += kept.total()
    assert not kept.total(), kept
    return sent


def kill_side_by_side(folder: Path, processes: int, rounds: int, figures: Figures) -> None:
    """So many rounds in all, each process with installations of its own."""
    shares = [rounds // processes + (number < rounds % processes) for number in range(processes)]
    for text in side_by_side("tests.faults.killing", [[str(share)] for share in shares], folder):
        for row in json.loads(text):
            figures.row(row["fault"]).add(Row(**row))


def main(arguments: Sequence[str]) -> int:
    rounds, folder = int(arguments[0]), Path(arguments[1])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    figures = figures_of_kills()
    faults = random.sample([*FAULTS] * (rounds // len(FAULTS) + 1), k=rounds)
    for first in range(0, rounds, REPLACE_EVERY):
        with installed(folder / str(first)) as installation:
            try:
                endure(installation, faults[first : first + REPLACE_EVERY], figures, stops_in_time=False)
            except AssertionError:
                print(f"{figures}\n{installation.log.read_text()}", flush=True)
                raise
        print(figures, flush=True)
    print(json.dumps([asdict(row) for row in figures.rows.values()]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
