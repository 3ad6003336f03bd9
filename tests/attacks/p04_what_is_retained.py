"""P4: trends hold no identifiers, hashes or sketches.

The attacker reads the schema of everything in the store after the seal, and every value in it: a column must be a
dimension's value or a plain integer, and no value may be a token of the open day. The tables in memory in which a day
is gathered for its seal must be empty.
"""

from __future__ import annotations

from aggregator.gathering import TABLES
from tests.attacks.crowds import Crowd, open_day
from tests.attacks.laboratory import BERLIN, DAY, Laboratory, Scene
from tests.attacks.verdict import Count, Verdict

INTEGERS = {"UInt8", "UInt16", "UInt32"}
VALUES = {
    *("site", "dimension", "parent", "value", "timezone", "from_path", "to_path"),
    *("dimension_a", "parent_a", "value_a", "dimension_b", "parent_b", "value_b"),
}
# Not about visitors: when something was sealed, drained or counted, and by which process.
ACCOUNTS = {
    *(
        "seals",
        "drains",
        "closings",
        "batches",
        "coverage_totals",
        "coverage_rows",
        "leases",
        "arrivals",
        "migrations",
        "committed_seals",
    ),
    *("coverage", "withdrawals", "withdrawn_rows", "doomed_rows", "staged", "words"),
}
# The seal's own random number, of the day and not of anybody in it.
OF_THE_SEAL = {"seal"}
SKETCH = """
CREATE TABLE visitor_sketches ENGINE = MergeTree ORDER BY (site, path) AS
SELECT day, site, path, uniqState(visitor) AS visitors FROM open_events GROUP BY day, site, path
"""
HASHES = """
CREATE TABLE visitor_hashes ENGINE = MergeTree ORDER BY site AS
SELECT DISTINCT day, site, toUInt32(visitor) AS visitor_hash, visitor AS views FROM open_events
"""


def attack(laboratory: Laboratory, people: int) -> Verdict:
    """A sealed day of some people; the weakened stores keep a sketch or a hash of each beside it."""
    crowds = [Crowd("example.com", people)]
    with laboratory.scene() as scene:
        scene.fill(open_day(DAY, BERLIN, crowds))
        tokens = {
            number for (number,) in scene.store.query("SELECT DISTINCT visitor FROM open_events WHERE visitor > 0")
        }
        tokens |= {
            number for (number,) in scene.store.query("SELECT DISTINCT network FROM open_events WHERE network > 0")
        }
        scene.seal({"example.com": 5})
        weak = []
        for name, statement in (("sketch kept", SKETCH), ("hash of each visitor kept", HASHES)):
            scene.store.command(statement)
            weak.append(Count(name, *_found(scene, tokens)))
            scene.store.command(f"DROP TABLE {statement.split()[2]} SYNC")
        scene.store.command("TRUNCATE TABLE open_events")
        values, others = _found(scene, tokens)
    return Verdict("P4", "every column and every value that is retained", values, others, weakened=weak)


def _found(scene: Scene, tokens: set[int]) -> tuple[int, int]:
    """Columns and values looked at, and those that are neither a dimension's value nor a plain integer."""
    columns = scene.store.query(
        "SELECT table, name, type FROM system.columns WHERE database = currentDatabase() AND table != 'open_events'"
    )
    about_visitors = [column for column in columns if column[0] not in ACCOUNTS and column[0] not in TABLES]
    looked = len(TABLES)
    others = sum(scene.store.query(f"SELECT count() FROM {table}")[0][0] for table in TABLES)
    for table, name, type_ in about_visitors:
        looked += 1
        others += not _is_plain(name, type_)
        if type_.startswith("AggregateFunction"):
            continue
        for (value,) in scene.store.query(f"SELECT DISTINCT {name} FROM {table}"):
            looked += 1
            others += value in tokens or (str(value).isdecimal() and int(value) in tokens)
    return looked, others


def _is_plain(name: str, type_: str) -> bool:
    if "String" in type_:
        return name in VALUES
    return type_ in INTEGERS or type_ == "Date" or (type_ == "UInt64" and name in OF_THE_SEAL)
