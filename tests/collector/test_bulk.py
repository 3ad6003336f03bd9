"""POST /api/events: many events in one transaction, faults told one by one, once per Idempotency-Key."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aggregator.backlog import opened
from collector.bulk import AT_ONCE
from tests.collector.collecting import (
    FIREFOX,
    OTHER_TOKEN,
    TOKEN,
    VOUCHING_TOKEN,
    Answer,
    Collector,
    asked,
    running,
    until,
)

EVENT: dict[str, object] = {"n": "pageview", "u": "https://example.com/", "c": 1}
HOUR_S = 3_600.0
DAY_S = 86_400.0


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """Two workers, so that what must hold across workers is tested across workers."""
    with running(Collector(tmp_path_factory.mktemp("bulk"), workers=2)) as collector:
        yield collector


def array(*events: object) -> bytes:
    return json.dumps(events).encode()


def counts(answer: Answer) -> dict[str, Any]:
    assert answer.status == 202, answer
    told: dict[str, Any] = json.loads(answer.body)
    return told


def sent(collector: Collector, *events: Mapping[str, object], token: str = TOKEN) -> list[dict[str, Any]]:
    """The events that the spool has gained by one bulk request of `events`, all of which must be accepted."""
    before = len(collector.events())
    marked = [{**EVENT, "u": f"https://example.com/{before}-{place}", **event} for place, event in enumerate(events)]
    assert counts(collector.bulk(array(*marked), token))["accepted"] == len(events)
    paths = {f"/{before}-{place}": place for place in range(len(events))}
    found = [event for event in collector.events() if event["path"] in paths]
    return sorted(found, key=lambda event: paths[event["path"]])


def test_an_array_is_counted_by_outcome_and_its_events_are_spooled(collector: Collector) -> None:
    before = collector.ledger()
    answer = collector.bulk(array(EVENT, {**EVENT, "c": 0}, {**EVENT, "c": None}, EVENT))
    assert counts(answer) == {"accepted": 2, "dropped": {"refused": 1, "no_consent": 1}, "invalid": 0, "faults": []}
    after = collector.ledger()
    assert (after["waiting"] - before["waiting"], after["dropped"] - before["dropped"]) == (2, 2)


@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b"\n\n", b"\n \n"])
def test_ndjson_is_read_line_by_line(collector: Collector, separator: bytes) -> None:
    body = separator.join([json.dumps(EVENT).encode()] * 3)
    assert counts(collector.bulk(body))["accepted"] == 3
    assert counts(collector.bulk(body + separator))["accepted"] == 3


def test_faulty_items_are_told_by_index_and_the_others_are_accepted(collector: Collector) -> None:
    faulty = ({**EVENT, "w": "wide"}, 7, None, {"n": "pageview"}, {**EVENT, "d": "example.org"}, [EVENT])
    told = counts(collector.bulk(array(EVENT, *faulty, EVENT)))
    assert (told["accepted"], told["invalid"]) == (2, len(faulty))
    assert told["faults"] == [
        {"index": 1, "error": "w: must be a whole number"},
        {"index": 2, "error": "event: must be a JSON object"},
        {"index": 3, "error": "event: must be a JSON object"},
        {"index": 4, "error": "u: is required"},
        {"index": 5, "error": "d: must be the site of the token"},
        {"index": 6, "error": "event: must be a JSON object"},
    ]


def test_at_most_100_faults_are_told_and_all_are_counted(collector: Collector) -> None:
    told = counts(collector.bulk(array(*[7] * 101)))
    assert (told["invalid"], len(told["faults"])) == (101, 100)


@pytest.mark.parametrize("body", [b"", b" \n ", b"[]", b"{", b"[1,", b"\xff", b'{"n":1}\nnonsense\n'])
def test_a_body_that_cannot_be_read_is_refused_whole(collector: Collector, body: bytes) -> None:
    before = collector.ledger()
    answer = collector.bulk(body)
    assert answer.status == 400
    assert answer.error
    after = collector.ledger()
    assert (after["accepted"] - before["accepted"], after["invalid"] - before["invalid"]) == (0, 1)


def test_unreadable_lines_do_not_make_a_counter_each(collector: Collector) -> None:
    for lines in (3, 5, 8):
        assert collector.bulk(b"\n".join([json.dumps(EVENT).encode()] * lines + [b"nonsense"])).status == 400
    assert not [reason for _, _, reason in collector.counters() if any(letter.isdigit() for letter in reason)]


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", TOKEN, "Bearer \xff"],
)
def test_without_an_ingest_token_it_is_401_and_no_body_is_read(collector: Collector, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = collector.ask("POST", "/api/events", array(EVENT), headers)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.error == "Authorization: must be Bearer and an ingest token of the site"


def test_the_scheme_of_the_token_is_read_in_any_case(collector: Collector) -> None:
    assert collector.ask("POST", "/api/events", array(EVENT), {"Authorization": f"bEARER  {TOKEN}"}).status == 202


def test_a_token_counts_for_its_own_site_alone(collector: Collector) -> None:
    told = counts(collector.bulk(array({**EVENT, "d": "example.com"}), OTHER_TOKEN))
    assert (told["accepted"], told["invalid"]) == (0, 1)
    assert counts(collector.bulk(array({**EVENT, "d": "example.org"}), OTHER_TOKEN))["accepted"] == 1
    assert counts(collector.bulk(array(EVENT), OTHER_TOKEN))["accepted"] == 1
    assert collector.events()[-1]["site"] in {"example.org", "example.com"}


# --- once per Idempotency-Key ---------------------------------------------------------------------------------------


def test_a_key_sent_again_gets_the_same_answer_and_is_counted_once(collector: Collector) -> None:
    before = collector.ledger()
    headers = {"Idempotency-Key": "a shipment"}
    first = collector.bulk(array(EVENT, 7), headers=headers)
    again = collector.bulk(array(EVENT, 7), headers=headers)
    assert (first.status, first.body) == (again.status, again.body)
    after = collector.ledger()
    assert (after["accepted"] - before["accepted"], after["invalid"] - before["invalid"]) == (1, 1)


def test_a_key_is_once_over_both_workers_and_concurrent_senders(collector: Collector) -> None:
    before = collector.ledger()
    body = array(*[EVENT] * 50)

    def send(number: int) -> bytes:
        # A connection each: the kernel spreads them over the workers.
        return collector.bulk(body, headers={"Idempotency-Key": f"concurrent {number % 4}"}).body

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(send, range(96)))
    assert {json.loads(answer)["accepted"] for answer in answers} == {50}
    after = collector.ledger()
    assert after["accepted"] - before["accepted"] == 4 * 50
    with opened(collector.spool_dir) as backlogs:
        assert [backlog.ledger()["accepted"] > 0 for backlog in backlogs] == [True, True]


def test_a_key_is_remembered_after_a_crash(tmp_path_factory: pytest.TempPathFactory) -> None:
    collector = Collector(tmp_path_factory.mktemp("remembered"))
    with running(collector):
        first = collector.bulk(array(EVENT), headers={"Idempotency-Key": "before the crash"})
        collector.kill()
        collector.start()
        again = collector.bulk(array(EVENT), headers={"Idempotency-Key": "before the crash"})
        assert first.body == again.body
        assert collector.ledger()["accepted"] == 1


def test_a_key_of_one_token_is_not_that_of_another(collector: Collector) -> None:
    headers = {"Idempotency-Key": "the same words"}
    before = collector.ledger()["accepted"]
    for token in (TOKEN, VOUCHING_TOKEN, OTHER_TOKEN):
        assert counts(collector.bulk(array(EVENT), token, headers))["accepted"] == 1
    assert collector.ledger()["accepted"] == before + 3


def test_a_refused_body_does_not_use_its_key_up(collector: Collector) -> None:
    headers = {"Idempotency-Key": "mended"}
    assert collector.bulk(b"{", headers=headers).status == 400
    assert counts(collector.bulk(array(EVENT), headers=headers))["accepted"] == 1


def test_neither_key_nor_token_is_in_the_spool(collector: Collector) -> None:
    collector.bulk(array(EVENT), headers={"Idempotency-Key": "canary-of-a-key"})
    held = collector.spool_bytes()
    assert b"canary-of-a-key" not in held
    assert TOKEN.encode() not in held


# --- times ----------------------------------------------------------------------------------------------------------


def test_an_event_of_48_hours_ago_joins_its_own_day(collector: Collector) -> None:
    at = time.time() - 48 * HOUR_S
    (event,) = sent(collector, {"time": at})
    assert event["at"] == pytest.approx(at, abs=0.001)
    assert event["day"] == datetime.fromtimestamp(at, UTC).date().isoformat()


def test_a_time_may_be_written_as_rfc_3339_with_any_offset(collector: Collector) -> None:
    at = datetime.now(UTC).replace(microsecond=0).timestamp() - HOUR_S
    day = datetime.fromtimestamp(at, UTC).replace(tzinfo=None).isoformat()
    east = datetime.fromtimestamp(at + 5.5 * HOUR_S, UTC).replace(tzinfo=None).isoformat()
    events = sent(
        collector, {"time": f"{day}Z"}, {"time": f"{day}+00:00"}, {"time": f"{east}+05:30"}, {"time": int(at)}
    )
    assert [event["at"] for event in events] == [at] * 4


def test_a_time_at_most_400_days_ago_passes_and_an_older_one_does_not(collector: Collector) -> None:
    now = time.time()
    within, beyond = {**EVENT, "time": now - 400 * DAY_S + 30}, {**EVENT, "time": now - 400 * DAY_S - 1}
    told = counts(collector.bulk(array(within, beyond)))
    assert told["accepted"] == 1
    assert told["faults"] == [{"index": 1, "error": "time: at most 400 days ago and 60 seconds ahead"}]


def test_a_clock_a_minute_ahead_is_cut_to_now_and_a_later_one_refused(collector: Collector) -> None:
    (event,) = sent(collector, {"time": time.time() + 50})
    assert event["at"] <= time.time()
    told = counts(collector.bulk(array({**EVENT, "time": time.time() + 90})))
    assert told["faults"][0]["error"] == "time: at most 400 days ago and 60 seconds ahead"


@pytest.mark.parametrize(
    "value",
    [
        *("2026-01-01T00:00:00", "2026-01-01", "yesterday", "", "1" * 41, True, [1], {}),
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01T00:00:00+99:99"),
        *(1e300, -1e300, 10**30, float("inf"), float("nan"), -1),
    ],
    ids=str,
)
def test_a_time_that_is_none_is_told_as_one_and_never_a_5xx(collector: Collector, value: object) -> None:
    answer = collector.bulk(array({**EVENT, "time": value}, EVENT))
    if value == float("inf") or value != value:  # noqa: PLR0124  NaN: not JSON, so the whole body is faulty
        assert answer.status == 400
        return
    told = counts(answer)
    assert (told["accepted"], told["invalid"]) == (1, 1)
    assert told["faults"][0]["error"].startswith("time: ")


# --- whose events ---------------------------------------------------------------------------------------------------


def test_without_address_or_user_agent_there_is_neither_visitor_nor_network(collector: Collector) -> None:
    events = sent(collector, {}, {"ip": "192.0.2.7"}, {"ua": FIREFOX}, {"ip": "nonsense", "ua": FIREFOX})
    assert [(event["generation"], event["visitor"], event["network"]) for event in events] == [(0, 0, 0)] * 4


def test_the_senders_own_address_and_user_agent_are_nobodys(collector: Collector) -> None:
    body = array({**EVENT, "u": "https://example.com/sender"})
    counts(collector.bulk(body, headers={"User-Agent": FIREFOX, "X-Forwarded-For": "192.0.2.7"}))
    (event,) = [event for event in collector.events() if event["path"] == "/sender"]
    assert (event["visitor"], event["browser"], event["country"]) == (0, "", "")


def test_asserted_addresses_are_visitors_of_their_own_and_one_network(collector: Collector) -> None:
    addresses = ["192.0.2.7", "198.51.100.7", "203.0.113.7", "2001:db8::7"]
    events = sent(collector, *({"ip": address, "ua": FIREFOX} for address in addresses))
    assert len({event["visitor"] for event in events}) == 4
    assert len({event["network"] for event in events}) == 1
    assert 0 not in {event["network"] for event in events}
    assert {event["browser"] for event in events} == {"Firefox"}


def test_addresses_of_a_vouching_token_are_networks_of_their_own(collector: Collector) -> None:
    addresses = ["192.0.2.7", "198.51.100.7", "203.0.113.7", "192.0.2.200"]
    events = sent(collector, *({"ip": address, "ua": FIREFOX} for address in addresses), token=VOUCHING_TOKEN)
    assert len({event["network"] for event in events}) == 3
    assert events[0]["visitor"] == events[3]["visitor"]


def test_bots_are_dropped_by_the_user_agent_they_are_said_to_have(collector: Collector) -> None:
    told = counts(collector.bulk(array({**EVENT, "ua": "Googlebot/2.1 (+http://www.google.com/bot.html)"})))
    assert told["dropped"] == {"bot": 1}


def test_a_bulk_of_4_mib_passes_and_a_larger_one_is_413_before_it_is_sent(collector: Collector) -> None:
    limit = 64 * 65_536
    assert collector.bulk(array(EVENT).ljust(limit)).status == 202
    answer = collector.ask(
        "POST", "/api/events", None, {"Authorization": f"Bearer {TOKEN}", "Content-Length": str(limit + 1)}
    )
    assert (answer.status, answer.error) == (413, f"body: at most {limit} bytes")


def test_a_long_bulk_does_not_hold_up_others(collector: Collector) -> None:
    body = b"\n".join([json.dumps({**EVENT, "ip": "192.0.2.7", "ua": FIREFOX}).encode()] * 10_000)
    answered: list[float] = []
    with ThreadPoolExecutor(2) as pool, collector.connection() as connection:
        bulks = [pool.submit(collector.bulk, body) for _ in range(2)]
        while not all(bulk.done() for bulk in bulks):
            begun = time.monotonic()
            assert asked(connection, "GET", "/healthz").status == 200
            answered.append(time.monotonic() - begun)
        assert all(counts(bulk.result())["accepted"] == 10_000 for bulk in bulks)
    print(f"\n{len(answered)} probes during two bulks of 10,000: the slowest took {max(answered) * 1e3:.0f} ms")
    until(lambda: collector.ask("GET", "/readyz").status == 200, "the collector is ready")


def test_a_worker_reads_8_bodies_at_once_and_the_next_one_when_one_of_them_is_answered(tmp_path: Path) -> None:
    body = array(EVENT)
    head = (
        f"POST /api/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    ).encode()
    with running(Collector(tmp_path)) as collector, ExitStack() as stack:
        senders = [stack.enter_context(socket.create_connection(("127.0.0.1", collector.port))) for _ in range(9)]
        for sender in senders[:AT_ONCE]:
            sender.sendall(head)
            # The server asks for a body when it begins to read it (RFC 9110, section 10.1.1).
            assert b" 100 " in sender.recv(4_096)
        senders[AT_ONCE].sendall(head)
        senders[AT_ONCE].settimeout(0.5)
        with pytest.raises(TimeoutError):
            senders[AT_ONCE].recv(4_096)
        senders[0].sendall(body)
        assert b" 202 " in senders[0].recv(4_096)
        senders[AT_ONCE].settimeout(10.0)
        assert b" 100 " in senders[AT_ONCE].recv(4_096)
