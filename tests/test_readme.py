"""README is true: its commands do what it says, and each promise's test is where it says."""

from __future__ import annotations

import json
import re
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
        assert "live" in answer, answer
        return int((answer["live"]["totals"] or {}).get("views", 0))

    until(lambda: views() == 1, "the first event shows", 30.0)
    print(f"the first event showed after {time.monotonic() - sent_at:.2f} s")


def test_curl_without_the_agent_is_told_that_it_is_a_bot(newcomer: Newcomer) -> None:
    (send, _) = commands("curl")
    line = re.sub(r"-A\s+'[^']*'", "", send)
    assert "footfall: dropped; reason=bot" in newcomer.run(line).lower()


def test_the_configuration_that_readme_shows_is_accepted(tmp_path: Path) -> None:
    (shown,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "footfall.toml").write_text(shown)
    settings = load(tmp_path / "footfall.toml", tmp_path / "data", {})
    assert settings.sites["example.com"].policy_version == "2026-05"


def test_every_file_that_readme_names_is_there() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(targets) >= 10
    assert [target for target in targets if not (ROOT / target).exists()] == []
