"""The power goes while `footfall serve` takes traffic: nothing acknowledged is lost, nothing counted twice or kept.

The data folder of a real installation lies on a simulated disk (tests/faults/power), which forgets at a cut what was
not synced. The cut comes at a random moment, or in the midst of something: an insert into the store, a merge, the
removal of a part, the deletion of a visitor's rows, a seal. The disk itself waits for that: it cuts some operations
after the engine has made a folder whose name begins so, and says whether it came to that.

At every other cut the memory goes too, as with a machine's own power: the folder of the keys is emptied.
"""

from __future__ import annotations

import os
import random
import shutil
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

import pytest

from aggregator.drain import identity_in
from aggregator.migrate import migrate
from aggregator.store import StoreRefused, StoreUnavailable
from collector.damage import set_aside
from tests.aggregator.event_lines import event_lines
from tests.aggregator.front_process import FrontProcess
from tests.collector.collecting import until
from tests.faults.accounting import (
    Past,
    balanced,
    examine,
    kept_too_long,
    named,
    wait_for_sealing,
    wait_for_withdrawals,
    zone_at_noon,
)
from tests.faults.figures import Figures
from tests.faults.power.disk import Loss, Order
from tests.faults.power.switch import PoweredDisk, powered
from tests.installation import Installation
from tests.sender import Senders, Sent

# What the disk waits for: folders of the engine (MergeTree's names). None: nothing but time.
MOMENTS: dict[str, str | None] = {
    "at any moment": None,
    "in an insert into the store": "tmp_insert_",
    "in a merge of the store": "tmp_merge_",
    "in a mutation of the store": "tmp_mut_",
    "in the removal of a part": "delete_tmp_",
    "while a day is sealed": None,
}
SHORT_CUTS = 3
SOAK_CUTS = 240
# An installation is replaced after so many cuts: what it has to look through grows.
CUTS_OF_ONE = 12
# An insert, a merge or a mutation takes some tens of operations of the disk.
MOST_OPERATIONS = 60
OF_PAST_DAYS = "SELECT 1 FROM open_events WHERE name LIKE 'b%' LIMIT 1"
# There is a day to seal for each cut, all at once.
SEALS_S = 240.0


BOOTED = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'


@dataclass
class PoweredInstallation(Installation):
    """An installation whose data folder lies on a disk whose power can be cut."""

    disk: PoweredDisk = field(kw_only=True)

    @property
    def data(self) -> Path:
        return self.disk.folder / "data"

    def _command(self, *words: str) -> list[str]:
        """As on a machine that has come up anew: each start sees another boot id, in a mount namespace of its own."""
        boot_id = self.folder / "boot_id"
        boot_id.write_text(f"{uuid.uuid4()}\n")
        return ["unshare", "--mount", "sh", "-c", BOOTED, str(boot_id), *super()._command(*words)]

    def cut(self, moment: str, seed: int) -> Loss:
        """The power goes at this moment; every process of the installation goes with it, and the power comes back."""
        loss = self._cut(moment, seed)
        self.kill_all()
        self.disk.revive()
        return loss

    def _cut(self, moment: str, seed: int) -> Loss:
        sought = MOMENTS[moment]
        if sought is not None:
            return self.disk.cut_at(sought, random.randint(0, MOST_OPERATIONS), seed)
        if moment == "while a day is sealed":
            wait_for_sealing(self.store())
        time.sleep(random.uniform(0, 0.4))
        return self.disk.cut(seed)

    def forget_keys(self) -> None:
        """What was in memory alone is gone."""
        for file in self.keys.iterdir():
            file.unlink()

    def merge(self) -> None:
        """What asks for merges while the power is on: the engine's own come when it likes."""
        store = self.store()
        for table in ("open_events", "batches", "coverage_totals", "drains"):
            with suppress(StoreUnavailable, StoreRefused):
                store.command(f"OPTIMIZE TABLE {table}")


@dataclass
class PoweredFront(FrontProcess):
    """A front of one's own whose data folder lies on a simulated disk, and what it prints beside it."""

    elsewhere_than_data: Path = field(kw_only=True)

    @property
    def log(self) -> Path:
        return self.elsewhere_than_data / "front.log"

    @property
    def elsewhere(self) -> Path:
        return self.elsewhere_than_data / "temporary"


@dataclass
class Cuts:
    """What cuts did, summed over installations."""

    figures: Figures = field(default_factory=lambda: Figures("power"))
    met: Counter[str] = field(default_factory=Counter)
    sectors: Counter[str] = field(default_factory=Counter)
    namings: Counter[str] = field(default_factory=Counter)
    recoveries_s: list[float] = field(default_factory=list)

    def note(self, moment: str, loss: Loss) -> None:
        self.figures.row(moment).rounds += 1
        self.met[moment] += loss.was_met
        self.sectors.update(unsynced=loss.sectors, lost=loss.sectors_lost)
        self.namings.update(unsynced=loss.namings, lost=loss.namings_lost)

    def tell(self) -> None:
        waited_for = [
            moment for moment, sought in MOMENTS.items() if sought is not None and self.figures.row(moment).rounds
        ]
        met = "; ".join(f"{moment}: {self.met[moment]} of {self.figures.row(moment).rounds}" for moment in waited_for)
        sectors, namings = self.sectors, self.namings
        self.figures.remarks = [
            f"Cuts that came in the midst of what they waited for: {met or 'none waited'}.",
            f"Sectors not synced: {sectors['unsynced']:,}, of which {sectors['lost']:,} were lost.",
            f"Operations on names not synced: {namings['unsynced']:,}, of which {namings['lost']:,} were lost.",
            f"After a cut all parts ran again within {max(self.recoveries_s, default=0):.1f} s.",
        ]
        self.figures.tell()


