"""An open day, gathered visit by visit into the store's memory, so that sealing finds its visits once.

What costs is finding visits: every row of a visitor in the order of time (sql/counted_rows.sql). It is done for some
visitors at a time, whose rows the open day's key finds without reading the others; all that is said of a row rests on
rows of the same visitor, so that this changes nothing, and memory is bounded.

Invariants: gathered rows are pseudonymous, as open ones are. They are in no file (`TABLES` are
in memory), no reader sees them, and they are taken out before a seal is committed. Those of a sealer that
died go with the day's seal or its end, or, where that is another sealer's work, when they are older than any attempt.
Rows that vanish meanwhile (the store was started anew) are missing in `events_held`, and nothing is committed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType

from aggregator import abreast
from aggregator.rollup import BY_TIME, Period, assembled, clock_hours
from aggregator.store import Store, StoreUnavailable
from collector import days

TABLES = ("gathered_visits", "counted_cells", "crossed_visits", "counted_crosses")
# Sorting rows for their visits takes about a kilobyte each, and two passes run at a time.
ROWS_AT_ONCE = 250_000
# No statement of a seal runs longer than ten minutes (the client gives up), and each writes into these tables.
DEAD_AFTER_S = 3_600
LAST_TOKEN = 2**64 - 1
NOTHING: Mapping[str, str] = MappingProxyType({})
# What a row says of its visitor and of where it came from, each as one number.
LOOK = """sipHash64(country, browser, browser_version, os, os_version, device, screen, language,
    network_operator) AS look"""
ORIGIN = "sipHash64(source, channel, campaign) AS origin"
# Otherwise the engine sorts the texts and hashes them afterwards: 8 s of processor time in place of 5.5 for 1,000,000
# events.
HASH_FIRST = {"query_plan_execute_functions_after_sorting": 0}
OF_DAY = "day = {day:Date} AND timezone = {timezone:String}"
OF_VISITORS = "AND visitor BETWEEN {least:UInt64} AND {most:UInt64}"
OF_NOBODY = "AND visitor = 0 AND toUnixTimestamp64Milli(at) BETWEEN {least:Int64} AND {most:Int64}"


@dataclass(frozen=True)
class Part:
    """Some of a day's sites: the condition that tells them, its parameter, and what is looked for in their visits."""

    which: str = ""
    sites: Sequence[str] = ()
    matching: str = ""


@contextmanager
def gathered(
    store: Store,
    period: Period,
    seal: int,
    matching: Mapping[str, str] = NOTHING,
    rows_at_once: int = ROWS_AT_ONCE,
) -> Iterator[None]:
    """In a `with` block the open day is gathered for `seal`, so many rows at a time; behind it nothing of that is left.

    `matching` has, by site, what is looked for in the rows of a visit (`SiteRules.matching`). Raises what the store
    raises.
    """
    try:
        passes: list[abreast.Statement] = []
        for part in _parts(matching):
            for which, bounds in _passes(store, period, part, rows_at_once):
                parameters = {**period.key, **_clock(period), "seal": seal, "apart": part.sites, **bounds}
                passes.append((_gathering(part, f"{part.which} {which}"), parameters, HASH_FIRST))
        abreast.run(store, passes)
        yield
    finally:
        _take_out(store, "seal = {seal:UInt64}", {"seal": seal})


def _gathering(part: Part, which: str) -> str:
    texts = {
        "which": which,
        "order": BY_TIME,
        "look": LOOK,
        "origin": ORIGIN,
        "read": f"{LOOK}, {ORIGIN},",
        "known": "entry_origin, look,",
    }
    if part.matching:
        rows = assembled("journeys", **texts, matching=part.matching)
        return assembled("gathered_visits", **texts, counted_rows=rows, journey="reached, met")
    return assembled("gathered_visits", **texts, journey="[]::Array(UInt8), []::Array(String)")


def _parts(matching: Mapping[str, str]) -> Iterator[Part]:
    """Sites that look for the same are gathered together: what one site declares costs no other anything."""
    apart = [site for site, text in matching.items() if text]
    yield Part("AND site NOT IN {apart:Array(String)}", apart) if apart else Part()
    for text in dict.fromkeys(matching[site] for site in apart):
        yield Part("AND site IN {apart:Array(String)}", [site for site in apart if matching[site] == text], text)


def events_held(store: Store, seal: int) -> int:
    """How many events of the open day are gathered for `seal`."""
    rows = store.query("SELECT sum(rows_read) FROM gathered_visits WHERE seal = {seal:UInt64}", {"seal": seal})
    return int(rows[0][0])


def clear(store: Store, period: Period) -> None:
    """Take out what sealers gathered of a day that is sealed or given up: none of them needs it any more."""
    _take_out(store, OF_DAY, period.key)


def clear_dead(store: Store) -> None:
    """Take out what sealers left that died, of whatever day."""
    _take_out(store, "gathered < now() - {age:UInt32}", {"age": DEAD_AFTER_S})


def _take_out(store: Store, which: str, parameters: Mapping[str, object]) -> None:
    for table in TABLES:
        if store.query(f"SELECT 1 FROM {table} WHERE {which} LIMIT 1", parameters):
            store.command(f"ALTER TABLE {table} DELETE WHERE {which}", parameters)
            if store.query(f"SELECT 1 FROM {table} WHERE {which} LIMIT 1", parameters):
                raise StoreUnavailable(f"what was gathered in {table} was deleted and is still there")


def _passes(store: Store, period: Period, part: Part, rows_at_once: int) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Which rows are gathered together. Tokens are spread evenly over all numbers; a row without a visitor is alone."""
    moments = "toUnixTimestamp64Milli(minIf(at, visitor = 0)), toUnixTimestamp64Milli(maxIf(at, visitor = 0))"
    sql = f"SELECT count(), countIf(visitor = 0), {moments} FROM open_events WHERE {OF_DAY} {part.which}"
    ((events, alone, first, last),) = store.query(sql, {**period.key, "apart": part.sites})
    if events == 0:
        return
    if events <= rows_at_once:
        yield OF_VISITORS, {"least": 0, "most": LAST_TOKEN}
        return
    for least, most in _ranges(1, LAST_TOKEN, -(-(events - alone) // rows_at_once)):
        yield OF_VISITORS, {"least": least, "most": most}
    for least, most in _ranges(first, last, -(-alone // rows_at_once)):
        yield OF_NOBODY, {"least": least, "most": most}


def _ranges(first: int, last: int, number: int) -> Iterator[tuple[int, int]]:
    """`first` to `last`, both included, in so many equal parts."""
    for part in range(number):
        start, following = (first + (last + 1 - first) * place // number for place in (part, part + 1))
        yield start, following - 1


def _clock(period: Period) -> dict[str, object]:
    return {"hours": clock_hours(period), "starts_at": int(days.starts_at(period.day, period.timezone))}
