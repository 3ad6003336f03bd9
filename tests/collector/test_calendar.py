"""The remembered local day is the computed one, at every instant."""

from __future__ import annotations

from zoneinfo import available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.calendar import local_day
from collector.days import day_of, ends_at

ZONES = sorted(available_timezones() - {"localtime", "Factory"})
FROM_1973, TO_2100 = 94_694_400.0, 4_102_444_800.0


# To the millisecond, as a hit has it.
@given(st.floats(FROM_1973, TO_2100).map(lambda at: round(at, 3)), st.sampled_from(ZONES))
def test_the_local_day_is_that_of_the_rules(at: float, timezone: str) -> None:
    assert local_day(at, timezone).day == day_of(at, timezone)
    assert local_day(at, timezone).iso == day_of(at, timezone).isoformat()


@pytest.mark.parametrize("timezone", ["Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns", "UTC"])
def test_a_day_ends_to_the_millisecond(timezone: str) -> None:
    midnight = ends_at(day_of(1_790_000_000.0, timezone), timezone)
    assert local_day(midnight - 0.001, timezone).day < local_day(midnight, timezone).day
