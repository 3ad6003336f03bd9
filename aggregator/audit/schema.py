"""The tables as ClickHouse reports them, held against what this version's migrations make, and against P4 itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from aggregator.audit.check import (
    DELETION_IS_REAL,
    NO_IDENTIFIER,
    SHORT_LIVED,
    TRENDS_ARE_PLAIN,
    Installation,
    StoredCheck,
    Verdict,
    none_of,
    ok,
)
from aggregator.audit.tables import SCRATCH

# Types that a number or a name of few values needs. Wider ones can hold a token, and sketches hold hashes.
PLAIN_TYPE = re.compile(r"(?:LowCardinality\()?String\)?|Date|U?Int(?:8|16|32)|Enum8\(.*\)|DateTime(?:64)?\(.*\)|Bool")
# The wide columns outside of open days, none of which is about a visitor: random names of seals, batches, spools,
# drainers and lease holders, and plain sums.
KNOWN_WIDE = frozenset(
    {
        *("trend_rows.seal", "breakdown_rows.seal", "cross_rows.seal", "seals.seal", "seals.events", "seals.bounded"),
        *("seals.epsilon", "seals.delta"),
        *("batches.batch", "batches.seal", "coverage_totals.spool", "coverage_totals.requests", "arrivals.spool"),
        *("coverage_rows.before", "coverage_rows.requests"),
        *("drains.drainer", "drains.reopened", "leases.epoch", "leases.holder"),
    }
)
# What may hold tokens: the open day, and what is in no file.
OPEN = frozenset({"open_events"})
IN_MEMORY = "ENGINE = Memory"
FAIL_SAFE = "TTL inserted + toIntervalDay(if(endsWith(timezone, '/week'), 10, 3))"
TRENDS = ("trend_rows", "breakdown_rows", "cross_rows")


def tables(installation: Installation) -> Verdict:
    """Every table is one of the migrations', and the other way round."""
    there, expected = installation.tables, installation.tables_expected
    faults = [f"additional table {name}" for name in sorted(there.keys() - expected.keys())]
    faults += [f"missing table {name}" for name in sorted(expected.keys() - there.keys())]
    return none_of(
        faults,
        f"{len(there)} tables and views, all of them made by migrations",
        "find out who made it and drop it: only what migrations make is sealed, rounded and deleted",
    )


def columns(installation: Installation) -> Verdict:
    """Every column is one of the migrations', with its type."""
    there, expected = installation.tables, installation.tables_expected
    faults = []
    for name in sorted(there.keys() & expected.keys()):
        faults += [f"{name}.{column}" for column in _different(there[name].columns, expected[name].columns)]
    return none_of(
        faults,
        f"{sum(len(table.columns) for table in there.values())} columns, as the migrations made them",
        "drop the column, or run the version of Footfall that made it",
    )


def definitions(installation: Installation) -> Verdict:
    """Engine, sort key, partition key, TTL and settings are those of the migrations."""
    there, expected = installation.tables, installation.tables_expected
    faults = [
        f"{name} has {_first_difference(there[name].definition, expected[name].definition)}"
        for name in sorted(there.keys() & expected.keys())
        if there[name].columns == expected[name].columns and there[name].definition != expected[name].definition
    ]
    return none_of(
        faults,
        f"engines, keys, TTLs and settings of {len(there)} tables, as the migrations made them",
        "set it back with ALTER TABLE ... MODIFY",
    )


def plain_columns(installation: Installation) -> Verdict:
    """No column that outlives an open day can hold a token, whoever made it."""
    kept = {
        name: table
        for name, table in installation.tables.items()
        if name not in OPEN and table.definition.startswith("CREATE TABLE") and IN_MEMORY not in table.definition
    }
    faults = [
        f"{name}.{column} is {kind}"
        for name, table in sorted(kept.items())
        for column, kind in table.columns.items()
        if not PLAIN_TYPE.fullmatch(kind) and f"{name}.{column}" not in KNOWN_WIDE
    ]
    return none_of(
        faults,
        f"{len(kept)} retained tables hold names, dates and plain integers;"
        f" {len(KNOWN_WIDE)} wider columns are known and about no visitor",
        "drop the column: 64 bits, fixed strings and states of aggregates can hold a token",
    )


def fail_safe(installation: Installation) -> Verdict:
    """Open events and trends are deleted by the engine itself when their time is over."""
    there = installation.tables
    wanted = {"open_events": FAIL_SAFE, **dict.fromkeys(TRENDS, "TTL keep_until")}
    faults = [
        f"{name} has no {ttl}"
        for name, ttl in wanted.items()
        if name not in there or not re.search(rf"{re.escape(ttl)}(?: SETTINGS|$)", there[name].definition)
    ]
    return none_of(faults, "; ".join(f"{name} has {ttl}" for name, ttl in wanted.items()), "set the TTL back")


def other_databases(installation: Installation) -> Verdict:
    """The embedded store holds Footfall's database and nothing beside it."""
    if not installation.is_embedded:
        return ok("a ClickHouse server's other databases are not Footfall's")
    rows = installation.store.query(
        "SELECT database, name FROM system.tables WHERE database NOT IN"
        " ('system', 'INFORMATION_SCHEMA', 'information_schema', currentDatabase())"
    )
    faults = [f"table {database}.{name}" for database, name in rows if not database.startswith(SCRATCH)]
    return none_of(faults, "none", "drop it: nothing deletes what lies there")


def _different(there: Mapping[str, str], expected: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(there.keys() | expected.keys()):
        if name not in expected:
            yield f"{name} {there[name]} is additional"
        elif name not in there:
            yield f"{name} {expected[name]} is missing"
        elif there[name] != expected[name]:
            yield f"{name} is {there[name]}, not {expected[name]}"


def _first_difference(there: str, expected: str) -> str:
    """The clause in which two definitions part."""
    clauses = re.compile(r" (?=ENGINE =|PARTITION BY|ORDER BY|TTL |SETTINGS |AS SELECT)|, (?=\w+ = )")
    ours, theirs = clauses.split(expected), clauses.split(there)
    added = [clause for clause in theirs if clause not in ours]
    lacking = [clause for clause in ours if clause not in theirs]
    return f"{_short(added) or 'nothing'} where the migrations say {_short(lacking) or 'nothing'}"


def _short(clauses: list[str]) -> str:
    return ", ".join(clause if len(clause) <= 120 else clause[:120] + "..." for clause in clauses)


CHECKS = (
    StoredCheck("tables", NO_IDENTIFIER, tables),
    StoredCheck("columns", TRENDS_ARE_PLAIN, columns),
    StoredCheck("definitions", DELETION_IS_REAL, definitions),
    StoredCheck("plain columns", TRENDS_ARE_PLAIN, plain_columns),
    StoredCheck("time limits", SHORT_LIVED, fail_safe),
    StoredCheck("other databases", NO_IDENTIFIER, other_databases),
)
