"""The facts about one site, from the running settings: what `/privacy` and `/privacy.json` say, and nothing else.

Invariants: made from `Settings` alone, so it changes when they do; no secret of theirs has a field here (the store's
address, ingest tokens, paths).
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from collector.days import Every
from collector.declared import Declared
from collector.keys import FAIL_SAFE_S
from collector.noise import Noise
from collector.policy.country_source import CountrySource, country_source_of, source_of
from collector.settings import CNIL_MONTHS, ConsentRules, Distinct, Level, Settings

# Those of the aggregator, which this side may not import; a test holds them equal.
DEVELOPMENT_DAYS = 7
HOUR_MONTHS = 13
OPEN_DAYS: Mapping[Every, int] = MappingProxyType({"day": 3, "week": 10})
FAIL_SAFE_DAYS = int(FAIL_SAFE_S // 86_400)

LAST_REQUEST_DAYS = 1

OPT_OUT_DAYS = 400
"""The longest that browsers keep a cookie (RFC 6265bis), and what the beacon asks for."""


@dataclass(frozen=True)
class Term:
    """How long something is kept: at most so many calendar units."""

    number: int
    unit: Literal["days", "months"]


@dataclass(frozen=True)
class Retention:
    """How long numbers stay: `trends` those of whole days, `hours` those of single hours, `coverage` how many requests
    were accepted or refused."""

    trends: Term
    hours: Term
    coverage: Term


@dataclass(frozen=True)
class Policy:
    """What this installation does about `site`; `noise` is what level dp promises, None at the others.

    `fail_safe_days` bound what waits on the collector's disk, and `open_days` what waits in the store, should a day
    never be sealed.
    """

    site: str
    is_development: bool
    timezone: str
    seal_every: Every
    k: int
    distinct: Distinct
    level: Level
    consent: ConsentRules
    policy_version: str | None
    allowed_parameters: tuple[str, ...]
    loyalty: bool
    declared: Declared
    crosses: tuple[str, ...]
    noise: Noise | None
    live_view: bool
    has_reporting_servers: bool
    grace_minutes: float
    retention: Retention
    fail_safe_days: int
    open_days: int
    store: Literal["embedded", "clickhouse"]
    country_source: CountrySource
    operator_source: CountrySource | None
    software_version: str | None


def policies_of(settings: Settings) -> dict[str, Policy]:
    """The policy of each site, by domain. Raises `OSError` or `ValueError` where a file of networks cannot be read."""
    operators = settings.collector.operator_file
    sources = country_source_of(settings.collector.country_file), source_of(operators) if operators else None
    version = software_version()
    return {domain: _policy_of(settings, domain, sources, version) for domain in settings.sites}


def _policy_of(
    settings: Settings, domain: str, sources: tuple[CountrySource, CountrySource | None], version: str | None
) -> Policy:
    site = settings.sites[domain]
    return Policy(
        site=domain,
        is_development=site.is_development,
        timezone=site.timezone,
        seal_every=site.seal_every,
        k=site.k,
        distinct=site.distinct,
        level=site.level,
        consent=site.consent,
        policy_version=site.policy_version,
        allowed_parameters=site.allowed_parameters,
        loyalty=site.loyalty,
        declared=site.declared,
        crosses=site.crosses,
        noise=settings.privacy.noise if site.level == "dp" else None,
        live_view=settings.privacy.live_view,
        has_reporting_servers=bool(site.ingest_tokens),
        grace_minutes=settings.privacy.grace_minutes,
        retention=_retention(site.is_development, site.retention_months),
        fail_safe_days=FAIL_SAFE_DAYS,
        open_days=OPEN_DAYS[site.seal_every],
        store="embedded" if settings.aggregator.store == "embedded" else "clickhouse",
        country_source=sources[0],
        operator_source=sources[1],
        software_version=version,
    )


def _retention(is_development: bool, months: int) -> Retention:
    coverage = Term(CNIL_MONTHS, "months")
    if is_development:
        short = Term(DEVELOPMENT_DAYS, "days")
        return Retention(short, short, coverage)
    return Retention(Term(months, "months"), Term(min(months, HOUR_MONTHS), "months"), coverage)


def software_version() -> str | None:
    """The installed version; None where the software runs from a folder without having been installed."""
    try:
        return importlib.metadata.version("footfall")
    except importlib.metadata.PackageNotFoundError:
        return None
