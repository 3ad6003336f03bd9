"""Signing in over HTTP: the button and not the link, our form and not another site's, a cookie that is kept close."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboards.sign_in import SESSION_COOKIE
from tests.dashboards.asking import MADE_UP, OWN_FORM, Installation, words_of

CROSS_SITE = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example", "Host": "footfall.test"},
    {"Origin": "null", "Host": "footfall.test"},
]
OURS = [
    OWN_FORM,
    {"Sec-Fetch-Site": "none"},
    {"Origin": "http://footfall.test", "Host": "footfall.test"},
    # A proxy ended TLS.
    {"Origin": "https://footfall.test", "Host": "footfall.test"},
    # No browser.
    {},
]


def link(installation: Installation, name: str = "ben") -> str:
    return f"/sign-in/{installation.people.users.add(name, 'viewer')}"


def test_looking_at_a_link_leaves_it_for_the_button(unopened: Installation) -> None:
    path = link(unopened)
    for _ in range(3):
        answer = unopened.ask(path, {})
        assert answer.status_code == 200
        assert "set-cookie" not in answer.headers
        assert f'<form method="post" action="{path}">' in answer.text
    assert unopened.ask(path, OWN_FORM, "POST").status_code == 303


@pytest.mark.parametrize("headers", OURS)
def test_the_button_signs_in_and_leads_to_the_sites(unopened: Installation, headers: dict[str, str]) -> None:
    answer = unopened.ask(link(unopened), headers, "POST")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    session = answer.cookies[SESSION_COOKIE]
    access = unopened.people.users.signed_in(session)
    assert access is not None
    assert access.name == "ben"


def test_the_cookie_is_kept_from_scripts_and_from_other_sites(unopened: Installation) -> None:
    cookie = unopened.ask(link(unopened), OWN_FORM, "POST").headers["set-cookie"]
    parts = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert parts == {"httponly", "samesite=lax", "path=/", "max-age=2592000"}


@pytest.mark.parametrize("proto", ["https", "HTTPS", "https, http"])
def test_the_cookie_stays_with_https_where_the_browser_speaks_it(unopened: Installation, proto: str) -> None:
    answer = unopened.ask(link(unopened), {**OWN_FORM, "X-Forwarded-Proto": proto}, "POST")
    assert "; Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize("headers", CROSS_SITE)
def test_a_form_of_another_site_signs_nobody_in_and_uses_nothing_up(
    unopened: Installation, headers: dict[str, str]
) -> None:
    path = link(unopened)
    answer = unopened.ask(path, headers, "POST")
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert unopened.ask(path, OWN_FORM, "POST").status_code == 303


@pytest.mark.parametrize("headers", CROSS_SITE)
def test_a_form_of_another_site_signs_nobody_out(unopened: Installation, headers: dict[str, str]) -> None:
    cookie = {"Cookie": f"{SESSION_COOKIE}={unopened.session}"}
    assert unopened.ask("/sign-out", {**cookie, **headers}, "POST").status_code == 403
    assert unopened.people.users.signed_in(unopened.session) is not None


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_link_that_was_used_or_never_was_says_what_to_do(unopened: Installation, method: str) -> None:
    used = link(unopened)
    unopened.ask(used, OWN_FORM, "POST")
    for path in (used, f"/sign-in/{MADE_UP}"):
        answer = unopened.ask(path, OWN_FORM, method)
        assert answer.status_code == 410
        assert "set-cookie" not in answer.headers
        assert "footfall user link NAME" in words_of(answer)
        assert MADE_UP not in words_of(answer)


def test_without_a_session_a_page_says_how_to_get_a_link_and_nothing_else(unopened: Installation) -> None:
    for path in ("/", "/sites/example.com", "/sites/absent.example"):
        for headers in ({}, {"Cookie": f"{SESSION_COOKIE}={MADE_UP}"}):
            answer = unopened.ask(path, headers)
            assert answer.status_code == 401
            assert "footfall user link owner" in words_of(answer)
            assert "example.com" not in answer.text


def test_signing_out_ends_the_session_and_takes_the_cookie(unopened: Installation) -> None:
    cookie = {"Cookie": f"{SESSION_COOKIE}={unopened.session}"}
    answer = unopened.ask("/sign-out", {**cookie, **OWN_FORM}, "POST")
    assert answer.status_code == 200
    assert f'{SESSION_COOKIE}=""' in answer.headers["set-cookie"]
    assert unopened.ask("/", cookie).status_code == 401


def test_a_removed_user_is_out_at_the_next_request(unopened: Installation) -> None:
    session = unopened.session_of("ben")
    assert unopened.page("/static/none", session).status_code == 404
    assert unopened.page("/sites/absent.example", session).status_code == 404
    unopened.people.users.remove("ben")
    assert unopened.page("/sites/absent.example", session).status_code == 401


def test_a_session_asks_stats_too_and_a_bad_token_is_not_helped_by_one(installation: Installation) -> None:
    cookie = {"Cookie": f"{SESSION_COOKIE}={installation.session}"}
    assert installation.ask("/api/stats?site=example.com", cookie).status_code == 200
    both = {**cookie, "Authorization": f"Bearer {MADE_UP}"}
    assert installation.ask("/api/stats?site=example.com", both).status_code == 401


def test_a_user_of_one_site_sees_that_one_alone(installation: Installation) -> None:
    session = installation.session_of("ben", "viewer", "example.com")
    answer = installation.page("/", session)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sites/example.com")
    assert installation.page("/sites/example.com", session).status_code == 200
    told = [installation.page(f"/sites/{site}", session) for site in ("other.example", "absent.example")]
    assert [answer.status_code for answer in told] == [403, 403]
    assert told[0].text == told[1].text
    cookie = {"Cookie": f"{SESSION_COOKIE}={session}"}
    assert installation.ask("/api/stats?site=other.example", cookie).status_code == 403
    assert installation.page("/sites/other.example/waiting.json", session).status_code == 403


def test_every_answer_keeps_the_rules_of_a_page(installation: Installation, tmp_path: Path) -> None:
    answers = [
        installation.page("/"),
        installation.page("/sites/example.com"),
        installation.page("/sites/absent.example"),
        installation.page("/sites/example.com/waiting.json"),
        installation.ask(link(installation), {}),
        installation.ask("/", {}),
        installation.ask(link(installation, "zoe"), OWN_FORM, "POST"),
    ]
    for answer in answers:
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'; ")
        assert "unsafe" not in policy
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert " style=" not in answer.text
        assert "<script>" not in answer.text
