"""The command line. It wires the parts together and holds no rules of its own.

`footfall serve` runs all of an installation on one machine: the supervisor here starts `store`,
`collect`, `aggregate` (drain and seal) and `dashboard` as processes of their own. Each part is
imported by the command that runs it, so that a collector alone needs no ClickHouse driver and chDB
is never loaded in a process that forks.

Exit status: 0 done, 1 a check found something, 2 the command could not do its work (one line says why).
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from collector.clock import SystemClock
from collector.fault import Fault, one_line
from collector.settings import Settings, SettingsError, load
from collector.startup import check_collector, check_free, lock_data, readiness_of, wait_for_lock
from dashboards.demo.options import add_options, month_arguments

if TYPE_CHECKING:
    from aggregator.finding import Finding
    from collector.supervisor import Child

DEFAULT_DATA = Path("footfall-data")
DEFAULT_CONFIG = Path("footfall.toml")
JOBS = ("drain", "seal")
# How the demo's visitors get the token made for this run: neither a file nor a command line tells it.
DEMO_TOKEN = "FOOTFALL_DEMO_TOKEN"  # noqa: S105  its name


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status."""
    options = _parser().parse_args(arguments)
    level = logging.WARNING if options.quiet else logging.INFO
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    # They warn of each attempt, and quote the statement: who asked says what failed, once.
    for library in ("urllib3.connectionpool", "clickhouse_connect"):
        logging.getLogger(library).setLevel(logging.ERROR)
    command: Callable[[Settings, argparse.Namespace], int] = options.run
    try:
        return command(options.settings(options), options)
    except SettingsError as error:
        print(*(f"footfall: {fault}" for fault in error.faults), sep="\n", file=sys.stderr)
    except (Fault, OSError, ValueError) as error:
        print(f"footfall: {one_line(error)}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    return 2


def serve(settings: Settings, options: argparse.Namespace) -> int:
    """Everything on one machine, supervised."""
    from collector.supervisor import Supervisor

    _check_machine(settings)
    lock_data(settings.data)
    for left_behind in (settings.data / "store.lock", settings.collector.spool_dir / "drainer.lock"):
        wait_for_lock(left_behind)
    supervisor = Supervisor(_parts(settings, options), is_reloadable=lambda: _is_usable(options))
    return supervisor.run(started=lambda: print(_welcome(settings), flush=True))


def demo(settings: Settings, options: argparse.Namespace) -> int:
    """All of it with a small shop and a month of visits, to look at; Ctrl-C ends it."""
    from collector.ingest_token import add_ingest_token
    from collector.supervisor import Child, Supervisor
    from dashboards.demo.folder import SITE

    if options.part is not None:
        return _demo_part(settings, options)
    _check_machine(settings)
    check_free(options.shop, "--shop")
    os.environ[DEMO_TOKEN] = add_ingest_token(options.config, "demo", SITE, trusted_addresses=True)
    shop = _command("demo", options, "--part", "shop", "--shop", str(options.shop))
    visitors = _command(
        "demo", options, "--part", "visitors", "--shop", str(options.shop), *month_arguments(options, time.time())
    )
    children = [
        *_parts(settings, options),
        Child("shop", shop, is_ready=readiness_of(options.shop), is_reloaded=False),
        Child("visitors", visitors, is_reloaded=False),
    ]
    return Supervisor(children, is_reloadable=lambda: False).run(started=lambda: None)


def _demo_part(settings: Settings, options: argparse.Namespace) -> int:
    """The shop or the visitors, as processes of their own."""
    from dashboards.access import People
    from dashboards.demo.shop import serve as serve_shop
    from dashboards.demo.visitors import Month, Visitors, welcome

    if options.part == "shop":
        serve_shop(options.shop)
        return 0

    def ready() -> str:
        # On a terminal or not: the demo's installation is new, so that there is always a link.
        link = People(settings.data).users.owner_link(is_terminal=True)
        return welcome(options.shop, _sign_in_address(settings, link or ""))

    month = Month(options.started, options.days, options.visits_per_day, options.seed)
    Visitors(settings, os.environ[DEMO_TOKEN], month, _told_to_stop()).run(ready)
    return 0


def collect(settings: Settings, options: argparse.Namespace) -> int:
    """The public side alone."""
    from collector.server import serve as serve_collector

    check_free(settings.collector.listen, "collector.listen")
    _make_data(settings)
    check_collector(settings)
    serve_collector(settings)
    return 0


def store(settings: Settings, options: argparse.Namespace) -> int:
    """The embedded store alone."""
    from aggregator.front import run_front

    if settings.aggregator.store != "embedded":
        raise Fault(
            "aggregator.store names a ClickHouse server, so there is no embedded store to run; start that server"
        )
    _make_data(settings)
    run_front(settings.data)
    return 0


def aggregate(settings: Settings, options: argparse.Namespace) -> int:
    """Drains the spools and seals finished days, until told to stop."""
    from aggregator.process import run_jobs

    _make_data(settings)
    run_jobs(settings, [options.job] if options.job else list(JOBS), _told_to_stop(), SystemClock())
    return 0


def dashboard(settings: Settings, options: argparse.Namespace) -> int:
    """The internal side alone."""
    from dashboards.server import serve as serve_dashboards

    check_free(settings.dashboards.listen, "dashboards.listen")
    serve_dashboards(settings)
    return 0


def seal(settings: Settings, options: argparse.Namespace) -> int:
    """Seals every day that is due now, once."""
    from aggregator.process import seal_now

    sealed = seal_now(settings, SystemClock())
    for line in sealed:
        print(line)
    if not sealed:
        print("no day is due")
    return 0


def site_list(settings: Settings, options: argparse.Namespace) -> int:
    """Every site: its sealed days, its open events, and whether the configuration still has it."""
    from aggregator.sites import summaries
    from aggregator.store import open_store

    opened = open_store(settings, wait_s=5.0)
    try:
        for site in summaries(settings, opened):
            days = (
                f"{site.sealed_days} sealed days, {site.first} to {site.last}" if site.sealed_days else "no sealed day"
            )
            state = "configured" if site.is_configured else "not in the configuration"
            print(site.domain, state, days, f"{site.open_events} open events", sep="\t")
    finally:
        opened.close()
    return 0


def site_remove(settings: Settings, options: argparse.Namespace) -> int:
    """Deletes everything of a site that is no longer in the configuration, for good."""
    from aggregator.sites import check_removable, holdings, remove
    from aggregator.store import open_store
    from dashboards.access import People

    check_removable(settings, options.domain)
    people = People(settings.data)
    opened = open_store(settings, wait_s=5.0)
    try:
        found = ", ".join(
            filter(None, (holdings(settings, opened, options.domain).told(), *people.of_site(options.domain)))
        )
        if not options.yes:
            told = found or "nothing that is seen from here"
            raise Fault(f"this would delete for good: {told}; repeat with --yes")
        print(f"deleting {found or 'what may be left'}", flush=True)
        people.forget_site(options.domain)
        for line in remove(settings, opened, SystemClock(), options.domain):
            print(line, flush=True)
        print(f"nothing of {options.domain} is left")
    finally:
        opened.close()
    return 0


def sql(settings: Settings, options: argparse.Namespace) -> int:
    """One SELECT over trends, printed as tab-separated values."""
    from aggregator.store import open_store
    from dashboards.sql import readable_in, select

    opened = open_store(settings, wait_s=5.0)
    try:
        for row in select(opened, options.statement, readable_in(settings)):
            print(*row, sep="\t")
    finally:
        opened.close()
    return 0


def doctor(settings: Settings, options: argparse.Namespace) -> int:
    """Does it work? A line per check with what to do; exit status 1 where one finds something."""
    from aggregator.doctor import conservation, examine

    return _told(conservation(settings) if options.ledger else examine(settings), as_json=False)


def audit(settings: Settings, options: argparse.Namespace) -> int:
    """Is it private? Looks at what the promises are about; a line per check, exit status 1 on any finding."""
    from aggregator.audit.examine import examine

    return _told(examine(settings), as_json=options.json)


def _told(findings: Iterable[Finding], *, as_json: bool) -> int:
    """Prints findings as they come, or all of them as one JSON list; returns the exit status."""
    told = []
    for finding in findings:
        told.append(finding)
        if not as_json:
            print(finding, flush=True)
    if as_json:
        print(json.dumps([finding.document() for finding in told], indent=2, ensure_ascii=False))
    return 0 if all(finding.is_well for finding in told) else 1


def token_add(settings: Settings, options: argparse.Namespace) -> int:
    """Makes a token and prints it once: for the API in people.sqlite, for ingest in the configuration file."""
    if options.site is not None and options.site not in settings.sites:
        raise Fault(f"there is no site {options.site} in the configuration; add it first")
    if options.role == "ingest":
        from collector.ingest_token import add_ingest_token

        config = _config_of(options) or DEFAULT_CONFIG
        print(add_ingest_token(config, options.name, options.site, trusted_addresses=options.trusted_addresses))
        print(f"kept as a hash in {config}; tell a running service with SIGHUP", file=sys.stderr)
        return 0
    from dashboards.access import People

    print(People(settings.data).add_token(options.name, options.role, options.site))
    return 0


def token_list(settings: Settings, options: argparse.Namespace) -> int:
    """Names, roles and sites; tokens themselves are kept nowhere."""
    from dashboards.access import People

    for access in People(settings.data).list_tokens():
        print(access.name, access.role, access.site or "(all sites)", sep="\t")
    for site in settings.sites.values():
        for ingest in site.ingest_tokens:
            print(ingest.name, "ingest", site.domain, sep="\t")
    return 0


def token_remove(settings: Settings, options: argparse.Namespace) -> int:
    """Takes back the API token of this name, and the ingest tokens of this name."""
    from collector.ingest_token import remove_ingest_tokens
    from dashboards.access import People

    is_found = People(settings.data).remove_token(options.name)
    config = _config_of(options)
    sites = remove_ingest_tokens(config, options.name) if config is not None else []
    if not (is_found or sites):
        raise Fault(f"there is no token named {options.name}; `footfall token list` shows all")
    if sites:
        print(f"removed from {', '.join(sites)} in {config}; tell a running service with SIGHUP", file=sys.stderr)
    return 0


def user_add(settings: Settings, options: argparse.Namespace) -> int:
    """Makes a user and prints the link that signs it in once, within a day."""
    from dashboards.access import People

    if options.site is not None and options.site not in settings.sites:
        raise Fault(f"there is no site {options.site} in the configuration; add it first")
    print(_sign_in_address(settings, People(settings.data).users.add(options.name, options.role, options.site)))
    return 0


def user_list(settings: Settings, options: argparse.Namespace) -> int:
    """Names, roles and sites of those who may sign in."""
    from dashboards.access import People

    for user in People(settings.data).users.list():
        print(user.name, user.role, user.site or "(all sites)", sep="\t")
    return 0


def user_link(settings: Settings, options: argparse.Namespace) -> int:
    """Prints a fresh link for a user: it signs in once, within a day."""
    from dashboards.access import People

    print(_sign_in_address(settings, People(settings.data).users.link(options.name)))
    return 0


def user_remove(settings: Settings, options: argparse.Namespace) -> int:
    """Ends a user, its sessions and its links, at once."""
    from dashboards.access import People

    if not People(settings.data).users.remove(options.name):
        raise Fault(f"there is no user named {options.name}; `footfall user list` shows all")
    return 0


def _sign_in_address(settings: Settings, token: str) -> str:
    return f"http://{settings.dashboards.listen}/sign-in/{token}"


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--config", type=Path, help=f"configuration file (default: {DEFAULT_CONFIG} where there is one)"
    )
    common.add_argument("--data", type=Path, default=DEFAULT_DATA, help="data folder (default: ./%(default)s)")
    common.add_argument("--quiet", action="store_true", help="log warnings and errors only")
    parser = argparse.ArgumentParser(
        prog="footfall", description="Counts visits, and keeps nothing that points at a person."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str, run: Callable[[Settings, argparse.Namespace], int], within: object = commands
    ) -> argparse.ArgumentParser:
        summary = (run.__doc__ or "").splitlines()[0]
        command: argparse.ArgumentParser = within.add_parser(name, parents=[common], help=summary, description=summary)  # type: ignore[attr-defined]  # argparse's type for subparsers is private
        command.set_defaults(run=run, settings=_settings)
        return command

    served = add("serve", serve)
    served.add_argument("--listen", metavar="HOST:PORT", help="the public side (default: 127.0.0.1:8000)")
    served.add_argument("--dashboards", metavar="HOST:PORT", help="the internal side (default: 127.0.0.1:8001)")
    _add_demo(commands)
    add("collect", collect)
    add("store", store)
    add("aggregate", aggregate).add_argument("--job", choices=JOBS, help="only this one (default: both)")
    add("dashboard", dashboard)
    add("seal", seal)
    add("sql", sql).add_argument("statement", help='for example "SELECT day, views FROM trend WHERE hour = 24"')
    add("doctor", doctor).add_argument("--ledger", action="store_true", help="only what became of every request")
    add("audit", audit).add_argument("--json", action="store_true", help="one list for machines")
    _add_site(commands, add)
    tokens = commands.add_parser("token", help="API and ingest tokens").add_subparsers(required=True, metavar="ACTION")
    added = add("add", token_add, tokens)
    added.add_argument("name", help="what `footfall token list` shows it as")
    added.add_argument(
        "--role",
        required=True,
        choices=("viewer", "analyst", "admin", "ingest"),
        help="ingest sends events of one site to /api/events; the others ask /api/stats",
    )
    added.add_argument("--site", help="this site only; an ingest token needs one")
    added.add_argument(
        "--trusted-addresses",
        action="store_true",
        help="addresses that its holder asserts count as networks of their own",
    )
    add("list", token_list, tokens)
    add("remove", token_remove, tokens).add_argument("name", help="as `footfall token list` shows it")
    users = commands.add_parser("user", help="people who sign in").add_subparsers(required=True, metavar="ACTION")
    added = add("add", user_add, users)
    added.add_argument("name", help="what `footfall user list` shows")
    added.add_argument(
        "--role", default="viewer", choices=("viewer", "analyst", "admin"), help="what it may do (default: %(default)s)"
    )
    added.add_argument("--site", help="this site only")
    add("list", user_list, users)
    add("link", user_link, users).add_argument("name", help="as `footfall user list` shows it")
    add("remove", user_remove, users).add_argument("name", help="as `footfall user list` shows it")
    return parser


