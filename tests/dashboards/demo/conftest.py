"""One demo for all tests of this folder: it takes some twenty seconds to get ready."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dashboards.demo.audience import Audience
from dashboards.demo.folder import SITE, TIMEZONE
from dashboards.demo.traffic import Traffic
from tests.dashboards.demo.demonstration import Demonstration


@pytest.fixture(scope="session")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demonstration]:
    with Demonstration(tmp_path_factory.mktemp("demo")).running() as demonstration:
        yield demonstration


@pytest.fixture(scope="session")
def audience() -> Audience:
    return Audience(seed=1)


@pytest.fixture(scope="session")
def traffic(audience: Audience) -> Traffic:
    return Traffic(audience, 1, SITE, TIMEZONE)
