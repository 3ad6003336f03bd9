"""Languages: every sentence of the pages is in every catalog, none is stale, and names and numbers are CLDR's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from functools import cache

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po

from dashboards.words import SOURCE_LANGUAGE, Words, chosen, read_languages
from tests.collector.collecting import ROOT

FOLDER = ROOT / "dashboards" / "languages"
KEYWORDS = {"marked": None, "marked_count": (1, 2), "gettext": None, "ngettext": (1, 2), "_": None}
TRANSLATED = sorted(folder.name for folder in FOLDER.iterdir() if folder.is_dir())
PLACEHOLDER = re.compile(r"%\(\w+\)s")
# What a sentence quotes stands in every language as it is.
QUOTED = re.compile(r"footfall[.\w]*\w|data-\w+|X-Forwarded-For|collector\.\w+|Sec-GPC: 1|DNT: 1|/api/events")


@cache
def messages() -> Catalog:
    """What the code and the templates say."""
    with (FOLDER / "babel.cfg").open() as mapping:
        method_map, options = parse_mapping_cfg(mapping)  # type: ignore[no-untyped-call]  # Babel's own gap
    found = Catalog()
    for _, _, message, *_ in extract_from_dir(ROOT / "dashboards", method_map, options, KEYWORDS):
        found.add(message)
    return found


def catalog(language: str) -> Catalog:
    with (FOLDER / language / "LC_MESSAGES" / "footfall.po").open("rb") as text:
        return read_po(text, locale=language)


def listed(texts: str | Sequence[str] | None) -> list[str]:
    """The forms of a sentence, one or several."""
    return [texts] if isinstance(texts, str) else list(texts or [""])


def ids(of: Catalog) -> set[object]:
    return {message.id for message in of if message.id}


def test_there_are_sentences_and_the_promised_languages() -> None:
    assert len(ids(messages())) > 100
    assert {"de", "ar"} <= set(TRANSLATED)


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_sentence_is_translated_and_none_is_stale(language: str) -> None:
    translated = catalog(language)
    assert ids(messages()) - ids(translated) == set()
    assert ids(translated) - ids(messages()) == set()
    forms = [form for each in translated if each.id for form in listed(each.string)]
    assert all(forms)
    assert not [each.id for each in translated if each.fuzzy and each.id]


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_translation_keeps_what_is_filled_in_and_what_is_quoted(language: str) -> None:
    for each in catalog(language):
        originals = listed(each.id)
        for form in listed(each.string) if each.id else []:
            assert set(PLACEHOLDER.findall(form)) == set(PLACEHOLDER.findall(originals[-1])), originals
            assert set(QUOTED.findall(form)) == set(QUOTED.findall(originals[-1])), originals


@pytest.fixture(scope="module")
def languages() -> dict[str, Words]:
    return read_languages()


def test_english_comes_first_and_is_the_text_itself(languages: dict[str, Words]) -> None:
    assert next(iter(languages)) == SOURCE_LANGUAGE
    assert languages["en"].say("Sign in") == "Sign in"
    assert languages["de"].say("Sign in") == "Anmelden"


def test_numbers_and_names_are_those_of_the_language(languages: dict[str, Words]) -> None:
    english, german, arabic = languages["en"], languages["de"], languages["ar"]
    assert [words.number(12_345) for words in (english, german)] == ["12,345", "12.345"]
    assert german.percent(0.37) == "37\xa0%"
    assert [words.country("JP") for words in (english, german, arabic)] == ["Japan", "Japan", "اليابان"]
    assert german.language_name("ar") == "Arabisch"
    assert english.country("ZZZ") == "ZZZ"
    assert german.long_day(date(2026, 5, 12)) == "Di., 12. Mai 2026"
    assert [english.duration(seconds) for seconds in (4, 60, 125)] == ["4 sec", "1 min 0 sec", "2 min 5 sec"]
    assert [words.direction for words in (english, german, arabic)] == ["ltr", "ltr", "rtl"]


def test_a_clock_is_the_sites(languages: dict[str, Words]) -> None:
    assert languages["en"].clock(0, "Asia/Tokyo") == "09:00"


@pytest.mark.parametrize(
    ("number", "form"), [(1, "زائر واحد (1)"), (2, "زائران (2)"), (5, "5 زوار"), (35, "35 زائرًا"), (100, "100 زائر")]
)
def test_arabic_counts_in_its_own_forms(languages: dict[str, Words], number: int, form: str) -> None:
    assert languages["ar"].count("%(number)s visitor", "%(number)s visitors", number) == form


@pytest.mark.parametrize(
    ("asked", "kept", "accepted", "language"),
    [
        ("ar", "de", "en", "ar"),
        (None, "de", "en", "de"),
        (None, None, "fr, de-AT;q=0.8, en;q=0.5", "de"),
        (None, None, "", "en"),
        ("xx", "yy", "zz", "en"),
        ("AR-EG", None, "", "ar"),
    ],
)
def test_the_language_asked_for_wins_then_the_one_kept_then_the_browsers(
    languages: dict[str, Words], asked: str | None, kept: str | None, accepted: str, language: str
) -> None:
    assert chosen(languages, asked, kept, accepted).language == language
