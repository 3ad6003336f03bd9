"""The process `footfall store` for store = "embedded": ClickHouse's own HTTP interface over chDB, on loopback.

Promises:
- one front to a data folder, held by an exclusive lock on `<data>/store.lock`;
- nobody without this start's secret gets an answer; the secret is in `<data>/run/store.json` (mode 0600), which appears
  once the store answers and goes at a clean stop;
- an insert's body is read whole before the engine sees a byte of it: a connection cut in mid-body leaves nothing;
- no statement, value or body is ever logged, and the process is not dumpable;
- SIGTERM and SIGINT stop it after the running inserts.

Everything else reaches the store through `store.Store`, which speaks to this front and to any ClickHouse server alike.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aggregator.clickhouse_http import USER, Server
from aggregator.engine import DATABASE, Engine
from collector.fault import Fault
from collector.folders import make_folder
from collector.process import forbid_core_dumps, give_way


class FrontFault(Fault):
    """The front cannot start. The message is one line: what was tried, on what, what to do."""


def run_front(data: Path, *, memory_limit_bytes: int | None = None) -> None:
    """Own the store of `data` and answer until SIGTERM or SIGINT. Call from the main thread.

    `memory_limit_bytes` bounds what the engine allocates (default: half of the machine's memory). Raises FrontFault.
    """
    forbid_core_dumps()
    give_way()
    data = data.absolute()
    make_folder(data)
    make_folder(data / "run")
    announcement = data / "run" / "store.json"
    with _lock(data / "store.lock"):
        announcement.unlink(missing_ok=True)  # of a front that was killed: its port may be anybody's by now
        engine = Engine(data, memory_limit_bytes or _half_of_memory())
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        with _serving(engine, announcement):
            while not stop.wait(3600):
                pass
        engine.close()


@contextmanager
def _serving(engine: Engine, announcement: Path) -> Iterator[None]:
    server = Server(engine, secrets.token_urlsafe(32))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="front")
    thread.start()
    try:
        _announce(announcement, server)
        yield
    finally:
        announcement.unlink(missing_ok=True)
        server.shutdown()
        thread.join()
        engine.kill_reads()
        server.wait_until_idle()
        server.server_close()


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FrontFault(
                f"cannot open the store in {path.parent}: another process has it; stop that one or take another --data"
            ) from None
        yield
    finally:
        os.close(descriptor)


def _announce(path: Path, server: Server) -> None:
    """Write port and secret so that a reader sees a whole file or none."""
    content = {
        "port": server.server_address[1],
        "user": USER,
        "password": server.secret,
        "database": DATABASE,
        "pid": os.getpid(),
    }
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _half_of_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
