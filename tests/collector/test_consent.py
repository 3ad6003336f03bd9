"""No consent, no trace (P2): every source of consent in every combination, against an oracle written down by hand.

The matrix goes through the public door: each case is one request to a real collector, and what the
spool holds afterwards is compared, byte by byte.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.consent import has_opted_out, refusal_of
from collector.settings import ConsentRules, Site
from collector.spool_file import connect
from tests.collector.collecting import FIREFOX, Collector, running, until

Headers = tuple[tuple[str, str], ...]
ABSENT = object()


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    with running(Collector(tmp_path_factory.mktemp("consent"))) as collector:
        yield collector


@dataclass(frozen=True)
class Case:
    """One request: the `c` field, headers (a name may repeat), the `v` field and the site."""

    consent: object
    headers: Headers
    version: object
    site: str


GRANTS = (1, "1", True, "true")
REFUSALS = (0, "0", False, "false")
UNCLEAR: tuple[object, ...] = (
    "",
    " ",
    "yes",
    "2",
    2,
    -1,
    1.0,
    0.0,
    1.5,
    "1 ",
    "TRUE",
    "01",
    [],
    [1],
    {},
    {"analytics": True},
    {"c": 1},
    "null",
)
FORMS = (ABSENT, None, *GRANTS, *REFUSALS, *UNCLEAR)

SIGNALS: tuple[tuple[Headers, bool], ...] = (
    # (headers, whether they refuse where DNT is respected)
    ((), False),
    ((("Sec-GPC", "1"),), True),
    ((("Sec-GPC", "0"),), False),
    ((("Sec-GPC", "?1"),), True),
    ((("Sec-GPC", "0"), ("Sec-GPC", "1")), True),
    ((("Sec-GPC", "1"), ("Sec-GPC", "0")), True),
    ((("Sec-GPC", ""),), True),
    ((("DNT", "1"),), True),
    ((("DNT", "0"),), False),
    ((("DNT", "0"), ("DNT", "1")), True),
    ((("X-Do-Not-Track", "1"),), True),
    ((("Cookie", "footfall_optout=1"),), True),
    ((("Cookie", "a=b; footfall_optout=1; c=d"),), True),
    ((("Cookie", "a=b"), ("Cookie", "footfall_optout=1")), True),
    ((("Cookie", "footfall_optout=0"), ("Cookie", "footfall_optout=1")), True),
    ((("Cookie", "footfall_optout=1"), ("Cookie", "footfall_optout=0")), True),
    ((("Cookie", "footfall_optout=yes"),), True),
    ((("Cookie", 'footfall_optout="1"'),), True),
    ((("Cookie", 'footfall_optout=" 1"'),), True),
    ((("Cookie", "footfall_optout=00"),), True),
    ((("Cookie", "footfall_optout="),), True),
    ((("Cookie", "footfall_optout"),), True),
    ((("Cookie", "footfall_optout = 1"),), True),
    ((("Cookie", "a=b, footfall_optout=1"),), True),
    ((("Cookie", "footfall_optout=0"),), False),
    ((("Cookie", 'footfall_optout="0"'),), False),
    ((("Cookie", "not_footfall_optout=1"),), False),
    ((("Cookie", "footfall_optout2=1"),), False),
    ((("Cookie", "a=footfall_optout"),), False),
)  # fmt: skip
VERSIONS = (ABSENT, None, "2026-05", "2026-04", "", 2026, "2026-05 ")
SITES = ("example.com", "versioned.example", "assumed.example", "assumed-alone.example", "tracked.example")


def may_count(case: Case) -> bool:
    """The rule in words: a refusal anywhere wins, else there must be a grant, for the current version of the policy."""
    is_about_dnt = any(name in {"DNT", "X-Do-Not-Track"} for name, _ in case.headers)
    refuses = dict(SIGNALS)[case.headers]
    if refuses and not (is_about_dnt and case.site == "tracked.example"):
        return False
    says_nothing = case.consent is ABSENT or case.consent is None
    is_granted = any(case.consent is grant for grant in GRANTS)
    if not is_granted and not (says_nothing and case.site.startswith("assumed")):
        return False
    return case.site != "versioned.example" or case.version == "2026-05"


def matrix() -> list[Case]:
    """Every form with every signal, and every form with every version on every site."""
    signalled = [
        Case(form, headers, "2026-05", site)
        for form, (headers, _), site in itertools.product(
            (ABSENT, 1, 0), SIGNALS, ("example.com", "assumed.example", "tracked.example")
        )
    ]
    formed = [Case(form, (), version, site) for form, version, site in itertools.product(FORMS, VERSIONS, SITES)]
    return [*signalled, *formed]


def sent(connection: http.client.HTTPConnection, case: Case) -> str:
    """The `Footfall` header that a request of this case is answered with."""
    fields: dict[str, object] = {"n": "pageview", "u": f"https://{case.site}/a", "d": case.site}
    fields |= {} if case.consent is ABSENT else {"c": case.consent}
    fields |= {} if case.version is ABSENT else {"v": case.version}
    body = json.dumps(fields).encode()
    connection.putrequest("POST", "/api/event")
    for name, value in (("User-Agent", FIREFOX), ("Content-Length", str(len(body))), *case.headers):
        connection.putheader(name, value)
    connection.endheaders(body)
    response = connection.getresponse()
    response.read()
    assert response.status == 202, case
    return response.getheader("footfall") or ""


def test_of_the_whole_matrix_exactly_the_consenting_are_accepted(collector: Collector) -> None:
    cases = matrix()
    before = collector.ledger()
    with collector.connection() as connection:
        answers = [(case, sent(connection, case)) for case in cases]
    fail_open = [case for case, answer in answers if answer == "accepted" and not may_count(case)]
    fail_closed = [case for case, answer in answers if answer != "accepted" and may_count(case)]
    print(f"\n{len(cases)} cases, {sum(map(may_count, cases))} consenting, {len(fail_open)} fail-open")
    assert len(cases) >= 500
    assert fail_open == []
    assert fail_closed == []
    after = collector.ledger()
    assert after["accepted"] - before["accepted"] == sum(map(may_count, cases))
    assert after["dropped"] - before["dropped"] == len(cases) - sum(map(may_count, cases))


DROPPED: tuple[tuple[Case, str], ...] = (
    (Case(1, (("Sec-GPC", "1"),), ABSENT, "example.com"), "gpc"),
    (Case(1, (("DNT", "1"),), ABSENT, "example.com"), "dnt"),
    (Case(1, (("X-Do-Not-Track", "1"),), ABSENT, "example.com"), "dnt"),
    (Case(1, (("Cookie", "footfall_optout=1"),), ABSENT, "example.com"), "opted_out"),
    (Case(0, (), ABSENT, "example.com"), "refused"),
    (Case(ABSENT, (), ABSENT, "example.com"), "no_consent"),
    (Case("maybe", (), ABSENT, "example.com"), "no_consent"),
    (Case(1, (), "2026-04", "versioned.example"), "policy_version"),
)


def everything_but_counters(collector: Collector) -> list[tuple[str, list[object]]]:
    """All rows of all tables of the spool but `counters` and `arrivals`, heartbeat aside."""
    rows: list[tuple[str, list[object]]] = []
    for file in sorted(collector.spool_dir.glob("spool-*.sqlite")):
        connection = connect(file)
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            if table not in {"arrivals", "counters", "facts"}:
                rows.append((table, connection.execute(f"SELECT * FROM {table}").fetchall()))
        rows.append(("facts", connection.execute("SELECT * FROM facts WHERE name != 'heartbeat'").fetchall()))
        connection.close()
    return rows


@pytest.mark.parametrize(("case", "reason"), DROPPED, ids=[reason for _, reason in DROPPED])
def test_a_drop_changes_one_counter_and_what_the_site_last_saw_and_nothing_else(
    collector: Collector, case: Case, reason: str
) -> None:
    rows, counters, files = everything_but_counters(collector), collector.counters(), folder(collector)
    with collector.connection() as connection:
        assert sent(connection, case) == f"dropped; reason={reason}"
    assert collector.counters() - counters == Counter({(case.site, "dropped", reason): 1})
    until(lambda: last_of(collector, case.site) == ("dropped", reason), "the site's last request is told")
    assert everything_but_counters(collector) == rows
    assert folder(collector) == files


def last_of(collector: Collector, site: str) -> tuple[str, str]:
    """Outcome and reason of the site's last request: with its time all that is kept of it, for a day at most."""
    (file,) = collector.spool_dir.glob("spool-*.sqlite")
    with contextlib.closing(connect(file)) as connection:
        found = connection.execute("SELECT * FROM arrivals WHERE site = ?", (site,)).fetchone()
        assert len(found or (0,) * 6) == len(("site", "at", "outcome", "reason", "behind_one_network", "changed"))
        return ("", "") if found is None else (str(found[2]), str(found[3]))


