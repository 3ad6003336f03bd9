"""Runs every check of an installation, one finding each.

Invariants: a check that could not be made is a finding, never silence; the checks of the machine are made and told
also where the store does not answer.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator

from aggregator.audit import files, keys, machine, open_days, public_side, rows, schema, server, spools, values
from aggregator.audit.check import Check, Installation, Machine, StoredCheck, Verdict, found
from aggregator.finding import Finding
from aggregator.migrate import is_migrated
from aggregator.store import Store, StoreRefused, StoreUnavailable, open_store
from collector.fault import Fault, one_line
from collector.settings import Settings

OF_THE_MACHINE: tuple[Check, ...] = (
    *files.CHECKS,
    *keys.CHECKS,
    *spools.CHECKS,
    *machine.CHECKS,
    *public_side.CHECKS,
)
OF_THE_STORE: tuple[StoredCheck, ...] = (
    *schema.CHECKS,
    *rows.CHECKS,
    *values.CHECKS,
    *open_days.CHECKS,
    *keys.STORED_CHECKS,
    *spools.STORED_CHECKS,
    *server.CHECKS,
)

# A store merges its parts a few times a second at most.
LOOKS = 5
# A service that has just started makes its tables in a second or two.
MIGRATED_WITHIN_S, POLL_S = 20.0, 0.2
# UNKNOWN_TABLE and UNKNOWN_DATABASE.
NO_RECORD_YET = (60, 81)


def examine(settings: Settings, migrated_within_s: float = MIGRATED_WITHIN_S) -> Iterator[Finding]:
    """Every check in turn; those of the store once its tables are made, or one finding where they are not in time."""
    alone = Machine(settings)
    for check in OF_THE_MACHINE:
        yield _made(check.name, check.promise, lambda look=check.look: look(alone))  # type: ignore[misc]  # bound at once
    try:
        store = open_store(settings, wait_s=5.0)
    except (StoreUnavailable, StoreRefused) as fault:
        evidence = f"{one_line(fault)}; {len(OF_THE_STORE)} checks were not made"
        yield Finding("store", "FINDING", evidence, "start `footfall serve`, then audit again")
        return
    whole = Installation(settings, store=store)
    try:
        if not _is_migrated_within(store, migrated_within_s):
            evidence = f"tables of this version are missing; {len(OF_THE_STORE)} checks were not made"
            yield Finding("store", "FINDING", evidence, "let `footfall aggregate` make them, then audit again")
            return
        for stored in OF_THE_STORE:
            yield _made(stored.name, stored.promise, lambda look=stored.look: look(whole))  # type: ignore[misc]  # bound at once
    finally:
        store.close()


def _is_migrated_within(store: Store, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            if is_migrated(store):
                return True
        except StoreRefused as refusal:
            if refusal.code not in NO_RECORD_YET:
                raise
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)


def _made(name: str, promise: str, look: Callable[[], Verdict]) -> Finding:
    try:
        verdict = _looked(look)
    except (Fault, OSError, ValueError, sqlite3.Error) as fault:
        verdict = found(f"could not be looked at: {one_line(fault)}", "audit as the user that Footfall runs as")
    return Finding(name, verdict.grade, verdict.evidence, verdict.advice, promise)


def _looked(look: Callable[[], Verdict]) -> Verdict:
    """Once more where a file went while it was looked at, as the files of a store at work do."""
    for _ in range(LOOKS - 1):
        try:
            return look()
        except FileNotFoundError:
            continue
    return look()
