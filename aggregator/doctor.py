"""`footfall doctor`: looks at a running installation and says, a line per check, what is well and what to do.

Whether it keeps its promises about privacy is another question, which `audit` asks.
"""

from __future__ import annotations

import ctypes
import ipaddress
import os
import resource
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from aggregator.arrivals import of_one_network
from aggregator.deletion import OPEN, retained_tables
from aggregator.finding import Finding
from aggregator.guard import ClockGuard, newest_event
from aggregator.ledger import Ledger, SpoolLedger, read_ledger
from aggregator.store import Store, StoreRefused, StoreUnavailable, open_store
from collector.clock import SystemClock
from collector.country import Countries
from collector.damage import notes_in, set_aside
from collector.keys import SIZE, KeyStorageError, prepared_folder
from collector.settings import Settings
from collector.zones import Zones, waiting

MIN_FREE_BYTES = 1 << 30
STALE_COUNTRY_FILE_S = 365 * 86_400
MAX_WAITING = 1_000_000
# The ClickHouse that the tests run with; nobody has tried an older one.
TESTED_VERSION = (26, 9)
# adjtimex(2) answers so where nobody keeps the machine's clock.
TIME_ERROR = 5
TIMEX_BYTES = 256
# What makes a 202 outlive a power cut (design: synced inserts, and synced merges, which would undo them). The small
# tables too: one part that is there and unreadable stops whoever asks its table.
SYNCED = (
    *("fsync_after_insert = 1", "fsync_part_directory = 1"),
    *("min_rows_to_fsync_after_merge = 1", "min_compressed_bytes_to_fsync_after_merge = 1"),
)
PINNED = {
    "open_events": (*SYNCED, "old_parts_lifetime = 1", "non_replicated_deduplication_window = 1000"),
    "seals": (*SYNCED, "non_replicated_deduplication_window = 1000"),
    **dict.fromkeys(
        ("trend_rows", "breakdown_rows", "cross_rows", "batches", "coverage_totals", "drains", "closings"), SYNCED
    ),
    "coverage_rows": SYNCED,
    **dict.fromkeys(("leases", "arrivals", "migrations"), SYNCED),
}
# A drainer moves events four times a second, and pauses between: within this, one of its pauses is met.
LEDGER_PATIENCE_S = 5.0
# The terms of the ledger's sum, as it is printed: the field of `Ledger`, its name, what it counts.
TERMS = (
    ("received", "received", "requests since this data folder was made"),
    ("dropped", "dropped", "refused on purpose: no consent, a bot"),
    ("invalid", "invalid", "malformed, or of a site that is not configured"),
    ("waiting", "in spool", "events on disk that are not in the store yet"),
    ("open", "open", "events of days that are not sealed"),
    ("sealed", "sealed", "events that the seals of their days have read"),
    ("late", "late", "events that came for a day already sealed"),
    ("expired", "expired", "events that could not be sealed in time, and were destroyed"),
    ("quarantined", "quarantined", "events that the store refuses, or that a damaged file has lost"),
    ("withdrawn", "withdrawn", "events deleted because their visitor withdrew consent"),
    ("removed", "removed", "events of open days deleted because their site was removed"),
)


def _found(check: str, is_well: bool, evidence: str, advice: str = "") -> Finding:
    return Finding(check, "ok" if is_well else "FINDING", evidence, advice)


def examine(settings: Settings) -> Iterator[Finding]:
    """Every check in turn; those of the store are told as one where it does not answer."""
    yield from (check(settings) for check in LOCAL)
    try:
        store = open_store(settings, wait_s=5.0)
    except (StoreUnavailable, StoreRefused) as fault:
        yield _found("store", False, str(fault), "start `footfall serve`, or see why the store does not answer")
        return
    try:
        yield from (check(settings, store) for check in STORED)
    finally:
        store.close()


def _data_folder(settings: Settings) -> Finding:
    if not settings.data.is_dir():
        return _found(
            "data folder", False, f"{settings.data} is not there", "start `footfall serve` once, or pass --data"
        )
    mode = settings.data.stat().st_mode & 0o777
    is_private = mode & 0o077 == 0
    return _found("data folder", is_private, f"{settings.data} has mode {mode:o}", f"run chmod 700 {settings.data}")


def _disk(settings: Settings) -> Finding:
    folder = settings.data if settings.data.is_dir() else settings.data.parent
    usage = os.statvfs(folder)
    free = usage.f_bavail * usage.f_frsize
    return _found(
        "disk",
        free >= MIN_FREE_BYTES,
        f"{free / 2**30:.1f} GiB free",
        "free some space: with none left events are answered 503",
    )


def _key_folder(settings: Settings) -> Finding:
    try:
        folder = prepared_folder(settings.privacy.key_dir)
    except KeyStorageError as fault:
        return _found("key folder", False, str(fault), "set privacy.key_dir to a private folder on a tmpfs")
    return _found("key folder", True, f"{folder} is memory-backed and private")


