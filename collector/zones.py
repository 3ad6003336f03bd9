"""Which calendar a site's days are counted in: the configured one, once it has taken effect (design.md section 6).

Promises:

- Every instant of a site has one (day, calendar), for ever; every day of a site has one calendar, and days never go
  back. So no (day, site) is in two seals, also not with events that are reported days later.
- A changed calendar (`collector.days`: a time zone's days, or its weeks) takes effect when the day or week that is
  counted in the old one ends there. What comes then counts in the new one, on the next day at the earliest: to the west
  that day is longer, to the east it is shorter. A week that begins so on another day than Monday ends on Sunday.
- Until then a change can be taken back, or be replaced, without a trace; afterwards that is a change of its own.

`zones.json` in the spool folder remembers, for each site, its terms: a zone, the instant from which it counts, and its
first day there. It is replaced as a whole and synced before it is believed. Workers write it as they start, one after
another under a lock; who reads it (all workers, drainer, dashboards) looks at it again for every quarter of an hour
that it meets for the first time. A change lies at least `SPREAD_S` ahead, and on the border of such a quarter, so it is
known to everybody before it matters.

It is one machine's: where several collect for one site, all have to learn of the change on the same day.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import orjson

from collector.calendar import QUARTER_S, local_day
from collector.days import date_of, day_of, ends_at, first_of, following, parts_of, zone
from collector.folders import make_folder, sync_folder
from collector.hit import MAX_CLOCK_AHEAD_S
from collector.settings import Site
from collector.spool_file import BUSY_TIMEOUT_S

log = logging.getLogger(__name__)

FILE = "zones.json"
VERSION = 1
# Longer than any request is under way, and than a server's event may be ahead of our clock.
SPREAD_S = MAX_CLOCK_AHEAD_S + 60.0
# Today of 160 sites, or 160 days of one that reports past ones; then all are looked up anew.
QUARTERS_KEPT = 16_384


class SiteDay(NamedTuple):
    """A day of a site, or the first one of a week: as a date, as ISO 8601, and the calendar that it is counted in.

    `date_iso` is the date of the instant itself, on which requests are counted.
    """

    day: date
    iso: str
    timezone: str
    date_iso: str


@dataclass(frozen=True)
class Term:
    """A calendar of a site: from the instant `since` (Unix seconds) on, and not on a day before `first_day`."""

    timezone: str
    since: float
    first_day: date


# In the order of time; the first one also has everything before it.
Terms = tuple[Term, ...]


def first_term(timezone: str) -> Terms:
    """The terms of a site that always had this calendar, as far as anybody remembers."""
    return (Term(timezone, 0.0, date.min),)


def day_at(terms: Terms, at: float) -> SiteDay:
    """The day that an event of the instant `at` (Unix seconds) counts on."""
    term = next((term for term in reversed(terms) if at >= term.since), terms[0])
    local, today = local_day(at, term.timezone), max(date_of(at, term.timezone), term.first_day).isoformat()
    if local.day >= term.first_day:
        return SiteDay(local.day, local.iso, term.timezone, today)
    return SiteDay(term.first_day, term.first_day.isoformat(), term.timezone, today)


def zone_of(terms: Terms, day: date) -> str:
    """The one calendar that `day` of the site is counted in."""
    return _term_of(terms, day).timezone


def period_of(terms: Terms, day: date) -> tuple[date, date]:
    """The first and the last day of the period that `day` of the site is counted in."""
    term = _term_of(terms, day)
    last = following(day, term.timezone) - timedelta(days=1)
    return max(first_of(day, term.timezone), term.first_day), last


def _term_of(terms: Terms, day: date) -> Term:
    return next((term for term in reversed(terms) if day >= term.first_day), terms[0])


def changed(terms: Terms, timezone: str, now: float, newest: date) -> Terms:
    """The terms once the configuration says `timezone`; `newest` is the last day that has an accepted event.

    The clock may have been ahead when that came, so a change waits for the end of that day, too.
    """
    while len(terms) > 1 and now + SPREAD_S < terms[-1].since and newest < terms[-1].first_day:
        terms = terms[:-1]
    last = terms[-1]
    if last.timezone == timezone:
        return terms
    day = max(day_of(now + SPREAD_S, last.timezone), last.first_day, newest)
    while ends_at(day, last.timezone) <= last.since:
        day = following(day, last.timezone)
    return (*terms, Term(timezone, ends_at(day, last.timezone), following(day, last.timezone)))


class Zones:
    """The zones of all sites, as remembered in `folder`; without one, each site has always had the configured zone."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._seen: tuple[int, int, int] | None = None
        self._terms: Mapping[str, Terms] = {}
        self._days: dict[tuple[str, float], SiteDay] = {}

    def day(self, site: Site, at: float) -> SiteDay:
        """The day that an event of `site` at `at` (Unix seconds) counts on: 0.2 us once it is known."""
        return self._days.get((site.domain, at // QUARTER_S)) or self._learnt(site, at)

    def terms(self, site: Site) -> Terms:
        """All terms of `site`, as the file has them now."""
        self.refresh()
        return self._terms.get(site.domain) or first_term(site.calendar)

    def known(self) -> frozenset[str]:
        """The sites whose zones are remembered."""
        self.refresh()
        return frozenset(self._terms)

    def in_use(self, sites: Iterable[Site], now: float) -> set[str]:
        """The time zones that events of `sites` count in now."""
        return {self.day(site, now).timezone for site in sites}

    def refresh(self) -> None:
        """Reads the file where it is another one than before; one that cannot be read leaves what is known."""
        if self._folder is None:
            return
        try:
            status = (self._folder / FILE).stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen != self._seen:
                self._terms, self._seen = _read(self._folder / FILE), seen
                self._days = {}
        except FileNotFoundError:
            return
        except (OSError, ValueError) as fault:
            log.error("cannot read the time zones in %s: %s", self._folder / FILE, type(fault).__name__)

    def _learnt(self, site: Site, at: float) -> SiteDay:
        found = day_at(self.terms(site), at)
        if len(self._days) >= QUARTERS_KEPT:
            self._days = {}
        self._days[site.domain, at // QUARTER_S] = found
        return found


def declare(folder: Path, sites: Iterable[Site], now: float) -> None:
    """Remembers the configured zones, once for the life of a worker. Returns when they are synced; raises `OSError`."""
    make_folder(folder)
    with _locked(folder / "zones.lock"):
        before = _kept(folder / FILE)
        after = {**before, **{site.domain: _declared(folder, site, before.get(site.domain), now) for site in sites}}
        if after != before:
            _write(folder / FILE, after)
    for domain, terms in after.items():
        if domain in before and terms != before[domain]:
            log.warning("%s", _told(domain, terms, before[domain]))


def forget(folder: Path, domain: str) -> bool:
    """Forgets a site that was removed; False where it was not known. Returns when that is synced; raises `OSError`."""
    if not (folder / FILE).exists():
        return False
    with _locked(folder / "zones.lock"):
        before = _kept(folder / FILE)
        if domain not in before:
            return False
        _write(folder / FILE, {name: terms for name, terms in before.items() if name != domain})
    return True


def waiting(zones: Zones, sites: Iterable[Site], now: float) -> list[str]:
    """A sentence for each site whose zone is not the configured one yet."""
    terms = {site.domain: zones.terms(site) for site in sites}
    return [_told(domain, of_site, of_site[:-1]) for domain, of_site in terms.items() if of_site[-1].since > now]


def _declared(folder: Path, site: Site, terms: Terms | None, now: float) -> Terms:
    if terms is None:
        return first_term(site.calendar)
    if len(terms) == 1 and terms[0].timezone == site.calendar:
        return terms
    return changed(terms, site.calendar, now, _newest(folder, site.domain))


def _newest(folder: Path, domain: str) -> date:
    """The last day that any spool has counted an accepted event of a site on."""
    found = "SELECT max(day) FROM counters WHERE site = ? AND outcome = 'accepted'"
    newest = date.min
    for file in sorted(folder.glob("spool-*.sqlite")):
        # For reading alone: who else closes a file last empties its log, and nobody knows yet whether it is whole.
        uri = f"{file.absolute().as_uri()}?mode=ro"
        # One that is being made has none; one that is damaged cannot tell.
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S)) as connection,
        ):
            (day,) = connection.execute(found, (domain,)).fetchone()
            newest = max(newest, date.fromisoformat(day or date.min.isoformat()))
    return newest


