"""Sealed rows against the k rule, as far as it can be seen once people are gone, and against their own time limits.

Which k a site had when a day was sealed is written nowhere: the seal's record states the smallest of its sites. So rows
have to fit that k or the one that the site has now; where sites of one time zone differ in k, the smaller one will do.
A site's rows have noise where the record says so of all its sites, or of some, and the site has level dp now.
Development sites have rules of their own and are left out.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import NamedTuple

from aggregator.audit.check import (
    AT_LEAST_K,
    DELETION_IS_REAL,
    NO_EXACT_NUMBER,
    POLICY_IS_TRUE,
    Installation,
    StoredCheck,
    Verdict,
    none_of,
    ok,
    remark,
)
from aggregator.audit.spools import counted_sites
from aggregator.deletion import retained_tables
from aggregator.retention import limited_tables, past_days, today_of
from aggregator.rollup import months_after, rules_of
from aggregator.store import statement
from collector.settings import CNIL_MONTHS, Level, is_development

# Writing a large day's rows takes minutes; an hour later a seal that is not committed never will be.
BEING_SEALED_S = 3_600.0
# The sealer deletes what is past its time each day (`retention`); one may be away over a weekend's day.
PAST_TIME = timedelta(days=2)
AWAY = "see whether `footfall aggregate` runs, and what it logs: it deletes these rows each day"
FEWEST_VISITS_FOR_BOUNCES = 4


class Sealed(NamedTuple):
    """The rows of one site under one seal: how many, the divisor of all their numbers (0: all are 0), and extremes."""

    site: str
    day: date
    seal_k: int
    seal_level: str
    seal_epsilon: float
    rows: int
    divisor: int
    fewest_visitors: int
    fewest_visits_with_bounces: int
    rows_without_noise: int


def group_size(installation: Installation) -> Verdict:
    """Nobody is shown in a group below k: visitors are 0 or at least k, bounces are shown from 4k visits on."""
    groups = _published(installation)
    faults = []
    for group in groups:
        k = min(_ks(installation, group))
        if 0 < group.fewest_visitors < k:
            faults.append(f"{_named(group)}: a row of {group.fewest_visitors} visitors, k = {k}")
        if 0 < group.fewest_visits_with_bounces < FEWEST_VISITS_FOR_BOUNCES * k:
            faults.append(f"{_named(group)}: bounces of {group.fewest_visits_with_bounces} visits, k = {k}")
    return none_of(
        faults,
        f"{sum(group.rows for group in groups)} rows of {len(groups)} sealed site-days",
        "delete these rows and report this as a fault, unless k was changed since",
    )


def rounding(installation: Installation) -> Verdict:
    """Where the level is rounded, every number is a multiple of k."""
    groups = [group for group in _published(installation) if _level(installation, group) == "rounded"]
    faults = [
        f"{_named(group)}: not every number is a multiple of k = {_k_told(installation, group)}"
        for group in groups
        if all(group.divisor % k for k in _ks(installation, group))
    ]
    return none_of(
        faults,
        f"{sum(group.rows for group in groups)} rows of {len(groups)} sealed site-days, all numbers multiples of k",
        "delete these rows and report this as a fault, unless level or k were changed since",
    )


def noisy(installation: Installation) -> Verdict:
    """Where noise was drawn, nothing is there beside it: no hours, rests, pairs, and no other measure."""
    groups = [group for group in _published(installation) if _level(installation, group) == "dp"]
    faults = [
        f"{_named(group)}: {group.rows_without_noise} rows that level dp does not publish"
        for group in groups
        if group.rows_without_noise
    ]
    return none_of(
        faults,
        f"{sum(group.rows for group in groups)} rows of {len(groups)} sealed site-days with noise",
        "delete these rows and report this as a fault: they take more of a visitor's epsilon than is said",
    )


def exact_sites(installation: Installation) -> Verdict:
    """Sites that show numbers as counted: allowed, and never forgotten."""
    sites = [site for site in installation.settings.sites.values() if site.level == "exact" and not site.is_development]
    if not sites:
        return ok("no site shows numbers as counted, but for development sites")
    listed = ", ".join(site.domain for site in sites)
    return remark(f"level exact: {listed}", 'subtracting can isolate people there: consider level = "rounded"')


def uncommitted(installation: Installation) -> Verdict:
    """No rows are left of seals that were not committed."""
    rows = installation.store.query(statement("audit_uncommitted"))
    faults = [
        f"{table}: {count} rows of {day} in {timezone} under a seal without a record"
        for table, day, timezone, count, closed_at in rows
        if installation.store.now() - closed_at > BEING_SEALED_S or _is_sealed(installation, day, timezone)
    ]
    return none_of(
        faults,
        f"none{', but those of a day that is being sealed now' if rows else ''}",
        "run `footfall seal`; delete them where it leaves them",
    )


def past_time(installation: Installation) -> Verdict:
    """No row is older than its own `keep_until` says, two days for a sealer that was away allowed."""
    limit = today_of(installation.store) - PAST_TIME
    faults = []
    for table in limited_tables(installation.store):
        ((count, oldest),) = installation.store.query(
            f"SELECT count(), min(keep_until) FROM {table.name} WHERE keep_until < {{limit:Date}}", {"limit": limit}
        )
        if count:
            faults.append(f"{table.name}: {count} rows that were to go by {oldest}")
    return none_of(faults, f"no row was to go before {limit}", AWAY)


def retention(installation: Installation) -> Verdict:
    """No row is past what the site's retention_months give its day now, and none may stay longer than any site's."""
    faults, site_days = [], 0
    limit = today_of(installation.store) - PAST_TIME
    for table in limited_tables(installation.store):
        past = sorted(past_days(installation.store, installation.settings, table, limit))
        faults += [f"{table.name}: {site} {day} is past the retention of its site" for site, day in past]
        days = installation.store.query(f"SELECT toString(site), day, max(keep_until) FROM {table.name} GROUP BY 1, 2")
        site_days += len(days)
        faults += [
            f"{table.name}: {site} {day} is kept until {until}" for site, day, until in days if _is_long(day, until)
        ]
    return none_of(faults, f"{site_days} site-days, none past its site's retention_months", AWAY)


def _is_long(day: date, until: date) -> bool:
    """Whether a row may stay longer than a site's retention can be."""
    return until > months_after(day, CNIL_MONTHS)


