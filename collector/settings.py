"""`footfall.toml` and the environment, read once into frozen settings or refused with every fault at once.

Invariants:
- What `load` returns is complete and free of contradictions; whoever holds it need not check again.
- An unknown name, in the file or as `FOOTFALL_SECTION__NAME`, is a fault: a misspelt privacy setting must not pass as
  "default".
- No fault and no `repr` repeats a value: one may have pasted the store's password into the wrong line.
- The environment wins over the file. Lists are comma separated there, tables are written as in TOML, and
  `FOOTFALL_SITE__NAME` speaks of the only site of an installation with one.

Each default stands in the `_read_*` function of its section, with its reason.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from collector import days
from collector.declared import Declared, read_declared
from collector.fault import Fault
from collector.keys import MEMORY_FILE_SYSTEMS, file_system_of
from collector.noise import NAMES as OF_NOISE
from collector.noise import Noise, read_noise
from collector.toml_table import Table, between, matching

Level = Literal["rounded", "exact", "dp"]
# What k counts: networks, or the visitors of an intranet that is one network.
Distinct = Literal["network", "visitor"]
Network = IPv4Network | IPv6Network

# CNIL, guidelines on audience measurement: what it collects is kept for 25 months at most.
CNIL_MONTHS = 25
# With 2, a link planted on one person shows to whoever follows it from one network of their own: these are two.
LEAST_K = 3
WHY_LEAST_K = "with 2, who sends from one network sees one more person come; 1 shows single people"
# The widest networks that somebody can own: 10.0.0.0/8 and fc00::/7 (RFC 1918, RFC 4193).
WIDEST_TRUSTED_PREFIX = {4: 8, 6: 7}
WILDCARD_HOSTS = ("0.0.0.0", "::")  # noqa: S104  compared with, never bound to
SECTIONS = ("collector", "aggregator", "dashboards", "privacy")
ENVIRONMENT_NAME = re.compile(r"FOOTFALL_([A-Z]+)__([A-Z0-9_]+)")
LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){LABEL}(?:\.{LABEL})*")
TIMEZONE_NAME = re.compile(r"[A-Za-z0-9_+/-]{1,64}")
SHORT_NAME = re.compile(r"[!-~](?:[ -~]{0,62}[!-~])?")
PARAMETER_NAME = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")
# The dimensions that may be crossed with each other, and those that are by default: what lists are filtered by most.
CROSSES = ("page", "source", "campaign", "country", "browser", "os", "device", "event")
CROSSABLE = (*CROSSES, "entry", "exit", "channel", "screen", "language")
SHA256_HEX = re.compile(r"[0-9a-f]{64}")


class SettingsError(Fault):
    """The configuration cannot be used; `faults` holds one line for each thing wrong with it."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True)
