"""How long each drainer has been silent, as the sealer has seen it by the clock that nobody sets.

A drainer says when it was last there by its own wall clock. One whose clock was a month ahead, and that is gone since,
would be waited for until that month is over, and every open day would expire.
"""

from __future__ import annotations

from dataclasses import dataclass

from collector.clock import Clock


@dataclass(frozen=True, slots=True)
class _Heard:
    seen_at_ms: int
    # By the boot clock.
    first_read_at: float


class Silence:
    """Of one sealer's life: one that starts again begins to listen anew."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heard: dict[int, _Heard] = {}

    def of(self, drainer: int, seen_at_ms: int) -> float:
        """Seconds for which `drainer` has said nothing at the least, where it was last there at `seen_at_ms`."""
        boot = self._clock.boot()
        heard = self._heard.get(drainer)
        if heard is None or heard.seen_at_ms != seen_at_ms:
            heard = self._heard[drainer] = _Heard(seen_at_ms, boot)
        return boot - heard.first_read_at