def _swap(settings: Settings) -> Finding:
    devices = Path("/proc/swaps").read_text().splitlines()[1:]
    return _found(
        "swap",
        not devices,
        f"{len(devices)} swap devices",
        "turn swap off or encrypt it: keys are locked into memory, open days in the store are not",
    )


def _country_file(settings: Settings) -> Finding:
    try:
        built = Countries(settings.collector.country_file).built_at()
    except (OSError, ValueError) as fault:
        return _found("country file", False, str(fault), "set collector.country_file to a readable .mmdb file")
    age = time.time() - built
    return _found(
        "country file",
        age < STALE_COUNTRY_FILE_S,
        f"{age / 86_400:.0f} days old",
        "update it, networks move between countries",
    )


def _clock(settings: Settings) -> Finding:
    """Sealing goes by the clock, and so do keys: somebody has to keep it."""
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    if state in (-1, TIME_ERROR):
        evidence = "the kernel does not know of anybody who keeps this machine's clock"
        return Finding(
            "clock", "remark", evidence, "run an NTP client, unless the host of this machine keeps its clock"
        )
    return Finding("clock", "ok", "kept, as the kernel knows")


def _permissions(settings: Settings) -> Finding:
    """What this user may do: write where events go, and lock keys into memory."""
    folders = [folder for folder in (settings.data, settings.collector.spool_dir) if folder.is_dir()]
    faults = [f"{folder} cannot be written" for folder in folders if not os.access(folder, os.W_OK | os.X_OK)]
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft != resource.RLIM_INFINITY and soft < max(SIZE, resource.getpagesize()):
        faults.append(f"only {soft} bytes may be locked into memory, so that keys could be swapped out")
    evidence = "; ".join(faults) or f"{len(folders)} folders can be written, keys can be locked into memory"
    return _found("permissions", not faults, evidence, "run this as the user that Footfall runs as; raise LimitMEMLOCK")


def _proxies(settings: Settings) -> Finding:
    """Behind a proxy that is not trusted every visitor has the proxy's address, and all of them are one network."""
    trusted = settings.collector.trusted_proxies
    if trusted:
        return Finding("trusted proxies", "ok", ", ".join(map(str, trusted)))
    is_public = any(not site.is_development for site in settings.sites.values())
    if is_public and _is_behind_something(settings.collector.listen.host):
        evidence = f"none, and the collector listens on {settings.collector.listen}"
        return Finding("trusted proxies", "remark", evidence, "name the proxy before it in collector.trusted_proxies")
    return Finding("trusted proxies", "ok", "none")


