"""Withdrawing consent at a real installation: the visitor's rows are gone from every file, and nobody else's."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from aggregator.store import Store, StoreRefused, StoreUnavailable
from tests.collector.collecting import FIREFOX, Answer, Collector, until
from tests.faults.accounting import zone_at_noon
from tests.installation import RECOVERY_S, Installation

OTHER_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:129.0) Gecko/20100101 Firefox/129.0"


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    installation = Installation(tmp_path / "installation", zone_at_noon())
    try:
        installation.start()
        yield installation
    finally:
        installation.remove()


def ask(installation: Installation, path: str, body: object, agent: str) -> Answer:
    public = Collector(installation.folder, port=installation.port)
    return public.ask("POST", path, json.dumps(body).encode(), {"User-Agent": agent})


def send(installation: Installation, name: str, agent: str) -> None:
    body = {"n": name, "u": "https://example.com/", "d": "example.com", "c": "1"}
    assert ask(installation, "/api/event", body, agent).footfall == "accepted"


def withdraw(installation: Installation, agent: str) -> None:
    assert ask(installation, "/api/withdraw", {"d": "example.com"}, agent).footfall == "withdrawn"


def names(store: Store) -> Counter[str]:
    return Counter(dict(store.query("SELECT name, count() FROM open_events GROUP BY name")))


def holders(folder: Path, sought: re.Pattern[bytes]) -> set[str]:
    """Files that hold one of the forms; files that go away meanwhile hold nothing."""
    found = set()
    # os.walk passes over folders that go away, Path.rglob does not.
    for inner, _, files in os.walk(folder):
        for file in (Path(inner) / name for name in files):
            with contextlib.suppress(FileNotFoundError):
                if sought.search(file.read_bytes()):
                    found.add(str(file.relative_to(folder)))
    return found


def forms(token: int) -> re.Pattern[bytes]:
    """As text, and as eight bytes either way round."""
    texts = [str(token).encode(), token.to_bytes(8, "little"), token.to_bytes(8, "big")]
    return re.compile(b"|".join(re.escape(text) for text in texts))


def test_a_withdrawal_leaves_no_row_and_no_byte_of_the_visitor_and_all_of_the_others(
    installation: Installation,
) -> None:
    """P13, for one visitor in mid-day; who consents again is counted again."""
    store = installation.store()
    for number in range(3):
        send(installation, f"mine-{number}", FIREFOX)
        send(installation, f"other-{number}", OTHER_AGENT)
    until(lambda: names(store).total() == 6, "all is in the open day", RECOVERY_S)
    store.command("OPTIMIZE TABLE open_events FINAL")
    ((token,),) = store.query("SELECT DISTINCT visitor FROM open_events WHERE name LIKE 'mine%'")
    assert any(name.startswith("store/") for name in holders(installation.data, forms(token))), "the search finds it"

    withdraw(installation, FIREFOX)
    until(lambda: names(store).total() == 3, "the rows are gone", RECOVERY_S)
    until(lambda: holders(installation.data, forms(token)) == set(), "no byte of the token is left", RECOVERY_S)
    assert names(store) == Counter(f"other-{number}" for number in range(3))
    send(installation, "mine-again", FIREFOX)
    until(lambda: names(store).total() == 4, "who consents again is counted again", RECOVERY_S)
    until(lambda: installation.ledger(store).waiting == 0, "all is drained", RECOVERY_S)
    ledger = installation.ledger(store)
    assert (ledger.accepted, ledger.open, ledger.withdrawn, ledger.imbalances) == (7, 4, 3, ())
    assert str(token) not in installation.log.read_text()


def test_a_withdrawal_is_carried_out_after_the_drainer_or_the_store_was_killed(installation: Installation) -> None:
    store = installation.store()
    for part in ("drain", "store", "drain"):
        send(installation, "mine", FIREFOX)
        send(installation, "other", OTHER_AGENT)
        withdraw(installation, FIREFOX)
        until(lambda part=part: installation.kill(part), f"there is a process of {part}", RECOVERY_S)  # type: ignore[misc]  # bound now
    installation.wait_until_ready()

    def is_carried_out() -> bool:
        try:
            found = installation.ledger(store)
        except (StoreUnavailable, StoreRefused):
            return False
        return (found.open, found.withdrawn, found.waiting, found.imbalances) == (3, 3, 0, ())

    until(is_carried_out, "each withdrawal is carried out once", RECOVERY_S)
    assert names(store) == Counter({"other": 3})