class Address:
    """Where a service listens: an IP address or host name, and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class ConsentRules:
    """Which sources may grant consent: the `c` field, or the page itself (`assumed`: it asks before it loads us)."""

    field: bool
    respect_dnt: bool
    assumed: bool


@dataclass(frozen=True)
class IngestToken:
    """A server's permission to send a site's events; `sha256` is the hex digest of the token."""

    name: str
    sha256: str
    trusted_addresses: bool


@dataclass(frozen=True)
class Site:
    """One configured web site or app."""

    domain: str
    timezone: str
    k: int
    level: Level
    consent: ConsentRules
    policy_version: str | None
    retention_months: int
    ingest_tokens: tuple[IngestToken, ...]
    allowed_parameters: tuple[str, ...]
    loyalty: bool = False
    declared: Declared = field(default_factory=Declared)
    distinct: Distinct = "network"
    crosses: tuple[str, ...] = CROSSES
    seal_every: days.Every = "day"

    @property
    def calendar(self) -> str:
        """By what its days are counted: those of its time zone, or the weeks of that (`collector.days`)."""
        return days.calendar_of(self.timezone, self.seal_every)

    @property
    def is_development(self) -> bool:
        """Whether k = 1 is allowed here: `localhost`, and `*.test`, which RFC 6761 keeps out of the public DNS."""
        return is_development(self.domain)


@dataclass(frozen=True)
class CollectorSettings:
    """The public side. `spool_max_bytes` bounds each worker's spool; `country_file` None is the one in the package,
    `operator_file` None is none."""

    listen: Address
    workers: int
    trusted_proxies: tuple[Network, ...]
    spool_dir: Path
    spool_max_bytes: int
    max_body_bytes: int
    country_file: Path | None
    operator_file: Path | None


@dataclass(frozen=True)
class AggregatorSettings:
    """`store` is "embedded" or `clickhouse[s]://user:password@host:port/database`; not in `repr`, for the password."""

    store: str = field(repr=False)


@dataclass(frozen=True)
class DashboardsSettings:
    """The internal side."""

    listen: Address


@dataclass(frozen=True)
class PrivacySettings:
    """What holds for every site that does not say otherwise, and where keys live (in memory: `keys` checks that)."""

    k: int
    level: Level
    grace_minutes: float
    key_dir: Path
    noise: Noise = field(default_factory=Noise)
    live_view: bool = True


@dataclass(frozen=True)
class Settings:
    """The whole configuration; `sites` by domain, in the order of the file."""

    data: Path
    collector: CollectorSettings
    aggregator: AggregatorSettings
    dashboards: DashboardsSettings
    privacy: PrivacySettings
    sites: Mapping[str, Site]


def is_development(domain: str) -> bool:
    """Whether `domain` is a name that only developers use."""
    return domain == "localhost" or domain.endswith(".test")


def load(config: Path | None, data: Path, environ: Mapping[str, str]) -> Settings:
    """The settings of the file `config` (None: none) and of `environ`, for the data folder `data`.

    Relative paths start at the folder of `config`, without one at the working folder. Raises `SettingsError`.
    """
    faults: list[str] = []
    file = _parsed_file(config)
    texts = _environment(environ, faults)
    data = data.resolve()
    base = config.resolve().parent if config else Path.cwd()
    sections = {name: _section(file, name, texts[name], faults) for name in SECTIONS}
    of_noise = [name for name in OF_NOISE if sections["privacy"].has(name)]
    privacy = _read_privacy(sections["privacy"], data, base)
    settings = Settings(
        data,
        _read_collector(sections["collector"], data, base),
        _read_aggregator(sections["aggregator"]),
        _read_dashboards(sections["dashboards"]),
        privacy,
        _read_sites(_site_tables(file, texts["site"], faults), privacy, faults),
    )
    for table in sections.values():
        table.close()
    faults += [f"{name}: unknown section; known are {', '.join(SECTIONS)} and [[site]]" for name in file]
    faults += [*_contradictions(settings), *_contradictions_of_noise(settings, of_noise)]
    if faults:
        raise SettingsError(tuple(" ".join(fault.split()) for fault in faults))
    return settings


def _parsed_file(config: Path | None) -> dict[str, object]:
    if config is None:
        return {}
    try:
        return tomllib.loads(config.read_bytes().decode())
    except OSError as error:
        fault = f"{config}: cannot be read ({error.strerror}); create it, or start without --config"
    except UnicodeDecodeError as error:
        fault = f"{config}: is not UTF-8 at byte {error.start}; save it as UTF-8"
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"at (line \d+, column \d+|end of document)", str(error))
        fault = f"{config}: is not TOML at {place[1] if place else 'some line'}; correct that line"
    raise SettingsError((fault,))


def _environment(environ: Mapping[str, str], faults: list[str]) -> dict[str, dict[str, str]]:
    texts: dict[str, dict[str, str]] = {name: {} for name in (*SECTIONS, "site")}
    for variable, text in environ.items():
        if not variable.startswith("FOOTFALL_") or "__" not in variable:
            continue
        parts = ENVIRONMENT_NAME.fullmatch(variable)
        if parts and parts[1].lower() in texts:
            texts[parts[1].lower()][parts[2].lower()] = text
        else:
            faults.append(f"{variable}: no such section; known are {', '.join(texts).upper()}")
    return texts


def _section(file: dict[str, object], name: str, texts: dict[str, str], faults: list[str]) -> Table:
    values = file.pop(name, {})
    if not isinstance(values, dict):
        faults.append(f"{name}: must be a section, written [{name}]")
        values = {}
    return Table(name, dict(values), texts, faults)


def _site_tables(file: dict[str, object], texts: dict[str, str], faults: list[str]) -> list[Table]:
    entries = file.pop("site", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        faults.append("site: must be a list of sections, each written [[site]]")
        return []
    if texts and len(entries) > 1:
        faults.append("FOOTFALL_SITE__*: must be unset where the file has several [[site]]; set it in the file")
        texts = {}
    if texts and not entries:
        entries = [{}]
    return [Table(f"site[{place}]", dict(entry), texts, faults) for place, entry in enumerate(entries, 1)]


def _read_collector(table: Table, data: Path, base: Path) -> CollectorSettings:
    widest = "a network such as 10.0.0.0/8, /8 or narrower (IPv6 /7): whom you trust may assert any address"
    return CollectorSettings(
        # Loopback: nothing is public until someone says so.
        listen=_read_listen(table, 8000),
        # One takes some 16,000 events/s; each further one costs a process and a spool of its own.
        workers=table.whole("workers", 1, 1, 64, "each is a process with its own spool"),
        # Nobody: an address that anyone may assert would let one sender pass for any number of networks.
        trusted_proxies=table.each("trusted_proxies", widest, _trusted_network),
        # In the data folder, which has to be on a local disk anyway.
        spool_dir=table.path("spool_dir", base) or data / "spool",
        # 4 GiB: a day without the store at 80 events/s of 600 bytes, on a disk of 20 GB.
        spool_max_bytes=table.whole("spool_max_bytes", 4 << 30, 1 << 20, 1 << 44, "bytes, for each worker's spool"),
        # Browsers send no longer beacon: 64 KiB is the Fetch standard's limit for keepalive requests.
        max_body_bytes=table.whole("max_body_bytes", 65_536, 1_024, 16 << 20, "bytes of one request's body"),
        # None: the file that ships with the package, under a licence that allows it.
        country_file=table.path("country_file", base),
        # None: who operates a visitor's network is not looked up, and none of these files may be shipped.
        operator_file=table.path("operator_file", base),
    )


def _read_listen(table: Table, port: int) -> Address:
    must = 'HOST:PORT, such as "127.0.0.1:8000" or "[::1]:8000"'
    return table.take("listen", str, Address("127.0.0.1", port), must, _address)


def _read_aggregator(table: Table) -> AggregatorSettings:
    # Embedded: a newcomer has no server, and one machine does not need one.
    must = '"embedded" or clickhouse[s]://user:password@host:port/database'
    return AggregatorSettings(table.take("store", str, "embedded", must, _store))


def _read_dashboards(table: Table) -> DashboardsSettings:
    # A port of its own, so that the internal side can stay unreachable.
    return DashboardsSettings(_read_listen(table, 8001))


def _read_privacy(table: Table, data: Path, base: Path) -> PrivacySettings:
    return PrivacySettings(
        # 5: statistics offices use 5 (NHS rounding, Apple's floor) to 10 (Eurostat); small sites still see something.
        k=table.whole("k", 5, LEAST_K, 1_000, f"{WHY_LEAST_K}; a development site may set less for itself"),
        # Rounded: with exact numbers a subtraction isolates people on a quarter of pages.
        level=_read_level(table, "rounded"),
        # 15: queues and bulk senders are minutes behind; each minute more, the key of a day that is over still exists.
        grace_minutes=table.take("grace_minutes", float, 15.0, "minutes from 0 to 1440", between(0.0, 1_440.0)),
        key_dir=table.path("key_dir", base) or _default_key_dir(data),
        noise=read_noise(table),
        # On: it is grouped as sealed days are. Level dp cannot have it: each look would take of its epsilon.
        live_view=table.flag("live_view", True),
    )


def _read_sites(tables: list[Table], privacy: PrivacySettings, faults: list[str]) -> dict[str, Site]:
    if not tables:
        # A newcomer's first event comes from a page or a shell on this machine.
        tables = [Table("site", {"domain": "localhost"}, {}, faults)]
    sites: dict[str, Site] = {}
    for table in tables:
        site = _read_site(table, privacy)
        if site.domain and site.domain in sites:
            faults.append(f"{table.name}.domain: two sites have it; keep one [[site]]")
        sites[site.domain] = site
    return sites


def _read_site(table: Table, privacy: PrivacySettings) -> Site:
    must = "a lower-case host name such as example.com, without scheme or port (xn-- for others than a-z)"
    if not table.has("domain"):
        table.faults.append(f"{table.name}.domain: is missing; give each [[site]] its host name")
    domain = table.take("domain", str, "", must, lambda text: matching(HOST_NAME, text))
    if domain:
        table.name = f"site[{domain}]"
    # A developer wants to see the one visit just made, whatever other sites are set to.
    development = is_development(domain)
    level = _read_level(table, "exact" if development else privacy.level)
    site = Site(
        domain=domain,
        # UTC: every guess is wrong for someone, and this one never changes its clocks.
        timezone=table.take("timezone", str, "UTC", "a time zone name such as Europe/Berlin", _timezone),
        k=_read_site_k(table, development, privacy),
        level=level,
        # Each day: what it takes longer to see of small sites, keys and open events live for.
        seal_every=table.take("seal_every", str, "day", '"day" or "week"', _every),
        # Networks: from one of them any number of visitors can be made up. An intranet behind one address has no other.
        distinct=table.take("distinct", str, "network", '"network" or "visitor"', _distinct),
        consent=_read_consent(table.table("consent")),
        # None: no version is asked for, so none can be outdated.
        policy_version=table.take("policy_version", str, None, "1 to 64 printable ASCII characters", _short_name),
        # The most that CNIL allows: year can be compared with year.
        retention_months=table.whole(
            "retention_months", CNIL_MONTHS, 1, CNIL_MONTHS, "CNIL: analytics data at most 25 months"
        ),
        ingest_tokens=_read_ingest_tokens(table),
        # None: a parameter may hold anything, a name and an address among it.
        allowed_parameters=table.each("allowed_parameters", "1 to 64 letters, digits and _.-[]", _parameter),
        # Off: it has browsers keep the day of the last visit, which the site's own notice must say, too.
        loyalty=table.flag("loyalty", False),
        declared=read_declared(table),
        crosses=_read_crosses(table, () if level == "dp" else CROSSES),
    )
    table.close()
    return site


def _read_site_k(table: Table, development: bool, privacy: PrivacySettings) -> int:
    if development:
        return table.whole("k", 1, 1, 1_000, "networks in a group")
    return table.whole("k", privacy.k, LEAST_K, 1_000, f"{WHY_LEAST_K}; only localhost and *.test may have less")


def _read_level(table: Table, default: Level) -> Level:
    must = '"rounded", "exact" or "dp"'
    return table.take("level", str, default, must, _level)


def _read_crosses(table: Table, usual: tuple[str, ...]) -> tuple[str, ...]:
    # On: without them no list of a sealed day can be narrowed to one value, and a sealed day cannot be counted again.
    if not table.has("crosses"):
        return usual
    crosses = table.each("crosses", f"one of {', '.join(CROSSABLE)}", lambda text: CROSSABLE[CROSSABLE.index(text)])
    if len(set(crosses)) < len(crosses) or len(crosses) == 1:
        table.faults.append(f"{table.name}.crosses: must be two dimensions or more, each once, or [] for none")
    return crosses


def _read_consent(table: Table) -> ConsentRules:
    rules = ConsentRules(
        # The field says what the page knows; what says nothing is dropped.
        field=table.flag("field", True),
        # A refusal that the browser speaks aloud is taken at its word.
        respect_dnt=table.flag("respect_dnt", True),
        # Nobody has consented until the operator declares that the page asks first.
        assumed=table.flag("assumed", False),
    )
    if not (rules.field or rules.assumed):
        table.faults.append(
            f"{table.name}: must leave field or assumed true, or every visit is dropped for want of consent"
        )
    table.close()
    return rules


def _read_ingest_tokens(site: Table) -> tuple[IngestToken, ...]:
    tokens: dict[str, IngestToken] = {}
    for table in site.tables("ingest_tokens"):
        name = table.take("name", str, "", "1 to 64 printable ASCII characters", _short_name)
        digest = table.take("sha256", str, "", "64 lower-case hex digits", lambda text: matching(SHA256_HEX, text))
        # Off: one server's word counts as one network, however many addresses it names.
        token = IngestToken(name, digest, table.flag("trusted_addresses", False))
        table.close()
        if not (name and digest):
            site.faults.append(f"{table.name}: must have a name and a sha256; `footfall token add` prints both")
        elif name in tokens:
            site.faults.append(f"{table.name}.name: two tokens of the site have it; rename one")
        tokens[token.name] = token
    return tuple(tokens.values())


def _contradictions(settings: Settings) -> list[str]:
    faults = []
    public, internal = settings.collector.listen, settings.dashboards.listen
    if public.port == internal.port and (
        public.host == internal.host or {public.host, internal.host} & {*WILDCARD_HOSTS}
    ):
        faults.append("dashboards.listen: must differ from collector.listen; the internal side has its own port")
    keys = settings.privacy.key_dir.resolve()
    for name, folder in (("the data folder", settings.data), ("collector.spool_dir", settings.collector.spool_dir)):
        if keys.is_relative_to(folder.resolve()):
            faults.append(f"privacy.key_dir: must not lie in {name}, where a backup would keep keys; choose a tmpfs")
    return faults


def _contradictions_of_noise(settings: Settings, given: list[str]) -> list[str]:
    """Level `dp` publishes few numbers, once; `given` are the settings of it that the file or the environment has."""
    privacy, sites = settings.privacy, [site for site in settings.sites.values() if site.level == "dp"]
    if privacy.level != "dp" and not sites:
        return [f'privacy.{name}: must be left out, or level must be "dp": it is of that level alone' for name in given]
    faults = [
        f'site[{site.domain}].{name}: must be left out where level is "dp"'
        for site in sites
        for name in _not_noisy(site)
    ]
    if privacy.live_view:
        faults.append('privacy.live_view: must be false where level is "dp"; set privacy.live_view = false')
    return faults


def _not_noisy(site: Site) -> list[str]:
    """Settings of a site that ask for numbers which level `dp` does not publish."""
    declared = site.declared
    asked = {
        # What is promised is promised for a visitor and a day.
        "seal_every": site.seal_every == "week",
        "crosses": site.crosses,
        "loyalty": site.loyalty,
        "properties": declared.properties,
        "goal": declared.goals,
        "funnel": declared.funnels,
        "experiment": declared.experiments,
    }
    return [name for name, given in asked.items() if given]


def _default_key_dir(data: Path) -> Path:
    # Named for the data folder, so that two installations of one machine never share keys.
    name = f"footfall-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}"
    is_usable = os.access("/run", os.W_OK) and file_system_of(Path("/run")) in MEMORY_FILE_SYSTEMS
    return Path("/run" if is_usable else "/dev/shm") / name  # noqa: S108  `keys` checks who owns it


def _short_name(text: str) -> str:
    return matching(SHORT_NAME, text)


def _parameter(text: str) -> str:
    return matching(PARAMETER_NAME, text)


def _timezone(text: str) -> str:
    if text.endswith(days.WEEKLY):
        raise ValueError
    days.zone(matching(TIMEZONE_NAME, text))
    return text


def _every(text: str) -> days.Every:
    if text == "day":
        return "day"
    if text == "week":
        return "week"
    raise ValueError


def _level(text: str) -> Level:
    if text == "rounded":
        return "rounded"
    if text == "exact":
        return "exact"
    if text == "dp":
        return "dp"
    raise ValueError


def _distinct(text: str) -> Distinct:
    if text == "network":
        return "network"
    if text == "visitor":
        return "visitor"
    raise ValueError


def _address(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = str(ipaddress.IPv6Address(host[1:-1]))
    else:
        matching(HOST_NAME, host)
    number = int(matching(r"[0-9]{1,5}", port)) if colon else 0
    return Address(host, between(1, 65_535)(number))


def _trusted_network(text: str) -> Network:
    network = ipaddress.ip_network(text)
    mapped = network.version == 6 and network.network_address.ipv4_mapped is not None
    if mapped or network.prefixlen < WIDEST_TRUSTED_PREFIX[network.version]:
        raise ValueError
    return network


def _store(text: str) -> str:
    if text == "embedded":
        return text
    url = urlsplit(text)
    database = url.path.removeprefix("/")
    matching(r"clickhouses?://\S+", text)
    matching(r"[A-Za-z_][A-Za-z0-9_]{0,63}", database)
    if not url.hostname or not url.port or url.query or url.fragment:
        raise ValueError
    return text
