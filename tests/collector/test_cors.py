"""Any page may send to the collector and read its answer, with or without cookies (Fetch standard, CORS protocol)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.collector.collecting import FIREFOX, Answer, Collector, event_body, running

ORIGIN = "https://shop.example:8443"
USUAL = {"User-Agent": FIREFOX, "Origin": ORIGIN}


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    with running(Collector(tmp_path_factory.mktemp("cors"))) as collector:
        yield collector


def may_read(answer: Answer, origin: str) -> bool:
    """Whether a browser lets a page of `origin` that sent its cookies read this answer."""
    return (
        answer.headers.get("access-control-allow-origin") == origin
        and answer.headers.get("access-control-allow-credentials") == "true"
        and "origin" in answer.headers.get("vary", "").lower()
    )


@pytest.mark.parametrize("origin", [ORIGIN, "http://localhost:3000", "null", "capacitor://localhost"])
def test_a_simple_request_as_text_is_accepted_and_its_answer_readable(collector: Collector, origin: str) -> None:
    headers = {"User-Agent": FIREFOX, "Origin": origin, "Content-Type": "text/plain;charset=UTF-8"}
    answer = collector.ask("POST", "/api/event", event_body(), headers)
    assert answer.footfall == "accepted"
    assert may_read(answer, origin)
    assert answer.headers["access-control-expose-headers"] == "footfall"


def test_a_preflight_for_json_is_answered_without_counting_anything(collector: Collector) -> None:
    before = collector.counters()
    asking = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    answer = collector.ask("OPTIONS", "/api/event", None, {**USUAL, **asking})
    assert answer.status == 204
    assert answer.body == b""
    assert may_read(answer, ORIGIN)
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "content-type" in answer.headers["access-control-allow-headers"].lower()
    assert int(answer.headers["access-control-max-age"]) > 0
    assert collector.counters() == before


def test_the_json_request_after_the_preflight_is_accepted(collector: Collector) -> None:
    answer = collector.ask("POST", "/api/event", event_body(), {**USUAL, "Content-Type": "application/json"})
    assert answer.footfall == "accepted"
    assert may_read(answer, ORIGIN)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (event_body({"c": "0"}), 202),
        (event_body({"u": 5}), 400),
        (event_body({"d": "unknown.example"}), 404),
        (b" " * 65_537, 413),
    ],
)
def test_a_page_can_read_why_its_event_was_not_taken(collector: Collector, body: bytes, status: int) -> None:
    answer = collector.ask("POST", "/api/event", body, USUAL)
    assert answer.status == status
    assert may_read(answer, ORIGIN)


def test_an_opt_out_cookie_sent_with_credentials_from_another_origin_is_heeded(collector: Collector) -> None:
    answer = collector.ask("POST", "/api/event", event_body(), {**USUAL, "Cookie": "a=b; footfall_optout=1"})
    assert answer.footfall == "dropped; reason=opted_out"
    assert may_read(answer, ORIGIN)


def test_no_answer_sets_a_cookie(collector: Collector) -> None:
    for answer in (
        collector.event(headers={"Origin": ORIGIN}),
        collector.event({"c": "0"}),
        collector.ask("GET", "/pixel.gif?d=example.com&c=1&u=https://example.com/", None, USUAL),
        collector.ask("OPTIONS", "/api/event", None, USUAL),
    ):
        assert "set-cookie" not in answer.headers


def test_without_an_origin_there_are_no_cors_headers(collector: Collector) -> None:
    answer = collector.event()
    assert not any(name.startswith("access-control-") for name in answer.headers)


def test_the_pixel_may_be_embedded_by_any_page_and_is_never_cached(collector: Collector) -> None:
    answer = collector.ask("GET", "/pixel.gif?d=example.com&c=1&u=https://example.com/", None, USUAL)
    assert (answer.status, answer.footfall) == (202, "accepted")
    assert answer.headers["content-type"] == "image/gif"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert answer.headers["cache-control"] == "no-store"
    assert (answer.body[:6], len(answer.body)) == (b"GIF89a", 43)


def test_a_pixel_without_a_url_counts_the_page_that_embeds_it(collector: Collector) -> None:
    headers = {"User-Agent": FIREFOX, "Referer": "https://example.com/embedding?secret=1"}
    assert collector.ask("GET", "/pixel.gif?d=example.com&c=1", None, headers).footfall == "accepted"
    assert collector.events()[-1]["path"] == "/embedding"
