"""Analysts' SQL: SELECT over trends, and nothing finer (design.md section 2, third border).

A statement is parsed, not searched: it must be one SELECT whose every table is in `READABLE`, without
table functions and without functions that read elsewhere. It then runs read-only.
"""

from __future__ import annotations

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from aggregator.store import Store
from collector.fault import Fault

# Not `seals`: how many events a seal read is an exact number, on a quiet day one about few people.
READABLE = frozenset({"trend", "breakdown", "coverage"})
# Scalar functions of ClickHouse that read files, dictionaries, other tables or the server's state.
FORBIDDEN_PREFIXES = ("file", "dict", "join", "getsetting", "getserversetting", "hascolumnintable", "catboost", "sleep")
LIMITS = {"readonly": 1, "max_execution_time": 60, "max_result_rows": 1_000_000, "result_overflow_mode": "throw"}


class SqlRefused(Fault):
    """The statement may not run; the message says which part of it is not allowed."""


def select(store: Store, sql: str) -> list[tuple[object, ...]]:
    """The rows of one SELECT over trends; raises `SqlRefused`, or `StoreRefused` where ClickHouse finds fault with it."""
    tables = store.query("SELECT name FROM system.tables WHERE database = currentDatabase()")
    check(sql, frozenset(name for (name,) in tables) - READABLE)
    return store.query(sql, {}, LIMITS)


def check(sql: str, unreadable: frozenset[str]) -> None:
    """Raises `SqlRefused` unless `sql` reads trends alone; `unreadable` names the other tables of the database."""
    try:
        parsed = sqlglot.parse(sql, read="clickhouse")
    except SqlglotError as error:
        raise SqlRefused(f"cannot read the statement: {str(error).splitlines()[0]}") from None
    if len(parsed) != 1 or not isinstance(parsed[0], exp.Select | exp.SetOperation):
        raise SqlRefused("only one SELECT at a time is allowed")
    statement = parsed[0]
    if next(statement.find_all(exp.SettingsProperty, exp.Into, exp.Command), None) or statement.args.get("settings"):
        raise SqlRefused("SETTINGS and INTO are not allowed")
    named = {cte.alias for cte in statement.find_all(exp.CTE)}
    for table in statement.find_all(exp.Table):
        _check_table(table, named)
    # A table can also be named where no table is expected (`x IN t`, `globalIn(x, t)`), or hide behind an alias
    # of its name in another scope: so no name of one may occur at all.
    if any(identifier.name in unreadable for identifier in statement.find_all(exp.Identifier)):
        raise SqlRefused(f"only these tables are readable: {', '.join(sorted(READABLE))}")
    if any(membership.args.get("field") is not None for membership in statement.find_all(exp.In)):
        raise SqlRefused("IN takes a list or a subquery here")
    for function in statement.find_all(exp.Anonymous):
        if str(function.this).lower().startswith(FORBIDDEN_PREFIXES):
            raise SqlRefused(f"the function {function.this} is not allowed")


def _check_table(table: exp.Table, named: set[str]) -> None:
    if not isinstance(table.this, exp.Identifier):
        raise SqlRefused("table functions are not allowed")
    if table.args.get("db") or table.name not in READABLE | named:
        raise SqlRefused(f"only these tables are readable: {', '.join(sorted(READABLE))}")
