"""A disk that flips and loses bytes of a spool: what can be read is kept, what cannot is told, and work goes on.

See `damaged` for what is asked of each damage.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from aggregator.backlog import opened
from aggregator.drain import Drainer, identity_in
from aggregator.store import Store
from collector.damage import note_damage
from collector.group import Group, Withdrawn
from collector.keys import Keys, Tokens
from collector.spool_file import connect
from tests.aggregator.spooling import BERLIN, GRACE_S, Place, empty, names_in, noon, place_in
from tests.clock import SetClock
from tests.collector.collecting import Collector, environment, running, until
from tests.faults.damage import FRAME_BYTES, LOG_HEADER_BYTES, TODAY, Hit, scene
from tests.faults.damaged import START_LIMIT_S, Damages, Ground, strike, strike_side_by_side

SHORT_CASES = 8
SEED = 20_310_514
# A round waits for the store most of the time: more processes than processors are no waste.
PROCESSES = 4
SOAK = pytest.mark.skipif("FOOTFALL_SOAK" not in os.environ, reason="a full run takes most of an hour: make soak")


@pytest.mark.parametrize("is_in_log", [False, True], ids=["in the file", "in the log"])
def test_what_a_damaged_spool_still_holds_is_drained_once_and_what_it_lost_is_told(
    tmp_path: Path, key_dir: Path, store: Store, is_in_log: bool
) -> None:
    made = scene(tmp_path / "scene", key_dir, store, is_in_log=is_in_log)
    hits = random.Random(SEED + is_in_log).sample(list(made.hits()), SHORT_CASES // 2 - 1)
    # All that the drainer deleted comes back.
    hits.append(Hit("spool-0.sqlite-wal", LOG_HEADER_BYTES + FRAME_BYTES, is_cut=True))
    damages = Damages()
    strike(damages, made, hits, Ground(tmp_path, key_dir, store))
    assert damages.figures.faults == 0, str(damages.figures)


@SOAK
@pytest.mark.soak
@pytest.mark.timeout(0)
def test_no_byte_of_a_header_and_no_page_of_a_spool_is_one_that_may_not_be_hit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = strike_side_by_side(tmp_path, PROCESSES).summed_up()
    with capsys.disabled():
        figures.tell()
    assert figures.faults == 0, str(figures)


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


def test_an_index_that_does_not_fit_its_table_is_found_and_the_file_is_saved(
    tmp_path: Path, key_dir: Path, store: Store
) -> None:
    """A visitor's token stands in the table of withdrawals and in its index: it is flipped in each of both."""
    token = b"5273846152738461"
    place = place_in(tmp_path / "first", key_dir, store, noon(TODAY))
    worker = place.worker()
    worker.take(TODAY, 3)
    group = Group()
    group.withdrawals[Withdrawn(TODAY.isoformat(), BERLIN, "example.com", 7, int(token))] = place.clock.wall()
    worker.spool.commit(group, place.clock.wall())
    with opened(place.spool_dir) as (backlog,):
        assert backlog.truncate_log()
    file = place.spool_dir / "spool-0.sqlite"
    whole = file.read_bytes()
    place.close()
    places = [found.start() for found in re.finditer(token, whole)]
    assert len(places) == 2
    for number, at in enumerate(places):
        empty(store)
        damaged = place_in(tmp_path / f"damaged-{number}", key_dir, store, noon(TODAY) + 60)
        damaged.spool_dir.mkdir(mode=0o700, parents=True)
        (damaged.spool_dir / file.name).write_bytes(whole[:at] + b"6" + whole[at + 1 :])
        drainer = damaged.drainer()
        for _ in range(4):
            drainer.round()
        assert names_in(store) == Counter(worker.names)
        assert damaged.ledger().imbalances == ()
        damaged.close()


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


def test_events_that_came_back_after_they_were_counted_as_drained_are_not_counted_again(
    tmp_path: Path, key_dir: Path, store: Store
) -> None:
    """Of the page of their row an older image is read, of the page of sums the newest."""
    place = place_in(tmp_path, key_dir, store, noon(TODAY))
    worker = place.worker()
    worker.take(TODAY, 4)
    with contextlib.closing(connect(worker.spool.file)) as connection:
        row = connection.execute("SELECT * FROM rows").fetchone()
        place.drainer().round()
        worker.take(TODAY, 2)
        connection.execute("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    place.bury()
    note_damage(worker.spool.file, "for a test")
    worker.leave()
    drainer = place.drainer()
    for _ in range(4):
        drainer.round()
    assert names_in(store) == Counter(worker.names)
    ledger = place.ledger()
    assert (ledger.accepted, ledger.open, ledger.quarantined, ledger.imbalances) == (6, 6, 0, ())
    place.close()


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