def folder(collector: Collector) -> list[str]:
    return sorted(str(path.relative_to(collector.data)) for path in collector.data.rglob("*"))


def test_no_byte_of_a_dropped_hit_is_in_any_file_and_no_key_is_made_for_it(collector: Collector) -> None:
    canary = "cAnArY-of-a-refusal"
    with socket.create_connection(("127.0.0.1", collector.port), timeout=10) as connection:
        body = json.dumps(
            {
                "n": canary,
                "u": f"https://{canary}.example/{canary}?utm_source={canary}&tab={canary}",
                "d": "example.org",
                "r": f"https://{canary}.example/",
                "p": {canary: canary},
                "c": 0,
            }
        ).encode()
        head = f"POST /api/event HTTP/1.1\r\nHost: x\r\nUser-Agent: {canary}\r\nCookie: a={canary}\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        assert b"reason=refused" in connection.recv(65_536)
    written = [path.read_bytes() for path in collector.folder.rglob("*") if path.is_file()]
    assert not any(canary.lower() in content.decode("latin-1").lower() for content in written)


def test_drops_alone_make_no_key(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running(Collector(tmp_path_factory.mktemp("no-key"))) as collector:
        assert collector.event({"c": 0}).footfall == "dropped; reason=refused"
        assert list(collector.keys.iterdir()) == []
        assert collector.event().footfall == "accepted"
        assert len(list(collector.keys.iterdir())) == 1


# --- fuzzed strings, in process: what is not one of the exact grants never grants -----------------------------------


def site(*, field: bool = True, assumed: bool = False, respect_dnt: bool = True, version: str | None = None) -> Site:
    rules = ConsentRules(field=field, respect_dnt=respect_dnt, assumed=assumed)
    return Site("example.com", "UTC", 5, "rounded", rules, version, 25, (), ())


JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=6,
)
NEAR_GRANTS = st.sampled_from(GRANTS).flatmap(
    lambda grant: st.tuples(st.text(max_size=2), st.text(max_size=2)).map(lambda ends: f"{ends[0]}{grant}{ends[1]}")
)


