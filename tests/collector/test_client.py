from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.client import MAX_HINT_CHARS, MAX_WIDTH_PX, Client, Clients, hints_of, language_of, screen_of
from collector.client_names import BRANDS, BROWSERS, PLATFORMS, SYSTEMS
from collector.refuse import refusal_of

DATA = Path(__file__).parents[1] / "data"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36"
)


@pytest.fixture(scope="module")
def clients() -> Clients:
    return Clients()


def well_known() -> list[dict[str, Any]]:
    """One known sender a line: its User-Agent, its hints if it sends any, and the client or the reason to refuse it."""
    return [json.loads(line) for line in (DATA / "clients.jsonl").read_text().splitlines()]


def headers_of(sender: dict[str, Any]) -> dict[bytes, bytes]:
    return {name.encode(): value.encode() for name, value in sender.get("hints", {}).items()}


def real_user_agents() -> Iterator[tuple[str, str, float]]:
    """User-Agents with their kind of device and how often they are seen."""
    yield from json.loads(gzip.decompress((DATA / "user_agents.json.gz").read_bytes()))["rows"]


def label_of(sender: dict[str, Any]) -> str:
    return " ".join(filter(None, sender.get("client", [sender.get("refused")])))


def test_the_table_of_well_known_senders_is_worth_its_name() -> None:
    senders = well_known()
    assert len(senders) >= 100
    assert sum("hints" in sender for sender in senders) >= 20
    assert sum("refused" in sender for sender in senders) >= 40


@pytest.mark.parametrize("sender", well_known(), ids=label_of)
def test_a_well_known_sender_is_recognised(clients: Clients, sender: dict[str, Any]) -> None:
    refused = refusal_of(headers_of(sender), sender["user_agent"])
    assert refused == sender.get("refused")
    if not refused:
        assert clients.client_of(sender["user_agent"], hints_of(headers_of(sender))) == Client(*sender["client"])


def test_real_user_agents_have_browser_system_and_device(clients: Clients) -> None:
    named = agreed = total = 0
    named_weight = agreed_weight = total_weight = 0.0
    for user_agent, device, weight in real_user_agents():
        client = clients.client_of(user_agent, None)
        is_named, agrees = bool(client.browser and client.os), client.device == device
        total, named, agreed = total + 1, named + is_named, agreed + agrees
        total_weight += weight
        named_weight += is_named * weight
        agreed_weight += agrees * weight
    assert total > 1_000
    assert named / total >= 0.99
    assert agreed / total >= 0.97
    assert named_weight / total_weight >= 0.999
    assert agreed_weight / total_weight >= 0.99


def is_from_the_lists(client: Client) -> bool:
    def is_version(text: str) -> bool:
        return text in ("", "XP", "Vista", "ME", "2000") or (text.removesuffix("+").isdigit() and len(text) <= 3)

    return (
        client.browser in {"", "Chromium", *BROWSERS.values(), *BRANDS.values()}
        and client.os in {"", *SYSTEMS.values(), *PLATFORMS.values(), "iPadOS"}
        and is_version(client.browser_version)
        and is_version(client.os_version)
        and client.device in ("desktop", "mobile", "tablet", "tv", "other")
    )


def test_all_names_of_real_user_agents_come_from_the_lists(clients: Clients) -> None:
    for user_agent, _, _ in real_user_agents():
        assert is_from_the_lists(clients.client_of(user_agent, None)), user_agent


TOKENS = st.lists(
    st.sampled_from(
        [
            "Mozilla/5.0",
            "(iPhone; CPU iPhone OS 99_1 like Mac OS X)",
            "(iPad;",
            "Windows NT 10.0",
            "Android 10; K)",
            "Version/",
            "Version/26.1",
            "Chrome/",
            "Chrome/99999.1",
            "Safari/1",
            "Mobile",
            "Canary",
            "Linux",
            "Tizen",
            "compatible;",
            "Edg/1",
        ]
    )
    | st.text(max_size=20)
).map(" ".join)


@given(
    TOKENS, st.none() | st.dictionaries(st.sampled_from(["", "-mobile", "-platform", "-platform-version"]), st.binary())
)
def test_nothing_that_someone_writes_into_a_user_agent_or_hint_is_kept(
    clients: Clients, user_agent: str, values: dict[str, bytes] | None
) -> None:
    hints = hints_of({f"sec-ch-ua{name}".encode(): value for name, value in (values or {}).items()})
    assert is_from_the_lists(clients.client_of(user_agent, hints))


@given(st.text(alphabet='";v=,1234 .Google ChromeNot\\', max_size=300))
def test_any_brand_list_gives_a_known_browser(clients: Clients, brands: str) -> None:
    assert is_from_the_lists(clients.client_of(CHROME, hints_of({b"sec-ch-ua": brands.encode()})))


def test_a_browser_without_brands_has_no_hints() -> None:
    assert hints_of({b"sec-ch-ua-mobile": b"?0", b"sec-ch-ua-platform": b'"Windows"'}) is None


def test_hints_are_bounded() -> None:
    hints = hints_of({b"sec-ch-ua": b"x" * 10_000, b"sec-ch-ua-model": b"\xff" * 10_000})
    assert hints is not None
    assert len(hints.brands) == len(hints.model) == MAX_HINT_CHARS


def test_a_remembered_client_is_the_same(clients: Clients) -> None:
    few = Clients(size=2)
    for user_agent, _, _ in list(real_user_agents())[:20]:
        assert few.client_of(user_agent, None) == few.client_of(user_agent, None) == clients.client_of(user_agent, None)


@pytest.mark.parametrize(
    ("width", "screen"),
    [
        (None, ""),
        (-1, ""),
        (0, ""),
        (1, "xs"),
        (575, "xs"),
        (576, "sm"),
        (767, "sm"),
        (768, "md"),
        (991, "md"),
        (992, "lg"),
        (1439, "lg"),
        (1440, "xl"),
        (MAX_WIDTH_PX, "xl"),
        (MAX_WIDTH_PX + 1, ""),
    ],
)
def test_screens_have_classes(width: int | None, screen: str) -> None:
    assert screen_of(width) == screen


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.5", "de"),
        ("EN-us", "en"),
        ("zh-Hant-TW", "zh"),
        ("gsw-CH", "gsw"),
        (" fr ; q=0.9", "fr"),
        ("", ""),
        ("*", ""),
        ("*,de", ""),
        ("x-private", ""),
        ("d", ""),
        ("deutsch", ""),
        ("12", ""),
        ("\u0434\u0435", ""),
    ],
)
def test_language_is_the_primary_subtag(header: str, language: str) -> None:
    assert language_of(header) == language


@given(st.text())
def test_any_accept_language_gives_two_or_three_letters_or_nothing(header: str) -> None:
    language = language_of(header)
    assert language == "" or (language.isascii() and language.isalpha() and 2 <= len(language) <= 3)
