"""What a site declares as sealed and live numbers: compared with plain Python, and kept apart from other sites."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from fnmatch import fnmatchcase

import pytest

from aggregator.declared_dimensions import dimensions_of, matching, names_of, pattern, quoted, reaches
from aggregator.live import LiveView
from aggregator.rollup import SiteRules
from aggregator.store import Store
from collector import days
from collector.declared import Declared, Experiment, Funnel, Goal
from collector.settings import Site, load
from tests.aggregator.simulate import OTHER, Counted, Crowd, Row, as_shown, counted, insert, truth
from tests.aggregator.test_rollup import BERLIN, DAY, START_MS, breakdown, people, person, roll_up
from tests.clock import SetClock

SITE = "example.com"
SIGNUP = Goal("sign-up", event="signup")
PRO = Goal("Pro", event="signup", key="plan", value="pro")
BLOG = Goal("Blog", page="/blog/*")
Shown = dict[tuple[str, str], dict[str, int]]


@pytest.fixture
def example(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.getbasetemp()
    variables = {"FOOTFALL_SITE__DOMAIN": SITE, "FOOTFALL_SITE__TIMEZONE": BERLIN}
    return load(None, folder, variables).sites[SITE]


def declaring(example: Site, declared: Declared, k: int = 5, *, exact: bool = False) -> SiteRules:
    of_site = replace(example, declared=declared)
    return SiteRules(k, exact, date(2029, 1, 1), dimensions_of(of_site), matching(declared))


def of(store: Store, dimension: str, site: str = SITE) -> Shown:
    return {key[1:]: shown for key, shown in breakdown(store, site).items() if key[0] == dimension}


def visitors(shown: Mapping[tuple[str, str], Mapping[str, int]]) -> dict[tuple[str, str], int]:
    return {key: numbers["visitors"] for key, numbers in shown.items()}


def test_values_of_a_declared_property_are_counted_within_their_event(store: Store, example: Site) -> None:
    rows = [
        *people(6, kind="event", name="signup", properties={"plan": "pro", "colour": "red"}),
        *[person(20 + n, kind="event", name="signup", properties={"plan": f"rare-{n}"}) for n in range(5)],
        *[person(40 + n, kind="event", name="upgrade", properties={"plan": "pro"}) for n in range(5)],
        *[person(60 + n, properties={"plan": "guest"}) for n in range(5)],
        *[person(80 + n, kind="leave", properties={"plan": "left"}) for n in range(5)],
    ]
    roll_up(store, rows, declaring(example, Declared(("plan",)), exact=True))
    assert visitors(of(store, "prop:plan")) == {
        ("signup", "pro"): 6,
        ("signup", OTHER): 5,
        ("upgrade", "pro"): 5,
        ("", "guest"): 5,
    }
    assert of(store, "prop:colour") == {}


def test_a_goal_is_reached_by_its_event_its_value_or_its_pages(store: Store, example: Site) -> None:
    rows = [
        *people(6, kind="event", name="signup", properties={"plan": "pro"}),
        *[person(20 + n, kind="event", name="signup") for n in range(5)],
        *[person(40 + n, path=f"/blog/{n}?q=x") for n in range(5)],
        *[person(60 + n, path="/blog") for n in range(5)],
        *[person(80 + n, kind="error", name="signup", path="/blog/x") for n in range(5)],
    ]
    goals = (SIGNUP, PRO, BLOG, Goal("Exactly", page="/blog"), Goal("Never", page="/never"))
    roll_up(store, rows, declaring(example, Declared(("plan",), goals), exact=True))
    assert visitors(of(store, "goal")) == {
        ("", "sign-up"): 11,
        ("", "Pro"): 6,
        ("", "Blog"): 5,
        ("", "Exactly"): 5,
    }


def test_groups_that_overlap_show_visitors_and_visits_alone(store: Store, example: Site) -> None:
    rows = people(30, path="/blog/x") + [
        person(n, kind="event", name="signup", properties={"plan": "pro"}, at_ms=START_MS + 60_000 + n)
        for n in range(30)
    ]
    made = Declared(("plan",), (SIGNUP, BLOG))
    roll_up(store, rows, declaring(example, made))
    for dimension in made.dimensions:
        for shown in of(store, dimension).values():
            numbers = {"visitors": 30, "visits": 30, "views": 0, "events": 0, "bounces": 0, "engaged_s": 0}
            assert shown == numbers, dimension


def _is_blog(one: Counted) -> bool:
    return one.row.kind == "view" and one.row.path.startswith("/blog/")


def _is_signup(one: Counted) -> bool:
    return one.row.kind == "event" and one.row.name == "signup"


def _is_pro(one: Counted) -> bool:
    return _is_signup(one) and one.row.properties.get("plan") == "pro"


REACHED: Mapping[str, Callable[[Counted], bool]] = {"Blog": _is_blog, "sign-up": _is_signup, "Pro": _is_pro}


@pytest.mark.parametrize("people", [30, 90, 800])
def test_a_goals_numbers_are_the_rounded_truth_and_never_exceed_what_they_are_part_of(
    store: Store, example: Site, people: int
) -> None:
    chance = random.Random(people)
    rows = [
        replace(row, properties={"plan": chance.choice(("pro", "small"))}) if row.kind == "event" else row
        for row in Crowd(DAY, BERLIN, SITE, people).rows()
    ]
    roll_up(store, rows, declaring(example, Declared(("plan",), (SIGNUP, PRO, BLOG))))
    used, _ = counted(rows)
    shown = of(store, "goal")
    for name, is_reached in REACHED.items():
        group = truth([one for one in used if is_reached(one)])
        assert (("", name) in shown) == (group.networks >= 5), name
        if group.networks >= 5:
            expected = as_shown(group, 5, 5)
            told = shown["", name]
            assert (told["visitors"], told["visits"]) == (expected["visitors"], expected["visits"])
    if ("", "Pro") in shown:
        assert (
            shown["", "Pro"]["visits"] <= shown["", "sign-up"]["visits"] <= of(store, "event")["", "signup"]["visits"]
        )


MINUTE = 60_000
CART, FORM = Goal("/cart", page="/cart"), Goal("/form", page="/form")


def walk(number: int, *pages: str, pause_ms: int = MINUTE, **fields: object) -> list[Row]:
    """One visitor's views, one after the other."""
    return [
        person(number, path=page, at_ms=START_MS + number + place * pause_ms, **fields)
        for place, page in enumerate(pages)
    ]


