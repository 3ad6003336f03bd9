"""The statements of this package by name, and their parameters from a question."""

from __future__ import annotations

from importlib.resources import files

from dashboards.question import Question


def statement(name: str) -> str:
    """The text of `statements/NAME.sql`."""
    return (files("dashboards") / "statements" / f"{name}.sql").read_text()


def period(question: Question) -> dict[str, object]:
    """The days asked for."""
    return {"first": question.first, "last": question.last}


def of_site(question: Question) -> dict[str, object]:
    """The site, the days, and the value that they are narrowed to."""
    narrowed = {"of": question.filter.dimension, "value": question.filter.value} if question.filter else {}
    return {"site": question.site.domain, **period(question), **narrowed}
