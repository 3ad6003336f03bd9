"""Open days: none too old, none forgotten, and nothing left of those that were sealed, in the engine or on the disk."""

from __future__ import annotations

import ast
import time
from datetime import date
from pathlib import Path

from aggregator.audit.check import (
    DELETION_IS_REAL,
    SHORT_LIVED,
    Installation,
    StoredCheck,
    Verdict,
    found,
    none_of,
    ok,
    remark,
)
from aggregator.fail_safe import fail_safe_s
from aggregator.gathering import DEAD_AFTER_S, TABLES
from aggregator.rollup import Period
from aggregator.seal import LONGEST_WAIT_S
from collector import days

# The engine looks for expired rows every four hours (merge_with_ttl_timeout); the sealer expires them six hours before.
FAIL_SAFE_TOLERANCE_S = 6 * 3_600.0
# Sealing waits for drainers' promises, at most seconds while they run, and for an hour after a clock was set.
SEAL_TOLERANCE_S = 2 * 3_600.0
# Dropping a partition takes the engine some seconds and is waited for up to a minute.
DESTROY_TOLERANCE_S = 600.0


def ages(installation: Installation) -> Verdict:
    """No open event was inserted longer ago than the fail-safe."""
    oldest = installation.store.query(
        "SELECT timezone, count(), toUnixTimestamp(min(inserted)) FROM open_events GROUP BY timezone"
    )
    ages_s = {timezone: installation.store.now() - first for timezone, _, first in oldest}
    events, age_s = sum(count for _, count, _ in oldest), max(ages_s.values(), default=0.0)
    evidence = f"{events} open events, the oldest inserted {age_s / 3_600:.1f} h ago"
    if all(age_s <= fail_safe_s(timezone) + FAIL_SAFE_TOLERANCE_S for timezone, age_s in ages_s.items()):
        return ok(evidence)
    return found(evidence, "see why `footfall aggregate` does not seal; run SYSTEM START TTL MERGES open_events")


def unsealed(installation: Installation) -> Verdict:
    """No day is over, and its grace too, by more than two hours without being sealed."""
    rows = installation.store.query(
        "SELECT day, timezone, toUnixTimestamp(min(inserted)), toUnixTimestamp(max(inserted))"
        " FROM open_events GROUP BY day, timezone ORDER BY day, timezone"
    )
    faults = []
    for day, timezone, first, last in rows:
        overdue_s = installation.now - _due_at(installation, Period(day, timezone), first, last)
        if overdue_s > SEAL_TOLERANCE_S:
            faults.append(f"{day} in {timezone} should be sealed since {overdue_s / 3_600:.1f} h")
    return none_of(
        faults,
        f"{len(rows)} open days, none overdue",
        "see whether `footfall aggregate` runs; `footfall seal` says why a day waits",
    )


def _due_at(installation: Installation, period: Period, first: float, last: float) -> float:
    """As `seal` has it: one grace after the day, or, where it was over at its first event, after its last batch."""
    grace_s = installation.settings.privacy.grace_minutes * 60
    over_at = days.ends_at(period.day, period.timezone)
    return over_at + grace_s if first < over_at else min(last + grace_s, first + LONGEST_WAIT_S)


def parts(installation: Installation) -> Verdict:
    """The engine knows of no part of a day that was sealed, be it active, dropped or detached."""
    now = installation.store.now()
    rows = installation.store.query(
        "SELECT name, partition, active FROM system.parts WHERE database = currentDatabase() AND table = 'open_events'"
    )
    faults = []
    for name, partition, active in rows:
        day, timezone = ast.literal_eval(partition)
        sealed_at = installation.sealed.get(Period(date.fromisoformat(day), timezone))
        if sealed_at is not None and now - sealed_at > DESTROY_TOLERANCE_S:
            faults.append(f"{'active' if active else 'dropped'} part {name} of {day} in {timezone}, which is sealed")
    return none_of(
        faults,
        f"{len(installation.sealed)} days sealed, {len(rows)} parts, all of open days or just dropped",
        "run `footfall seal`",
    )


