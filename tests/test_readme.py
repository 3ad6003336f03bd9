"""README is true: its commands do what it says, and each promise's test is where it says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.settings import load
from tests.collector.collecting import MEMORY, ROOT, environment, until
from tests.installation import spare_port

README = (ROOT / "README.md").read_text()
PUBLIC, INTERNAL = "127.0.0.1:8000", "127.0.0.1:8001"
START_S = 60.0


class Newcomer:
    """Somebody who runs `footfall serve` in an empty folder and copies README's lines, on ports that are free here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.public, self.internal = f"127.0.0.1:{spare_port()}", f"127.0.0.1:{spare_port()}"
        self.log = folder / "serve.log"
        keys = tempfile.mkdtemp(prefix="footfall-test-", dir=MEMORY)
        command = [sys.executable, "-m", "footfall", "serve", "--listen", self.public, "--dashboards", self.internal]
        with self.log.open("wb") as log:
            self.serving = subprocess.Popen(
                command, cwd=folder, stdout=log, stderr=log, env={**environment(), "FOOTFALL_PRIVACY__KEY_DIR": keys}
            )
        until(lambda: "See it:" in self.log.read_text(), f"footfall serve is up; see {self.log}", START_S)

    def run(self, line: str) -> str:
        """What a line of README prints in this folder."""
        line = line.replace(PUBLIC, self.public).replace(INTERNAL, self.internal)
        done = subprocess.run(
            ["bash", "-c", line], cwd=self.folder, capture_output=True, text=True, timeout=30, check=True
        )
        return done.stdout

    def leave(self) -> None:
        self.serving.terminate()
        assert self.serving.wait(30) == 0


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    newcomer = Newcomer(tmp_path_factory.mktemp("newcomer"))
    yield newcomer
    newcomer.leave()


def commands(start: str) -> list[str]:
    """README's shell commands that begin with `start`, continuation lines joined."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith(start)]


def test_the_first_event_of_readme_is_accepted_and_seen_within_two_seconds(newcomer: Newcomer) -> None:
    send, see = commands("curl")
    answer = newcomer.run(send)
    sent_at = time.monotonic()
    assert answer.startswith("HTTP/1.1 202")
    assert "footfall: accepted" in answer.lower()

    def views() -> int:
        answer = json.loads(newcomer.run(see))
        if answer.get("error") == "the store is being prepared; try again":
            return 0
        assert "live" in answer, answer
        return int((answer["live"]["totals"] or {}).get("views", 0))

    until(lambda: views() == 1, "the first event shows", 30.0)
    print(f"the first event showed after {time.monotonic() - sent_at:.2f} s")


def test_curl_without_the_agent_is_told_that_it_is_a_bot(newcomer: Newcomer) -> None:
    (send, _) = commands("curl")
    line = re.sub(r"-A\s+'[^']*'", "", send)
    assert "footfall: dropped; reason=bot" in newcomer.run(line).lower()


class Operator:
    """Somebody with README's own footfall.toml, who runs the parts one by one, and the commands beside them."""

    PARTS = ("store", "aggregate", "collect", "dashboard")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (shown,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
        (folder / "footfall.toml").write_text(shown)
        self.keys = tempfile.mkdtemp(prefix="footfall-test-", dir=MEMORY)
        self.public, self.internal = (f"127.0.0.1:{spare_port()}" for _ in range(2))
        self.environment = {
            **environment(),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "FOOTFALL_COLLECTOR__LISTEN": self.public,
            "FOOTFALL_DASHBOARDS__LISTEN": self.internal,
            "FOOTFALL_PRIVACY__KEY_DIR": self.keys,
        }
        self.parts = {name: self._started(name) for name in self.PARTS}
        until(lambda: self.run("footfall doctor --ledger").returncode == 0, "the parts work", START_S)

    def _started(self, name: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "footfall", name],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                env=self.environment,
            )

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """A command as README shows it, by this Python's own `footfall`."""
        line = re.sub(r"^footfall\b", f"{sys.executable} -m footfall", line)
        return subprocess.run(
            ["bash", "-c", line],
            check=False,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            env=self.environment,
        )

    def leave(self) -> None:
        for name in reversed(self.PARTS):
            self.parts[name].terminate()
            assert self.parts[name].wait(30) == 0, (self.folder / f"{name}.log").read_text()
        shutil.rmtree(self.keys, ignore_errors=True)


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    operator = Operator(tmp_path_factory.mktemp("operator"))
    yield operator
    operator.leave()


