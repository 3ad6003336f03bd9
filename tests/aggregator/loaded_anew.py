"""Tables as they are after a restart of the store, where a test deletes within half a minute of making them.

How often the engine looks for replaced parts is a setting that migrations alter; it looks for the first time half a
minute after a table was made, by the setting that this was made with.
"""

from __future__ import annotations

from aggregator.store import Store

TABLES = ("trend_rows", "breakdown_rows", "cross_rows", "coverage_totals", "arrivals")


def load_anew(store: Store) -> None:
    for table in TABLES:
        store.command(f"DETACH TABLE {table}")
        store.command(f"ATTACH TABLE {table}")
