"""The senders of the proofs end, whatever becomes of the installation that they send to."""

from __future__ import annotations

import time

import pytest

from tests.installation import spare_port
from tests.sender import Senders

SOON_S = 15.0


def senders_to(port: int, patience_s: float) -> Senders:
    return Senders(port, 1, 1, lambda: time.time() - 86_400.0, 1, patience_s=patience_s)


def test_senders_end_at_once_where_a_start_has_failed() -> None:
    began_at = time.monotonic()
    with pytest.raises(RuntimeError, match="for a test"), senders_to(spare_port(), 600.0):
        raise RuntimeError("for a test: it did not start")
    assert time.monotonic() - began_at < SOON_S


def test_senders_that_nobody_answers_give_up_and_say_so() -> None:
    began_at = time.monotonic()
    with senders_to(spare_port(), 0.3) as senders:
        time.sleep(0.2)
    assert time.monotonic() - began_at < SOON_S
    assert any("bulk: 0 of" in each for each in senders.sent.unexpected)
    assert "a withdrawal was not answered" in senders.sent.unexpected
    assert not senders.sent.acknowledged
