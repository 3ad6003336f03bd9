"""Runs the internal side under granian, as one process: it is for a few people, behind a private port."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.log import LogLevels
from starlette.applications import Starlette

from aggregator.store import open_store
from collector.clock import SystemClock
from collector.process import die_with_parent, forbid_core_dumps
from collector.settings import Settings, load
from dashboards.access import People
from dashboards.app import create_app


def serve(settings: Settings) -> None:
    """Answers until SIGTERM or SIGINT.

    The worker reads the configuration that FOOTFALL_CONFIG and FOOTFALL_DATA name.
    """
    forbid_core_dumps()
    Granian(
        "dashboards.server:worker",
        factory=True,
        address=settings.dashboards.listen.host,
        port=settings.dashboards.listen.port,
        interface=Interfaces.ASGI,
        loop=Loops.asyncio,
        http=HTTPModes.http1,
        websockets=False,
        respawn_failed_workers=True,
        respawn_interval=0.5,
        workers_kill_timeout=10,
        log_access=False,
        log_level=LogLevels.warning,
    ).serve()


def worker() -> Starlette:
    """The application; granian calls this in the worker's own process."""
    die_with_parent()
    forbid_core_dumps()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    config = os.environ.get("FOOTFALL_CONFIG")
    settings = load(Path(config) if config else None, Path(os.environ["FOOTFALL_DATA"]), os.environ)
    return create_app(settings, People(settings.data), lambda: open_store(settings, wait_s=0.0), SystemClock())
