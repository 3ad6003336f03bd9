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

    def move_to(self, wall_s: float) -> None:
        """Time passes until the wall clock says so; backwards, too, for a test that begins anew."""
        self.pass_time(wall_s - self.wall_s)
