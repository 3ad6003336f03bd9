"""What a request may say beside Plausible's fields: breakage and loyalty, in words of fixed lists and no others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from collector.hit import ERRORS, RATINGS, VITALS
from collector.loyalty import LOYALTIES
from tests.collector.collecting import Answer, Collector, running

PAGE = "https://example.com/shop?basket=4711#top"
SECRET = "Bob Smith, bob@example.com"


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    sites = (
        '[[site]]\ndomain = "example.com"\nproperties = ["plan"]\n[[site]]\ndomain = "loyal.example"\nloyalty = true\n'
    )
    with running(Collector(tmp_path_factory.mktemp("hit"), sites=sites)) as collector:
        yield collector


def stored(collector: Collector, fields: Mapping[str, object]) -> dict[str, Any]:
    """The event that became of `fields`."""
    assert collector.event({"u": PAGE, **fields}).footfall == "accepted"
    return collector.events()[-1]


def told(event: Mapping[str, Any]) -> tuple[str, str, str, dict[str, str]]:
    return event["kind"], event["name"], event["path"], event["properties"]


def refusal(answer: Answer) -> tuple[int, str]:
    return answer.status, json.loads(answer.body)["error"].partition(":")[0]


# Breakage.


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_a_script_error_is_kept_by_its_name(collector: Collector, name: str) -> None:
    assert told(stored(collector, {"n": "error", "b": name})) == ("error", name, "/shop", {})


@pytest.mark.parametrize("name", ["", "typeerror", "BobsError", SECRET, "TypeError: " + SECRET, "x" * 5_000])
def test_any_other_name_of_an_error_is_kept_as_other(collector: Collector, name: str) -> None:
    assert told(stored(collector, {"n": "error", "b": name})) == ("error", "other", "/shop", {})


def test_nothing_else_that_is_said_with_an_error_is_kept(collector: Collector) -> None:
    event = stored(collector, {"n": "error", "b": "TypeError", "p": {"message": SECRET}, "message": SECRET})
    assert told(event) == ("error", "TypeError", "/shop", {})
    assert told(stored(collector, {"n": "404", "p": {"path": SECRET}})) == ("error", "404", "/shop", {})


@pytest.mark.parametrize("rating", RATINGS)
@pytest.mark.parametrize("vital", VITALS)
def test_a_vital_is_kept_as_its_class(collector: Collector, vital: str, rating: str) -> None:
    event = stored(collector, {"n": "vitals", "b": {vital: rating, "fcp": 812.5, "who": SECRET}, "p": {"who": SECRET}})
    assert told(event) == ("error", "vitals", "/shop", {vital: rating})


@pytest.mark.parametrize(
    ("name", "breakage"),
    [
        ("vitals", {"lcp": 2_412.7}),
        ("vitals", {"lcp": "2412"}),
        ("vitals", {"lcp": "good", "inp": SECRET}),
        ("vitals", {"lcp": None}),
        ("vitals", {"lcp": ["good"]}),
        ("vitals", {"fcp": "good"}),
        ("vitals", {}),
        ("vitals", "good"),
        ("error", {"lcp": "good"}),
        ("error", 500),
        ("error", ["TypeError"]),
    ],
)
def test_other_breakage_is_refused_by_field(collector: Collector, name: str, breakage: object) -> None:
    assert refusal(collector.event({"u": PAGE, "n": name, "b": breakage})) == (400, "b")


@pytest.mark.parametrize("name", ["error", "vitals", "Signup", "pageview"])
def test_without_breakage_or_with_another_name_an_event_is_like_any_other(collector: Collector, name: str) -> None:
    fields: dict[str, object] = {"n": name, "p": {"plan": "small"}}
    if name in ("Signup", "pageview"):
        fields["b"] = "TypeError"
    kind, kept = ("view", "") if name == "pageview" else ("event", name)
    assert told(stored(collector, fields)) == (kind, kept, "/shop", {"plan": "small"})


# Loyalty.

LOYAL = {"d": "loyal.example", "u": "https://loyal.example/"}


@pytest.mark.parametrize("word", LOYALTIES)
def test_what_a_device_says_of_earlier_visits_is_kept_where_the_site_wants_it(collector: Collector, word: str) -> None:
    assert stored(collector, {**LOYAL, "l": word})["loyalty"] == word


@pytest.mark.parametrize("word", LOYALTIES)
def test_it_is_dropped_to_nothing_where_the_site_does_not_and_with_anything_but_a_view(
    collector: Collector, word: str
) -> None:
    assert "loyalty" not in stored(collector, {"l": word})
    assert "loyalty" not in stored(collector, {**LOYAL, "l": word, "n": "Signup"})
    assert "loyalty" not in stored(collector, {**LOYAL, "l": word, "n": "error", "b": "TypeError"})


@pytest.mark.parametrize("word", [None, "absent"])
def test_a_view_without_it_is_like_any_other(collector: Collector, word: str | None) -> None:
    fields = LOYAL if word else {**LOYAL, "l": None}
    assert "loyalty" not in stored(collector, fields)


@pytest.mark.parametrize("word", ["", "year", "First", "2026-11-22", SECRET, 1, True, ["day"], {"day": 1}])
def test_any_other_word_is_refused_by_field(collector: Collector, word: object) -> None:
    assert refusal(collector.event({**LOYAL, "l": word})) == (400, "l")