def _told(domain: str, terms: Terms, before: Terms) -> str:
    last = terms[-1]
    if len(terms) <= len(before) and last.timezone == before[len(terms) - 1].timezone:
        return f"{domain} stays counted in {_in_words(last)}: the change that waited is taken back"
    old, since = terms[-2], datetime.fromtimestamp(last.since, UTC)
    return (
        f"{domain} is counted in {_in_words(old)} until {last.first_day - timedelta(days=1)} ends there"
        f" ({since:%Y-%m-%d %H:%M} UTC), and in {_in_words(last)} from {last.first_day} on"
    )


def _in_words(term: Term) -> str:
    timezone, every = parts_of(term.timezone)
    return f"weeks of {timezone}" if every == "week" else timezone


def _kept(file: Path) -> Mapping[str, Terms]:
    """What the file says; one that says nothing readable is set aside, and the configuration counts as ever."""
    try:
        return _read(file)
    except FileNotFoundError:
        return {}
    except ValueError:
        aside = file.with_suffix(".damaged")
        file.replace(aside)
        log.error("%s cannot be read and is %s now; every site has its configured time zone at once", file, aside.name)
        return {}


def _read(file: Path) -> Mapping[str, Terms]:
    """Raises `ValueError` for what was not written here."""
    try:
        document = orjson.loads(file.read_bytes())
        if document["version"] != VERSION:
            raise ValueError("of another version")
        found = {domain: tuple(map(_term, terms)) for domain, terms in document["sites"].items()}
        if not all(found.values()):
            raise ValueError("a site without a term")
    except (KeyError, TypeError, AttributeError, LookupError) as fault:
        raise ValueError("not the zones of sites") from fault
    return found


def _term(fields: Mapping[str, object]) -> Term:
    timezone, since, first_day = fields["timezone"], fields["since"], fields["first_day"]
    if not (isinstance(timezone, str) and isinstance(since, float) and isinstance(first_day, str)):
        raise TypeError
    zone(timezone)
    return Term(timezone, since, date.fromisoformat(first_day))


def _write(file: Path, sites: Mapping[str, Terms]) -> None:
    """Whole or not at all, and on the disk when it returns."""
    draft = file.with_suffix(".draft")
    with draft.open("wb") as out:
        out.write(orjson.dumps({"version": VERSION, "sites": sites}, option=orjson.OPT_INDENT_2))
        out.flush()
        os.fsync(out.fileno())
    draft.replace(file)
    sync_folder(file.parent)


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
