"""Tables as ClickHouse reports them: those that are there, and those that the migrations of this version make.

The expectation is not read from the migrations' text: they are applied to a scratch database of the same store, which
is dropped at once, so that both sides of a comparison are said by the same ClickHouse in the same words.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from aggregator.endpoint import Announced, Endpoint, Fixed, read_url
from aggregator.migrate import migrate
from aggregator.store import Store
from collector.settings import Settings

SCRATCH = "footfall_audit_"


@dataclass(frozen=True)
class Table:
    """One table or view: its columns with their types, and its whole definition without the database's name."""

    columns: Mapping[str, str]
    definition: str


def tables_of(store: Store) -> dict[str, Table]:
    """The tables and views of the store's database, by name."""
    definitions = store.query(
        "SELECT name, replaceAll(create_table_query, concat(currentDatabase(), '.'), '')"
        " FROM system.tables WHERE database = currentDatabase()"
    )
    columns = store.query("SELECT table, name, type FROM system.columns WHERE database = currentDatabase()")
    return {
        name: Table({column: kind for table, column, kind in columns if table == name}, definition)
        for name, definition in definitions
    }


def tables_expected(settings: Settings) -> dict[str, Table]:
    """What the migrations make."""
    name = SCRATCH + secrets.token_hex(8)
    scratch = Store(Fixed(dataclasses.replace(_endpoint(settings), database=name)))
    try:
        migrate(scratch)
        return tables_of(scratch)
    finally:
        scratch.command(f"DROP DATABASE IF EXISTS {name} SYNC")
        scratch.close()


def _endpoint(settings: Settings) -> Endpoint:
    if settings.aggregator.store == "embedded":
        return Announced(settings.data / "run" / "store.json").endpoint()
    return read_url(settings.aggregator.store)
