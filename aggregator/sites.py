"""`footfall site`: what there is of each site, and a site removed with all of it, to the last byte.

The order of a removal, each step harmless when repeated: the drainer of this machine's spools removes open events and
what the spools hold (`removal`), for it alone may touch them; then the trends go, coverage, and whatever table else
names sites (`deletion`); last what is remembered of the site's time zone. At its end all of it is looked for again.
Where no drainer runs this process drains meanwhile.

It is of one machine: where several collect, it is run on each. Open events and trends are the store's, and so they go
wherever it is run; what another machine's spools hold still goes when it is run there.
"""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from aggregator.backlog import opened
from aggregator.deletion import delete, doomed, retained_tables, wait_for_parts
from aggregator.destroy import detached_parts, drop_detached
from aggregator.drain import Drainer, DrainerBusyError
from aggregator.store import Store
from aggregator.withdrawal_record import opened_record
from collector import zones
from collector.clock import Clock
from collector.fault import Fault
from collector.folders import make_folder
from collector.keys import Keys
from collector.settings import HOST_NAME, WILDCARD_HOSTS, Settings
from collector.zones import Zones

# A drainer comes round four times a second; a large open day takes it a minute.
POLL_S = 0.1
PATIENCE_S = 900.0
ANSWER_S = 5.0
# Rows that a seal or another machine's drainer brought in meanwhile are removed in the next pass.
PASSES = 10
PASS_PAUSE_S = 2.0


@dataclass(frozen=True)
class Holdings:
    """What there is of one site: `open_events`, the rows of each other table, and what this machine's spools know.

    `detached` parts of these tables are of no site that anybody could tell.
    """

    open_events: int
    rows: Mapping[str, int]
    is_in_spools: bool
    has_time_zone: bool
    detached: int

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing that is known to be the site's."""
        return not (self.open_events or self.rows or self.is_in_spools or self.has_time_zone)

    def told(self) -> str:
        parts = [f"{self.open_events} events of open days"] if self.open_events else []
        parts += [f"{rows} rows of {table}" for table, rows in self.rows.items()]
        parts += ["what the spools know of it"] if self.is_in_spools or self.has_time_zone else []
        parts += [f"{self.detached} detached parts, which may hold rows of it"] if self.detached else []
        return ", ".join(parts)


@dataclass(frozen=True)
class SiteSummary:
    """A line of `footfall site list`; `first` and `last` are None where no day is sealed with numbers."""

    domain: str
    is_configured: bool
    sealed_days: int
    first: date | None
    last: date | None
    open_events: int


def holdings(settings: Settings, store: Store, domain: str) -> Holdings:
    """What there is of a site now."""
    open_events = int(_count(store, "open_events", domain))
    tables = [table.name for table in retained_tables(store)]
    rows = {table: _count(store, table, domain) for table in tables}
    detached = sum(len(detached_parts(store, table)) for table in tables)
    with opened(settings.collector.spool_dir) as backlogs:
        is_in_spools = any(backlog.knows_site(domain) for backlog in backlogs)
    has_time_zone = domain in Zones(settings.collector.spool_dir).known()
    held = {table: count for table, count in rows.items() if count}
    return Holdings(open_events, held, is_in_spools, has_time_zone, detached)


def summaries(settings: Settings, store: Store) -> list[SiteSummary]:
    """Every site of the configuration, in its order, then those that vanished from it and still have data."""
    sealed = {
        str(site): (int(days), first, last)
        for site, days, first, last in store.query(
            "SELECT site, uniqExact(day), min(day), max(day) FROM trend WHERE hour = 24 GROUP BY site"
        )
    }
    open_events = dict(store.query("SELECT toString(site), count() FROM open_events GROUP BY site"))
    vanished = sorted({*sealed, *open_events} - settings.sites.keys())
    return [
        SiteSummary(domain, domain in settings.sites, *sealed.get(domain, (0, None, None)), open_events.get(domain, 0))
        for domain in (*settings.sites, *vanished)
    ]