def removed_sites(installation: Installation) -> Verdict:
    """What is kept is about sites of the configuration, in the store and in the spools."""
    faults = []
    for table in ("open_events", *(table.name for table in retained_tables(installation.store))):
        rows = installation.store.query(
            f"SELECT site, count() FROM {table} WHERE site != '' GROUP BY site ORDER BY site"
        )
        faults += [
            f"{table}: {count} rows of {site}" for site, count in rows if site not in installation.settings.sites
        ]
    for file, site in counted_sites(installation):
        if site not in installation.settings.sites:
            faults.append(f"{installation.shown(file)}: counts of {site}")
    return none_of(
        faults,
        "data of configured sites alone",
        "put the site back into the configuration, or run `footfall site remove` for it",
    )


def _published(installation: Installation) -> list[Sealed]:
    """Committed rows by site and seal, without development sites, which have rules of their own."""
    rows = installation.store.query(statement("audit_published"))
    return [group for group in (Sealed(*row) for row in rows) if not is_development(group.site)]


def _ks(installation: Installation, group: Sealed) -> set[int]:
    """What k may have been: what the seal's record states, which is no use where a development site made it 1, or what
    the site has now."""
    return {rules_of(installation.settings, group.site, group.day).k, *([group.seal_k] if group.seal_k > 1 else [])}


def _k_told(installation: Installation, group: Sealed) -> str:
    return " or ".join(map(str, sorted(_ks(installation, group))))


def _level(installation: Installation, group: Sealed) -> Level:
    """Noise where it was drawn for all sites of the seal, or for some and the site is one of these now."""
    now = rules_of(installation.settings, group.site, group.day)
    if group.seal_level == "dp" or (group.seal_epsilon > 0 and now.is_noisy):
        return "dp"
    return "exact" if now.exact else "rounded"


def _is_sealed(installation: Installation, day: date, timezone: str) -> bool:
    return any((sealed.day, sealed.timezone) == (day, timezone) for sealed in installation.sealed)


def _named(group: Sealed) -> str:
    return f"{group.site} {group.day}"


CHECKS = (
    StoredCheck("group size", AT_LEAST_K, group_size),
    StoredCheck("rounding", NO_EXACT_NUMBER, rounding),
    StoredCheck("noise", NO_EXACT_NUMBER, noisy),
    StoredCheck("exact sites", NO_EXACT_NUMBER, exact_sites),
    StoredCheck("uncommitted rows", AT_LEAST_K, uncommitted),
    StoredCheck("rows past their time", DELETION_IS_REAL, past_time),
    StoredCheck("retention", POLICY_IS_TRUE, retention),
    StoredCheck("removed sites", DELETION_IS_REAL, removed_sites),
)
