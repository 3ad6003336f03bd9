"""What each process of `footfall serve` holds after some traffic."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.bench.collecting import FEW, Server, configuration, folders
from tests.bench.figure import Figure
from tests.bench.running import ROOT, command_of, descendants, free_port, memory_mib, running

ENTRY = str(ROOT / "footfall.py")


def figures(seconds: float) -> Iterator[Figure]:
    """After `seconds` of traffic over a few connections."""
    with ExitStack() as stack:
        data, keys = folders(stack)
        port = free_port()
        file = configuration(data, keys, port)
        command = [ENTRY, "serve", "--config", str(file), "--data", str(data)]
        serving = stack.enter_context(running(command, port))
        Server(port, serving.pid).loaded(FEW, seconds)
        processes = [serving.pid, *sorted(descendants(serving.pid))]
        for process in processes:
            for kind, title in (("Rss", "resident"), ("Pss", "resident, shared pages divided")):
                held = memory_mib(process, kind)
                if held is not None:
                    yield Figure(f"{_name(process)}: {title}", held, "MiB")
        shares = [memory_mib(process, "Pss") or 0.0 for process in processes]
        if all(shares):
            yield Figure("all of these: resident, shared pages divided", sum(shares), "MiB")


def _name(process: int) -> str:
    """The command of `footfall` that a process runs; a worker of granian shows the command line of its parent."""
    parent = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    words = command_of(process)
    place = next((place for place, word in enumerate(words) if word in ("footfall", ENTRY)), None)
    if place is None or words == command_of(parent):
        return f"{_name(parent)}'s worker"
    return words[place + 1] + (f" --job {words[words.index('--job') + 1]}" if "--job" in words else "")