def check_removable(settings: Settings, domain: str) -> None:
    """Raises `Fault` where the site is in the configuration, or this machine's collector still takes its events."""
    if not HOST_NAME.fullmatch(domain):
        raise Fault("DOMAIN must be a lower-case host name such as example.com")
    if domain in settings.sites:
        raise Fault(
            f"{domain} is in the configuration; take its [[site]] out of it, tell a running service with SIGHUP,"
            " then repeat this"
        )
    if _is_taken(settings, domain):
        raise Fault(f"the running collector still takes events of {domain}; send `footfall serve` SIGHUP, then repeat")


def remove(settings: Settings, store: Store, clock: Clock, domain: str) -> Iterator[str]:
    """Removes a site; yields a line for each step that is done. Raises `Fault`, and what the store raises.

    It returns when nothing of the site is left, in the store's files and in this machine's spools.
    """
    for _ in range(PASSES):
        yield from _remove_open(settings, store, clock, domain)
        yield from _remove_retained(settings, store, domain)
        if zones.forget(settings.collector.spool_dir, domain):
            yield "time zone: forgotten"
        left = holdings(settings, store, domain)
        if left.is_nothing:
            return
        yield f"came in meanwhile: {left.told()}"
        time.sleep(PASS_PAUSE_S)
    raise Fault(f"data of {domain} keeps coming in; see whether a collector on another machine still has the site")


def _remove_open(settings: Settings, store: Store, clock: Clock, domain: str) -> Iterator[str]:
    """By the drainer of this machine, which is asked in its record."""
    folder = settings.collector.spool_dir
    make_folder(folder)
    before = _count(store, "open_events", domain)
    deadline = clock.boot() + PATIENCE_S
    with opened_record(folder) as record, contextlib.ExitStack() as ending:
        record.ask_removal(domain)
        drainer = _own_drainer(settings, store, clock, ending)
        while domain in record.removing():
            if clock.boot() > deadline:
                raise Fault(
                    f"{domain} is not removed yet: {_count(store, 'open_events', domain)} of its events are open, and"
                    " their day is being sealed or no drainer runs; see the log of `footfall aggregate`, then repeat"
                )
            if drainer is None:
                time.sleep(POLL_S)
            else:
                drainer.round()
    yield f"open days and spools: {before} events deleted"


def _own_drainer(settings: Settings, store: Store, clock: Clock, ending: contextlib.ExitStack) -> Drainer | None:
    """None where another process drains these spools."""
    try:
        keys = Keys(settings.privacy.key_dir, settings.privacy.grace_minutes * 60, clock)
        drainer = Drainer(settings, store, keys, clock)
    except DrainerBusyError:
        return None
    ending.callback(drainer.close)
    return drainer


def _remove_retained(settings: Settings, store: Store, domain: str) -> Iterator[str]:
    on_this_disk = settings.aggregator.store == "embedded"
    for table in retained_tables(store):
        days = _days(store, table.name, domain) if table.has_days else [date(1970, 1, 1)]
        rows = 0
        if days:
            with doomed(store, [(domain, day) for day in days]) as number:
                rows = delete(store, table, number, on_this_disk=on_this_disk)
        # Nobody reads what is detached, and nobody can tell whose it is.
        detached = detached_parts(store, table.name)
        drop_detached(store, table.name, detached)
        # An earlier removal may have died before the parts were gone.
        wait_for_parts(store, table.name, on_this_disk=on_this_disk)
        if rows or detached:
            more = f", and {len(detached)} detached parts" if detached else ""
            yield f"{table.name}: {rows} rows deleted{more}"


def _days(store: Store, table: str, domain: str) -> list[date]:
    found = store.query(f"SELECT DISTINCT day FROM {table} WHERE site = {{site:String}}", {"site": domain})
    return [day for (day,) in found]


def _count(store: Store, table: str, domain: str) -> int:
    return int(store.query(f"SELECT count() FROM {table} WHERE site = {{site:String}}", {"site": domain})[0][0])


def _is_taken(settings: Settings, domain: str) -> bool:
    """Whether a collector listens here that still knows the site."""
    listen = settings.collector.listen
    host = "127.0.0.1" if listen.host in WILDCARD_HOSTS else listen.host
    connection = http.client.HTTPConnection(host, listen.port, timeout=ANSWER_S)
    try:
        connection.request("GET", f"/privacy.json?site={domain}")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False  # None runs here.
    finally:
        connection.close()
