"""Remembering pages changes no answer, and keeps nothing that may not be stored."""

from __future__ import annotations

import pytest

from collector.page import page_of
from collector.pages import PAGES_KEPT, Pages

PLAIN = "https://example.com/shelf/article-7"
TELLING = (
    "https://example.com/shelf?id=7",
    "https://example.com/shelf#part",
    "https://someone@example.com/shelf",
    "https://example.com/~someone@example.org/",
    "https://example.com/reset/0123456789abcdef0123456789abcdef",
    "https://example.com:8443/shelf",
    "https://Example.com/shelf",
)


@pytest.mark.parametrize("url", [PLAIN, *TELLING])
def test_a_page_is_the_same_the_first_time_and_the_second(url: str) -> None:
    pages = Pages()
    allowed = ("id",)
    assert pages.page_of(url, allowed) == pages.page_of(url, allowed) == page_of(url, frozenset(allowed))


def test_parameters_allowed_for_one_site_are_not_for_another() -> None:
    pages = Pages()
    assert pages.page_of(TELLING[0], ("id",)).path == "/shelf?id=7"
    assert pages.page_of(TELLING[0], ()).path == "/shelf"


@pytest.mark.parametrize("url", TELLING)
def test_a_url_that_tells_more_than_may_be_stored_is_not_remembered(url: str) -> None:
    pages = Pages()
    pages.page_of(url, ())
    assert url not in pages
    pages.page_of(PLAIN, ())
    assert PLAIN in pages


def test_what_is_remembered_is_bounded() -> None:
    pages = Pages()
    for number in range(PAGES_KEPT + 1):
        pages.page_of(f"https://example.com/{number}", ())
    assert len(pages) <= PAGES_KEPT


@pytest.mark.parametrize("url", ["", "/shelf", "javascript:alert(1)", "https:///"])
def test_no_page_is_told_as_such_each_time(url: str) -> None:
    pages = Pages()
    for _ in range(2):
        with pytest.raises(ValueError, match="URL"):
            pages.page_of(url, ())