def test_a_step_counts_after_the_one_before_it_within_one_visit(store: Store, example: Site) -> None:
    rows = [row for n in range(6) for row in walk(n, "/cart", "/x", "/form", "/cart")]
    rows += [row for n in range(20, 25) for row in walk(n, "/form", "/cart")]
    rows += [row for n in range(40, 45) for row in walk(n, "/cart", "/form", pause_ms=31 * MINUTE)]
    rows += [row for n in range(60, 65) for row in walk(n, "/cart", "/form", "/form", "/cart", "/form")]
    made = Declared(funnels=(Funnel("buy", (CART, FORM, FORM)), Funnel("back", (FORM, CART))))
    roll_up(store, rows, declaring(example, made, exact=True))
    assert {key: shown["visits"] for key, shown in of(store, "funnel").items()} == {
        ("buy", "buy/1"): 6 + 5 + 5 + 5,
        ("buy", "buy/2"): 6 + 5,
        ("buy", "buy/3"): 5,
        ("back", "back/1"): 6 + 5 + 5 + 5,
        ("back", "back/2"): 6 + 5 + 5,
    }


def test_one_row_takes_one_step_only(store: Store, example: Site) -> None:
    rows = people(6, path="/cart") + [row for n in range(20, 25) for row in walk(n, "/cart", "/cart")]
    roll_up(store, rows, declaring(example, Declared(funnels=(Funnel("twice", (CART, CART)),)), exact=True))
    assert visitors(of(store, "funnel")) == {("twice", "twice/1"): 11, ("twice", "twice/2"): 5}