def gathered(installation: Installation) -> Verdict:
    """What sealing gathers of an open day in the store's memory is gone when the seal is."""
    faults = []
    for table in TABLES:
        ((rows, oldest),) = installation.store.query(f"SELECT count(), toUnixTimestamp(min(gathered)) FROM {table}")
        age_s = installation.store.now() - oldest
        if rows and age_s > DEAD_AFTER_S + SEAL_TOLERANCE_S:
            faults.append(f"{rows} rows in {table} since {age_s / 3_600:.1f} h")
    return none_of(faults, "nothing is left of what was gathered", "run `footfall seal`, or start the store anew")


def detached(installation: Installation) -> Verdict:
    """Nothing is detached: neither seal nor TTL reaches what is, unless its day is open still."""
    rows = installation.store.query(
        "SELECT name FROM system.detached_parts WHERE database = currentDatabase() AND table = 'open_events'"
    )
    names = [name for (name,) in rows]
    open_ids = _open_ids(installation)
    of_open = [name for name in names if any(identity in name for identity in open_ids)]
    faults = [f"detached part {name}, of no open day" for name in names if name not in of_open]
    if of_open and not faults:
        return remark(f"{len(of_open)} detached parts of open days", "they go when their days are sealed")
    return none_of(
        faults, "none", "drop it: ALTER TABLE open_events DROP DETACHED PART ... SETTINGS allow_drop_detached = 1"
    )


def folders(installation: Installation) -> Verdict:
    """On this machine's disk lies no folder of open events but those of open days."""
    if not installation.is_embedded:
        return ok("the store's disk is another machine's; its own lists were asked")
    rows = installation.store.query(
        "SELECT arrayJoin(data_paths) FROM system.tables WHERE database = currentDatabase() AND name = 'open_events'"
    )
    open_ids = _open_ids(installation)
    seen = [path for (root,) in rows for path in Path(root).iterdir() if path.is_dir() and path.name != "detached"]
    left = [path for path in seen if not any(identity in path.name for identity in open_ids) and _is_old(path)]
    return none_of(
        [f"{path.name} is left" for path in left],
        f"{len(seen)} folders, all of open days",
        "run `footfall seal`, or remove it",
    )


def mutations(installation: Installation) -> Verdict:
    """The engine keeps the text of changes to open events, in which a visitor's token may stand."""
    ((count, old),) = installation.store.query(
        "SELECT count(), countIf(create_time < (SELECT if(count() = 0, now(), min(inserted)) FROM open_events))"
        " FROM system.mutations"
        " WHERE database = currentDatabase() AND table = 'open_events'"
        " AND match(command, 'visitor|network|generation') AND match(command, '[0-9]{9,}')"
    )
    if old:
        evidence = f"{old} of {count} records of changes name tokens of days that are gone"
        return found(evidence, "ALTER TABLE open_events MODIFY SETTING finished_mutations_to_keep = 1")
    return ok(f"{count} records of changes name a token, each of a day that is open")


def _open_ids(installation: Installation) -> set[str]:
    rows = installation.store.query(
        "SELECT DISTINCT partition_id FROM system.parts"
        " WHERE database = currentDatabase() AND table = 'open_events' AND active"
    )
    return {identity for (identity,) in rows}


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > DESTROY_TOLERANCE_S
    except FileNotFoundError:
        return False


CHECKS = (
    StoredCheck("age of open events", SHORT_LIVED, ages),
    StoredCheck("days not sealed", SHORT_LIVED, unsealed),
    StoredCheck("parts of sealed days", DELETION_IS_REAL, parts),
    StoredCheck("gathered for a seal", DELETION_IS_REAL, gathered),
    StoredCheck("detached parts", DELETION_IS_REAL, detached),
    StoredCheck("folders of sealed days", DELETION_IS_REAL, folders),
    StoredCheck("records of changes", DELETION_IS_REAL, mutations),
)
