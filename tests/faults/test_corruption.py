"""A disk that flips and loses bytes of a spool: what can be read is kept, what cannot is told, and work goes on.

A worker and a drainer start over a damaged copy of one spool, again and again, each time with another byte flipped or
another end cut off. In each round the worker has a spool at once and takes an event; the drainer gets every event into
the store that did not lie on the page that was hit, once; and a lost one is told. Nothing of it outlives its day.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from aggregator.backlog import opened
from aggregator.drain import Drainer, identity_in
from aggregator.store import Store
from collector.damage import note_damage
from collector.days import ends_at
from collector.group import Group, Withdrawn
from collector.keys import Keys, Tokens
from collector.spool_fault import SpoolError
from collector.spool_file import connect
from tests.aggregator.spooling import BERLIN, GRACE_S, Place, Worker, line, names_in, noon, place_in
from tests.clock import SetClock
from tests.collector.collecting import Collector, environment, running, until
from tests.faults.damage import FRAME_BYTES, LOG_HEADER_BYTES, TODAY, Hit, Scene, files_with_events, scene
from tests.faults.figures import Figures

SHORT_CASES = 8
SEED = 20_310_514
START_LIMIT_S = 5.0
ROUNDS = 12
AFTER = "sent after the start"
SOAK = pytest.mark.skipif("FOOTFALL_SOAK" not in os.environ, reason="a full run takes two hours: make soak")


@pytest.mark.parametrize("is_in_log", [False, True], ids=["in the file", "in the log"])
def test_what_a_damaged_spool_still_holds_is_drained_once_and_what_it_lost_is_told(
    tmp_path: Path,
    key_dir: Path,
    store: Store,
    is_in_log: bool,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = scene(tmp_path / "scene", key_dir, store, is_in_log=is_in_log)
    hits = random.Random(SEED + is_in_log).sample(list(made.hits()), SHORT_CASES // 2 - 1)
    # All that the drainer deleted comes back.
    hits.append(Hit("spool-0.sqlite-wal", LOG_HEADER_BYTES + FRAME_BYTES, is_cut=True))
    figures = Figures("corruption")
    struck(figures, made, hits, Ground(tmp_path, key_dir, store, caplog))
    assert figures.faults == 0, str(figures)


@SOAK
@pytest.mark.soak
@pytest.mark.timeout(0)
def test_no_byte_of_a_header_and_no_page_of_a_spool_is_one_that_may_not_be_hit(
    tmp_path: Path, key_dir: Path, store: Store, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    figures = Figures("corruption")
    for is_in_log in (False, True):
        made = scene(tmp_path / f"scene-{is_in_log}", key_dir, store, is_in_log=is_in_log)
        struck(figures, made, list(made.hits()), Ground(tmp_path, key_dir, store, caplog))
    with capsys.disabled():
        figures.tell()
    assert figures.faults == 0, str(figures)


@dataclass(frozen=True)
class Ground:
    """Where the cases take place, and the log of this process."""

    folder: Path
    key_dir: Path
    store: Store
    told: pytest.LogCaptureFixture


def struck(figures: Figures, made: Scene, hits: list[Hit], ground: Ground) -> None:
    """Strikes once for each of `hits` and adds up what became of the events."""
    slowest = told_lost = hit_and_gone = 0.0
    for number, hit in enumerate(hits):
        place = made.laid_out(ground.folder / str(number), ground.key_dir, ground.store)
        try:
            case = Case(place, made, hit, ground.told)
            slowest = max(slowest, case.start_s)
            told_lost, hit_and_gone = told_lost + case.told_lost, hit_and_gone + case.hit_and_gone
            row = figures.row(f"{'cut off' if hit.is_cut else 'flipped'}: {hit.file.removeprefix('spool-0.')}")
            row.rounds += 1
            row.acknowledged += len(made.names) + 1
            row.lost += case.lost
            row.doubled += case.doubled
            row.kept += case.kept
            if case.lost or case.doubled or case.kept:
                figures.remarks.append(f"{hit}: {case!r}")
        finally:
            place.close()
            shutil.rmtree(ground.folder / str(number))
    figures.remarks.append(
        f"{hit_and_gone:,.0f} events lay where bytes were hit and are gone, {told_lost:,.0f} of them counted so;"
        f" the slowest start took {slowest:.2f} s."
    )


class Case:
    """One damage, from the start of a worker and a drainer to the end of the day."""

    def __init__(self, place: Place, made: Scene, hit: Hit, told: pytest.LogCaptureFixture) -> None:
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
        self.ledger = place.ledger()
        self.told_lost = self.ledger.quarantined
        self.hit_and_gone = len(missing)
        untold = max(0, len(missing) - self.told_lost - sum("accepted" in each for each in self.ledger.imbalances))
        self.missing = missing
        # How much a log had behind the place where it was cut off is not written elsewhere: that alone is told.
        is_cut_log = hit.is_cut and hit.file.endswith("-wal")
        assert not is_cut_log or not missing or "its log has lost" in told.text, "a loss is told"
        self.lost = len(missing - risked) + (0 if is_cut_log else untold)
        self.doubled = sum(times - 1 for times in found.values())
        self.kept = self.kept_after_the_day(place)
        self.hit = hit
        assert self.start_s < START_LIMIT_S, f"{hit}: the start took {self.start_s:.1f} s"

    def drained(self, place: Place, worker: Worker) -> None:
        drainer = place.drainer()
        quiet = 0
        for _ in range(ROUNDS):
            quiet = 0 if drainer.round() else quiet + 1
            self.beat(worker)
            if quiet > 2:
                return

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


def test_a_spool_whose_name_was_flipped_has_its_own_again_and_a_doubtful_batch_is_not_inserted_twice(
    tmp_path: Path, key_dir: Path, store: Store
) -> None:
    """Batches are named by it: under another one the store would not know what it has."""
    made = scene(tmp_path / "scene", key_dir, store, is_in_log=False)
    place = made.laid_out(tmp_path / "place", key_dir, store)
    with contextlib.closing(connect(place.spool_dir / "spool-0.sqlite")) as connection:
        (identity,) = connection.execute("SELECT value FROM facts WHERE name = 'identity'").fetchone()
        connection.execute("UPDATE facts SET value = (value | 4) - (value & 4) WHERE name = 'identity'")
    worker = place.worker()
    assert worker.spool.file.name == "spool-1.sqlite"
    drainer = place.drainer()
    for _ in range(4):
        drainer.round()
    assert names_in(place.store) == Counter(made.names)
    assert place.ledger().imbalances == ()
    with opened(place.spool_dir) as backlogs:
        assert identity in {backlog.identity for backlog in backlogs}
    place.close()


def test_what_a_lost_log_had_of_drained_events_is_known_from_the_store_and_the_ledger_balances(
    tmp_path: Path, key_dir: Path, store: Store
) -> None:
    first = place_in(tmp_path / "first", key_dir, store, noon(TODAY))
    worker, drainer = first.worker(), first.drainer()
    for _ in range(2):  # After the first round the log is emptied, after the second it is not.
        worker.take(TODAY, 2)
        worker.take(TODAY, 1)
        drainer.round()
    place = place_in(tmp_path / "again", key_dir, store, noon(TODAY) + 60)
    shutil.copytree(first.spool_dir, place.spool_dir)
    os.truncate(place.spool_dir / "spool-0.sqlite-wal", 0)
    place.worker()
    place.drainer().round()
    assert names_in(store) == Counter(worker.names)
    ledger = place.ledger()
    assert (ledger.accepted, ledger.open, ledger.quarantined, ledger.imbalances) == (6, 6, 0, ())
    for each in (first, place):
        each.close()


RENAMES = [3, *(pytest.param(number, marks=[SOAK, pytest.mark.soak]) for number in (1, 2, 4))]


@pytest.mark.parametrize("number", RENAMES)
def test_a_drainer_that_is_killed_while_it_saves_a_spool_goes_on_where_it_was(
    tmp_path: Path, key_dir: Path, store: Store, number: int
) -> None:
    """SIGKILL at each of its renames: from the draft, of the file, of its log, into the file's place."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed, which kills at a system call")
    made = scene(tmp_path / "scene", key_dir, store, is_in_log=True)
    place = made.laid_out(tmp_path / "place", key_dir, store)
    file = place.spool_dir / "spool-0.sqlite"
    note_damage(file, "for a test")
    program = f"from pathlib import Path; from collector.salvage import salvage; salvage(Path({str(file)!r}), 1.9e9)"
    kill = ("-e", "trace=rename", "-e", f"inject=rename:signal=KILL:when={number}")
    command = [strace, "-o", str(tmp_path / "trace"), *kill, sys.executable, "-c", program]
    done = subprocess.run(command, env=environment(), check=False)
    assert done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)
    worker, drainer = place.worker(), place.drainer()
    assert worker.spool.file.name == "spool-1.sqlite"
    for _ in range(4):
        drainer.round()
    assert names_in(place.store) == Counter(made.names)
    assert place.ledger().imbalances == ()
    place.close()