def is_exact_grant(value: object) -> bool:
    return value is True or (type(value) is int and value == 1) or value in ("1", "true")


@settings(max_examples=3_000, deadline=None, database=None)
@given(st.one_of(JSON_VALUES, NEAR_GRANTS))
def test_no_other_value_of_the_field_is_ever_a_grant(value: object) -> None:
    assert (refusal_of(site(), {}, value, None) is None) == is_exact_grant(value)


@settings(max_examples=2_000, deadline=None, database=None)
@given(st.one_of(JSON_VALUES, NEAR_GRANTS))
def test_an_assumed_consent_covers_silence_and_nothing_else(value: object) -> None:
    reason = refusal_of(site(assumed=True), {}, value, None)
    assert (reason is None) == (value is None or is_exact_grant(value))


@settings(max_examples=2_000, deadline=None, database=None)
@given(st.text(max_size=20))
def test_only_the_current_version_of_the_policy_is_consented_to(version: str) -> None:
    reason = refusal_of(site(version="2026-05"), {}, 1, version)
    assert (reason is None) == (version == "2026-05")


@settings(max_examples=3_000, deadline=None, database=None)
@given(st.binary(max_size=12))
def test_any_sec_gpc_but_an_explicit_0_refuses(value: bytes) -> None:
    reason = refusal_of(site(), {b"sec-gpc": value}, 1, None)
    assert (reason is None) == (value.strip() == b"0")


COOKIE_PIECES: Sequence[bytes] = (b"footfall_optout", b"=", b";", b" ", b"0", b"1", b'"', b"a", b",", b"\t", b"yes")


@settings(max_examples=5_000, deadline=None, database=None)
@given(st.lists(st.sampled_from(COOKIE_PIECES), max_size=10).map(b"".join))
def test_a_cookie_of_our_name_opts_out_unless_every_one_says_0(cookies: bytes) -> None:
    values = [
        pair.partition(b"=")[2].strip()
        for pair in cookies.replace(b",", b";").split(b";")
        if pair.partition(b"=")[0].strip() == b"footfall_optout"
    ]
    opted_out = any(value not in {b"0", b'"0"'} for value in values)
    # More than asked for is fail-closed; less is not.
    assert has_opted_out(cookies) or not opted_out
    if b'"' not in cookies:
        assert has_opted_out(cookies) == opted_out
