"""Promises whose attack is a test of the suite: P1, P2, P15 and P16. Here those tests run as the attack.

A failed test is a success of the attacker; a skipped one is told. That they can fail is shown where they stand (each
search finds what it looks for before it finds nothing), so no weakened build is built here.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass

from tests.attacks.verdict import Count, Verdict
from tests.collector.collecting import ROOT

SUMMARY = re.compile(r"(\d+) (passed|failed|skipped|error)")


@dataclass(frozen=True)
class Held:
    """A promise, in words how it is attacked, and where. `control` is the test that shows that the attack can find."""

    promise: str
    attack: str
    files: tuple[str, ...]
    control: str


ALL = (
    Held(
        "P1",
        "canaries in every field and header, faults included, looked for in every byte",
        ("tests/test_canaries.py",),
        "the search finds each spelling, and what may be kept",
    ),
    Held(
        "P2",
        "the matrix of consent and fuzzed consent",
        ("tests/collector/test_consent.py",),
        "of the matrix, those that consent are accepted",
    ),
    Held(
        "P15",
        "in Chromium: opt out, browse, compare",
        ("tests/collector/test_policy_in_chromium.py",),
        "before opting out, the beacon sends",
    ),
    Held(
        "P16",
        "each setting changed: policy, document and schema change with it",
        ("tests/collector/test_policy.py", "tests/collector/test_settings.py"),
        "each test compares two configurations",
    ),
)


def attack(held: Held) -> Verdict:
    """Runs the tests of one promise."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *held.files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    counts = {
        what: int(number) for number, what in SUMMARY.findall(done.stdout.splitlines()[-1] if done.stdout else "")
    }
    failed = counts.get("failed", 0) + counts.get("error", 0)
    remarks = [f"by the tests of {', '.join(held.files)}; control: {held.control}"]
    if counts.get("skipped"):
        remarks.append(f"{counts['skipped']} of them were skipped here")
    if failed:
        remarks += [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    trials = counts.get("passed", 0) + failed
    # The control is inside these tests: it was met wherever they passed.
    return Verdict(
        held.promise, held.attack, trials, failed, weakened=[Count("control inside the tests", 1, 1)], remarks=remarks
    )
