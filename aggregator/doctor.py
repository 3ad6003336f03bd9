"""`footfall doctor`: looks at a running installation and says, a line per check, what is well and what to do."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from aggregator.ledger import read_ledger
from aggregator.store import Store, StoreRefused, StoreUnavailable, open_store
from collector.country import Countries
from collector.keys import KeyStorageError, prepared_folder
from collector.settings import Settings

MAX_CLOCK_DIFFERENCE_S = 60.0
MIN_FREE_BYTES = 1 << 30
STALE_COUNTRY_FILE_S = 365 * 86_400
MAX_WAITING = 1_000_000


@dataclass(frozen=True)
class Finding:
    """One check: whether it holds, its evidence, and what to do where it does not."""

    check: str
    is_well: bool
    evidence: str
    advice: str = ""

    def __str__(self) -> str:
        mark = "ok  " if self.is_well else "FAIL"
        return f"{mark} {self.check}: {self.evidence}" + ("" if self.is_well else f"; {self.advice}")


def examine(settings: Settings) -> Iterator[Finding]:
    """Every check in turn; those of the store are told as one where it does not answer."""
    yield from (check(settings) for check in LOCAL)
    try:
        store = open_store(settings, wait_s=5.0)
    except (StoreUnavailable, StoreRefused) as fault:
        yield Finding("store", False, str(fault), "start `footfall serve`, or see why the store does not answer")
        return
    try:
        yield from (check(settings, store) for check in STORED)
    finally:
        store.close()


def _data_folder(settings: Settings) -> Finding:
    if not settings.data.is_dir():
        return Finding(
            "data folder", False, f"{settings.data} is not there", "start `footfall serve` once, or pass --data"
        )
    mode = settings.data.stat().st_mode & 0o777
    is_private = mode & 0o077 == 0
    return Finding("data folder", is_private, f"{settings.data} has mode {mode:o}", f"run chmod 700 {settings.data}")


def _disk(settings: Settings) -> Finding:
    folder = settings.data if settings.data.is_dir() else settings.data.parent
    usage = os.statvfs(folder)
    free = usage.f_bavail * usage.f_frsize
    return Finding(
        "disk",
        free >= MIN_FREE_BYTES,
        f"{free / 2**30:.1f} GiB free",
        "free some space: with none left events are answered 503",
    )


def _key_folder(settings: Settings) -> Finding:
    try:
        folder = prepared_folder(settings.privacy.key_dir)
    except KeyStorageError as fault:
        return Finding("key folder", False, str(fault), "set privacy.key_dir to a private folder on a tmpfs")
    return Finding("key folder", True, f"{folder} is memory-backed and private")


def _swap(settings: Settings) -> Finding:
    devices = Path("/proc/swaps").read_text().splitlines()[1:]
    return Finding(
        "swap",
        not devices,
        f"{len(devices)} swap devices",
        "turn swap off or encrypt it: keys are locked into memory, open days in the store are not",
    )


def _country_file(settings: Settings) -> Finding:
    try:
        built = Countries(settings.collector.country_file).built_at()
    except (OSError, ValueError) as fault:
        return Finding("country file", False, str(fault), "set collector.country_file to a readable .mmdb file")
    age = time.time() - built
    return Finding(
        "country file",
        age < STALE_COUNTRY_FILE_S,
        f"{age / 86_400:.0f} days old",
        "update it, networks move between countries",
    )


def _store_version(settings: Settings, store: Store) -> Finding:
    kind = "embedded" if settings.aggregator.store == "embedded" else "a server"
    return Finding(
        "store",
        True,
        f"ClickHouse {store.query('SELECT version()')[0][0]}, {kind}",
    )


def _store_clock(settings: Settings, store: Store) -> Finding:
    difference = abs(store.now() - time.time())
    is_well = difference <= MAX_CLOCK_DIFFERENCE_S
    return Finding(
        "clocks",
        is_well,
        f"store and this machine differ by {difference:.1f} s",
        "synchronise them: sealing waits until they agree",
    )


def _ledger(settings: Settings, store: Store) -> Finding:
    ledger = read_ledger(settings.collector.spool_dir, store)
    evidence = (
        f"received {ledger.received} = dropped {ledger.dropped} + invalid {ledger.invalid} + in spool {ledger.waiting}"
        f" + open {ledger.open} + sealed {ledger.sealed} + late {ledger.late} + expired {ledger.expired}"
        f" + quarantined {ledger.quarantined}"
    )
    return Finding(
        "ledger",
        not ledger.imbalances,
        "; ".join((evidence, *ledger.imbalances)),
        "while events flow try again; else report this as a fault",
    )


def _backlog(settings: Settings, store: Store) -> Finding:
    waiting = read_ledger(settings.collector.spool_dir, store).waiting
    return Finding(
        "backlog", waiting < MAX_WAITING, f"{waiting} events wait in the spool", "see whether `footfall aggregate` runs"
    )


def _vanished_sites(settings: Settings, store: Store) -> Finding:
    known = {
        site
        for (site,) in store.query(
            "SELECT DISTINCT site FROM trend_rows UNION DISTINCT SELECT DISTINCT site FROM open_events"
        )
    }
    vanished = sorted(known - settings.sites.keys())
    evidence = f"data of sites that are not in the configuration: {', '.join(vanished) or 'none'}"
    return Finding("sites", not vanished, evidence, "put them back, or remove their data")


LOCAL: tuple[Callable[[Settings], Finding], ...] = (_data_folder, _disk, _key_folder, _swap, _country_file)
STORED: tuple[Callable[[Settings, Store], Finding], ...] = (
    _store_version,
    _store_clock,
    _backlog,
    _ledger,
    _vanished_sites,
)
