"""What becomes of a damaged spool: `python -m tests.faults.damaged NUMBER OF FOLDER` strikes each OF-th of all places.

A worker and a drainer start over a damaged copy of one spool, again and again, each time with another byte flipped or
another end cut off. In each round the worker has a spool at once and takes an event; the drainer gets every event into
the store that did not lie on the page that was hit, once; and a lost one is told. Nothing of it outlives its day.
"""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from aggregator.ledger import Ledger
from aggregator.store import Store
from collector.days import ends_at
from collector.spool_fault import SpoolDamagedError, SpoolError
from tests.aggregator.spooling import BERLIN, GRACE_S, Place, Worker, line, names_in
from tests.faults.damage import TODAY, Hit, Scene, files_with_events, scene
from tests.faults.figures import Figures, Row
from tests.faults.side_by_side import side_by_side, store_alone

START_LIMIT_S = 5.0
ROUNDS = 12
AFTER = "sent after the start"


@dataclass(frozen=True)
class Ground:
    """Where the cases take place."""

    folder: Path
    key_dir: Path
    store: Store


class Damages:
    """The figures of many damages, and what else there is to say of them."""

    def __init__(self) -> None:
        self.figures = Figures("corruption")
        self.gone = self.told_lost = 0
        self.slowest_s = 0.0

    def add(self, hit: Hit, case: Case, events: int) -> None:
        row = self.figures.row(f"{'cut off' if hit.is_cut else 'flipped'}: {hit.file.removeprefix('spool-0.')}")
        of_this = Row(row.fault, 1, events, case.lost, case.doubled, case.kept)
        row.add(of_this)
        self.gone, self.told_lost = self.gone + case.hit_and_gone, self.told_lost + case.told_lost
        self.slowest_s = max(self.slowest_s, case.start_s)
        if case.lost or case.doubled or case.kept:
            self.figures.remarks.append(f"{hit}: {case!r}")

    def add_told(self, text: str) -> None:
        """Another process's, as it was told by `__str__`."""
        told = json.loads(text)
        for row in told["rows"]:
            self.figures.row(row["fault"]).add(Row(**row))
        self.gone, self.told_lost = self.gone + told["gone"], self.told_lost + told["told_lost"]
        self.slowest_s = max(self.slowest_s, told["slowest_s"])
        self.figures.remarks += told["remarks"]

    def __str__(self) -> str:
        rows = [asdict(row) for row in self.figures.rows.values()]
        sums = {"gone": self.gone, "told_lost": self.told_lost, "slowest_s": self.slowest_s}
        return json.dumps({"rows": rows, **sums, "remarks": self.figures.remarks})

    def summed_up(self) -> Figures:
        self.figures.remarks.append(
            f"{self.gone:,} events lay where bytes were hit and are gone, {self.told_lost:,} of them counted so;"
            f" the slowest start took {self.slowest_s:.2f} s."
        )
        return self.figures


def strike(damages: Damages, made: Scene, hits: Sequence[Hit], ground: Ground) -> None:
    """One round for each of `hits`."""
    with _told() as told:
        for number, hit in enumerate(hits):
            place = made.laid_out(ground.folder / str(number), ground.key_dir, ground.store)
            try:
                damages.add(hit, Case(place, made, hit, told), len(made.names) + 1)
            except Exception as fault:
                fault.add_note(f"after {hit}")
                raise
            finally:
                place.close()
                shutil.rmtree(ground.folder / str(number))


def strike_side_by_side(folder: Path, processes: int) -> Damages:
    """Every byte of a header and every page, in both scenes."""
    damages = Damages()
    shards = [[str(number), str(processes)] for number in range(processes)]
    for told in side_by_side("tests.faults.damaged", shards, folder):
        damages.add_told(told)
    return damages


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextlib.contextmanager
def _told() -> Iterator[list[str]]:
    """What this process logs from warnings on."""
    handler = _Lines()
    logging.getLogger().addHandler(handler)
    try:
        yield handler.lines
    finally:
        logging.getLogger().removeHandler(handler)


class Case:
    """One damage, from the start of a worker and a drainer to the end of the day."""

    def __init__(self, place: Place, made: Scene, hit: Hit, told: list[str]) -> None:
        told.clear()
        whole = (made.files / hit.file).read_bytes()
        hit.strike(place.spool_dir)
        began_at = time.monotonic()
        worker = place.worker()
        self.start_s = time.monotonic() - began_at
        worker.commit(TODAY, BERLIN, [line(AFTER, TODAY)])  # Service goes on.
        self.drained(place, worker)
        found = names_in(place.store)
        names = {*made.names, AFTER}
        missing = names - found.keys()
        at_risk = hit.bytes_at_risk(whole)
        risked = {name for name in missing if b'"name":"%b"' % name.encode() in at_risk}
        if risked & made.large_row:
            risked |= made.large_row
        self.ledger = self.ledger_of(place, worker)
        self.told_lost = self.ledger.quarantined
        self.hit_and_gone = len(missing)
        untold = max(0, len(missing) - self.told_lost - sum("accepted" in each for each in self.ledger.imbalances))
        self.missing = missing
        # How much a log had behind the place where it was cut off is not written elsewhere: that alone is told.
        is_cut_log = hit.is_cut and hit.file.endswith("-wal")
        assert not is_cut_log or not missing or any("its log has lost" in each for each in told), "a loss is told"
        self.lost = len(missing - risked) + (0 if is_cut_log else untold)
        self.doubled = sum(times - 1 for times in found.values())
        self.kept = self.kept_after_the_day(place)
        self.hit = hit
        assert self.start_s < START_LIMIT_S, f"{hit}: the start took {self.start_s:.1f} s"

    def drained(self, place: Place, worker: Worker) -> None:
        drainer = place.drainers[0] if place.drainers else place.drainer()
        quiet = 0
        for _ in range(ROUNDS):
            quiet = 0 if drainer.round() else quiet + 1
            self.beat(worker)
            if quiet > 2:
                return

    def ledger_of(self, place: Place, worker: Worker) -> Ledger:
        """What nobody but a reader of the ledger looks at, that reader finds, and the drainer saves."""
        try:
            return place.ledger()
        except SpoolDamagedError:
            self.drained(place, worker)
            return place.ledger()

    @staticmethod
    def beat(worker: Worker) -> None:
        """As the committer does: a file that fails is left."""
        try:
            worker.beat()
        except SpoolError:
            worker.leave()

    def kept_after_the_day(self, place: Place) -> int:
        place.clock.move_to(ends_at(TODAY, BERLIN) + GRACE_S + 1)
        (drainer,), (worker,) = place.drainers, place.workers
        for _ in range(4):
            self.beat(worker)
            drainer.round()
        return len(files_with_events(place.spool_dir))

    def __repr__(self) -> str:
        return (
            f"missing {sorted(self.missing)}, lost {self.lost}, doubled {self.doubled}, kept {self.kept}, {self.ledger}"
        )


def main(arguments: Sequence[str]) -> int:
    number, of, folder = int(arguments[0]), int(arguments[1]), Path(arguments[2])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    damages = Damages()
    key_dir = Path(tempfile.mkdtemp(prefix="footfall-test-", dir="/dev/shm"))
    try:
        with store_alone(folder) as store:
            for is_in_log in (False, True):
                made = scene(folder / f"scene-{is_in_log}", key_dir, store, is_in_log=is_in_log)
                strike(damages, made, list(made.hits())[number::of], Ground(folder, key_dir, store))
    finally:
        shutil.rmtree(key_dir)
    print(damages, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
