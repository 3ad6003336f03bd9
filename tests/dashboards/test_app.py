"""The internal side over HTTP: who may ask, what a fault looks like, and that the store is asked late."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from aggregator.endpoint import Endpoint, Fixed
from aggregator.store import Store, StoreUnavailable
from dashboards.access import ROLES
from tests.dashboards.asking import MADE_UP, Installation
from tests.dashboards.conftest import Sealer, StillClock


@pytest.mark.parametrize("role", ROLES)
def test_every_role_reads_the_trends(installation: Installation, sealer: Sealer, role: str) -> None:
    sealer.seal(date(2026, 3, 30), [("example.com", 24, 24, 10)], [("example.com", "page", "/", "/a", 10)])
    token = installation.people.add_token("ben", role)
    status, answer = installation.get("/api/stats?site=example.com&from=2026-03-30&to=2026-03-30&dimension=page", token)
    assert status == 200
    assert answer["totals"] == dict.fromkeys(("visitors", "visits", "views", "events", "bounces", "engaged_s"), 10)
    assert isinstance(answer["values"], list)
    assert [row["value"] for row in answer["values"]] == ["/a"]


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer"}, {"Authorization": f"Bearer {MADE_UP}"}, {"Authorization": "Basic YTpi"}],
)
def test_without_a_token_nothing_is_told_but_how_to_give_one(unopened: Installation, headers: dict[str, str]) -> None:
    answer = unopened.ask("/api/stats?site=example.com", headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="footfall"'
    assert list(answer.json()) == ["error"]


def test_the_scheme_may_be_written_in_any_case(installation: Installation) -> None:
    headers = {"Authorization": f"bEARER {installation.token}"}
    assert installation.ask("/api/stats?site=example.com", headers).status_code == 200


def test_a_token_of_one_site_is_told_the_same_of_a_site_that_is_there_and_one_that_is_not(
    installation: Installation,
) -> None:
    token = installation.people.add_token("ben", "viewer", "example.com")
    assert installation.get("/api/stats?site=example.com", token)[0] == 200
    there, absent = (installation.get(f"/api/stats?site={site}", token) for site in ("other.example", "absent.example"))
    assert there == absent == (403, {"error": "this token is for another site"})


@pytest.mark.parametrize(
    ("query", "status", "named"),
    [
        ("", 400, "site"),
        (f"site={MADE_UP}", 404, "site"),
        (f"site=example.com&from={MADE_UP}", 400, "from"),
        (f"site=example.com&dimension={MADE_UP}", 400, "dimension"),
        (f"site=example.com&filter=page:{MADE_UP}", 400, "filter"),
        ("site=example.com&compare=previous", 400, "compare"),
        (f"site=example.com&{MADE_UP}=1", 400, "site"),
    ],
)
def test_a_bad_question_names_its_field_and_repeats_nothing(
    installation: Installation, query: str, status: int, named: str
) -> None:
    told, answer = installation.get(f"/api/stats?{query}")
    assert told == status
    assert named in str(answer["error"])
    assert MADE_UP not in str(answer)


def test_today_is_the_sites_own(installation: Installation, noon: StillClock) -> None:
    noon.now += 11 * 3_600  # 23:00 in Berlin, 21:00 UTC
    assert installation.get("/api/stats?site=example.com")[1]["to"] == "2026-03-31"
    noon.now += 1.5 * 3_600
    assert installation.get("/api/stats?site=example.com")[1]["to"] == "2026-04-01"
    assert installation.get("/api/stats?site=other.example")[1]["to"] == "2026-03-31"


def test_answers_are_cached_by_nobody(installation: Installation) -> None:
    headers = {"Authorization": f"Bearer {installation.token}"}
    for path in ("/api/stats?site=example.com", "/api/stats", "/readyz"):
        assert installation.ask(path, headers).headers["Cache-Control"] == "no-store"


def test_liveness_needs_no_store_and_readiness_does(unopened: Installation) -> None:
    assert unopened.get("/healthz") == (200, {"alive": True})
    for path in ("/readyz", "/api/stats?site=example.com"):
        status, answer = unopened.get(path)
        assert status == 503
        assert list(answer) == ["error"]


def test_a_store_that_comes_later_is_found_at_the_next_question(tmp_path: Path, store: Store, noon: StillClock) -> None:
    stores: Iterator[Store | None] = iter([None, store])

    def open_store() -> Store:
        opened = next(stores)
        if opened is None:
            raise StoreUnavailable("not yet")
        return opened

    installation = Installation(tmp_path, open_store, noon)
    assert [installation.get("/readyz")[0] for _ in range(3)] == [503, 200, 200]


def test_a_store_without_tables_is_being_prepared(tmp_path: Path, bare_store: Store, noon: StillClock) -> None:
    bare_store.query("SELECT 1")
    installation = Installation(tmp_path, lambda: bare_store, noon)
    status, answer = installation.get("/api/stats?site=example.com")
    assert (status, answer) == (503, {"error": "the store is being prepared; try again"})


def test_an_absent_server_is_a_503_that_asks_to_come_again(tmp_path: Path, noon: StillClock) -> None:
    nowhere = Store(Fixed(Endpoint("http", "127.0.0.1", 9, "default", "", "footfall")))
    installation = Installation(tmp_path, lambda: nowhere, noon)
    answer = installation.ask("/readyz", {})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


def test_a_store_that_lets_nobody_in_is_a_fault_told_by_its_number(
    tmp_path: Path, endpoint: Endpoint, noon: StillClock
) -> None:
    locked = Store(Fixed(dataclasses.replace(endpoint, password=MADE_UP)))
    installation = Installation(tmp_path, lambda: locked, noon)
    status, answer = installation.get("/readyz")
    assert status == 500
    assert "ClickHouse's code 516" in str(answer["error"])
    assert MADE_UP not in str(answer)


def test_a_fault_of_our_own_is_json_too_and_tells_nothing(unopened: Installation, tmp_path: Path) -> None:
    (tmp_path / "data" / "people.sqlite").unlink()
    status, answer = unopened.get("/api/stats?site=example.com")
    assert (status, answer) == (500, {"error": "this failed for a reason that the log tells"})


def test_other_paths_and_methods_are_refused_as_json(unopened: Installation) -> None:
    assert unopened.get("/api/sql")[0] == 404
    answer = unopened.ask("/api/stats", {}, "POST")
    assert answer.status_code == 405
    assert list(answer.json()) == ["error"]
