"""One table of `footfall.toml`, laid over by the environment, being read: gives out checked values and collects faults.

Invariants: the environment wins over the file; a fault names the setting as the operator wrote it and what it must be,
and never repeats its value; what nobody asked for is a fault when the table is closed. What settings there are, and
their defaults, is in `settings`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

K = TypeVar("K")
T = TypeVar("T")
N = TypeVar("N", int, float)


class Table:
    """`values` as the file has them, `texts` as the environment has them; `faults` grows by a line for each."""

    def __init__(self, name: str, values: dict[str, object], texts: dict[str, str], faults: list[str]) -> None:
        self.name, self.faults = name, faults
        self._values, self._texts = values, texts

    def has(self, name: str) -> bool:
        """Whether `name` is set and not taken yet."""
        return name in self._values or name in self._texts

    def take(self, name: str, kind: type[K], default: T, must: str, check: Callable[[K], T]) -> T:
        """The value of `name` as `check` returns it; its `ValueError` or `LookupError` is the fault "must be …".

        Absent, it is `default`, which is not checked.
        """
        value, text = self._values.pop(name, None), self._texts.pop(name, None)
        if value is None and text is None:
            return default
        try:
            return check(of_kind(kind, value if text is None else from_text(kind, text)))
        except (ValueError, LookupError):
            self.faults.append(f"{self._written(name, text is not None)}: must be {must}")
            return default

    def whole(self, name: str, default: int, least: int, most: int, why: str) -> int:
        """A whole number from `least` to `most`."""
        return self.take(name, int, default, f"a whole number from {least} to {most} ({why})", between(least, most))

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        return self.take(name, bool, default, "true or false", lambda value: value)

    def path(self, name: str, base: Path) -> Path | None:
        """A path; a relative one starts at `base`."""
        return self.take(name, str, None, "a path, not empty", lambda text: base / matching(r"[^\0]+", text))

    def each(self, name: str, must: str, check: Callable[[str], T]) -> tuple[T, ...]:
        """A list of strings, each as `check` returns it; a fault names the entry by its place, from 1."""
        none: list[str] = []
        taken = []
        for place, entry in enumerate(self.take(name, list, none, "a list of strings", _all_of(str)), 1):
            try:
                taken.append(check(entry))
            except ValueError:
                self.faults.append(f"{self.name}.{name}, entry {place}: must be {must}")
        return tuple(taken)

    def table(self, name: str) -> Table:
        """A table within this one, absent or not."""
        none: dict[str, object] = {}
        values = self.take(name, dict, none, "a table, such as { name = value }", dict)
        return Table(f"{self.name}.{name}", values, {}, self.faults)

    def tables(self, name: str) -> list[Table]:
        """A list of tables within this one."""
        none: list[dict[str, object]] = []
        entries = self.take(name, list, none, "a list of tables, such as [{ name = value }]", _all_of(dict))
        return [Table(f"{self.name}.{name}[{at}]", dict(entry), {}, self.faults) for at, entry in enumerate(entries, 1)]

    def close(self) -> None:
        """Notes the names that nobody asked for."""
        unknown = [self._written(name, False) for name in self._values]
        unknown += [self._written(name, True) for name in self._texts if name not in self._values]
        self.faults += [f"{name}: no such setting; correct or remove it" for name in unknown]

    def _written(self, name: str, in_environment: bool) -> str:
        section = self.name.partition("[")[0]
        return f"FOOTFALL_{section}__{name}".upper() if in_environment else f"{self.name}.{name}"


def from_text(kind: type[object], text: str) -> object:
    """An environment variable's text as the value that a file would hold; `ValueError` where it is none."""
    if kind is str:
        return text
    if kind is list and not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",")] if text.strip() else []
    parsed = tomllib.loads(f"value = {text}")
    if len(parsed) != 1:
        raise ValueError("more than one value")
    return parsed["value"]


def of_kind(kind: type[K], value: object) -> K:
    """`value`, which must be a `kind` exactly (a bool is no int); a whole number will do for a float."""
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise ValueError("another kind of value")
    return value


def _all_of(kind: type[K]) -> Callable[[list[object]], list[K]]:
    return lambda entries: [of_kind(kind, entry) for entry in entries]


def between(least: N, most: N) -> Callable[[N], N]:
    """A check that lets numbers from `least` to `most` pass."""

    def check(value: N) -> N:
        if not least <= value <= most:
            raise ValueError("out of range")
        return value

    return check


def matching(pattern: str | re.Pattern[str], text: str) -> str:
    """`text`, all of which must match `pattern`; `ValueError` otherwise."""
    if not re.fullmatch(pattern, text):
        raise ValueError("another form")
    return text