def test_rows_without_a_visitor_walk_no_funnel_together(store: Store, example: Site) -> None:
    nobody = [Row(DAY, BERLIN, SITE, START_MS + n, path=("/cart", "/form")[n % 2]) for n in range(50)]
    rows = [*people(6, path="/cart"), *nobody]
    roll_up(store, rows, declaring(example, Declared(funnels=(Funnel("buy", (CART, FORM)),)), exact=True))
    assert visitors(of(store, "funnel")) == {("buy", "buy/1"): 6}


def test_a_step_of_fewer_than_k_networks_is_not_shown(store: Store, example: Site) -> None:
    rows = people(9, path="/cart") + [row for n in range(20, 24) for row in walk(n, "/cart", "/form")]
    roll_up(store, rows, declaring(example, Declared(funnels=(Funnel("buy", (CART, FORM)),))))
    assert visitors(of(store, "funnel")) == {("buy", "buy/1"): 10}


BUTTON = Experiment("button", ("blue", "green"))
PRICE = Experiment("price", ("low", "high"))


def test_a_visitor_has_the_first_variant_met_all_day_and_goals_count_after_it(store: Store, example: Site) -> None:
    hour = 60 * MINUTE
    rows = [row for n in range(6) for row in walk(n, "/cart", variant="button/green")]
    rows += [person(n, path="/form", at_ms=START_MS + 2 * hour + n) for n in range(6)]
    rows += [row for n in range(20, 25) for row in walk(n, "/form", "/cart")]
    rows += [person(n, path="/x", variant="button/blue,price/low", at_ms=START_MS + hour + n) for n in range(20, 25)]
    rows += [person(n, path="/form", variant="button/green", at_ms=START_MS + 2 * hour + n) for n in range(20, 23)]
    made = Declared(goals=(CART, FORM), experiments=(BUTTON, PRICE))
    roll_up(store, rows, declaring(example, made, k=3, exact=True))
    assert {key: (shown["visitors"], shown["visits"]) for key, shown in of(store, "variant").items()} == {
        ("button", "button/green"): (6, 12),
        ("button", "button/blue"): (5, 8),
        ("price", "price/low"): (5, 8),
    }
    assert visitors(of(store, "variant_goal")) == {
        ("button/green", "/cart"): 6,
        ("button/green", "/form"): 6,
        ("button/blue", "/form"): 3,
        ("price/low", "/form"): 3,
    }


