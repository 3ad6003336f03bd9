"""A batch: all rows of one (day, time zone) between two row ids of a spool file, inserted together.

Its identity follows from the spool's and the two ids, so it is the same after any crash.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from hashlib import blake2b

# The rows that a batch names: some of them may have been in an earlier one.
IN_BATCH = "day = ? AND timezone = ? AND id BETWEEN ? AND ?"
ROWS_OF = f"{IN_BATCH} ORDER BY id"


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows `first` to `last` of one (day, time zone), inserted together under the identity `batch`."""

    batch: int
    day: date
    timezone: str
    first: int
    last: int
    events: int

    @property
    def tag(self) -> str:
        """Names the insert, in the store's process list and as its deduplication token."""
        return f"batch-{self.batch}"

    @property
    def key(self) -> tuple[str, str, int, int]:
        """The parameters of `IN_BATCH`."""
        return self.day.isoformat(), self.timezone, self.first, self.last


def batch_identity(spool: int, first: int, last: int) -> int:
    """63 bits, because SQLite's integers are signed."""
    digest = blake2b(f"{spool} {first} {last}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


class DamagedRowError(Exception):
    """A row of a batch is not what was written, or is gone."""
