"""P14: nothing leaves but what the operator switched on: today, nothing.

A whole installation runs (the tests of withdrawal and sealing) in a network namespace that has a loopback and no way
out, and strace notes every connect() of every process. A connect to anything but the loopback or a socket of the
machine is a success of the attacker. What stands for a weakened build asks somebody for updates.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.attacks.verdict import Count, Verdict
from tests.collector.collecting import ROOT

# A day's whole life through the real command line.
FILES = ("tests/test_withdrawal.py", "tests/test_sealing.py")
CONNECT = re.compile(r"connect\(\d+, \{sa_family=AF_(\w+)(.*?)\}")
UPDATE_CHECK = "import socket; s = socket.socket(); s.settimeout(0.1); s.connect_ex(('192.0.2.1', 443))"


def attack() -> Verdict:
    """Needs root, for the namespace."""
    connects, others, told = _traced([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *FILES])
    _, weak, _ = _traced([sys.executable, "-c", UPDATE_CHECK])
    if "failed" in told or "error" in told:
        # What did not run as it should may have connected where it did not come to.
        others.append(f"not every test passed there: {told}")
    return Verdict(
        "P14",
        "connect() of every process, in a namespace without egress",
        connects,
        len(others),
        weakened=[Count("a check for updates", 1, len(weak))],
        remarks=[f"{told}; in {', '.join(FILES)}", *sorted(set(others))],
    )


def _traced(command: list[str]) -> tuple[int, list[str], str]:
    """Connects seen, those that led away from the machine, and the command's last line."""
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "connects"
        inside = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
        strace = ["strace", "-f", "-qq", "-e", "trace=connect", "-e", "signal=none", "-o", str(trace)]
        done = subprocess.run(
            ["unshare", "--net", *inside, *strace, *command], cwd=ROOT, capture_output=True, text=True, check=False
        )
        seen = CONNECT.findall(trace.read_text(errors="replace"))
    away = [f"{family}{address}" for family, address in seen if not _is_of_this_machine(family, address)]
    return len(seen), away, (done.stdout.splitlines() or [""])[-1]


def _is_of_this_machine(family: str, address: str) -> bool:
    if family in ("UNIX", "NETLINK", "UNSPEC"):
        return True
    return 'inet_addr("127.' in address or '"::1"' in address or '"::ffff:127.' in address
