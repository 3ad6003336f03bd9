"""The code of today over the data of an earlier version that was killed at work: each event is counted once.

An earlier commit of this repository serves until one of several past days is sealed. Then its store is killed, at the
seal of the next, events go into its spools, all of it is killed, and the code of the working tree starts over what is
left: open days, sealed days, a half-done seal and a backlog. Clients go on sending through all of that.

Which commit: the newest whose spool or schema differs from the working tree's. The full form takes the oldest that can
be upgraded, too, and the last of each layout between.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from aggregator.backlog import opened
from aggregator.store import Store, StoreRefused, StoreUnavailable
from tests.collector.collecting import until
from tests.faults.accounting import (
    Past,
    balanced,
    examine,
    kept_too_long,
    merged,
    named,
    told,
    wait_for_seals,
    wait_for_withdrawals,
    zone_at_noon,
)
from tests.faults.figures import Figures
from tests.installation import RECOVERY_S, ROOT, Installation
from tests.sender import Senders, Sent

# The second has the layout of a spool now; the first had it until the two were parted.
SPOOLS = ("collector/spool.py", "collector/spool_file.py")
MIGRATIONS = "aggregator/migrations"
# The first whose spool can be taken over: before it, counters did not tell which commit had changed them.
OLDEST = "96a65ff"
# The last before visitors could withdraw.
WITHOUT_WITHDRAWALS = "a4e81fa"
SOAK_ROUNDS = 10
# All of these are due at the same time, so that the sealer is at the next when one is sealed.
PAST_DAYS = 4
BACKLOG_EVENTS = 100


def git(*words: str) -> str:
    """What git says; skips the test where it cannot: no git, no repository, or a shallow clone without that commit."""
    try:
        done = subprocess.run(("git", "-C", str(ROOT), *words), capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("git is not installed: earlier versions are taken from it")
    if done.returncode:
        pytest.skip(f"earlier versions are not in this checkout: {done.stderr.strip()}")
    return done.stdout


def taken_out(revision: str, folder: Path, *paths: str) -> Path:
    """The files of a commit, in `folder`; leaves no trace in the repository."""
    folder.mkdir(parents=True)
    git("archive", f"--output={folder}.tar", revision, *paths)
    subprocess.run(("tar", "--extract", "--file", f"{folder}.tar", "--directory", str(folder)), check=True)
    return folder


def layout_in(root: Path) -> str:
    """How a version's spools and store are laid out."""
    spool = "\n".join((root / file).read_text() for file in SPOOLS if (root / file).exists())
    schema = re.search(r'^SCHEMA = """.*?^"""', spool, re.DOTALL | re.MULTILINE)
    version = re.search(r"^FORMAT_VERSION = .*", spool, re.MULTILINE)
    assert schema is not None
    assert version is not None
    migrations = (file.name + file.read_text() for file in sorted((root / MIGRATIONS).glob("*.sql")))
    return "\n".join((version[0], schema[0], *migrations))


def last_of_another_layout(folder: Path) -> str:
    """The newest commit whose layout is not the working tree's."""
    touched = git("log", "--format=%H", "--", *SPOOLS, MIGRATIONS).split()
    today = layout_in(ROOT)
    for place, revision in enumerate(["HEAD", *(f"{each}^" for each in touched)]):
        if layout_in(taken_out(revision, folder / str(place), "collector", MIGRATIONS)) != today:
            return git("rev-parse", "--short=7", revision).strip()
    raise AssertionError("this repository has had one layout only")


def waiting_in(spool_dir: Path, copy: Path) -> int:
    """Events in the spools of an installation that is not running; looked for in a copy, for opening changes a log."""
    shutil.copytree(spool_dir, copy)
    with opened(copy) as backlogs:
        return sum(backlog.ledger()["waiting"] for backlog in backlogs)


