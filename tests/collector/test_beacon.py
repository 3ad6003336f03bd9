"""GET /beacon.js: served so that it may be kept and never goes stale, small, and made of the source beside it."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator

import pytest

from collector.beacon.build import MAX_GZIPPED_BYTES, SCRIPT, SOURCE, NoMinifier, gzipped_bytes, minified
from collector.beacon.endpoint import VERSION
from collector.loyalty import STORED_AS
from tests.collector.collecting import Collector, running


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    with running(Collector(tmp_path_factory.mktemp("beacon"))) as collector:
        yield collector


def test_the_script_is_served_to_pages_of_any_origin_and_may_be_kept_for_a_day(collector: Collector) -> None:
    answer = collector.ask("GET", "/beacon.js")
    assert answer.status == 200
    assert answer.body == SCRIPT.read_bytes()
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=86400"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "set-cookie" not in answer.headers


def test_a_query_string_changes_nothing(collector: Collector) -> None:
    assert collector.ask("GET", "/beacon.js?v=3").body == collector.ask("GET", "/beacon.js").body


def test_head_tells_the_length_without_the_script(collector: Collector) -> None:
    answer = collector.ask("HEAD", "/beacon.js")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["content-length"]) == SCRIPT.stat().st_size


@pytest.mark.parametrize("condition", ["{tag}", "W/{tag}", '"other", {tag}', "*"])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_copy_that_is_still_good_is_not_sent_again(collector: Collector, condition: str, encoding: str) -> None:
    accepting = {"Accept-Encoding": encoding}
    tag = collector.ask("GET", "/beacon.js", None, accepting).headers["etag"]
    answer = collector.ask("GET", "/beacon.js", None, {**accepting, "If-None-Match": condition.format(tag=tag)})
    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["etag"] == tag
    assert answer.headers["cache-control"] == "public, max-age=86400"


def test_an_old_copy_is_replaced(collector: Collector) -> None:
    assert collector.ask("GET", "/beacon.js", None, {"If-None-Match": '"0-0123456789abcdef"'}).status == 200


@pytest.mark.parametrize("accepted", ["gzip", "br, gzip;q=0.5", "gzip, deflate", "deflate,GZIP"])
def test_the_script_travels_compressed_where_the_browser_says_so(collector: Collector, accepted: str) -> None:
    answer = collector.ask("GET", "/beacon.js", None, {"Accept-Encoding": accepted})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "accept-encoding"
    assert gzip.decompress(answer.body) == SCRIPT.read_bytes()
    assert len(answer.body) <= MAX_GZIPPED_BYTES
    assert answer.headers["etag"] != collector.ask("GET", "/beacon.js").headers["etag"]


@pytest.mark.parametrize("accepted", ["", "br", "gzip;q=0", "gzip; q=0.000, br", "identity", "notgzip"])
def test_the_script_travels_plain_to_all_others(collector: Collector, accepted: str) -> None:
    answer = collector.ask("GET", "/beacon.js", None, {"Accept-Encoding": accepted})
    assert "content-encoding" not in answer.headers
    assert answer.body == SCRIPT.read_bytes()


def test_the_tag_names_the_version_that_the_script_names(collector: Collector) -> None:
    assert f'footfall.version = "{VERSION}"' in SOURCE.read_text()
    assert collector.ask("GET", "/beacon.js").headers["etag"].startswith(f'"{VERSION}-')


def test_asking_for_the_script_counts_nothing(collector: Collector) -> None:
    before = collector.counters()
    collector.ask("GET", "/beacon.js")
    assert collector.event().footfall == "accepted"
    assert collector.counters() - before == {("example.com", "accepted", ""): 1}


def test_the_script_has_at_most_2500_bytes_gzipped() -> None:
    assert gzipped_bytes(SCRIPT.read_bytes()) <= MAX_GZIPPED_BYTES


def test_the_committed_script_is_what_the_build_makes() -> None:
    try:
        built = minified()
    except NoMinifier as reason:
        pytest.skip(str(reason))
    assert built == SCRIPT.read_bytes()


def test_the_script_keeps_one_thing_under_one_name_beside_the_opt_out() -> None:
    script = SCRIPT.read_text()
    (kept,) = set(re.findall(r"localStorage\[(\w+)\]", script))
    assert re.findall(rf"\b{kept}=\"(\w+)\"", script) == [STORED_AS]
    assert script.count("localStorage") == script.count(f"localStorage[{kept}]") + 1
    assert f"localStorage.removeItem({kept})" in script


@pytest.mark.parametrize("name", ["sessionStorage", "indexedDB", "caches", "sendBeacon", "canvas"])
def test_the_script_has_no_word_for_places_to_keep_things_in(name: str) -> None:
    assert re.search(rf"\b{name}\b", SCRIPT.read_text()) is None
