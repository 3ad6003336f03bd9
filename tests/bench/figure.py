"""One measured number, beside what it should be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """`value` in `unit`; `target` is the most it may be, the least where `at_least`, None where nothing is promised."""

    name: str
    value: float
    unit: str
    target: float | None = None
    at_least: bool = False

    @property
    def is_reached(self) -> bool | None:
        if self.target is None:
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target

    def __str__(self) -> str:
        line = f"{self.name:<58} {_number(self.value):>12} {self.unit}"
        if self.target is None:
            return line
        bound = f"{'>=' if self.at_least else '<='} {_number(self.target)}"
        return f"{line:<92} {bound:>12}  {'reached' if self.is_reached else 'missed'}"


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:,.2f}"