def upgrade(revision: str, folder: Path, figures: Figures) -> None:
    """One round."""
    installation = Installation(folder, zone_at_noon(), 0.03, root=taken_out(revision, folder / "earlier"))
    past = Past()
    row = figures.row(f"from {revision}")
    try:
        installation.start()
        store = installation.store()
        with senders_of(revision, installation, past) as first:
            for _ in range(PAST_DAYS):
                leave(past, first.sent)
        kill_while_sealing(installation, store)
        with senders_of(revision, installation, past) as second:
            until(lambda: spooled(installation.spool_dir) >= BACKLOG_EVENTS, "there is a backlog", RECOVERY_S)
            installation.kill_all()
            backlog = waiting_in(installation.spool_dir, folder / "copy")
            installation.root = ROOT
            installation.start()
        assert backlog >= BACKLOG_EVENTS
        sent = merged([first.sent, second.sent])
        row.rounds, row.acknowledged = row.rounds + 1, row.acknowledged + len(sent.acknowledged) + len(sent.bulk)
        account(installation, store, sent, row.fault, figures)
    finally:
        installation.remove()


def senders_of(revision: str, installation: Installation, past: Past) -> Senders:
    withdrawers = int(revision not in (OLDEST, WITHOUT_WITHDRAWALS))
    senders = Senders(installation.port, singles=6, bulks=2, past_times=past, withdrawers=withdrawers)
    senders.mark = f"from {revision}"
    return senders


def leave(past: Past, sent: Sent) -> None:
    """Goes on with another past day when this one has events."""
    enough = len(sent.bulk) + BACKLOG_EVENTS
    until(lambda: len(sent.bulk) >= enough, "the past day has events", RECOVERY_S)
    past.move()


def kill_while_sealing(installation: Installation, store: Store) -> None:
    """Ends the store when a day is sealed and the seal of another half done. (Earlier ones seal little under load.)"""

    def is_half_done() -> bool:
        sealed, closed = days_of(store, "seals"), days_of(store, "closings")
        return 0 < sealed < closed

    until(is_half_done, "one day is sealed and another one closed", RECOVERY_S)
    assert installation.kill("store")


def days_of(store: Store, table: str) -> int:
    try:
        return int(store.query(f"SELECT uniqExact(day, timezone) FROM {table}")[0][0])
    except (StoreUnavailable, StoreRefused):
        return 0


def spooled(spool_dir: Path) -> int:
    with opened(spool_dir) as backlogs:
        return sum(backlog.ledger()["waiting"] for backlog in backlogs)


def account(installation: Installation, store: Store, sent: Sent, mark: str, figures: Figures) -> None:
    balanced(installation, store)
    wait_for_withdrawals(store)
    examine(balanced(installation, store), named(store), sent, figures, mark)
    wait_for_seals(store)
    figures.row(mark).kept += kept_too_long(installation, store).total()
    applied = {f"{number:04}_{name}.sql" for number, name in store.query("SELECT number, name FROM migrations")}
    assert applied == {file.name for file in (ROOT / MIGRATIONS).glob("*.sql")}
    told = installation.told_ledger()
    assert told.is_balanced, told.text
    assert told.terms["sealed"] > 0


def assert_upgraded(revisions: list[str], rounds: int, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = Figures("upgrade")
    with told(figures, capsys):
        for number in range(rounds):
            for revision in revisions:
                upgrade(revision, folder / f"{revision}-{number}", figures)


def test_an_upgrade_over_a_killed_earlier_version_counts_each_event_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_upgraded([last_of_another_layout(tmp_path / "layouts")], 1, tmp_path, capsys)


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.skipif("FOOTFALL_SOAK" not in os.environ, reason="thirty upgrades take ten minutes: make soak")
def test_upgrades_over_each_earlier_layout_count_each_event_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    revisions = [OLDEST, WITHOUT_WITHDRAWALS, last_of_another_layout(tmp_path / "layouts")]
    assert_upgraded(revisions, SOAK_ROUNDS, tmp_path, capsys)
