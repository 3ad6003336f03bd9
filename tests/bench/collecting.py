"""What collecting costs: CPU of an accepted event beside two plain handlers, throughput, latency."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.bench.figure import Figure
from tests.bench.load import Loaded
from tests.bench.running import ROOT, descendants, free_port, running
from tests.bench.traffic import SITE

MANY, FEW, ONE = 512, 32, 1
WARM_UP_S = 1.0
# The collector's CPU may be at most so many times that of a handler that does nothing.
MOST_TIMES_EMPTY = 2.0
MEMORY_BACKED = Path("/dev/shm")
ON_DISK = Path("/var/tmp")  # /tmp is in memory on many machines, where a sync costs nothing


@dataclass(frozen=True)
class Server:
    """A server under test: one worker process behind a port."""

    port: int
    worker: int

    def loaded(self, connections: int, seconds: float) -> Loaded:
        arguments = [self.port, self.worker, connections, min(WARM_UP_S, seconds), seconds]
        command = [sys.executable, "-m", "tests.bench.load", *map(str, arguments)]
        answer = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
        return Loaded(**json.loads(answer))


def figures(seconds: float, rounds: int) -> Iterator[Figure]:
    """Rounds of `seconds` at each server in turn, so that other work on the machine meets all of them; medians."""
    with ExitStack() as stack:
        servers = {
            "collector": _collector(stack),
            "empty handler": _handler(stack, "empty"),
            "Starlette, JSON parsed": _handler(stack, "starlette"),
        }
        many: dict[str, list[Loaded]] = {name: [] for name in servers}
        for _ in range(rounds):
            for name, server in servers.items():
                many[name].append(server.loaded(MANY, seconds))
        fewer = {connections: servers["collector"].loaded(connections, seconds) for connections in (FEW, ONE)}
    yield from _cpu(many)
    for name, loads in many.items():
        yield from _speed(name, MANY, loads)
    for connections, one in fewer.items():
        yield from _speed("collector", connections, [one])
        yield Figure(f"{_title('collector', connections)}: CPU of a request", 1e6 * one.cpu_s / one.answered, "us")


def _cpu(loads: dict[str, list[Loaded]]) -> Iterator[Figure]:
    """A refused request costs less than an accepted one, so the collector's CPU is divided by the accepted alone."""
    each = {name: [1e6 * one.cpu_s / max(1, one.accepted) for one in of_one] for name, of_one in loads.items()}
    yield Figure("collector: CPU of an accepted event", median(each["collector"]), "us")
    for other in ("empty handler", "Starlette, JSON parsed"):
        yield Figure(f"{other}: CPU of a request", median(each[other]), "us")
    for other, target in (("empty handler", MOST_TIMES_EMPTY), ("Starlette, JSON parsed", None)):
        ratio = median(ours / theirs for ours, theirs in zip(each["collector"], each[other], strict=True))
        yield Figure(f"collector: CPU beside {other}", ratio, "times", target)


def _speed(name: str, connections: int, loads: list[Loaded]) -> Iterator[Figure]:
    def middle(of: Callable[[Loaded], float]) -> float:
        return median(of(one) for one in loads)

    title = _title(name, connections)
    yield Figure(f"{title}: answered 202", middle(lambda one: one.accepted / one.seconds), "a second")
    yield Figure(f"{title}: p50", middle(lambda one: one.p50_ms), "ms")
    yield Figure(f"{title}: p99", middle(lambda one: one.p99_ms), "ms")


def _title(name: str, connections: int) -> str:
    return f"{name}, {connections} connection{'s' if connections > 1 else ''}"


def configuration(data: Path, keys: Path, port: int) -> Path:
    """Writes a configuration for one site into `data`; the load generator is its trusted proxy."""
    file = data / "footfall.toml"
    file.write_text(
        f'[collector]\nlisten = "127.0.0.1:{port}"\nworkers = 1\ntrusted_proxies = ["127.0.0.1/32"]\n'
        f'[dashboards]\nlisten = "127.0.0.1:{free_port()}"\n'
        f'[privacy]\nkey_dir = "{keys}"\n[[site]]\ndomain = "{SITE}"\ntimezone = "Europe/Berlin"\n'
    )
    return file


def folders(stack: ExitStack) -> tuple[Path, Path]:
    """A data folder on disk, where a sync costs what it costs, and a key folder in memory."""
    beside = stack.enter_context(tempfile.TemporaryDirectory(prefix="footfall-bench-", dir=ON_DISK))
    keys = stack.enter_context(tempfile.TemporaryDirectory(prefix="footfall-bench-", dir=MEMORY_BACKED))
    data = Path(beside) / "data"
    data.mkdir()
    return data, Path(keys)


def _collector(stack: ExitStack) -> Server:
    data, keys = folders(stack)
    port = free_port()
    command = [str(ROOT / "footfall.py"), "collect"]
    file = configuration(data, keys, port)
    process = stack.enter_context(running([*command, "--config", str(file), "--data", str(data)], port))
    return Server(port, descendants(process.pid)[-1])


def _handler(stack: ExitStack, name: str) -> Server:
    port = free_port()
    process = stack.enter_context(running(["-m", "tests.bench.handlers", name, str(port)], port))
    return Server(port, descendants(process.pid)[-1])
