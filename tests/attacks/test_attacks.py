"""The attacks in their short form: each promise holds, and each attack succeeds against its weakened builds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("scipy", reason="the extra `attack` is not installed: pip install -e '.[attack]'")

from tests.aggregator.simulate import Row, truth
from tests.aggregator.simulate import cells as cells_in_python
from tests.aggregator.simulate import counted as counted_in_python
from tests.attacks import (
    p03_linking_back,
    p04_what_is_retained,
    p05_small_cells,
    p06_live_history,
    p06_subtraction,
    p07_planted_link,
    p08_noise,
    p09_coverage,
    p09_watching,
    p10_repeating,
    p11_tokens,
    p13_deletion,
    peers,
)
from tests.attacks.crowds import ERROR, EVENT, LEAVE, VIEW, Crowd, open_day, words
from tests.attacks.laboratory import BERLIN, DAY, Laboratory
from tests.attacks.oracle import counted
from tests.attacks.p07_planted_link import Extent
from tests.attacks.verdict import Count, Verdict
from tests.attacks.weakened import ACTIVE_PARTS_ALONE, COMPLEMENT_UNGUARDED, LIVE_UNFLOORED, VISITORS_COUNTED

KINDS = {VIEW: "view", EVENT: "event", LEAVE: "leave", ERROR: "error"}


@pytest.fixture(scope="module")
def laboratory() -> Iterator[Laboratory]:
    with Laboratory() as laboratory:
        yield laboratory


def assert_withstood(verdict: Verdict) -> None:
    assert verdict.holds, verdict
    assert verdict.can_fail, verdict


def test_the_two_oracles_agree_on_every_cell() -> None:
    opened = open_day(DAY, BERLIN, [Crowd("example.com", 400)])
    numpys = counted(opened.rows)
    pythons, bounded = counted_in_python([_row(row) for row in opened.rows])
    assert numpys.bounded == bounded
    true = cells_in_python(pythons)
    looked = 0
    for dimension in ("page", "scroll", "source", "campaign", "country", "browser_version", "event"):
        cells = words().cells(dimension)
        tally = numpys.group(numpys.codes(dimension), len(cells))
        for cell in {cell for cell in cells if (dimension, *cell) in true}:
            (first, *others) = [code for code, of in enumerate(cells) if of == cell]
            if others:
                continue
            expected = truth(true[dimension, cell[0], cell[1]])
            found = (*tally.numbers()[first], *tally.networks[:, first])
            assert tuple(map(int, found)) == tuple(vars(expected).values()), (dimension, cell)
            looked += 1
    assert looked > 200


def _row(row: np.void) -> Row:
    known, look = words(), words().looks[row["look"]]
    source, channel = known.origins[row["origin"]]
    return Row(
        DAY,
        BERLIN,
        "example.com",
        int(row["at"]),
        generation=int(row["generation"]),
        visitor=int(row["visitor"]),
        network=int(row["network"]),
        kind=KINDS[int(row["kind"])],
        name=known.names[row["name"]],
        path=known.paths[row["path"]],
        source=source,
        channel=channel,
        campaign=known.campaigns[row["campaign"]],
        country=known.countries[row["country"]],
        browser=look.browser,
        browser_version=look.browser_version,
        os=look.os,
        os_version=look.os_version,
        engaged_ms=int(row["engaged_ms"]),
        scroll=int(row["scroll"]),
        position=int(row["position"]),
    )


def test_p3_nobody_is_confirmed_after_the_seal() -> None:
    assert_withstood(p03_linking_back.attack(p03_linking_back.Effort(20, 100, 4, 0)))


def test_p4_nothing_but_values_and_integers_is_retained(laboratory: Laboratory) -> None:
    assert_withstood(p04_what_is_retained.attack(laboratory, 150))


def test_p5_no_number_is_of_fewer_than_k_networks(laboratory: Laboratory) -> None:
    crowds = list(p05_small_cells.small())
    assert_withstood(p05_small_cells.attack(laboratory, [crowds], crowds, (COMPLEMENT_UNGUARDED,)))


def test_p6_no_subtraction_leaves_fewer_than_k_values(laboratory: Laboratory) -> None:
    crowds = p06_subtraction.crowds_of(4)[2:]
    assert_withstood(p06_subtraction.attack(laboratory, crowds, crowds, p06_subtraction.WEAKENED[:2]))


def test_p6_nor_do_two_dimensions_at_a_time(laboratory: Laboratory) -> None:
    crowds = p06_subtraction.crossed_crowds_of(2)
    assert_withstood(p06_subtraction.attack_crosses(laboratory, crowds, crowds[:1]))


def test_p7_a_planted_link_shows_nothing(laboratory: Laboratory) -> None:
    assert_withstood(p07_planted_link.attack_links(laboratory, Extent(40, 10, (5,), (VISITORS_COUNTED,))))


def test_p7_no_site_starts_with_a_k_at_which_it_does_not_hold(laboratory: Laboratory) -> None:
    assert_withstood(p07_planted_link.attack_least_k(laboratory, 10))


def test_p8_fakes_of_k_minus_2_networks_unlock_nothing(laboratory: Laboratory) -> None:
    assert_withstood(p07_planted_link.attack_fakes(laboratory, Extent(15, 5, (5,), ())))


def test_p6_the_whole_live_history_leaves_hidden_counts_k_values(laboratory: Laboratory) -> None:
    assert_withstood(p06_live_history.attack(laboratory, ((11, 3),)))


def test_p8_with_noise_nobody_tells_whether_one_more_visitor_came(laboratory: Laboratory) -> None:
    verdict = p08_noise.attack(laboratory, 200)
    assert_withstood(verdict)
    assert "in 200 of 200" in verdict.remarks[0], "at level rounded he does"


def test_p9_the_live_view_does_not_show_one_person_arrive(laboratory: Laboratory) -> None:
    assert_withstood(p09_watching.attack(laboratory, ((6, 3),), 4, every=8, weakened=(LIVE_UNFLOORED,)))


def test_p9_coverage_shows_within_an_hour_that_some_request_came_and_no_more(laboratory: Laboratory) -> None:
    assert_withstood(p09_coverage.attack(laboratory, 2))


def test_p10_equivalent_queries_have_one_answer(laboratory: Laboratory) -> None:
    assert_withstood(p10_repeating.attack(laboratory, 40, 10))


def test_p11_tokens_of_two_sites_or_days_are_never_equal(laboratory: Laboratory) -> None:
    assert_withstood(p11_tokens.attack_linking(laboratory, 20))


def test_p12_all_forms_of_the_addresses_of_a_network_are_one_visitor(laboratory: Laboratory) -> None:
    assert_withstood(p11_tokens.attack_truncation(laboratory, 20))


def test_p13_no_byte_of_what_was_deleted_is_left(laboratory: Laboratory) -> None:
    assert_withstood(p13_deletion.attack(laboratory, 1, [ACTIVE_PARTS_ALONE]))


def test_what_others_retain_is_attacked_with_success() -> None:
    assert all(count.successes > count.trials / 2 for _, count in peers.attack(people=50, networks=2_000))


def test_an_attack_without_trials_or_a_weakened_build_proves_nothing() -> None:
    assert not Verdict("P0", "none", 0, 0).holds
    assert not Verdict("P0", "none", 1, 0).can_fail
    assert not Verdict("P0", "none", 1, 0, weakened=[Count("weak", 5, 0)]).can_fail
