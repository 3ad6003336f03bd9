"""The command line: a fault is one line that says what was tried, on what, and what to do; status 2, no traceback."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.collector.collecting import (
    FIREFOX,
    MEMORY,
    Collector,
    asked,
    environment,
    event_body,
    running,
    sha256,
    until,
)
from tests.installation import Installation, spare_port

TIMEOUT_S = 60.0
COMMANDS = ("serve", "collect", "store", "aggregate", "dashboard", "seal", "sql", "doctor", "audit", "token", "user")
MINE = """\
# Ours, do not touch.
[collector]
listen = "127.0.0.1:18000"   # behind nginx

# The shop.
[[site]]
domain = "example.com"
timezone = "Europe/Berlin"   # where the customers are

[[site]]
domain = "example.org"
# The app sends for itself.
"""


@pytest.fixture
def keys() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="footfall-command-", dir=MEMORY))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty working folder."""
    return tmp_path


def run(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """`footfall ARGUMENTS` in `folder`, with `settings` such as COLLECTOR__LISTEN in its environment."""
    named = {f"FOOTFALL_{name}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "footfall", *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        env={**environment(), **named},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a refused command printed."""
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("footfall: ")
    return line.removeprefix("footfall: ")


# --- faults ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["serve", "collect"])
def test_a_country_file_that_is_not_there_is_one_line(folder: Path, keys: Path, command: str) -> None:
    line = refusal(
        run(folder, command, COLLECTOR__COUNTRY_FILE="nowhere.mmdb", PRIVACY__KEY_DIR=str(keys), **free_ports())
    )
    assert "cannot open the country file: No such file or directory" in line
    assert "nowhere.mmdb" in line
    assert "set collector.country_file" in line


@pytest.mark.parametrize("command", ["serve", "collect"])
def test_a_country_file_that_is_none_is_one_line(folder: Path, keys: Path, command: str) -> None:
    (folder / "text.mmdb").write_text("no database")
    line = refusal(
        run(folder, command, COLLECTOR__COUNTRY_FILE="text.mmdb", PRIVACY__KEY_DIR=str(keys), **free_ports())
    )
    assert "text.mmdb is no MaxMind database; set collector.country_file" in line


@pytest.mark.parametrize("command", ["serve", "collect", "store", "aggregate", "dashboard", "seal", "doctor", "audit"])
def test_a_configuration_that_is_not_there_is_one_line_for_every_command(folder: Path, command: str) -> None:
    line = refusal(run(folder, command, "--config", "nowhere.toml"))
    assert line == "nowhere.toml: cannot be read (No such file or directory); create it, or start without --config"
    assert not (folder / "footfall-data").exists()


def test_a_configuration_that_may_not_be_read_is_one_line(folder: Path) -> None:
    (folder / "folder.toml").mkdir()
    assert "folder.toml: cannot be read (Is a directory)" in refusal(run(folder, "serve", "--config", "folder.toml"))


def test_a_configuration_that_is_not_utf8_is_one_line(folder: Path) -> None:
    (folder / "footfall.toml").write_bytes(b"# caf\xe9\n")
    assert refusal(run(folder, "serve")).startswith("footfall.toml: is not UTF-8 at byte 5; save it as UTF-8")


def test_a_configuration_that_is_no_toml_names_the_place_and_not_the_value(folder: Path) -> None:
    (folder / "footfall.toml").write_text('[aggregator]\nstore = "clickhouse://u:s3cret@h:1/d\n')
    line = refusal(run(folder, "serve"))
    assert re.search(r"footfall\.toml: is not TOML at line 2", line)
    assert "s3cret" not in line


def test_an_unknown_setting_is_one_line(folder: Path) -> None:
    (folder / "footfall.toml").write_text("[collector]\nlisen = 1\n")
    assert "collector.lisen" in refusal(run(folder, "serve"))


def test_an_unknown_setting_in_the_environment_is_one_line(folder: Path) -> None:
    assert "lisen" in refusal(run(folder, "serve", COLLECTOR__LISEN="x")).lower()


def test_all_faults_are_told_together_a_line_each(folder: Path) -> None:
    (folder / "footfall.toml").write_text('[collector]\nworkers = 0\nlisten = "nowhere"\n[privacy]\nk = 1\n')
    done = run(folder, "serve")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 3
    assert all(line.startswith("footfall: ") for line in done.stderr.splitlines())


@pytest.mark.parametrize(
    ("command", "setting"),
    [("serve", "COLLECTOR"), ("serve", "DASHBOARDS"), ("collect", "COLLECTOR"), ("dashboard", "DASHBOARDS")],
)
def test_a_port_in_use_is_one_line(folder: Path, keys: Path, command: str, setting: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        taken = {**free_ports(), f"{setting}__LISTEN": f"127.0.0.1:{port}", "PRIVACY__KEY_DIR": str(keys)}
        line = refusal(run(folder, command, **taken))
    assert line == (
        f"cannot listen on 127.0.0.1:{port}: Address already in use;"
        f" stop what listens there or set {setting.lower()}.listen"
    )


def test_the_port_of_another_collector_is_in_use(folder: Path, keys: Path) -> None:
    collector = Collector(folder / "first")
    try:
        collector.start()
        line = refusal(
            run(folder, "collect", COLLECTOR__LISTEN=f"127.0.0.1:{collector.port}", PRIVACY__KEY_DIR=str(keys))
        )
        assert "Address already in use" in line
    finally:
        collector.stop()


@pytest.mark.parametrize("command", ["serve", "collect"])
def test_a_key_folder_on_a_disk_is_one_line(folder: Path, command: str) -> None:
    (folder / "keys").mkdir(mode=0o700)
    line = refusal(run(folder, command, PRIVACY__KEY_DIR="keys", **free_ports()))
    assert "is not memory-backed; set privacy.key_dir to a folder on a tmpfs such as /dev/shm" in line


def test_a_key_folder_in_the_data_folder_is_one_line(folder: Path) -> None:
    assert "privacy.key_dir: must not lie in the data folder" in refusal(
        run(folder, "serve", PRIVACY__KEY_DIR="footfall-data/keys")
    )


@pytest.mark.parametrize("command", ["serve", "collect"])
def test_a_spool_folder_that_cannot_be_written_is_one_line(folder: Path, keys: Path, command: str) -> None:
    settings = {"COLLECTOR__SPOOL_DIR": "/proc/footfall", "PRIVACY__KEY_DIR": str(keys), **free_ports()}
    line = refusal(run(folder, command, **settings))
    assert line.startswith("cannot write into the spool folder /proc/footfall: ")
    assert line.endswith("; set collector.spool_dir to a folder on a local disk")


@pytest.mark.parametrize("arguments", [("sql", "SELECT 1"), ("seal",)])
def test_a_store_that_does_not_run_is_one_line(folder: Path, arguments: tuple[str, ...]) -> None:
    line = refusal(run(folder, *arguments))
    assert line.startswith("the store is not running: ")
    assert "start `footfall" in line


def test_a_store_that_does_not_answer_is_one_line_without_its_password(folder: Path) -> None:
    where = f"clickhouse://me:s3cret@127.0.0.1:{spare_port()}/footfall"
    line = refusal(run(folder, "sql", "SELECT 1", AGGREGATOR__STORE=where))
    assert "s3cret" not in line


def test_an_embedded_store_beside_a_named_server_is_one_line(folder: Path) -> None:
    where = "clickhouse://me:secret@127.0.0.1:9/footfall"
    assert "there is no embedded store to run" in refusal(run(folder, "store", AGGREGATOR__STORE=where))


@pytest.mark.parametrize(
    "arguments",
    [(), ("bogus",), ("serve", "--bogus"), ("token",), ("token", "add", "x"), ("sql",), ("aggregate", "--job", "x")],
)
def test_a_command_that_is_none_shows_its_usage(folder: Path, arguments: tuple[str, ...]) -> None:
    done = run(folder, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: footfall")
    assert "Traceback" not in done.stderr


def free_ports() -> dict[str, str]:
    return {name: f"127.0.0.1:{spare_port()}" for name in ("COLLECTOR__LISTEN", "DASHBOARDS__LISTEN")}


# --- help -----------------------------------------------------------------------------------------------------------


def test_help_names_every_command_and_what_it_does(folder: Path) -> None:
    done = run(folder, "--help")
    assert done.returncode == 0
    for command in COMMANDS:
        assert re.search(rf"^    {command}\s+\S", done.stdout, re.MULTILINE), command


@pytest.mark.parametrize(
    "command",
    [
        *((command,) for command in COMMANDS),
        *(("token", action) for action in ("add", "list", "remove")),
        *(("user", action) for action in ("add", "list", "link", "remove")),
    ],
)
def test_help_of_every_command_explains_every_option(folder: Path, command: tuple[str, ...]) -> None:
    done = run(folder, *command, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: footfall {' '.join(command)}")
    if command not in (("token",), ("user",)):
        assert "--config" in done.stdout
        assert "--data" in done.stdout
    told = [line for line in done.stdout.partition("\n\n")[2].splitlines() if line.startswith("  ")]
    for line, following in pairwise([*told, ""]):
        is_option = not line.startswith("   ") and line.strip() not in {"COMMAND", "ACTION"}
        assert not is_option or re.search(r"\S {2,}\S", line) or following.startswith(" " * 12), line


# --- tokens ---------------------------------------------------------------------------------------------------------


def test_an_ingest_token_goes_into_the_configuration_whose_comments_are_kept(folder: Path) -> None:
    config = folder / "footfall.toml"
    config.write_text(MINE)
    config.chmod(0o640)
    done = run(folder, "token", "add", "app", "--role", "ingest", "--site", "example.org")
    assert done.returncode == 0, done
    token = done.stdout.strip()
    assert token.startswith("footfall_ingest_")
    assert "SIGHUP" in done.stderr
    text = config.read_text()
    assert [line for line in MINE.splitlines() if line not in text.splitlines()] == []
    (first, second) = tomllib.loads(text)["site"]
    assert second["ingest_tokens"] == [{"name": "app", "sha256": sha256(token), "trusted_addresses": False}]
    assert "ingest_tokens" not in first
    assert token not in text
    assert config.stat().st_mode & 0o777 == 0o640
    assert [file.name for file in folder.iterdir()] == ["footfall.toml"]


def test_a_vouching_token_says_so_and_a_second_one_is_added_beside_it(folder: Path) -> None:
    config = folder / "footfall.toml"
    config.write_text(MINE)
    for name, more in (("one", ["--trusted-addresses"]), ("two", [])):
        assert run(folder, "token", "add", name, "--role", "ingest", "--site", "example.com", *more).returncode == 0
    tokens = tomllib.loads(config.read_text())["site"][0]["ingest_tokens"]
    assert [(token["name"], token["trusted_addresses"]) for token in tokens] == [("one", True), ("two", False)]


def test_a_token_joins_those_that_have_tables_of_their_own(folder: Path) -> None:
    config = folder / "footfall.toml"
    table = f'[[site.ingest_tokens]]\nname = "first" # kept\nsha256 = "{"0" * 64}"\n'
    config.write_text(f'[[site]]\ndomain = "example.com"\n{table}\n[[site]]\ndomain = "example.org"\n')
    made = run(folder, "token", "add", "second", "--role", "ingest", "--site", "example.com")
    assert made.returncode == 0, made
    tokens = tomllib.loads(config.read_text())["site"][0]["ingest_tokens"]
    assert [token["name"] for token in tokens] == ["first", "second"]
    assert "# kept" in config.read_text()
    assert run(folder, "token", "remove", "first").returncode == 0
    assert run(folder, "token", "list").stdout == "second\tingest\texample.com\n"


def test_the_configuration_behind_a_link_is_changed_and_the_link_is_kept(folder: Path) -> None:
    (folder / "real.toml").write_text(MINE)
    (folder / "footfall.toml").symlink_to("real.toml")
    assert run(folder, "token", "add", "app", "--role", "ingest", "--site", "example.com").returncode == 0
    assert (folder / "footfall.toml").is_symlink()
    assert "ingest_tokens" in (folder / "real.toml").read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("app", "--role", "ingest"), "an ingest token is for one site; name it with --site"),
        (("app", "--role", "ingest", "--site", "example.net"), "there is no site example.net in the configuration"),
        (("twice", "--role", "ingest", "--site", "example.com"), "example.com has an ingest token named twice already"),
        (("x" * 65, "--role", "viewer"), "a token's name must be 1 to 64 letters, digits, spaces and _.@-"),
    ],
)
def test_a_token_that_cannot_be_made_is_one_line_and_changes_nothing(
    folder: Path, arguments: tuple[str, ...], told: str
) -> None:
    config = folder / "footfall.toml"
    config.write_text(MINE)
    run(folder, "token", "add", "twice", "--role", "ingest", "--site", "example.com")
    before = config.read_bytes()
    assert refusal(run(folder, "token", "add", *arguments)).startswith(told)
    assert config.read_bytes() == before


def test_an_ingest_token_without_a_configuration_file_is_one_line(folder: Path) -> None:
    line = refusal(run(folder, "token", "add", "app", "--role", "ingest", "--site", "localhost"))
    assert "there is no configuration file footfall.toml to keep the token's hash in" in line


def test_tokens_are_listed_without_themselves_and_removed_by_name(folder: Path) -> None:
    config = folder / "footfall.toml"
    config.write_text(MINE)
    made = [
        run(folder, "token", "add", *arguments).stdout.strip()
        for arguments in (
            ("alice", "--role", "viewer", "--site", "example.com"),
            ("root", "--role", "admin"),
            ("app", "--role", "ingest", "--site", "example.org"),
        )
    ]
    listed = run(folder, "token", "list").stdout
    assert listed.splitlines() == ["alice\tviewer\texample.com", "root\tadmin\t(all sites)", "app\tingest\texample.org"]
    assert not any(token in listed or hashlib.sha256(token.encode()).hexdigest() in listed for token in made)
    assert run(folder, "token", "remove", "alice").returncode == 0
    removed = run(folder, "token", "remove", "app")
    assert removed.returncode == 0
    assert "removed from example.org" in removed.stderr
    assert run(folder, "token", "list").stdout.splitlines() == ["root\tadmin\t(all sites)"]
    assert [line for line in MINE.splitlines() if line not in config.read_text().splitlines()] == []
    assert (
        refusal(run(folder, "token", "remove", "app")) == "there is no token named app; `footfall token list` shows all"
    )


def test_a_new_ingest_token_is_taken_by_the_collector_and_a_removed_one_is_not(tmp_path: Path) -> None:
    events = b'[{"n":"pageview","u":"https://example.com/","c":1}]'
    with_token, without = Collector(tmp_path / "with"), Collector(tmp_path / "without")
    with_token.write_config()
    named = ("--config", str(with_token.config), "--data", str(with_token.data))
    made = run(tmp_path, "token", "add", "new", "--role", "ingest", "--site", "example.com", *named)
    assert made.returncode == 0, made
    token = made.stdout.strip()
    with_token.sites = with_token.config.read_text().partition("key_dir")[2].partition("\n")[2]
    assert run(tmp_path, "token", "remove", "new", *named).returncode == 0
    without.sites = with_token.config.read_text().partition("key_dir")[2].partition("\n")[2]
    for collector, status in ((with_token, 202), (without, 401)):
        with running(collector):
            assert collector.bulk(events, token).status == status


# --- an installation ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    installation = Installation(tmp_path_factory.mktemp("installation"), workers=1)
    try:
        installation.start()
        yield installation
    finally:
        installation.remove()


def named(installation: Installation) -> tuple[str, ...]:
    return ("--config", str(installation.folder / "footfall.toml"), "--data", str(installation.data))


def test_a_second_serve_on_one_data_folder_is_one_line_and_leaves_the_first_alone(installation: Installation) -> None:
    before = installation.parts()
    done = run(installation.folder, "serve", *named(installation), **free_ports())
    assert str(installation.data) in refusal(done)
    assert installation.parts() == before


def test_a_second_store_on_one_data_folder_is_one_line(installation: Installation) -> None:
    line = refusal(run(installation.folder, "store", *named(installation)))
    assert "another process has it; stop that one or take another --data" in line


def test_sql_answers_from_the_running_service_in_columns(installation: Installation) -> None:
    done = run(
        installation.folder, "sql", "SELECT 1 AS one, 'two' FROM (SELECT count() FROM trend)", *named(installation)
    )
    assert (done.returncode, done.stdout) == (0, "1\ttwo\n"), done


@pytest.mark.parametrize(
    "sql", ["SELECT * FROM open_events", "DROP TABLE trend_rows", "SELECT file('/etc/passwd')", "SELEC 1"]
)
def test_sql_that_reaches_further_is_refused_in_one_line(installation: Installation, sql: str) -> None:
    assert refusal(run(installation.folder, "sql", sql, *named(installation)))


def test_sql_that_clickhouse_refuses_is_one_line(installation: Installation) -> None:
    assert "nonsense" in refusal(run(installation.folder, "sql", "SELECT nonsense FROM trend", *named(installation)))


def test_seal_says_that_nothing_is_due(installation: Installation) -> None:
    done = run(installation.folder, "seal", *named(installation))
    assert (done.returncode, done.stdout) == (0, "no day is due\n"), done


def test_doctor_prints_a_line_for_each_check(installation: Installation) -> None:
    with_events = asked_once(installation)
    assert with_events == "accepted"

    def is_balanced() -> bool:
        return "FINDING ledger" not in run(installation.folder, "doctor", *named(installation)).stdout

    until(is_balanced, "the ledger balances")
    done = run(installation.folder, "doctor", *named(installation))
    lines = done.stdout.splitlines()
    checks = (
        "data folder",
        "disk",
        "permissions",
        "damaged spools",
        "key folder",
        "swap",
        "country file",
        "clock",
        "time zones",
        "trusted proxies",
        "store",
        "store settings",
        "clocks",
        "backlog",
        "ledger",
        "sites",
        "days",
        "proxies",
    )
    assert [re.sub(r"^(ok|remark|FINDING) +|: .*", "", line) for line in lines] == list(checks)
    faults = [line for line in lines if line.startswith("FINDING")]
    assert done.returncode == (1 if faults else 0)
    assert not [line for line in faults if "swap" not in line and "disk" not in line and "permissions" not in line]


@pytest.mark.parametrize("command", ["collect", "store"])
def test_a_part_that_starts_first_makes_a_data_folder_that_is_its_owners_alone(
    folder: Path, keys: Path, command: str
) -> None:
    data = folder / "footfall-data"
    made = {"collect": data / "spool", "store": data / "store"}[command]
    named = {f"FOOTFALL_{name}": value for name, value in {**free_ports(), "PRIVACY__KEY_DIR": str(keys)}.items()}
    part = subprocess.Popen(
        [sys.executable, "-m", "footfall", command],
        cwd=folder,
        env={**environment(), **named},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(made.exists, "the part has made its folder", TIMEOUT_S)
        assert data.stat().st_mode & 0o777 == 0o700
    finally:
        part.terminate()
        part.wait(TIMEOUT_S)


def test_doctor_prints_the_ledger_alone(installation: Installation) -> None:
    done = run(installation.folder, "doctor", "--ledger", *named(installation))
    terms = ("received", "dropped", "invalid", "in spool", "open", "sealed", "late", "expired", "quarantined")
    lines = [re.sub(r"^(ok|FINDING) +|: .*", "", line) for line in done.stdout.splitlines()]
    spools = {line for line in lines if line.startswith("spool-")}
    assert "spool-0.sqlite" in spools
    assert [line for line in lines if line not in spools] == [*terms, "withdrawn", "removed", "ledger"]
    assert done.returncode == 0


def asked_once(installation: Installation) -> str:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", installation.port, timeout=10)) as connection:
        return asked(connection, "POST", "/api/event", event_body(), {"User-Agent": FIREFOX}).footfall


def test_sigterm_ends_serve_with_status_0_and_leaves_nothing_running(tmp_path: Path) -> None:
    installation = Installation(tmp_path / "stopped", workers=1)
    try:
        installation.start()
        assert installation.process is not None
        family = [pid for pids in installation.parts().values() for pid in pids]
        installation.process.send_signal(signal.SIGTERM)
        assert installation.process.wait(TIMEOUT_S) == 0
        assert not [pid for pid in family if Path(f"/proc/{pid}").exists() and os.getpgid(pid)]
        assert "Traceback" not in installation.log.read_text()
    finally:
        installation.remove()
