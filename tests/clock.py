"""A clock that tests move by hand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class SetClock:
    """Wall and boot clock move together; `set_wall` is somebody setting the wall clock alone."""

    wall_s: float
    boot_s: float = 1_000.0

    def wall(self) -> float:
        return self.wall_s

    def boot(self) -> float:
        return self.boot_s

    def pass_time(self, seconds: float) -> None:
        self.wall_s += seconds
        self.boot_s += seconds

    def set_wall(self, wall_s: float) -> None:
        self.wall_s = wall_s