TREND = "SELECT day, visitors, views FROM trend WHERE site = 'example.com' AND hour = 24 ORDER BY day"
CROSS = "SELECT value_b, visitors FROM cross_breakdown WHERE value_a = 'DE' AND dimension_b = 'page'"
# What each command that README shows prints, as a pattern; None for those that run until they are stopped, which the
# tests named beside them run.
PRINTED: dict[str, str | None] = {
    "footfall serve": None,  # the newcomer above
    "footfall demo": None,  # tests/dashboards/demo
    **{f"footfall {part}": None for part in Operator.PARTS},  # the operator
    "footfall --help": "Counts visits",
    "footfall seal": "no day is due",
    "footfall doctor": "ledger",
    "footfall doctor --ledger": "withdrawn",
    "footfall audit": r"\[P4\]",
    "footfall audit --json": r'"check"',
    "footfall user": None,  # only with what follows it
    "footfall user add mira --role viewer --site example.com": r"^http://\S+/sign-in/\S+$",
    "footfall user list": "mira\tviewer\texample.com",
    "footfall user link owner": r"^http://\S+/sign-in/\S+$",
    "footfall user remove mira": "^$",
    "footfall site list": "^example.com",
    "footfall site remove old.example --yes": "old.example",
    "footfall token": None,  # only with what follows it
    "footfall token add shop --role ingest --site example.com": r"^footfall_",
    "footfall token add reports --role viewer": r"^footfall_",
    "footfall sql": None,  # only with what follows it
    f'footfall sql "{TREND}"': "^$",
    f'footfall sql "{CROSS}"': "^$",
}


def shown_commands() -> list[str]:
    """Every `footfall ...` in README, `a|b` written out."""
    spans = [span for span in re.findall(r"`(footfall [^`]*)`", README) if "(" not in span]
    return list(dict.fromkeys(spans))


def test_every_command_of_readme_does_what_it_says(operator: Operator) -> None:
    operator.run("footfall user add owner --role admin")
    for shown in shown_commands():
        names, _, choices = shown.rpartition(" ")
        if "|" in choices:
            for choice in choices.split("|"):
                assert operator.run(f"{names} {choice} --help").returncode == 0, f"{names} {choice}"
            continue
        pattern = PRINTED[shown]
        if pattern is not None:
            done = operator.run(shown)
            assert done.returncode == 0, f"{shown}: {done.stdout}{done.stderr}"
            assert re.search(pattern, done.stdout, re.MULTILINE), f"{shown}: {done.stdout}"


def test_every_target_of_readme_is_in_the_makefile_and_ci_runs_the_readmes_own_test() -> None:
    targets = set(re.findall(r"^make (\w+)", "\n".join(commands("make")), re.MULTILINE)) | set(
        re.findall(r"`make (\w+)`", README)
    )
    assert {"serve", "test", "check", "bench", "soak"} <= targets
    for target in targets:
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_the_configuration_that_readme_shows_is_accepted(tmp_path: Path) -> None:
    (shown,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "footfall.toml").write_text(shown)
    settings = load(tmp_path / "footfall.toml", tmp_path / "data", {})
    assert settings.sites["example.com"].policy_version == "2026-05"


def test_every_file_that_readme_names_is_there() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(targets) >= 10
    assert [target for target in targets if not (ROOT / target).exists()] == []
