"""What is looked at before any part is started, where a fault is one line and not a process that dies again and again.

Invariants: nothing here starts a process; whatever is wrong raises a `Fault` that says what to do.
"""

from __future__ import annotations

import fcntl
import http.client
import os
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from collector.country import Countries
from collector.fault import Fault, one_line
from collector.folders import make_folder
from collector.keys import prepared_folder
from collector.network_operator import Operators
from collector.settings import Address, Settings

# So long a part may take to stop (the supervisor's patience is 30 s, but it was killed and gave none).
LEFT_BEHIND_S = 15.0


def check_free(address: Address, setting: str) -> None:
    """Granian shares a port with whoever listens already, so a second installation is refused here."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            raise Fault(
                f"cannot listen on {address}: {error.strerror}; stop what listens there or set {setting}"
            ) from None


def check_collector(settings: Settings) -> None:
    """What the workers need, looked at here, where a fault is one line: they would only die of it again and again."""
    prepared_folder(settings.privacy.key_dir)
    _check_file("country_file", lambda: Countries(settings.collector.country_file).close())
    if operators := settings.collector.operator_file:
        _check_file("operator_file", lambda: Operators(operators).close())
    folder = settings.collector.spool_dir
    try:
        make_folder(folder)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise Fault(
            f"cannot write into the spool folder {folder}: {error.strerror};"
            " set collector.spool_dir to a folder on a local disk"
        ) from None


def _check_file(setting: str, open_and_close: Callable[[], None]) -> None:
    try:
        open_and_close()
    except (OSError, ValueError) as error:
        raise Fault(f"{one_line(error)}; set collector.{setting} to a readable .mmdb file, or leave it out") from None


def lock_data(data: Path) -> None:
    """One `serve` for a data folder; the lock is held until this process ends, and its children do not inherit it."""
    descriptor = os.open(data / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Fault(f"another footfall serve runs on {data}; stop it, or pass another folder with --data") from None


def wait_for_lock(lock: Path) -> None:
    """After a `serve` that was killed: its parts are still stopping, and the new ones would be refused their locks."""
    if not lock.exists():
        return
    deadline = time.monotonic() + LEFT_BEHIND_S
    with lock.open() as held:
        while time.monotonic() < deadline:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(0.1)


def readiness_of(address: Address) -> Callable[[], bool]:
    """Asks the part that listens on `address` whether it is ready to work."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104  compared with, never bound to

    def is_ready() -> bool:
        connection = http.client.HTTPConnection(host, address.port, timeout=5.0)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return is_ready
