"""The one base of faults that a person can mend: the command line prints them as one line and ends with status 2."""

from __future__ import annotations


class Fault(Exception):
    """Stops the work in hand and keeps the data. The message says what was tried, on what, and what to do."""


def one_line(error: BaseException) -> str:
    """The text of `error` without its line breaks, for a person."""
    return " ".join(str(error).split())
