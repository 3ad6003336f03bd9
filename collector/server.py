"""Runs the collector's workers under granian: one process each, one spool file each.

Granian's defaults are set otherwise where they would let slow clients lock honest ones out: its
backpressure counts connections, so 1,000 idle ones would fill it, and a header may take 30 seconds.
"""

from __future__ import annotations

import gc
import logging
import os
import resource
from pathlib import Path

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels

from collector.app import App
from collector.clock import SystemClock
from collector.process import die_with_parent, forbid_core_dumps
from collector.settings import Address, Settings, load

# Connections that one worker holds at once, idle ones included; each costs a few kilobytes.
MAX_CONNECTIONS = 16_384
HEADER_DEADLINE_MS = 10_000
# Room for a request's headers and its first packets; the rest of a body is streamed.
BUFFER_BYTES = 32_768
# Objects made and not yet freed before Python looks for cycles; 700 by default, which 30 requests under way reach.
GARBAGE_THRESHOLD = 50_000
# A commit takes well under a second; a worker told to stop while it is starting does not hear it (granian 2.8).
STOP_TIMEOUT_S = 10


def serve(settings: Settings) -> None:
    """Runs the workers until SIGTERM or SIGINT; a worker that dies is started again.

    The workers read the configuration that FOOTFALL_CONFIG and FOOTFALL_DATA name.
    """
    forbid_core_dumps()
    raise_descriptor_limit()
    run("collector.server:worker", settings.collector.listen, settings.collector.workers, factory=True)


def run(target: str, listen: Address, workers: int, *, factory: bool = False) -> None:
    """Serves the application `target`; `make bench` serves what it compares the collector with by the same settings."""
    Granian(
        target,
        factory=factory,
        address=listen.host,
        port=listen.port,
        interface=Interfaces.ASGI,
        workers=workers,
        loop=Loops.asyncio,
        http=HTTPModes.http1,
        websockets=False,
        backlog=MAX_CONNECTIONS,
        backpressure=MAX_CONNECTIONS,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_DEADLINE_MS, max_buffer_size=BUFFER_BYTES),
        respawn_failed_workers=True,
        respawn_interval=0.5,
        workers_kill_timeout=STOP_TIMEOUT_S,
        log_access=False,
        log_level=LogLevels.warning,
    ).serve()


def worker() -> App:
    """One worker's application; granian calls this in the worker's own process."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    die_with_parent()
    forbid_core_dumps()
    raise_descriptor_limit()
    config = os.environ.get("FOOTFALL_CONFIG")
    settings = load(Path(config) if config else None, Path(os.environ["FOOTFALL_DATA"]), os.environ)
    app = App(settings, SystemClock())
    freeze_what_is_loaded()
    return app


def freeze_what_is_loaded() -> None:
    """Keeps Python's search for cycles away from what lives as long as the process: 12 % of an event's CPU."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)


def raise_descriptor_limit() -> None:
    """A connection is a descriptor; the usual soft limit of 1,024 is what slow clients exhaust first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + 1_024
    if soft < wanted:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(hard, wanted), hard)
        )