@contextmanager
def installed(folder: Path, disk: PoweredDisk) -> Iterator[PoweredInstallation]:
    """A running one whose days are sealed seconds after their last batch, on a disk that is empty at first."""
    disk.format()
    installation = PoweredInstallation(folder, zone_at_noon(), grace_minutes=0.03, disk=disk)
    try:
        installation.start()
        yield installation
    finally:
        installation.remove()


def endure(installation: PoweredInstallation, moments: list[str], cuts: Cuts, *, does_memory_go: bool) -> None:
    """Traffic and one cut after the other; at the end all is looked up, and what is sealed must be gone."""
    past = Past()
    # A withdrawal cannot find what came under a key that is gone: who withdraws is for those whose memory stays.
    senders = Senders(installation.port, singles=4, bulks=2, past_times=past, withdrawers=0 if does_memory_go else 1)
    senders.mark = moments[0]
    with senders:
        for moment in moments:
            senders.mark = moment
            past.move()
            time.sleep(random.uniform(0.2, 1.0))
            threading.Thread(target=installation.merge).start()
            cuts.note(moment, installation.cut(moment, random.getrandbits(32)))
            if does_memory_go:
                installation.forget_keys()
            began_at = time.monotonic()
            installation.start()
            cuts.recoveries_s.append(time.monotonic() - began_at)
    look_up(installation, senders.sent, cuts, moments[-1])


def look_up(installation: PoweredInstallation, sent: Sent, cuts: Cuts, blamed: str) -> None:
    """Every event is where it belongs, once; what is sealed or withdrawn is nowhere, as if there had been no cut."""
    store, figures = installation.store(), cuts.figures
    balanced(installation, store)
    wait_for_withdrawals(store)
    until(lambda: not store.query(OF_PAST_DAYS), "every past day is sealed", SEALS_S)
    for moment in (*sent.acknowledged.values(), *sent.bulk.values()):
        figures.row(moment).acknowledged += 1
    # A disk that fails in the midst of a commit does not say what it kept: a 503 promises nothing then.
    sent.doubtful.update(sent.unpromised)
    examine(balanced(installation, store), named(store), sent, figures, blamed)
    figures.row(blamed).kept += kept_too_long(installation, store).total()
    assert not set_aside(installation.spool_dir), "what a cut tears is no damage"


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PoweredDisk]:
    with powered(tmp_path_factory.mktemp("power") / "disk") as disk:
        yield disk


@pytest.mark.parametrize("order", ["journal", "folders"])
def test_a_random_name_and_its_folders_outlive_a_cut(disk: PoweredDisk, order: Order) -> None:
    """A drainer that forgot its name would be another one, and the sealer would wait a day for the one before."""
    for seed in range(8):
        disk.format()
        file = disk.folder / "data" / "spool" / "drainer.id"
        name = identity_in(file)
        disk.cut(seed, order)
        disk.revive()
        assert identity_in(file) == name


@pytest.mark.parametrize("order", ["journal", "folders"])
def test_tables_and_rows_that_the_store_has_answered_for_outlive_a_cut(
    disk: PoweredDisk, tmp_path: Path, order: Order
) -> None:
    disk.format()
    front = PoweredFront(disk.folder / "data", elsewhere_than_data=tmp_path)
    front.data.mkdir()
    front.start()
    try:
        store = front.store()
        migrate(store)
        store.insert_lines("open_events", event_lines(1, 20), tag="b1", token="b1")
        # What the cut leaves of the rest is chosen so that nothing of it is there.
        disk.cut(next(seed for seed in range(100) if random.Random(seed).choice((0, 1, 2)) == 0), order)
        store.close()
        front.kill()
        disk.revive()
        front.start()
        store = front.store()
        assert migrate(store) == 0
        assert store.query("SELECT count() FROM open_events") == [(20,)]
        assert store.query("SELECT count() FROM seals") == [(0,)]
        store.close()
    finally:
        front.kill()


def test_power_cuts_under_load_lose_nothing_and_double_nothing(
    disk: PoweredDisk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cuts = Cuts()
    with installed(tmp_path, disk) as installation:
        endure(installation, random.sample(list(MOMENTS), SHORT_CUTS), cuts, does_memory_go=True)
    with capsys.disabled():
        cuts.tell()
    assert cuts.figures.faults == 0


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.skipif("FOOTFALL_SOAK" not in os.environ, reason="240 cuts take half an hour: make soak")
def test_hundreds_of_power_cuts_lose_nothing_and_double_nothing(
    disk: PoweredDisk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cuts, moments = Cuts(), cycle(MOMENTS)
    for number in range(SOAK_CUTS // CUTS_OF_ONE):
        folder = tmp_path / str(number)
        with installed(folder, disk) as installation:
            endure(installation, list(islice(moments, CUTS_OF_ONE)), cuts, does_memory_go=number % 2 == 0)
        shutil.rmtree(folder)
        with capsys.disabled():  # Each time: who stops it before its end has the figures of what was run.
            cuts.tell()
        assert cuts.figures.faults == 0