def _add_site(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], add: Callable[..., argparse.ArgumentParser]
) -> None:
    sites = commands.add_parser("site", help="what there is of each site").add_subparsers(
        required=True, metavar="ACTION"
    )
    add("list", site_list, sites)
    removed = add("remove", site_remove, sites)
    removed.add_argument("domain", help="of a site that was taken out of the configuration")
    removed.add_argument("--yes", action="store_true", help="delete it; without this it is only told what there is")


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Not with the options of the others: its data folder is another, and its configuration its own."""
    summary = (demo.__doc__ or "").splitlines()[0]
    command = commands.add_parser("demo", help=summary, description=summary)
    command.set_defaults(run=demo, settings=_demo_settings)
    add_options(command)


def _demo_settings(options: argparse.Namespace) -> Settings:
    from dashboards.demo.folder import forget_surroundings, made_fresh

    if options.part is None:
        forget_surroundings()
        options.config = made_fresh(options.data)
    return _settings(options)


def _settings(options: argparse.Namespace) -> Settings:
    return load(_config_of(options), options.data, _environment(options))


def _config_of(options: argparse.Namespace) -> Path | None:
    if options.config is not None:
        return Path(options.config)
    return DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None


def _environment(options: argparse.Namespace) -> dict[str, str]:
    """The environment with the options of this command in it, for this process and its children alike."""
    environment = dict(os.environ)
    for option, setting in (("listen", "FOOTFALL_COLLECTOR__LISTEN"), ("dashboards", "FOOTFALL_DASHBOARDS__LISTEN")):
        if getattr(options, option, None):
            environment[setting] = getattr(options, option)
    config = _config_of(options)
    environment["FOOTFALL_DATA"] = str(options.data.resolve())
    if config is not None:
        environment["FOOTFALL_CONFIG"] = str(config.resolve())
    os.environ.update(environment)
    return environment


def _command(name: str, options: argparse.Namespace, *more: str) -> list[str]:
    config = _config_of(options)
    named = ["--config", str(config)] if config is not None else []
    quiet = ["--quiet"] if options.quiet else []
    return [sys.executable, "-m", "footfall", name, *named, "--data", str(options.data), *quiet, *more]


def _check_machine(settings: Settings) -> None:
    """What is looked at before any part is started."""
    check_free(settings.collector.listen, "collector.listen")
    check_free(settings.dashboards.listen, "dashboards.listen")
    _make_data(settings)
    check_collector(settings)


def _make_data(settings: Settings) -> None:
    """The data folder before anything in it: whoever makes it as a parent of something makes it readable by others."""
    from collector.folders import make_folder

    make_folder(settings.data)


def _parts(settings: Settings, options: argparse.Namespace) -> list[Child]:
    """What makes an installation on one machine, in the order of starting."""
    from collector.supervisor import Child

    children = [
        Child("collector", _command("collect", options), is_ready=readiness_of(settings.collector.listen)),
        Child("drain", _command("aggregate", options, "--job", "drain")),
        Child("seal", _command("aggregate", options, "--job", "seal")),
        Child("dashboards", _command("dashboard", options), is_ready=readiness_of(settings.dashboards.listen)),
    ]
    if settings.aggregator.store == "embedded":
        announcement = settings.data / "run" / "store.json"
        announcement.unlink(missing_ok=True)
        children.insert(0, Child("store", _command("store", options), is_ready=announcement.exists, is_reloaded=False))
    return children


def _told_to_stop() -> threading.Event:
    """Set once this process gets SIGTERM or SIGINT."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


