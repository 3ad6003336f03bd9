"""What the live view lets out: no cell grows by more than what holds it, none is forgotten, and none shows too much."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import pytest

from aggregator.dimensions import DIMENSIONS, Dimension
from aggregator.release import ALL, Key, Releases, Standing
from collector.declared import Goal

K = 5
BY = tuple(each for each in DIMENSIONS if each.name in ("browser", "browser_version", "page", "event"))
GOAL = Dimension("goal", "", one_of="none")
GOALS = (Goal("Shop", page="/shop/*"),)
LOOKS = (("Firefox", "140"), ("Firefox", "141"), ("Firefox", "128"), ("Chrome", "142"), ("Chrome", "141"))
PAGES = ("/", "/shop/tea", "/shop/cups", "/about")


def cells_of(browser: str, version: str, page: str) -> Iterator[Key]:
    yield ALL
    yield "browser", "", browser
    yield "browser_version", browser, version
    yield "page", "/shop/" if page.startswith("/shop/") else "/", page
    if page.startswith("/shop/"):
        yield "goal", "", "Shop"


def standing(networks: int) -> Standing:
    complete = networks // K
    return Standing(1, networks, complete, (complete * K, complete * K, complete * K, 0, complete * K, 0))


def day(seed: int, people: int = 400) -> Iterator[tuple[Counter[Key], Releases]]:
    """A view that is asked every few visitors, each of a network, browser and page."""
    drawn, came, releases = random.Random(seed), Counter[Key](), Releases(K)
    weights = [drawn.random() ** 2 for _ in LOOKS]
    for number in range(people):
        (look,) = drawn.choices(LOOKS, weights)
        came.update(cells_of(*look, drawn.choice(PAGES)))
        if number % (seed % 7 + 1) == 0:
            now = {key: standing(count) for key, count in came.items() if count >= K}
            releases.take(now, (*BY, GOAL), GOALS)
            yield came, releases


def shown(releases: Releases) -> dict[Key, int]:
    return {key: each.numbers[0] for key, each in releases.shown.items()}


def grown(before: Mapping[Key, int], after: Mapping[Key, int]) -> Counter[Key]:
    return Counter({key: number - before.get(key, 0) for key, number in after.items()})


@pytest.mark.parametrize("seed", range(40))
def test_nothing_grows_by_more_than_what_holds_it_at_the_same_moment(seed: int) -> None:
    before: dict[Key, int] = {}
    for _, releases in day(seed):
        growth = grown(before, shown(releases))
        if not any(growth[key] for key in growth if key != ALL):
            continue  # The whole alone has grown, and may grow further until lists do.
        before = shown(releases)
        browsers = [key for key in growth if key[0] == "browser"]
        assert sum(growth[key] for key in browsers) <= growth[ALL]
        for browser in browsers:
            versions = [key for key in growth if key[:2] == ("browser_version", browser[2])]
            assert sum(growth[key] for key in versions) <= growth[browser]
        for page in [key for key in growth if key[0] == "page"]:
            assert growth[page] <= growth[ALL]
            if page[1] == "/shop/":
                assert growth[page] <= growth["goal", "", "Shop"]


@pytest.mark.parametrize("seed", range(40))
def test_a_cell_changes_after_k_more_networks_alone_and_never_shows_more_than_came(seed: int) -> None:
    seen: dict[Key, tuple[int, int]] = {}
    for came, releases in day(seed):
        for key, number in shown(releases).items():
            assert number <= came[key]
            known, networks = seen.get(key, (0, 0))
            if number != known:
                assert came[key] - networks >= K
                seen[key] = number, came[key]


def test_what_finds_no_room_is_let_out_later() -> None:
    lacking, whole = Counter[str](), Counter[str]()
    for seed in range(40):
        *_, (came, releases) = day(seed)
        for key, number in came.items():
            whole[key[0]] += number // K * K
            lacking[key[0]] += number // K * K - shown(releases).get(key, 0)
    assert lacking[ALL[0]] <= whole[ALL[0]] // 50
    # Versions wait for their browser, and then for each other.
    assert all(lacking[name] <= whole[name] // 10 for name in ("browser", "page", "goal"))
    assert lacking["browser_version"] <= whole["browser_version"] // 5


def test_a_number_whose_holder_has_less_waits_for_it() -> None:
    """Views are an office's, which comes again and again: its networks do not tell how many."""
    releases = Releases(K)
    many = Standing(1, K, 1, (10, 10, 40, 0, 0, 0))
    firefox, version = ("browser", "", "Firefox"), ("browser_version", "Firefox", "Firefox 140")
    releases.take({ALL: Standing(1, K, 1, (10, 10, 20, 0, 0, 0)), firefox: many, version: many}, BY, ())
    assert releases.shown[firefox].numbers == releases.shown[version].numbers == (10, 10, 20, 0, 0, 0)


@pytest.mark.parametrize("numbers", [(10, 15, 25, 5, 5, 300), (5, 5, 0, 5, 0, 0), (5, 10, 5, 10, 5, 0)])
def test_what_has_room_is_let_out_as_it_stands(numbers: Sequence[int]) -> None:
    releases, firefox = Releases(K), ("browser", "", "Firefox")
    now = Standing(1, K, 1, tuple(numbers))
    releases.take({ALL: now, firefox: now}, BY, ())
    assert releases.shown[ALL].numbers == releases.shown[firefox].numbers == tuple(numbers)
