"""Analysts' SQL: SELECT over trends, and nothing finer (design.md section 2, third border).

A statement is parsed, not searched: it must be one SELECT whose every table is in `READABLE`, without
table functions and without functions that read elsewhere. What runs, read-only, is the text made anew
from what was parsed and checked, never the analyst's own: where ClickHouse reads comments, quotes or
escapes otherwise than the parser does, there is nothing left to read otherwise.
"""

from __future__ import annotations

import re
from itertools import pairwise

import sqlglot
from sqlglot import TokenType, exp
from sqlglot.errors import SqlglotError

from aggregator.store import Store
from collector.fault import Fault
from collector.settings import Settings

# Not `seals`: how many events a seal read is an exact number, on a quiet day one about few people.
READABLE = frozenset({"trend", "breakdown", "cross_breakdown", "flow", "coverage"})
# Functions of ClickHouse that read files, dictionaries, other tables, the network or the server's state, or write logs.
FORBIDDEN_FUNCTION = re.compile(
    r"(?:file|dict|join|get|has(?:column|table)|catboost|sleep|log(?:trace|debug|info|warn|error)|evalml|model|region"
    r"|hostname|fqdn|displayname|server|tcpport|zookeeper|showcertificate|globalvariable|addressto|demangle|url\b|query(?:id)?\Z|(?:user|version)\Z"
    r"|initialquery|connectionid|current(?:user|role|profile|schema|database|query)|defaultrole|enabledr|enabledp"
    # `IN` written as a function takes a table's name.
    r"|(?:global)?(?:not)?(?:null)?in(?:ignoreset)?\Z)",
    re.IGNORECASE,
)
# No escapes, no quotes, nothing that reads as another name elsewhere.
NAME = re.compile(r"[A-Za-z0-9_ .,:;()\[\]%/*+-]{1,128}")
LIMITS = {"readonly": 1, "max_execution_time": 60, "max_result_rows": 1_000_000, "result_overflow_mode": "throw"}
NOT_ALLOWED = (exp.SettingsProperty, exp.Into, exp.Command, exp.Placeholder, exp.Parameter, exp.DDL, exp.DML)


class SqlRefused(Fault):
    """The statement may not run; the message says which part of it is not allowed."""


def readable_in(settings: Settings) -> frozenset[str]:
    """What may be read. Requests have no noise, and today's are among them: neither is told where it was not to be."""
    is_noisy = any(site.level == "dp" for site in settings.sites.values())
    return READABLE - {"coverage"} if is_noisy or not settings.privacy.live_view else READABLE


def select(store: Store, sql: str, readable: frozenset[str] = READABLE) -> list[tuple[object, ...]]:
    """The rows of one SELECT over trends; raises `SqlRefused`, and `StoreRefused` where ClickHouse cannot run it."""
    tables = store.query("SELECT name FROM system.tables WHERE database = currentDatabase()")
    return store.query(checked(sql, frozenset(name for (name,) in tables) - readable), {}, LIMITS)


def checked(sql: str, unreadable: frozenset[str]) -> str:
    """`sql` as it may run; raises `SqlRefused` unless it reads trends alone. `unreadable`: all other tables."""
    statement = _parsed(sql)
    _check(statement, unreadable)
    made = statement.sql("clickhouse", comments=False)
    # What is sent has to say what was checked.
    again = _parsed(made)
    _check(again, unreadable)
    _check_functions(made)
    if again.sql("clickhouse", comments=False) != made:
        raise SqlRefused("the statement can be read in two ways; write it more plainly")
    return made


def _parsed(sql: str) -> exp.Select | exp.SetOperation:
    try:
        parsed = sqlglot.parse(sql, read="clickhouse")
    except (SqlglotError, RecursionError) as error:
        raise SqlRefused(f"cannot read the statement: {(str(error).splitlines() or ['it is empty'])[0]}") from None
    if len(parsed) != 1 or not isinstance(parsed[0], exp.Select | exp.SetOperation):
        raise SqlRefused("only one SELECT at a time is allowed")
    return parsed[0]


def _check(statement: exp.Select | exp.SetOperation, unreadable: frozenset[str]) -> None:
    for query in statement.find_all(exp.Query):
        if query.args.get("settings") or query.args.get("format") or query.args.get("into"):
            raise SqlRefused("SETTINGS, FORMAT and INTO are not allowed")
    if next(statement.find_all(*NOT_ALLOWED), None):
        raise SqlRefused("only SELECT is allowed, without parameters, SETTINGS and INTO")
    named = {cte.alias for cte in statement.find_all(exp.CTE)}
    for table in statement.find_all(exp.Table):
        _check_table(table, named)
    for identifier in statement.find_all(exp.Identifier):
        _check_name(identifier.name, unreadable)
    for membership in statement.find_all(exp.In):
        _check_membership(membership)


def _check_table(table: exp.Table, named: set[str]) -> None:
    if not isinstance(table.this, exp.Identifier):
        raise SqlRefused("table functions are not allowed")
    if table.args.get("db") or table.name not in READABLE | named:
        raise SqlRefused(f"only these tables are readable: {', '.join(sorted(READABLE))}")


def _check_name(name: str, unreadable: frozenset[str]) -> None:
    """A table can also be named where no table is expected (`x IN t`), or hide behind an alias of its name in another
    scope: so no name of one may occur at all."""
    if name in unreadable:
        raise SqlRefused(f"only these tables are readable: {', '.join(sorted(READABLE - unreadable))}")
    if name and not NAME.fullmatch(name):
        raise SqlRefused("a name may have letters, digits, blanks and _.,:;()[]%/*+- alone")


def _check_membership(membership: exp.In) -> None:
    """`x IN t` and `x IN (t)` read a table; so a list may not hold names."""
    listed = [item.unnest() for item in membership.expressions]
    if membership.args.get("field") is not None or any(isinstance(item, exp.Column | exp.Dot) for item in listed):
        raise SqlRefused("IN takes a list of values or a subquery here")


def _check_functions(sql: str) -> None:
    tokens = sqlglot.tokenize(sql, read="clickhouse")
    for name, following in pairwise(tokens):
        is_called = following.token_type == TokenType.L_PAREN and name.token_type != TokenType.IN
        if is_called and FORBIDDEN_FUNCTION.match(name.text):
            raise SqlRefused(f"the function {name.text} is not allowed")
