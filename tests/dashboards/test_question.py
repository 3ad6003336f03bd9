"""Questions: complete and bounded, or refused by a sentence that names the field and repeats no value."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.dimensions import DIMENSIONS
from collector.settings import Settings, load
from dashboards.question import MAX_DAYS, BadQuestion, Filter, Question, question_of, single_values, site_of

TODAY = date(2026, 5, 31)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load(None, tmp_path_factory.getbasetemp(), {"FOOTFALL_SITE__DOMAIN": "example.com"})


def ask(settings: Settings, **fields: str) -> Question:
    values = single_values([("site", "example.com"), *((name.rstrip("_"), value) for name, value in fields.items())])
    return question_of(values, site_of(values, settings), TODAY)


def refusal(settings: Settings, **fields: str) -> BadQuestion:
    with pytest.raises(BadQuestion) as refused:
        ask(settings, **fields)
    return refused.value


def test_without_days_today_is_asked(settings: Settings) -> None:
    question = ask(settings)
    assert (question.first, question.last, question.dimensions, question.limit) == (TODAY, TODAY, (), 100)


def test_without_from_one_day_is_asked(settings: Settings) -> None:
    question = ask(settings, to="2026-05-01")
    assert question.first == question.last == date(2026, 5, 1)


@pytest.mark.parametrize("name", [dimension.name for dimension in DIMENSIONS])
def test_every_dimension_can_be_asked(settings: Settings, name: str) -> None:
    assert ask(settings, dimension=name).dimensions == (name,)


def test_what_a_site_declares_can_be_asked_of_it_and_of_no_other(tmp_path: Path) -> None:
    config = tmp_path / "footfall.toml"
    config.write_text('[[site]]\ndomain = "example.com"\nproperties = ["plan"]\n[[site]]\ndomain = "other.example"\n')
    settings = load(config, tmp_path, {})
    assert ask(settings, dimension="prop:plan").dimensions == ("prop:plan",)
    assert refusal(settings, dimension="prop:size").status == 400
    assert refusal(settings, dimension="goal").status == 400
    with pytest.raises(BadQuestion, match=r"^dimension must be one of page, .*ttfb$"):
        question_of({"dimension": "prop:plan"}, settings.sites["other.example"], TODAY)


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("to", "2026-05-31", "2026-06-01"),
        ("to", "2024-02-29", "2025-02-29"),
        ("to", "2026-05-01", "20260501"),
        ("to", "2026-05-01", "2026-05-01T00:00"),
        ("to", "2026-05-01", "2026-W18-5"),
        ("to", "2026-05-01", ""),
        ("to", "2026-05-01", "٢٠٢٦-05-01"),
        ("limit", "1", "0"),
        ("limit", "2000", "2001"),
        ("limit", "5", "5.0"),
        ("limit", "5", "-5"),
        ("limit", "5", "٥"),
        ("dimension", "page", "visitor"),
        ("dimension", "page", ""),
    ],
)
def test_the_limit_itself_is_taken_and_what_lies_beyond_names_the_field(
    settings: Settings, field: str, good: str, bad: str
) -> None:
    ask(settings, **{field: good})
    refused = refusal(settings, **{field: bad})
    assert refused.status == 400
    assert str(refused).startswith(field)


def test_from_may_be_as_late_as_to_and_as_early_as_the_limit(settings: Settings) -> None:
    earliest = TODAY - timedelta(days=MAX_DAYS - 1)
    assert ask(settings, from_=TODAY.isoformat()).first == TODAY
    assert ask(settings, from_=earliest.isoformat()).first == earliest
    for day in (TODAY + timedelta(days=1), earliest - timedelta(days=1)):
        assert str(refusal(settings, from_=day.isoformat())).startswith("from must")


def test_only_days_that_are_sealed_are_compared_and_with_the_days_or_the_year_before(settings: Settings) -> None:
    yesterday = {"to": (TODAY - timedelta(days=1)).isoformat()}
    assert ask(settings, **yesterday).compare is None
    assert ask(settings, compare="year", **yesterday).compare == "year"
    assert ask(settings, compare="previous", **yesterday).compare == "previous"
    assert str(refusal(settings, compare="month", **yesterday)) == "compare must be one of previous, year"
    assert str(refusal(settings, compare="year")).startswith("compare needs days that are sealed")


def test_a_filter_is_a_value_of_a_crossed_dimension_and_its_value_may_have_colons(settings: Settings) -> None:
    earlier = {"from_": (TODAY - timedelta(days=2)).isoformat()}
    assert ask(settings, filter="page:/a:b", **earlier).filter == Filter("page", "/a:b")
    assert ask(settings, **earlier).filter is None
    assert ask(settings, filter="country:DE", dimension="page", **earlier).dimensions == ("page",)
    assert ask(settings, filter=f"page:{'/' * 512}", **earlier).filter
    for wrong in ("country", "country:", "language:de", "goal:x", f"page:{'/' * 513}", "page:(other)"):
        refused = refusal(settings, filter=wrong, **earlier)
        assert str(refused).startswith("filter must be DIMENSION:VALUE, the dimension one of page, source,")
    for alone in ("country", "language"):
        assert str(refusal(settings, filter="country:DE", dimension=alone, **earlier)).startswith("dimension must be")
    assert str(refusal(settings, filter="country:DE")).startswith("filter needs a day that is sealed")


def test_an_unknown_field_is_refused(settings: Settings) -> None:
    assert refusal(settings, form="2026-01-01").status == 400


def test_a_field_given_twice_is_refused() -> None:
    with pytest.raises(BadQuestion, match="site must be given once"):
        single_values([("site", "a"), ("site", "a")])


def test_no_site_is_a_bad_request_and_an_unknown_one_is_not_found(settings: Settings) -> None:
    for values, status in (({}, 400), ({"site": "other.example"}, 404), ({"site": "EXAMPLE.COM"}, 404)):
        with pytest.raises(BadQuestion) as refused:
            site_of(values, settings)
        assert refused.value.status == status


@given(st.dictionaries(st.sampled_from(["from", "to", "dimension", "limit"]), st.text(min_size=1)))
def test_any_text_is_a_question_or_a_refusal_that_does_not_repeat_it(
    settings: Settings, values: dict[str, str]
) -> None:
    marked = {name: f"⟦{value}⟧" for name, value in values.items()}
    try:
        question_of(marked, settings.sites["example.com"], TODAY)
        refused = ""
    except BadQuestion as bad:
        refused = str(bad)
    assert bool(refused) == bool(marked)
    assert "⟦" not in refused