@pytest.mark.parametrize("people", [60, 800])
def test_funnels_and_variants_are_the_rounded_truth(store: Store, example: Site, people: int) -> None:
    rows = [
        replace(row, variant=("button/blue", "button/green")[row.visitor // 7 % 2] if row.visitor % 5 else "")
        for row in Crowd(DAY, BERLIN, SITE, people).rows()
    ]
    steps = (Goal("Home", page="/"), BLOG, SIGNUP)
    made = Declared((), (SIGNUP,), (Funnel("f", steps),), (BUTTON,))
    roll_up(store, rows, declaring(example, made))
    used, _ = counted(rows)
    expected = {
        **{("funnel", f"f/{step}"): group for step, group in _steps(used).items()},
        **{("variant", variant): [one for one in used if one.row.variant == variant] for variant in made.variants},
    }
    for (dimension, value), group in expected.items():
        told = {key[1]: shown for key, shown in of(store, dimension).items()}
        true = truth(group)
        assert (value in told) == (true.networks >= 5), value
        if value in told:
            rounded = as_shown(true, 5, 5)
            assert (told[value]["visitors"], told[value]["visits"]) == (rounded["visitors"], rounded["visits"]), value
    assert len(of(store, "variant")) == 2


def _steps(used: list[Counted]) -> dict[int, list[Counted]]:
    """The rows of the visits that came to each step, from there on: home, a page of the blog, a sign-up."""
    tests: list[Callable[[Counted], bool]] = [lambda one: _is_view_of(one, "/"), _is_blog, _is_signup]
    at: dict[object, int] = {}
    rows: dict[int, list[Counted]] = {1: [], 2: [], 3: []}
    for one in sorted(used, key=lambda one: (one.row.at_ms, one.row.batch, one.row.position)):
        if one.visit is not None and one.row.kind in ("view", "event"):
            step = at.get(one.visit, 0)
            at[one.visit] = step + (step < len(tests) and tests[step](one))
            for reached in range(1, at[one.visit] + 1):
                rows[reached].append(one)
    return rows


def _is_view_of(one: Counted, path: str) -> bool:
    return one.row.kind == "view" and one.row.path.partition("?")[0] == path


def test_what_one_site_declares_is_not_counted_of_another(store: Store, example: Site) -> None:
    rows = [
        person(n, site=site, kind="event", name="signup", properties={"plan": "pro"})
        for site in (SITE, "other.example", "third.example")
        for n in range(6)
    ]
    rules = {
        SITE: declaring(example, Declared(("plan",), (SIGNUP,))),
        "other.example": declaring(example, Declared((), (Goal("other", event="signup"),))),
        "third.example": declaring(example, Declared()),
    }
    roll_up(store, rows, rules)
    declared = {
        site: {key for key in breakdown(store, site) if key[0] == "goal" or key[0].startswith("prop:")}
        for site in rules
    }
    assert declared == {
        SITE: {("prop:plan", "signup", "pro"), ("goal", "", "sign-up")},
        "other.example": {("goal", "", "other")},
        "third.example": set(),
    }
    assert all(("event", "", "signup") in breakdown(store, site) for site in rules)


def test_today_shows_declared_lists_by_visitors_and_visits(store: Store, example: Site) -> None:
    noon = days.starts_at(DAY, BERLIN) + 12 * 3600
    rows = people(7, kind="event", name="signup", properties={"plan": "pro"}, at_ms=int(noon) * 1000)
    insert(store, rows)
    site = replace(example, declared=Declared(("plan",), (SIGNUP,)))
    lists = LiveView(store, SetClock(noon)).of(site).lists
    assert {cell.value: cell.measures.visitors for cell in lists["goal"]} == {"sign-up": 5}
    assert {(cell.parent, cell.value): cell.measures.events for cell in lists["prop:plan"]} == {("signup", "pro"): 0}
    assert lists.keys() <= set(names_of(site))


# Texts of the configuration in SQL.


@pytest.mark.parametrize(
    "text", ["it's", "back\\slash", "'; DROP TABLE seals; --", "{day:Date}", "ä \u2066 €", "a\\'b", "%s"]
)
def test_a_text_of_the_configuration_stays_a_text(store: Store, text: str) -> None:
    assert store.query(f"SELECT {quoted(text)}, {{day:UInt8}}", {"day": 1}) == [(text, 1)]


@pytest.mark.parametrize(
    ("page", "path"),
    [
        ("/thanks", "/thanks"),
        ("/thanks", "/thanks/"),
        ("/thanks", "/a/thanks"),
        ("/docs/*", "/docs/a/b"),
        ("/docs/*", "/docs/"),
        ("/docs/*", "/docs"),
        ("/*/edit", "/a/b/edit"),
        ("/a.b", "/axb"),
        ("/a+(b)-[c]^$|{}&~", "/a+(b)-[c]^$|{}&~"),
        ("/it's\\d", "/it's\\d"),
        ("/tee/grün", "/tee/grün"),
        ("/*", "/"),
    ],
)
def test_in_a_pages_path_a_star_is_any_text_and_nothing_else_is_special(store: Store, page: str, path: str) -> None:
    found = store.query(
        f"SELECT {reaches(Goal('x', page=page))} FROM (SELECT {{path:String}} AS path, 'view' AS kind)",
        {"path": path + "?q=/docs/x"},
    )
    assert pattern(page)
    assert found == [(int(fnmatchcase(path, page.replace("[", "[[]"))),)]


def test_rows_without_a_visitor_reach_no_goal(store: Store, example: Site) -> None:
    nobody = [Row(DAY, BERLIN, SITE, START_MS + n, path="/blog/x") for n in range(50)]
    roll_up(store, [*people(6), *nobody], declaring(example, Declared((), (BLOG,))))
    assert of(store, "goal") == {}
