"""What a spool file has counted: requests by outcome, events by what became of them, and what is lost."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from aggregator.backlog.file import SpoolFile
from collector.expired_rows import count_emptied
from collector.group import Arrived, Counted
from collector.spool_file import LAST_COMMITS, REMOVED, SKIPPED_ROWS, move_ledger

ACCOUNTED = frozenset(("waiting", "drained", "late", "expired", "quarantined"))


class Counts(SpoolFile):
    """The ledger of one spool file, and its counters of requests."""

    def ledger(self) -> dict[str, int]:
        """Requests by outcome, events by what became of them, and those still here (`waiting`)."""
        counts = dict(self._connection.execute("SELECT outcome, sum(requests) FROM counters GROUP BY outcome"))
        gone = dict(self._connection.execute("SELECT outcome, events FROM ledger"))
        for outcome, removed in REMOVED.items():
            if removed in gone:
                counts[outcome] = counts.get(outcome, 0) + gone.pop(removed)
        waiting = self._connection.execute(
            "SELECT coalesce(sum(events), 0) FROM rows WHERE NOT EXISTS (SELECT 1 FROM batches AS b WHERE b.events = 0"
            " AND b.day = rows.day AND b.timezone = rows.timezone AND rows.id BETWEEN b.first AND b.last)"
        ).fetchone()[0]
        return {**counts, **gone, "waiting": waiting}

    def counters_since(self, commit: int) -> tuple[list[tuple[Counted, int]], int]:
        """The running totals that changed after commit number `commit`, and the number of the last of their commits."""
        found = self._connection.execute(
            "SELECT changed, day, site, outcome, reason, requests FROM counters WHERE changed > ?", (commit,)
        ).fetchall()
        return [(Counted(*key), requests) for _, *key, requests in found], max(
            (row[0] for row in found), default=commit
        )

    def arrivals_since(self, commit: int) -> tuple[list[tuple[str, Arrived]], int]:
        """The last requests of the sites that changed after commit number `commit`, and the last one's number."""
        found = self._connection.execute(
            "SELECT changed, site, at, outcome, reason, behind_one_network FROM arrivals WHERE changed > ?", (commit,)
        ).fetchall()
        arrived = [(site, Arrived(at, outcome, reason, bool(behind))) for _, site, at, outcome, reason, behind in found]
        return arrived, max((row[0] for row in found), default=commit)

    def count_lost(self) -> int:
        """Within a transaction: what was accepted and is found nowhere counts as quarantined; returns how much.

        Negative where more is found than was counted; then nothing is changed.
        """
        counts = self.ledger()
        missing = counts.pop("accepted", 0) - sum(counts[each] for each in counts.keys() & ACCOUNTED)
        if missing > 0:
            move_ledger(self._connection, "quarantined", missing)
        return missing

    def saved(self) -> int | None:
        """Of a saved file that was not compared with the store yet: the greatest id known. Otherwise None."""
        found = self._connection.execute("SELECT value FROM facts WHERE name = 'saved'").fetchone()
        return None if found is None else int(found[0])

    def conclude(self, totals: Sequence[tuple[Counted, int]], taken_out: int) -> int:
        """Takes totals over that are more than its own, counts what is lost, and opens the file to use.

        Of `taken_out` events, just counted as drained, some may have been before. All totals get the number of a new
        commit, so that they are pushed again. Returns the events lost.
        """
        with self._transaction():
            self._connection.executemany(
                "INSERT INTO counters VALUES (?, ?, ?, ?, ?, 0)"
                " ON CONFLICT DO UPDATE SET requests = max(requests, excluded.requests)",
                [(*counted, requests) for counted, requests in totals],
            )
            count_emptied(self._connection)
            lost = self.count_lost()
            if lost < 0:
                twice = min(-lost, taken_out)
                move_ledger(self._connection, "drained", -twice)
                self._count_found(-lost - twice)
            commits = int(self._connection.execute(LAST_COMMITS).fetchone()[0]) + SKIPPED_ROWS
            self._connection.execute("INSERT OR REPLACE INTO facts VALUES ('commits', ?)", (commits,))
            self._connection.execute("UPDATE counters SET changed = ?", (commits,))
            self._connection.execute("UPDATE arrivals SET changed = ?", (commits,))
            self._connection.execute("DELETE FROM facts WHERE name = 'saved'")
        return max(0, lost)

    def _count_found(self, events: int) -> None:
        """Within a transaction: events are here whose requests are counted no more. They count for the newest row."""
        newest = self._connection.execute("SELECT day, lines FROM rows ORDER BY id DESC LIMIT 1").fetchone()
        if events and newest is not None:
            site = str(orjson.loads(newest[1].splitlines()[0]).get("site", ""))
            self._connection.execute(
                "INSERT INTO counters VALUES (?, ?, 'accepted', '', ?, 0)"
                " ON CONFLICT DO UPDATE SET requests = requests + excluded.requests",
                (newest[0], site, events),
            )
