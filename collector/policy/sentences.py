"""What people read, one TOML file per language in languages/; a new language is a new file, with no code to change.

A file has `code` (BCP 47), `name` (as its readers call it), `direction` ("ltr" or "rtl"), and tables of sentences with
`{placeholders}`. tests/collector/test_policy.py holds that all files have the same sentences and placeholders.

Invariants: a sentence is text, never HTML; what is put into a placeholder is escaped and isolated from the direction of
the text around it, so that a domain name in an Arabic sentence reads as it should.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from markupsafe import Markup, escape

FOLDER = Path(__file__).with_name("languages")
DEFAULT = "en"
MAX_LANGUAGES_READ = 20
"""Entries of Accept-Language looked at: browsers send fewer."""


@dataclass(frozen=True)
class Language:
    """One language's sentences, by "table.name"."""

    code: str
    name: str
    direction: str
    sentences: Mapping[str, str] = field(repr=False)

    def say(self, key: str, **values: object) -> Markup:
        """The sentence as HTML; a value that is no `Markup` is escaped and isolated."""
        return Markup(escape(self.sentences[key])).format(  # noqa: S704  escaped, and `Markup.format` escapes its values
            **{name: value if isinstance(value, Markup) else _isolated(value) for name, value in values.items()}
        )

    def plain(self, key: str, **values: object) -> str:
        """The sentence as text, for a title."""
        return self.sentences[key].format(**values)


def _isolated(value: object) -> Markup:
    return Markup("<bdi>{}</bdi>").format(value)


def languages() -> dict[str, Language]:
    """All languages by code, the default one first; raises `OSError` or `ValueError` for a file that cannot be read."""
    read = [_language(file) for file in sorted(FOLDER.glob("*.toml"))]
    read.sort(key=lambda language: language.code != DEFAULT)
    return {language.code: language for language in read}


def _language(file: Path) -> Language:
    content = tomllib.loads(file.read_text(encoding="utf-8"))
    sentences = {
        f"{table}.{name}": text
        for table, texts in content.items()
        if isinstance(texts, dict)
        for name, text in texts.items()
    }
    return Language(content["code"], content["name"], content["direction"], sentences)


def chosen(known: Mapping[str, Language], asked: str | None, accept_language: str) -> Language:
    """The language `asked` for by its code, else the one that the browser wants most, else the default."""
    for code in (asked or "", *_wanted(accept_language)):
        if code in known:
            return known[code]
    return known[DEFAULT]


_ENTRY = re.compile(r"\s*([A-Za-z]{2,8})(?:-[A-Za-z0-9-]*)?\s*(?:;\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?").fullmatch


def _wanted(accept_language: str) -> Iterator[str]:
    """The primary languages of an Accept-Language header (RFC 9110, section 12.5.4), the most wanted first."""
    entries = [_ENTRY(part) for part in accept_language.split(",", MAX_LANGUAGES_READ)[:MAX_LANGUAGES_READ]]
    weighted = [(float(entry[2] or 1), entry[1].lower()) for entry in entries if entry]
    for weight, code in sorted(weighted, key=lambda pair: -pair[0]):
        if weight > 0:
            yield code
