"""From the spool to the seal through the real parts: spool, keys, drainer, sealer, the store and its disk.

A day of 30 days ago is sealed one grace after its last batch, and then nothing of it is left but trends (P13).
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from aggregator.guard import ClockGuard, newest_event
from aggregator.migrate import migrate
from aggregator.rollup import Period
from aggregator.seal import Sealer, Surroundings
from collector.days import day_of
from collector.keys import Tokens
from tests.aggregator.front_process import FrontProcess
from tests.aggregator.spooling import BERLIN, GRACE_S, Place, WatchedStore, Worker, place_in, promises

VISITORS = 60


@pytest.fixture
def key_dir() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="footfall-test-", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def front(tmp_path: Path) -> Iterator[FrontProcess]:
    front = FrontProcess(tmp_path / "data")
    front.data.mkdir()
    front.start()
    yield front
    front.kill()


@pytest.fixture
def place(tmp_path: Path, key_dir: Path, front: FrontProcess) -> Iterator[Place]:
    """Spools and store in one data folder, as an installation has them; the clock starts at the store's."""
    client = front.store()
    migrate(client)
    place = place_in(tmp_path, key_dir, client, client.now())
    yield place
    place.close()
    client.close()


def sealer_of(place: Place) -> Sealer:
    guard = ClockGuard(place.clock, place.clock.wall, lambda: newest_event(place.store))
    return Sealer(place.store, place.settings, place.clock, guard, Surroundings(sealed=place.keys.destroy))


def visit(place: Place, worker: Worker, day: date, person: int) -> Tokens:
    """Three events of one visitor, with tokens under the day's real key."""
    host = f"192.0.{person}.0"
    tokens = place.keys.tokens(day, BERLIN, "example.com", host, host, "agent")
    worker.take(day, 3, BERLIN, generation=tokens.generation, visitor=tokens.visitor, network=tokens.network)
    return tokens


def forms(tokens: Iterable[Tokens]) -> re.Pattern[bytes]:
    """Visitors, networks and generations as text, and as eight bytes either way round."""
    numbers = {number for token in tokens for number in (token.generation, token.visitor, token.network)}
    texts = [str(number).encode() for number in numbers]
    texts += [number.to_bytes(8, order) for number in numbers for order in ("little", "big")]
    return re.compile(b"|".join(re.escape(text) for text in texts))


def holders(folders: Iterable[Path], sought: re.Pattern[bytes]) -> set[str]:
    """Files that hold one of the forms, by their place in the folder."""
    found = set()
    for folder in folders:
        for file in folder.rglob("*"):
            if file.is_file() and sought.search(file.read_bytes()):
                found.add(str(file.relative_to(folder)))
    return found


def pass_grace(place: Place, worker: Worker) -> None:
    # And a little more: `inserted` is by the store's own clock, which goes on while ours stands.
    place.clock.pass_time(GRACE_S + 30)
    worker.beat()


def test_a_day_of_30_days_ago_is_sealed_one_grace_after_its_last_batch_and_no_byte_of_a_token_is_left(
    place: Place, front: FrontProcess, key_dir: Path
) -> None:
    day = day_of(place.clock.wall(), BERLIN) - timedelta(days=30)
    worker, drainer, sealer = place.worker(), place.drainer(), sealer_of(place)
    tokens = [visit(place, worker, day, person) for person in range(VISITORS)]
    sought, folders = forms(tokens), (front.data, key_dir, front.elsewhere)
    assert holders(folders, sought) >= {"spool/spool-0.sqlite-wal", f"{day}@Europe%2FBerlin"}
    worker.beat()
    assert drainer.round() == 3 * VISITORS
    assert any(name.startswith("store/") for name in holders(folders, sought)), "the search finds what is there"

    place.store.command("OPTIMIZE TABLE open_events FINAL")
    assert place.ledger().open == 3 * VISITORS, "the fail-safe goes by the time of insertion"
    assert sealer.seal_due() == []
    place.clock.pass_time(GRACE_S - 5)
    worker.beat()
    drainer.round()
    assert sealer.seal_due() == []
    assert promises(place.store)[0][1] == [day]

    pass_grace(place, worker)
    drainer.round()
    (sealed,) = sealer.seal_due()
    assert (sealed.period, sealed.outcome, sealed.events, sealed.remains) == (
        Period(day, BERLIN),
        "sealed",
        3 * VISITORS,
        (),
    )
    assert holders(folders, sought) == set()
    assert place.keys.days() == []
    ledger = place.ledger()
    assert (ledger.sealed, ledger.open, ledger.waiting, ledger.imbalances) == (3 * VISITORS, 0, 0, ())
    assert place.store.query("SELECT visitors FROM trend WHERE hour = 24") == [(VISITORS,)]


def test_what_comes_for_a_sealed_day_is_late_and_leaves_no_byte_of_a_token_either(
    place: Place, front: FrontProcess, key_dir: Path
) -> None:
    day = day_of(place.clock.wall(), BERLIN) - timedelta(days=30)
    worker, drainer, sealer = place.worker(), place.drainer(), sealer_of(place)
    visit(place, worker, day, 1)
    worker.beat()
    drainer.round()
    pass_grace(place, worker)
    drainer.round()
    assert len(sealer.seal_due()) == 1
    tokens = visit(place, worker, day, 2)
    drainer.round()
    assert place.keys.days() == []
    assert (place.ledger().late, place.ledger().sealed, place.ledger().imbalances) == (3, 3, ())
    assert holders((front.data, key_dir, front.elsewhere), forms([tokens])) == set()


def test_a_crash_between_insertion_and_deletion_is_healed_before_the_day_is_sealed(
    place: Place, front: FrontProcess, key_dir: Path
) -> None:
    """The drainer dies with rows in both places, the store is killed, and the day still seals once and clean."""
    day = day_of(place.clock.wall(), BERLIN) - timedelta(days=30)
    worker, sealer = place.worker(), sealer_of(place)
    tokens = [visit(place, worker, day, person) for person in range(VISITORS)]

    def die(_: int, name: str) -> None:
        if name == "insert_lines":
            raise InterruptedError

    with pytest.raises(InterruptedError):
        place.drainer(WatchedStore(place.store, after=die)).round()
    place.bury()
    front.kill()
    front.start()
    drainer = place.drainer()
    worker.beat()
    drainer.round()
    pass_grace(place, worker)
    drainer.round()
    (sealed,) = sealer.seal_due()
    assert (sealed.outcome, sealed.events, sealed.late) == ("sealed", 3 * VISITORS, 0)
    assert holders((front.data, key_dir, front.elsewhere), forms(tokens)) == set()
    assert place.ledger().imbalances == ()
