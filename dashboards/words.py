"""Words and numbers in a reader's language: gettext catalogs for sentences, CLDR (Babel) for everything it knows.

English is the text in the code; every other language is one folder: languages/XX/LC_MESSAGES/footfall.po. They are read
at start, so there are no compiled files. Names of countries and languages, numbers, dates and units come from CLDR.
"""

from __future__ import annotations

import gettext
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from importlib.resources import as_file, files
from io import BytesIO
from pathlib import Path

from babel import Locale, dates, numbers, units
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from collector import days

SOURCE_LANGUAGE = "en"
DOMAIN = "footfall"


def marked(text: str) -> str:
    """`text`, for translation later on: what collects the messages finds it by this name."""
    return text


def marked_count(one: str, many: str) -> tuple[str, str]:
    """The same for a sentence with a `%(number)s` in it, in its two English forms."""
    return one, many


@dataclass(frozen=True)
class Words:
    """Everything that is said in one language."""

    language: str
    catalog: gettext.NullTranslations

    @cached_property
    def locale(self) -> Locale:
        return Locale.parse(self.language)

    @property
    def direction(self) -> str:
        """ "ltr" or "rtl"."""
        return self.locale.text_direction

    @property
    def own_name(self) -> str:
        """The language as its speakers call it."""
        return (self.locale.get_display_name(self.locale) or self.language).capitalize()

    def say(self, text: str, **values: object) -> str:
        """`text` in this language, with `values` where it has `%(name)s`."""
        said = self.catalog.gettext(text)
        return said % values if values else said

    def count(self, one: str, many: str, number: int, **values: object) -> str:
        """The form for `number`, which is `%(number)s` in it."""
        return self.catalog.ngettext(one, many, number) % {"number": self.number(number), **values}

    def number(self, number: float) -> str:
        return numbers.format_decimal(number, locale=self.locale)

    def signed(self, number: int) -> str:
        """A difference, with its sign."""
        return numbers.format_decimal(number, "+#,##0;-#,##0" if number else "0", locale=self.locale)

    def percent(self, share: float) -> str:
        """A share of 1 as whole percents."""
        return numbers.format_percent(share, locale=self.locale)

    def signed_percent(self, percents: int) -> str:
        """A change in whole percents, with its sign."""
        pattern = self.locale.percent_formats[None].pattern
        return numbers.format_percent(percents / 100, f"+{pattern};-{pattern}" if percents else None, self.locale)

    def duration(self, seconds: float) -> str:
        """Such as "2 min 5 s"."""
        minutes, rest = divmod(round(seconds), 60)
        parts = [(minutes, "minute"), (rest, "second")] if minutes else [(rest, "second")]
        return " ".join(units.format_unit(each, unit, length="short", locale=self.locale) for each, unit in parts)

    def day(self, day: date) -> str:
        """Such as "May 12"."""
        return dates.format_skeleton("MMMd", day, locale=self.locale)

    def long_day(self, day: date) -> str:
        """Such as "Tue, May 12, 2026"."""
        return dates.format_skeleton("yMMMEd", day, locale=self.locale)

    def days(self, first: date, last: date) -> str:
        """Such as "May 12 – Jun 11, 2026"."""
        if first == last:
            return self.long_day(first)
        return dates.format_interval(first, last, skeleton="yMMMd", locale=self.locale)

    def clock(self, at: float, timezone: str) -> str:
        """The time of day of Unix second `at` in `timezone`, such as "14:03"."""
        local = datetime.fromtimestamp(at, UTC).astimezone(days.zone(timezone))
        return f"{local:%H:%M}"

    def country(self, code: str) -> str:
        """The name of an ISO 3166 code, or the code."""
        return str(self.locale.territories.get(code, code))

    def language_name(self, code: str) -> str:
        """The name of a language code, or the code."""
        return str(self.locale.languages.get(code, code))


def read_languages() -> dict[str, Words]:
    """Every language that there is, English first."""
    found = {SOURCE_LANGUAGE: Words(SOURCE_LANGUAGE, gettext.NullTranslations())}
    with as_file(files("dashboards") / "languages") as folder:
        for catalog in sorted(folder.glob(f"*/LC_MESSAGES/{DOMAIN}.po")):
            language = catalog.parent.parent.name
            found[language] = Words(language, _translations(catalog))
    return found


def chosen(languages: Mapping[str, Words], asked: str | None, kept: str | None, accepted: str) -> Words:
    """The words for a reader who `asked` for a language, or had asked before (`kept`), or whose browser wants one of
    `accepted` (an Accept-Language header, in its order)."""
    wanted = [asked or "", kept or "", *(part.partition(";")[0].strip() for part in accepted.split(","))]
    for language in wanted:
        primary = language.partition("-")[0].lower()
        if primary in languages:
            return languages[primary]
    return languages[SOURCE_LANGUAGE]


def _translations(file: Path) -> gettext.NullTranslations:
    with file.open("rb") as text:
        catalog = read_po(text, locale=file.parent.parent.name)
    compiled = BytesIO()
    write_mo(compiled, catalog)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)
