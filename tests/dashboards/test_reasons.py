"""Every reason for which the collector drops a request has its words."""

from __future__ import annotations

import re

import pytest

from collector import consent, pipeline, refuse
from dashboards.reasons import REASONS, name_in_list, reason_of
from dashboards.words import Words, read_languages
from tests.collector.collecting import ROOT


@pytest.fixture(scope="module")
def german() -> Words:
    return read_languages()["de"]


def reasons_of_the_collector() -> set[str]:
    """Those of refuse.py by name; those of consent.py and of pipeline.py as their code returns them."""
    asked = (ROOT / "collector" / "consent.py").read_text()
    dropped = (ROOT / "collector" / "pipeline.py").read_text()
    of_consent = set(re.findall(r'^ +return "(\w+)"$', asked, re.MULTILINE))
    return {*refuse.REASONS, *of_consent, *re.findall(r'Dropped\("(\w+)"\)', dropped)}


def test_the_reasons_are_found_where_they_are_said_to_be() -> None:
    assert {"gpc", "no_consent", "bot", "foreign_page"} <= reasons_of_the_collector()
    assert consent.refusal_of.__doc__
    assert pipeline.event_of.__doc__


@pytest.mark.parametrize("reason", sorted(reasons_of_the_collector()))
def test_every_reason_has_a_name_a_sentence_and_advice(reason: str) -> None:
    told = REASONS[reason]
    assert told.name
    assert told.sentence.endswith(".")
    assert told.advice.endswith(".")


def test_a_malformed_request_is_told_as_such(german: Words) -> None:
    assert "malformed" in reason_of("invalid", "u").sentence
    assert name_in_list(german, "invalid", "u") == "Fehlerhaft"


def test_a_reason_that_is_new_stands_for_itself(german: Words) -> None:
    assert name_in_list(german, "dropped", "moon_phase") == "moon_phase"
    assert name_in_list(german, "accepted", "") == "Gezählt"
