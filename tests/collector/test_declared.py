"""What a site declares: read whole or refused with a line for each fault, and of what is sent nothing else is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collector.declared import MAX_GOALS, MAX_PROPERTIES, Declared, Experiment, Funnel, Goal
from tests.collector.collecting import Collector, running
from tests.collector.test_settings import faults_of, read, site

SECRET = "Bob Smith"


def declared(folder: Path, options: str) -> Declared:
    return read(folder, site(options)).sites["example.com"].declared


def test_nothing_is_declared_by_default(tmp_path: Path) -> None:
    assert declared(tmp_path, "") == Declared()
    assert Declared().dimensions == ()


def test_what_is_declared_arrives(tmp_path: Path) -> None:
    made = declared(
        tmp_path,
        """properties = ["plan", "author"]
        [[site.goal]]
        name = "sign-up"
        event = "signup"
        [[site.goal]]
        name = "Pro"
        event = "signup"
        property = "plan"
        value = "pro"
        [[site.goal]]
        name = "Thanks"
        page = "/thanks/*"
        """,
    )
    assert made.properties == ("plan", "author")
    assert made.goals == (
        Goal("sign-up", event="signup"),
        Goal("Pro", event="signup", key="plan", value="pro"),
        Goal("Thanks", page="/thanks/*"),
    )
    assert made.dimensions == ("prop:plan", "prop:author", "goal")


def test_funnels_and_experiments_arrive(tmp_path: Path) -> None:
    made = declared(
        tmp_path,
        """[[site.goal]]
        name = "sign-up"
        event = "signup"
        [[site.funnel]]
        name = "buy"
        steps = ["/cart", "sign-up", "/shop/*/thanks"]
        [[site.experiment]]
        name = "button"
        variants = ["blue", "green"]
        """,
    )
    steps = (
        Goal("/cart", page="/cart"),
        Goal("sign-up", event="signup"),
        Goal("/shop/*/thanks", page="/shop/*/thanks"),
    )
    assert made.funnels == (Funnel("buy", steps),)
    assert made.experiments == (Experiment("button", ("blue", "green")),)
    assert made.variants == {"button/blue", "button/green"}
    assert made.dimensions == ("goal", "funnel", "variant", "variant_goal")


def test_the_environment_declares_too(tmp_path: Path) -> None:
    settings = read(
        tmp_path,
        site(),
        FOOTFALL_SITE__PROPERTIES="plan, author",
        FOOTFALL_SITE__GOAL='[{ name = "a", page = "/a" }]',
    )
    assert settings.sites["example.com"].declared == Declared(("plan", "author"), (Goal("a", page="/a"),))


GOAL = "[[site.goal]]\nname = 'a'\n"
FUNNEL = "[[site.funnel]]\nname = 'a'\n"
TRIAL = "[[site.experiment]]\nname = 'a'\n"
EVENT = GOAL + "event = 'signup'\n"


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ("properties = ['a b']", "site[example.com].properties, entry 1: must be 1 to 40 letters"),
        ("properties = ['a', 'a']", "site[example.com].properties: two have one name"),
        (f"properties = {[f'p{n}' for n in range(MAX_PROPERTIES + 1)]}", "properties: must be 10 at most"),
        ("[[site.goal]]\npage = '/a'", "site[example.com].goal[1].name: is missing"),
        ("[[site.goal]]\nname = '(other)'\npage = '/a'", "site[example.com].goal[1].name: must be 1 to 40 letters"),
        ("[[site.goal]]\nname = 'a/b'\npage = '/a'", "site[example.com].goal[1].name: must be 1 to 40 letters"),
        (GOAL, "site[example.com].goal[1]: must have either event or page"),
        (EVENT + "page = '/a'", "site[example.com].goal[1]: must have either event or page"),
        (GOAL + "page = 'a'", "site[example.com].goal[1].page: must be a path such as /thanks"),
        (GOAL + "page = '/a?b=c'", "site[example.com].goal[1].page: must be a path such as /thanks"),
        (GOAL + "event = 'pageview'", "site[example.com].goal[1].event: must be an event's name"),
        (GOAL + "event = '404'", "site[example.com].goal[1].event: must be an event's name"),
        (GOAL + "event = 'bob@example.com'", "site[example.com].goal[1].event: must be an event's name"),
        (EVENT + "property = 'plan'\nvalue = 'pro'", "site[example.com].goal[1].property: must be a key"),
        ("properties = ['plan']\n" + EVENT + "property = 'plan'", "goal[1]: must have property and value together"),
        ("properties = ['plan']\n" + EVENT + "value = 'pro'", "goal[1]: must have property and value together"),
        (EVENT + EVENT, "site[example.com].goal: two have one name"),
        (FUNNEL + "steps = ['/a']", "site[example.com].funnel[1].steps: must be 2 to 8"),
        (FUNNEL + f"steps = {['/a'] * 9}", "site[example.com].funnel[1].steps: must be 2 to 8"),
        (FUNNEL + "steps = ['/a', 'b']", "site[example.com].funnel[1].steps, entry 2: must be the name of a goal"),
        (FUNNEL + "goals = ['/a', '/b']", "site[example.com].funnel[1].goals: no such setting"),
        (2 * (FUNNEL + "steps = ['/a', '/b']\n"), "site[example.com].funnel: two have one name"),
        (TRIAL + "variants = ['a']", "site[example.com].experiment[1].variants: must be 2 to 10"),
        (TRIAL + "variants = ['a', 'a']", "site[example.com].experiment[1].variants: two have one name"),
        (TRIAL + "variants = ['a', 'b,c']", "site[example.com].experiment[1].variants, entry 2: must be 1 to 40"),
        (2 * (TRIAL + "variants = ['a', 'b']\n"), "site[example.com].experiment: two have one name"),
        (EVENT + "colour = 'red'", "site[example.com].goal[1].colour: no such setting"),
    ],
)
def test_what_cannot_be_counted_is_a_fault_that_names_the_setting(tmp_path: Path, options: str, fault: str) -> None:
    faults = faults_of(tmp_path, site(options))
    assert any(fault in each for each in faults), faults
    assert all("bob" not in each for each in faults)


def test_as_many_as_stated_can_be_declared_and_not_one_more(tmp_path: Path) -> None:
    goals = [f"[[site.goal]]\nname = 'g{n}'\npage = '/{n}'" for n in range(MAX_GOALS + 1)]
    assert len(declared(tmp_path, "\n".join(goals[:MAX_GOALS])).goals) == MAX_GOALS
    assert faults_of(tmp_path, site("\n".join(goals))) == ("site[example.com].goal: must be 20 at most",)
    assert len(declared(tmp_path, f"properties = {[f'p{n}' for n in range(MAX_PROPERTIES)]}").properties) == 10


# What the collector keeps.


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    sites = '[[site]]\ndomain = "example.com"\nproperties = ["plan", "author"]\n'
    sites += '[[site.experiment]]\nname = "button"\nvariants = ["blue", "green"]\n'
    sites += '[[site.experiment]]\nname = "price"\nvariants = ["low", "high"]\n[[site]]\ndomain = "example.org"\n'
    with running(Collector(tmp_path_factory.mktemp("declared"), sites=sites)) as collector:
        yield collector


def stored(collector: Collector, domain: str, **fields: object) -> dict[str, Any]:
    assert collector.event({"u": f"https://{domain}/", "d": domain, **fields}).footfall == "accepted"
    return collector.events()[-1]


def test_of_the_properties_only_declared_ones_are_kept(collector: Collector) -> None:
    properties = {"plan": "pro", "name": SECRET, "Plan": SECRET, "author": "bob@example.com"}
    for name in ("pageview", "signup"):
        kept = stored(collector, "example.com", n=name, p=properties)
        assert kept["properties"] == {"plan": "pro", "author": "[email]"}
        assert SECRET not in str(kept)
    assert stored(collector, "example.org", n="signup", p=properties)["properties"] == {}


def test_of_engagement_and_breakage_no_property_is_kept(collector: Collector) -> None:
    assert stored(collector, "example.com", n="engagement", e=5, p={"plan": "pro"})["properties"] == {}
    assert stored(collector, "example.com", n="404", p={"plan": "pro"})["properties"] == {}
    kept = stored(collector, "example.com", n="vitals", b={"lcp": "good"}, p={"plan": "pro"})
    assert kept["properties"] == {"lcp": "good"}


@pytest.mark.parametrize(
    ("fields", "variant"),
    [
        ({"x": "button/green"}, "button/green"),
        ({"x": "price/low, button/blue,button/red,Bob Smith"}, "price/low,button/blue"),
        ({"x": "green"}, ""),
        ({"x": None}, ""),
        ({"p": {"button": "green", "price": "free"}}, "button/green"),
        ({"x": "price/high", "p": {"button": "blue", "price": "high"}}, "price/high,button/blue"),
        ({"n": "signup", "x": "button/green"}, "button/green"),
        ({"n": "engagement", "e": 5, "x": "button/green"}, ""),
    ],
)
def test_of_variants_only_declared_ones_are_kept(collector: Collector, fields: dict[str, object], variant: str) -> None:
    kept = stored(collector, "example.com", **{"n": "pageview", **fields})
    assert kept.get("variant", "") == variant
    assert SECRET not in str(kept)
    assert "variant" not in stored(collector, "example.org", **{"n": "pageview", **fields})


@pytest.mark.parametrize("value", [7, ["button/green"], "x" * 1_025])
def test_a_variant_is_a_text_within_its_bound(collector: Collector, value: object) -> None:
    answer = collector.event({"u": "https://example.com/", "d": "example.com", "n": "pageview", "x": value})
    assert answer.status == 400
    assert b"x: " in answer.body