def _is_usable(options: argparse.Namespace) -> bool:
    try:
        _settings(options)
    except SettingsError as error:
        logging.getLogger("footfall").error(
            "the new configuration is refused, the old one stays: %s", "; ".join(error.faults)
        )
        return False
    return True


def _welcome(settings: Settings) -> str:
    """What a newcomer needs next: where it listens, how to sign in and, on a development site, two lines to try."""
    from dashboards.access import People
    from dashboards.snippet import curl_line

    people = People(settings.data)
    public, internal = f"http://{settings.collector.listen}", f"http://{settings.dashboards.listen}"
    lines = [f"Footfall counts on {public} (public) and answers on {internal} (internal)."]
    token = people.users.owner_link(is_terminal=sys.stdout.isatty())
    if token is None:
        lines.append("Sign in with a link of: footfall user link owner")
    else:
        lines += ["Sign in (this link works once, within an hour):", f"  {_sign_in_address(settings, token)}"]
    site = next((site for site in settings.sites.values() if site.is_development), None)
    if site is not None:
        bearer = people.development_token(site.domain)
        lines += [
            "Send a first event:",
            f"  {curl_line(settings, site)}",
            "See it:",
            f"  curl -H 'Authorization: Bearer {bearer}' '{internal}/api/stats?site={site.domain}'",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