def _is_behind_something(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or (address.is_private and not address.is_unspecified)


def _store_version(settings: Settings, store: Store) -> Finding:
    kind = "embedded" if settings.aggregator.store == "embedded" else "a server"
    told = str(store.query("SELECT version()")[0][0])
    evidence = f"ClickHouse {told}, {kind}"
    major, minor = (int(number) for number in told.split(".")[:2])
    if (major, minor) < TESTED_VERSION:
        wanted = ".".join(map(str, TESTED_VERSION))
        return Finding("store", "FINDING", evidence, f"update it to {wanted} or later: nobody has tried an older one")
    if (major, minor) > TESTED_VERSION:
        return Finding("store", "remark", evidence, "it is newer than what Footfall was tested with; watch its log")
    return Finding("store", "ok", evidence)


def _store_settings(settings: Settings, store: Store) -> Finding:
    """Settings that durability rests on, as the tables have them."""
    rows = dict(store.query("SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()"))
    lacking = [
        f"{table} lacks {setting}"
        for table, pinned in PINNED.items()
        for setting in pinned
        if setting not in rows.get(table, "").partition(" SETTINGS ")[2].split(", ")
    ]
    evidence = "; ".join(lacking) or f"synced inserts and merges in {len(PINNED)} tables"
    return _found("store settings", not lacking, evidence, "set it back with ALTER TABLE ... MODIFY SETTING")


def _clocks(settings: Settings, store: Store) -> Finding:
    """As the sealer sees it: it seals nothing while these disagree."""
    guard = ClockGuard(SystemClock(), store.now, partial(newest_event, store))
    disagreement = guard.disagreement()
    difference_s = abs(store.now() - time.time())
    evidence = disagreement or f"store and this machine differ by {difference_s:.1f} s, no event is of the future"
    return _found("clocks", disagreement is None, evidence, "synchronise them: sealing waits until they agree")


def _ledger(settings: Settings, store: Store) -> Finding:
    return _conserved(read_ledger(settings.collector.spool_dir, store, LEDGER_PATIENCE_S))


def conservation(settings: Settings) -> Iterator[Finding]:
    """A line for each spool's sum, one for each term of the total, then whether all of it balances.

    Raises StoreUnavailable and StoreRefused.
    """
    store = open_store(settings, wait_s=5.0)
    try:
        ledger = read_ledger(settings.collector.spool_dir, store, LEDGER_PATIENCE_S)
    finally:
        store.close()
    for spool in ledger.spools:
        yield _found(spool.name, spool.accepted == spool.accounted, _sum_of(spool))
    for field, term, meaning in TERMS:
        yield Finding(term, "ok", f"{getattr(ledger, field)} {meaning}")
    yield _conserved(ledger)


def _sum_of(spool: SpoolLedger) -> str:
    return (
        f"received {spool.received} = dropped {spool.dropped} + invalid {spool.invalid} + in spool {spool.waiting}"
        f" + drained {spool.drained} + late {spool.late} + expired {spool.expired} + quarantined {spool.quarantined}"
    )


def _conserved(ledger: Ledger) -> Finding:
    received, *terms = (f"{term} {getattr(ledger, field)}" for field, term, _ in TERMS)
    evidence = "; ".join((f"{received} = {' + '.join(terms)}", *ledger.imbalances))
    is_off_in_a_spool = any(spool.accepted != spool.accounted for spool in ledger.spools)
    if ledger.is_moving and not is_off_in_a_spool:
        advice = "events move between spool, open days and seals faster than they are counted: ask again"
        return Finding("ledger", "remark", f"moving; {evidence}", advice)
    return _found("ledger", not ledger.imbalances, evidence, "an event was lost or counted twice: report this")


def _backlog(settings: Settings, store: Store) -> Finding:
    waiting = read_ledger(settings.collector.spool_dir, store).waiting
    return _found(
        "backlog", waiting < MAX_WAITING, f"{waiting} events wait in the spool", "see whether `footfall aggregate` runs"
    )


def _time_zones(settings: Settings) -> Finding:
    """A changed time zone waits until the day that is counted in the old one is over."""
    sentences = waiting(Zones(settings.collector.spool_dir), settings.sites.values(), time.time())
    if sentences:
        return Finding("time zones", "remark", "; ".join(sentences), "nothing; until then numbers are of the old one")
    return Finding("time zones", "ok", "every site is counted in its configured time zone")


def _days_counted_twice(settings: Settings, store: Store) -> Finding:
    """Where several machines collect for a site, and learnt of a changed time zone on different days."""
    rows = store.query(
        "SELECT site, day FROM trend_rows WHERE hour = 24 AND seal IN (SELECT seal FROM committed_seals)"
        " GROUP BY site, day HAVING uniqExact(timezone) > 1 ORDER BY day, site"
    )
    evidence = f"days of a site in two time zones: {', '.join(f'{site} {day}' for site, day in rows) or 'none'}"
    return _found("days", not rows, evidence, "tell whoever reads these days: some visitors may be in both")


def _vanished_sites(settings: Settings, store: Store) -> Finding:
    tables = (OPEN, *(table.name for table in retained_tables(store)))
    known = {str(site) for table in tables for (site,) in store.query(f"SELECT DISTINCT site FROM {table}")}
    vanished = sorted(known - {"", *settings.sites})
    evidence = f"data of sites that are not in the configuration: {', '.join(vanished) or 'none'}"
    return _found("sites", not vanished, evidence, "put them back, or delete their data with `footfall site remove`")


def _one_network(settings: Settings, store: Store) -> Finding:
    sites = of_one_network(store)
    evidence = f"sites whose requests all come from one network: {', '.join(sites) or 'none'}"
    return _found(
        "proxies", not sites, evidence, "name the proxy in collector.trusted_proxies: k counts its network as one"
    )


def _damaged_spools(settings: Settings) -> Finding:
    """A disk that has lost something once may do it again."""
    folder = settings.collector.spool_dir
    waiting, kept = [note.stem for note in notes_in(folder)], [file.name for file, _ in set_aside(folder)]
    told = [*(f"{name} waits to be saved" for name in waiting), *(f"{name} is kept for a day at most" for name in kept)]
    if not told:
        return Finding("damaged spools", "ok", "none")
    advice = "look at the disk; the log of `aggregate` says what is lost"
    return Finding("damaged spools", "remark", "; ".join(told), advice)


LOCAL: tuple[Callable[[Settings], Finding], ...] = (
    _data_folder,
    _disk,
    _permissions,
    _damaged_spools,
    _key_folder,
    _swap,
    _country_file,
    _clock,
    _time_zones,
    _proxies,
)
STORED: tuple[Callable[[Settings, Store], Finding], ...] = (
    _store_version,
    _store_settings,
    _clocks,
    _backlog,
    _ledger,
    _vanished_sites,
    _days_counted_twice,
    _one_network,
)