# --- what lies beside the spools -------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"garbage", b"12345 00000000\n"])
def test_a_drainer_whose_name_is_damaged_draws_another_one_and_goes_on(
    tmp_path: Path, key_dir: Path, store: Store, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    place = place_in(tmp_path, key_dir, store, noon(TODAY))
    worker = place.worker()
    worker.take(TODAY, 3)
    place.drainer().round()
    place.bury()
    (place.spool_dir / "drainer.id").write_bytes(content)
    worker.take(TODAY, 2)
    place.drainer().round()
    assert names_in(store) == Counter(worker.names)
    assert place.ledger().imbalances == ()
    assert len([record for record in caplog.records if "drainer.id" in record.getMessage()]) == 1
    assert identity_in(place.spool_dir / "drainer.id") > 0
    place.close()


@pytest.mark.parametrize("offset", [17, 103, 8_192, None])
def test_a_drainer_whose_record_is_damaged_begins_another_one_and_the_ledger_balances(
    tmp_path: Path, key_dir: Path, store: Store, offset: int | None
) -> None:
    place = place_in(tmp_path, key_dir, store, noon(TODAY))
    worker, drainer = place.worker(), place.drainer()
    worker.take(TODAY, 3, generation=7, visitor=70)
    worker.take(TODAY, 2)
    drainer.round()
    withdraw(place, drainer)
    assert (place.ledger().withdrawn, place.ledger().open) == (3, 2)
    place.bury()
    record = place.spool_dir / "drainer.sqlite"
    content = bytearray(record.read_bytes())
    if offset is None:
        content = content[:5_000]
    else:
        content[offset] ^= 0x15
    record.write_bytes(content)
    worker.take(TODAY, 1)
    place.drainer().round()
    ledger = place.ledger()
    assert (ledger.withdrawn, ledger.open, ledger.imbalances) == (3, 3, ())
    place.close()


def withdraw(place: Place, drainer: Drainer) -> None:
    """A visitor withdraws consent, and the drainer deletes the three rows."""
    group = Group()
    group.withdrawals[Withdrawn(TODAY.isoformat(), BERLIN, "example.com", 7, 70)] = place.clock.wall() + 1
    place.workers[0].spool.commit(group, place.clock.wall())
    for _ in range(200):
        place.clock.pass_time(5)
        place.workers[0].beat()
        drainer.round()
        if place.ledger().withdrawn == 3:
            return
    raise AssertionError("the rows were not deleted")


def test_a_key_file_that_was_cut_off_is_replaced_by_a_new_generation(tmp_path: Path, key_dir: Path) -> None:
    def tokens() -> Tokens:
        return Keys(key_dir, GRACE_S, SetClock(noon(TODAY))).tokens(TODAY, BERLIN, "example.com", "h", "n", "agent")

    first = tokens()
    assert tokens() == first
    (file,) = key_dir.iterdir()
    for size in (0, 1, 20, 40):
        os.truncate(file, size)
        assert tokens().generation != first.generation


def test_a_collector_that_starts_over_a_damaged_spool_takes_events_at_once(tmp_path: Path) -> None:
    """A real one: it was killed, a byte of its log flipped, and its file is left for the drainer with one line."""
    collector = Collector(tmp_path)
    with running(collector):
        for number in range(5):
            assert collector.event({"u": f"https://example.com/{number}"}).footfall == "accepted"
        collector.kill()
        log = collector.spool_dir / "spool-0.sqlite-wal"
        content = bytearray(log.read_bytes())
        content[len(content) // 2] ^= 1
        log.write_bytes(content)
        began_at = time.monotonic()
        collector.process = subprocess.Popen(
            collector.arguments(),
            cwd=collector.folder,
            stdout=subprocess.DEVNULL,
            stderr=collector.log.open("ab"),
            env=environment(),
        )
        until(lambda: is_taking(collector), "events are taken")
        assert time.monotonic() - began_at < 3 * START_LIMIT_S, "on a busy machine, with the start of the program"
        told = [each for each in collector.log.read_text().splitlines() if "damaged" in each]
        assert len(told) == 1
        assert "Traceback" not in collector.log.read_text()


def is_taking(collector: Collector) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        return collector.event().footfall == "accepted"
    return False
