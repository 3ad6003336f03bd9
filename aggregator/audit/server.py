"""The store as a program: it keeps no log of statements, listens on loopback alone, and writes where we look."""

from __future__ import annotations

from pathlib import Path

from aggregator.audit.check import KEPT_PRIVATE, NO_IDENTIFIER, Installation, StoredCheck, Verdict, none_of, ok, remark
from aggregator.audit.public_side import listening
from aggregator.endpoint import Announced

# Tables of ClickHouse's own that keep statements, or lines that quote them.
STATEMENT_LOGS = (
    *("query_log", "query_thread_log", "query_views_log", "text_log", "processors_profile_log"),
    *("opentelemetry_span_log", "asynchronous_insert_log", "crash_log", "zookeeper_log"),
)
# At these levels ClickHouse writes every statement into its log file.
TALKATIVE = ("debug", "trace", "test")


def statement_logs(installation: Installation) -> Verdict:
    """No table of the store keeps statements, which hold analysts' questions and visitors' tokens."""
    rows = installation.store.query(
        "SELECT name FROM system.tables WHERE database = 'system' AND name IN {names:Array(String)}"
        " AND NOT startsWith(engine, 'System')",
        {"names": list(STATEMENT_LOGS)},
    )
    ((logs_queries,),) = installation.store.query("SELECT value FROM system.settings WHERE name = 'log_queries'")
    kept = [name for (name,) in rows if name.startswith(("text", "crash", "zookeeper")) or logs_queries == "1"]
    return none_of(
        [f"system.{name} is kept" for name in kept],
        f"{len(rows)} such tables, log_queries is {logs_queries}",
        "switch it off in the server's configuration, or set log_queries = 0 for Footfall's user",
    )


def log_level(installation: Installation) -> Verdict:
    """The store writes no log, or one that quotes no statements."""
    rows = dict(
        installation.store.query(
            "SELECT name, value FROM system.server_settings WHERE name IN"
            " ('logger.level', 'logger.log', 'logger.console', 'logger.use_syslog')"
        )
    )
    where = [
        name for name in ("logger.log", "logger.console", "logger.use_syslog") if rows.get(name) not in (None, "", "0")
    ]
    if not rows:
        return remark("the server does not tell where it logs", "see that logger.level is information or higher")
    level = rows.get("logger.level", "")
    if where and level in TALKATIVE:
        evidence = f"{', '.join(where)} is set and the level is {level}"
        return Verdict("FINDING", evidence, "set logger.level to information: below, each statement is written down")
    return ok(f"log to {', '.join(where) or 'nowhere'}")


def sockets(installation: Installation) -> Verdict:
    """The embedded store listens on loopback alone."""
    if not installation.is_embedded:
        return remark(
            "a ClickHouse server's sockets are its own", "see that only Footfall's machines reach it, over TLS"
        )
    port = Announced(installation.settings.data / "run" / "store.json").endpoint().port
    seen = [str(address) for address, number in listening() if number == port]
    others = [address for address in seen if not address.startswith("127.") and address != "::1"]
    return none_of(
        [f"port {port} is open on {address}" for address in others],
        f"port {port} is open on {', '.join(seen) or 'nothing that is seen from here'}",
        "report this as a fault",
    )


def paths(installation: Installation) -> Verdict:
    """What the embedded store writes lies in the data folder, temporary files included."""
    rows = installation.store.query("SELECT name, value FROM system.server_settings WHERE name IN ('path', 'tmp_path')")
    rows += [("disk", path) for (path,) in installation.store.query("SELECT path FROM system.disks")]
    told = ", ".join(f"{name} {value}" for name, value in rows)
    if not installation.is_embedded:
        return remark(told, "these folders hold open days: keep them on an encrypted volume, out of backups")
    # The front's working folder is the data folder.
    data = installation.settings.data
    outside = [f"{name} is {value}" for name, value in rows if not (data / Path(value)).resolve().is_relative_to(data)]
    shown = ", ".join(f"{name} {installation.shown((data / value).resolve())}" for name, value in rows)
    return none_of(outside, shown, "report this as a fault")


CHECKS = (
    StoredCheck("logs of statements", NO_IDENTIFIER, statement_logs),
    StoredCheck("log level", NO_IDENTIFIER, log_level),
    StoredCheck("sockets of the store", KEPT_PRIVATE, sockets),
    StoredCheck("paths of the store", KEPT_PRIVATE, paths),
)
