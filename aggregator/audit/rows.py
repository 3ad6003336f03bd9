"""Sealed rows against the k rule, as far as it can be seen once people are gone, and against their own time limits.

Which k a site had when a day was sealed is written nowhere: the seal's record states the smallest of its sites. So rows
have to fit that k or the one that the site has now; where sites of one time zone differ in k, the smaller one will do.
Development sites have rules of their own and are left out.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import partial
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
from aggregator.rollup import rules_of
from aggregator.store import statement
from collector.settings import is_development

# Writing a large day's rows takes minutes; an hour later a seal that is not committed never will be.
BEING_SEALED_S = 3_600.0
# The engine looks for expired rows every four hours (merge_with_ttl_timeout), in parts that it has time for.
PAST_TIME = timedelta(days=2)
FEWEST_VISITS_FOR_BOUNCES = 4


class Sealed(NamedTuple):
    """The rows of one site under one seal: how many, the divisor of all their numbers (0: all are 0), and extremes."""

    site: str
    day: date
    seal_k: int
    rows: int
    divisor: int
    fewest_visitors: int
    fewest_visits_with_bounces: int


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
    groups = [group for group in _published(installation) if not _is_exact(installation, group)]
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
    """No row is older than its own `keep_until` says, two days for the engine's merges allowed."""
    limit = datetime.fromtimestamp(installation.store.now(), UTC).date() - PAST_TIME
    faults = []
    for table in ("trend_rows", "breakdown_rows"):
        ((count, oldest),) = installation.store.query(
            f"SELECT count(), min(keep_until) FROM {table} WHERE keep_until < {{limit:Date}}", {"limit": limit}
        )
        if count:
            faults.append(f"{table}: {count} rows that were to go by {oldest}")
    return none_of(
        faults,
        f"no row was to go before {limit}",
        "run SYSTEM START TTL MERGES and OPTIMIZE TABLE ... FINAL for these tables",
    )


def retention(installation: Installation) -> Verdict:
    """Rows go when the site's retention_months says, not later."""
    rows = installation.store.query(
        "SELECT site, day, max(keep_until) FROM"
        " (SELECT site, day, keep_until FROM trend_rows UNION ALL SELECT site, day, keep_until FROM breakdown_rows)"
        " GROUP BY site, day ORDER BY site, day"
    )
    kept_until = partial(rules_of, installation.settings)
    longer = [(site, day, until) for site, day, until in rows if until > kept_until(site, day).keep_until]
    faults = [
        f"{site} {day}: kept until {until}, not {kept_until(site, day).keep_until}" for site, day, until in longer
    ]
    return none_of(
        faults,
        f"{len(rows)} site-days, none kept longer than the site's retention_months",
        "set keep_until of these rows with ALTER TABLE ... UPDATE",
    )


def removed_sites(installation: Installation) -> Verdict:
    """What is kept is about sites of the configuration."""
    faults = []
    for table in ("trend_rows", "breakdown_rows", "coverage_totals", "open_events"):
        rows = installation.store.query(
            f"SELECT site, count() FROM {table} WHERE site != '' GROUP BY site ORDER BY site"
        )
        faults += [
            f"{table}: {count} rows of {site}" for site, count in rows if site not in installation.settings.sites
        ]
    return none_of(
        faults, "data of configured sites alone", "put the site back into the configuration, or delete its rows"
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


def _is_exact(installation: Installation, group: Sealed) -> bool:
    return rules_of(installation.settings, group.site, group.day).exact


def _is_sealed(installation: Installation, day: date, timezone: str) -> bool:
    return any((sealed.day, sealed.timezone) == (day, timezone) for sealed in installation.sealed)


def _named(group: Sealed) -> str:
    return f"{group.site} {group.day}"


CHECKS = (
    StoredCheck("group size", AT_LEAST_K, group_size),
    StoredCheck("rounding", NO_EXACT_NUMBER, rounding),
    StoredCheck("exact sites", NO_EXACT_NUMBER, exact_sites),
    StoredCheck("uncommitted rows", AT_LEAST_K, uncommitted),
    StoredCheck("rows past their time", DELETION_IS_REAL, past_time),
    StoredCheck("retention", POLICY_IS_TRUE, retention),
    StoredCheck("removed sites", DELETION_IS_REAL, removed_sites),
)
