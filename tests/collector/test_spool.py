"""The spool: a group is durable whole or not at all, and what is deleted leaves no byte."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import zlib
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from aggregator.backlog import Backlog, opened
from collector.answers import ANSWER_LIFE_S, Answers
from collector.damage import Frames, note_damage, note_of
from collector.days import ends_at
from collector.group import MAX_ROW_EVENTS, Arrived, Counted, Group, Withdrawn
from collector.spool import WITHDRAWAL_LIFE_S, Spool, open_spool
from collector.spool_fault import SpoolDamagedError, SpoolError, SpoolFullError
from collector.spool_file import connect, transaction
from tests.collector.collecting import ROOT, Collector, running, spooled_lines, until

DAY = date(2026, 3, 10)
NOW = 1_773_144_000.0
ROOMY = 1 << 30
CRASHES = 12


def group(*lines: bytes, site: str = "example.com", day: date = DAY, timezone: str = "UTC") -> Group:
    """A group as requests make it: a line and a counted acceptance for each."""
    made = Group()
    for line in lines:
        made.add(day, timezone, line + b"\n")
        made.count(Counted(day.isoformat(), site, "accepted", ""))
    return made


def ledger(folder: Path) -> Counter[str]:
    total: Counter[str] = Counter()
    with opened(folder) as backlogs:
        for backlog in backlogs:
            total.update(backlog.ledger())
    return total


def everything(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


# --- all or nothing -------------------------------------------------------------------------------------------------


def test_a_group_is_in_the_file_with_its_counters_and_answers(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, ROOMY)
    given = group(b'{"a":1}', b'{"a":2}')
    given.count(Counted("2026-03-10", "example.com", "dropped", "bot"), 3)
    given.answers[b"key"] = b"answer"
    spool.commit(given, NOW)
    assert spooled_lines(tmp_path) == [b'{"a":1}', b'{"a":2}']
    assert ledger(tmp_path) == Counter(accepted=2, dropped=3, waiting=2)
    assert Answers(tmp_path).to(b"key", NOW) == b"answer"
    spool.close()


def test_of_a_group_that_fails_in_its_middle_nothing_is_kept(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, ROOMY)
    spool.commit(group(b"{}"), NOW)
    broken = group(b'{"half":1}')
    # The rows go in first, the answers last: this one cannot be stored.
    broken.answers[b"key"] = None  # type: ignore[assignment]  # what no caller may pass, to fail late
    with pytest.raises(SpoolError, match="cannot write the spool"):
        spool.commit(broken, NOW)
    assert spooled_lines(tmp_path) == [b"{}"]
    assert ledger(tmp_path) == Counter(accepted=1, waiting=1)
    spool.commit(group(b'{"after":1}'), NOW)
    assert ledger(tmp_path) == Counter(accepted=2, waiting=2)
    spool.close()


def test_each_day_and_zone_of_a_group_is_a_row_of_its_own(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, ROOMY)
    whole = group(b"1", b"2")
    whole.merge(group(b"3", timezone="Europe/Berlin"))
    whole.merge(group(b"4", day=date(2026, 3, 9)))
    whole.merge(group(b"5"))
    spool.commit(whole, NOW)
    with contextlib.closing(connect(spool.file)) as connection:
        rows = connection.execute("SELECT day, timezone, events, version, lines FROM rows ORDER BY id").fetchall()
    assert rows == [
        ("2026-03-10", "UTC", 3, 2, b"1\n2\n5\n"),
        ("2026-03-10", "Europe/Berlin", 1, 2, b"3\n"),
        ("2026-03-09", "UTC", 1, 2, b"4\n"),
    ]
    spool.close()


@pytest.mark.parametrize(
    ("events", "rows"), [(MAX_ROW_EVENTS, [MAX_ROW_EVENTS]), (MAX_ROW_EVENTS + 1, [MAX_ROW_EVENTS, 1])]
)
def test_a_row_holds_at_most_what_a_batch_can_take_whole(tmp_path: Path, events: int, rows: list[int]) -> None:
    spool = open_spool(tmp_path, ROOMY)
    spool.commit(group(*[b"{}"] * events), NOW)
    with contextlib.closing(connect(spool.file)) as connection:
        assert [row for (row,) in connection.execute("SELECT events FROM rows ORDER BY id")] == rows
    assert ledger(tmp_path)["waiting"] == events
    spool.close()


# --- a crash --------------------------------------------------------------------------------------------------------

COMMITTING = """
import sys
from datetime import date
from pathlib import Path
from collector.group import Counted, Group
from collector.spool import open_spool
spool = open_spool(Path(sys.argv[1]), 1 << 30)
first = int(sys.argv[2])
for number in range(first, first + 1_000_000):
    group = Group()
    for place in range(7):
        group.add(date(2026, 3, 10), "UTC", b'{"group":%d,"place":%d}\\n' % (number, place))
        group.count(Counted("2026-03-10", "example.com", "accepted", ""))
    spool.commit(group, 1.0)
    print(number, flush=True)
"""


def test_a_kill_in_mid_commit_keeps_exactly_the_acknowledged_groups_and_at_most_the_one_in_hand(tmp_path: Path) -> None:
    """Twelve times: the committing process is killed, and the next takes its file over."""
    acknowledged: list[int] = []
    for crash in range(CRASHES):
        first = 1_000_000 * crash
        command = [sys.executable, "-c", COMMITTING, str(tmp_path), str(first)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        assert process.stdout is not None
        told = [int(process.stdout.readline()) for _ in range(3 + 17 * crash)]
        process.send_signal(signal.SIGKILL)
        told += [int(line) for line in process.stdout.read().split("\n")[:-1]]
        process.wait()
        process.stdout.close()
        acknowledged += told
    held = Counter(json.loads(line)["group"] for line in spooled_lines(tmp_path))
    assert set(held.values()) == {7}
    assert held.keys() >= set(acknowledged)
    # What was committed and not yet told when the kill came: at most one group for each kill.
    assert len(held) - len(acknowledged) <= CRASHES
    assert ledger(tmp_path) == Counter(accepted=7 * len(held), waiting=7 * len(held))
    assert [file.name for file in tmp_path.glob("*.sqlite")] == ["spool-0.sqlite"]
    print(f"\n{CRASHES} kills, {len(acknowledged)} groups acknowledged, {len(held)} found")


def test_a_killed_collector_keeps_every_event_it_answered_202_for(tmp_path: Path) -> None:
    collector = Collector(tmp_path, workers=2)
    accepted: set[str] = set()
    sent: set[str] = set()

    def keep_sending(sender: int) -> None:
        with contextlib.suppress(Exception), collector.connection() as connection:  # The kill ends it.
            for number in range(100_000):
                path = f"/{sender}-{number}"
                sent.add(path)
                body = json.dumps({"n": "pageview", "u": f"https://example.com{path}", "d": "example.com", "c": 1})
                connection.request("POST", "/api/event", body, {"User-Agent": "Mozilla/5.0 Firefox/128.0"})
                response = connection.getresponse()
                response.read()
                if response.getheader("footfall") == "accepted":
                    accepted.add(path)

    with running(collector):
        senders = [threading.Thread(target=keep_sending, args=(sender,)) for sender in range(4)]
        for sender in senders:
            sender.start()
        until(lambda: len(accepted) > 200, "200 events are accepted")
        collector.kill()
        for thread in senders:
            thread.join()
        collector.start()
        found = Counter(event["path"] for event in collector.events())
        assert set(found.values()) == {1}
        assert accepted <= found.keys() <= sent
        assert collector.ledger()["accepted"] == collector.ledger()["waiting"] == len(found)


# --- no byte is left ------------------------------------------------------------------------------------------------


def test_what_a_drainer_deleted_is_in_no_byte_of_the_folder(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, ROOMY)
    for number in range(50):
        spool.commit(group(*(b'{"secret":"canary-%d-%d"}' % (number, place) for place in range(40))), NOW)
    assert everything(tmp_path).count(b"canary-") >= 50 * 40
    with contextlib.closing(Backlog(spool.file)) as backlog:
        batch = backlog.record(DAY, "UTC", 1_000)
        assert batch is not None
        backlog.end(batch, "drained")
        assert backlog.truncate_log()
    assert b"canary-" not in everything(tmp_path)
    assert ledger(tmp_path) == Counter(accepted=2_000, drained=2_000, waiting=0)
    spool.close()


def test_what_expired_is_in_no_byte_of_the_folder_and_is_counted(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, ROOMY)
    spool.commit(group(*(b'{"secret":"canary-%d"}' % number for number in range(500))), NOW)
    spool.commit(group(b'{"young":1}'), NOW + 10)
    assert spool.expire(NOW) == 0
    assert spool.expire(NOW + 5) == 500
    assert b"canary-" not in everything(tmp_path)
    assert spooled_lines(tmp_path) == [b'{"young":1}']
    assert ledger(tmp_path) == Counter(accepted=501, expired=500, waiting=1)
    spool.close()


def test_of_a_batch_in_a_drainers_hand_the_lines_expire_and_its_events_still_wait(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, ROOMY)
    spool.commit(group(b'{"secret":"canary-1"}'), NOW)
    with contextlib.closing(Backlog(spool.file)) as backlog:
        backlog.record(DAY, "UTC", 1_000)
    spool.commit(group(b'{"secret":"canary-2"}'), NOW)
    spool.commit(group(b'{"young":1}'), NOW + 10)
    assert spool.expire(NOW + 5) == 2
    assert spool.expire(NOW + 5, thoroughly=True) == 0
    assert b"canary-" not in everything(tmp_path)
    assert spooled_lines(tmp_path) == [b'{"young":1}']
    assert ledger(tmp_path) == Counter(accepted=3, expired=1, waiting=2)
    spool.close()


def test_a_quarantined_line_expires_three_days_after_its_day(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, ROOMY)
    spool.commit(group(b'{"secret":"canary"}'), NOW)
    with contextlib.closing(Backlog(spool.file)) as backlog:
        batch = backlog.record(DAY, "UTC", 1_000)
        assert batch is not None
        backlog.narrow(batch)
    over_at = ends_at(DAY, "UTC")
    spool.expire(over_at - 1, thoroughly=True)
    assert b"canary" in everything(tmp_path)
    spool.expire(over_at, thoroughly=True)
    assert b"canary" not in everything(tmp_path)
    assert ledger(tmp_path) == Counter(accepted=1, quarantined=1, waiting=0)
    spool.close()


def test_a_note_that_cannot_be_looked_at_is_a_fault_of_the_spool_like_any_other(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, ROOMY)
    note = note_of(spool.file)
    note.symlink_to(note)
    with pytest.raises(SpoolError, match=r"cannot look whether .* may be used: Too many levels"):
        spool.beat(NOW)
    with pytest.raises(SpoolError, match="cannot look whether"):
        open_spool(tmp_path, ROOMY)
    with pytest.raises(SpoolError, match="cannot look at the spool"), opened(tmp_path):
        pass
    note.unlink()
    spool.beat(NOW)
    spool.close()


def test_answers_are_forgotten_after_24_hours(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, ROOMY)
    given = Group(answers={b"key": b"canary-answer"})
    spool.commit(given, NOW)
    assert Answers(tmp_path).to(b"key", NOW + ANSWER_LIFE_S) == b"canary-answer"
    assert Answers(tmp_path).to(b"key", NOW + ANSWER_LIFE_S + 1) is None
    spool.beat(NOW + ANSWER_LIFE_S + 1)
    with contextlib.closing(connect(spool.file)) as connection:
        assert connection.execute("SELECT count(*) FROM answers").fetchone() == (0,)
    spool.close()


def test_whether_a_key_was_answered_is_not_known_where_a_spool_cannot_be_read(tmp_path: Path) -> None:
    """A broken file is a 503 to who sends again, not a second acceptance, and no fault that ends the request untold."""
    (tmp_path / "spool-0.sqlite").write_bytes(b"no database " * 1_000)
    with pytest.raises(SpoolError, match=r"spool-0\.sqlite"):
        Answers(tmp_path).to(b"key", NOW)


# --- limits ---------------------------------------------------------------------------------------------------------


def test_a_full_spool_refuses_events_and_takes_them_again_once_drained(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, 200_000)
    big = group(*[b"x" * 1_000] * 50)
    while spool.used_bytes() <= 200_000:
        spool.commit(big, NOW)
    with pytest.raises(SpoolFullError, match=r"has reached its limit of 200000 bytes"):
        spool.commit(big, NOW)
    held = ledger(tmp_path)
    assert held["accepted"] == held["waiting"]
    dropped = Group()
    dropped.count(Counted("2026-03-10", "example.com", "dropped", "bot"))
    spool.commit(dropped, NOW)
    with contextlib.closing(Backlog(spool.file)) as backlog:
        batch = backlog.record(DAY, "UTC", 1_000)
        assert batch is not None
        backlog.end(batch, "drained")
    spool.commit(big, NOW)
    assert ledger(tmp_path)["waiting"] == 50
    spool.close()


def test_a_collector_with_a_full_spool_answers_503_with_retry_after_and_recovers_once_drained(tmp_path: Path) -> None:
    with running(Collector(tmp_path, settings="spool_max_bytes = 1048576")) as collector:
        large = json.dumps(
            {
                "n": "a",
                "u": "https://example.com/",
                "d": "example.com",
                "c": 1,
                "p": {str(n): "茶" * 510 for n in range(7)},
            }
        ).encode()
        headers = {"User-Agent": "Mozilla/5.0 Firefox/128.0"}
        answers = [collector.ask("POST", "/api/event", large, headers) for _ in range(150)]
        accepted = [answer.footfall for answer in answers].count("accepted")
        assert {answer.status for answer in answers} == {202, 503}
        refused = next(answer for answer in answers if answer.status == 503)
        assert (refused.footfall, refused.headers["retry-after"]) == ("unavailable", "5")
        assert refused.error == "cannot store durably now; send it again later"
        assert collector.ask("GET", "/readyz").status == 503
        assert collector.ask("GET", "/healthz").status == 200
        assert collector.ledger()["accepted"] == collector.ledger()["waiting"] == accepted
        with opened(collector.spool_dir) as backlogs:
            for backlog in backlogs:
                for day, timezone in backlog.days():
                    batch = backlog.record(day, timezone, 1_000_000)
                    assert batch is not None
                    backlog.end(batch, "drained")
        assert collector.event().footfall == "accepted"
        assert collector.ask("GET", "/readyz").status == 200
        assert collector.ledger()["accepted"] == accepted + 1


def test_a_spool_at_its_limit_beats_and_has_no_room_and_proving_room_takes_none(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, 200_000)
    empty = spool.used_bytes()
    spool.prove_room()
    assert spool.used_bytes() == empty
    while spool.used_bytes() <= 200_000:
        spool.commit(group(*[b"x" * 1_000] * 50), NOW)
    spool.beat(NOW)
    with pytest.raises(SpoolFullError, match=r"has reached its limit of 200000 bytes"):
        spool.prove_room()
    spool.close()


# --- one file for each worker ---------------------------------------------------------------------------------------


def test_two_workers_have_a_file_each_and_a_dead_ones_file_is_taken_over(tmp_path: Path) -> None:
    first, second = open_spool(tmp_path, ROOMY), open_spool(tmp_path, ROOMY)
    assert [first.file.name, second.file.name] == ["spool-0.sqlite", "spool-1.sqlite"]
    first.commit(group(b"1"), NOW)
    second.commit(group(b"2"), NOW)
    identity = Backlog(first.file).identity
    first.close()
    successor = open_spool(tmp_path, ROOMY)
    assert successor.file == first.file
    assert Backlog(successor.file).identity == identity
    successor.commit(group(b"3"), NOW)
    assert ledger(tmp_path) == Counter(accepted=3, waiting=3)
    successor.close()
    second.close()


def test_commit_numbers_go_on_after_a_takeover(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, ROOMY)
    spool.commit(group(b"1"), NOW)
    with contextlib.closing(Backlog(spool.file)) as backlog:
        _, commit = backlog.counters_since(0)
    spool.close()
    successor = open_spool(tmp_path, ROOMY)
    successor.commit(group(b"2"), NOW)
    with contextlib.closing(Backlog(successor.file)) as backlog:
        totals, later = backlog.counters_since(commit)
    assert later > commit
    assert [requests for _, requests in totals] == [2]
    successor.close()


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def arrived(at: float) -> Group:
    made = Group()
    made.arrivals["example.com"] = Arrived(at, "dropped", "bot", False)
    return made


@pytest.mark.parametrize("forgotten", [False, True])
def test_commit_numbers_go_on_after_a_takeover_where_the_last_commits_told_arrivals_alone(
    tmp_path: Path, forgotten: bool
) -> None:
    spool = open_spool(tmp_path, ROOMY)
    spool.commit(group(b"1"), NOW)
    for number in range(3):
        spool.commit(arrived(NOW + number), NOW)
    with contextlib.closing(Backlog(spool.file)) as backlog:
        _, seen = backlog.arrivals_since(0)
        if forgotten:
            spool.beat(NOW + ANSWER_LIFE_S + 10)
        spool.close()
        successor = open_spool(tmp_path, ROOMY)
        successor.commit(arrived(NOW + 10), NOW)
        told, commit = backlog.arrivals_since(seen)
    assert [each.at for _, each in told] == [NOW + 10]
    assert commit > seen
    successor.close()


def test_a_folder_or_a_lock_that_cannot_be_made_is_a_fault_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "spool-0.lock").mkdir()
    for folder, tried in ((tmp_path / "file" / "spool", "make the spool folder"), (tmp_path, "make or lock the spool")):
        with pytest.raises(
            SpoolError, match=rf"cannot {tried} .*: .*directory; see to the disk of collector\.spool_dir"
        ):
            open_spool(folder, ROOMY)


def test_a_file_that_cannot_be_made_is_a_fault_that_keeps_neither_a_descriptor_nor_the_lock(tmp_path: Path) -> None:
    file, before = tmp_path / "spool-0.sqlite", open_descriptors()
    file.symlink_to(tmp_path / "no folder" / "file")
    for _ in range(3):
        with pytest.raises(SpoolError, match=r"cannot make or lock the spool spool-0\.sqlite: No such file"):
            open_spool(tmp_path, ROOMY)
    assert open_descriptors() == before
    file.unlink()
    spool = open_spool(tmp_path, ROOMY)
    assert spool.file == file
    spool.close()


def test_files_named_as_broken_and_damaged_ones_are_left_alone(tmp_path: Path) -> None:
    open_spool(tmp_path, ROOMY).close()
    (tmp_path / "spool-1.sqlite").write_bytes(b"no database at all" * 100)
    spool = open_spool(tmp_path, ROOMY, skip=frozenset({tmp_path / "spool-0.sqlite"}))
    assert spool.file.name == "spool-2.sqlite"
    assert [note.name for note in tmp_path.glob("*.damaged")] == ["spool-1.damaged"]
    spool.close()


def test_a_drainers_transaction_delays_a_commit_and_does_not_fail_it(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, ROOMY)
    holding, released = threading.Event(), threading.Event()

    def hold() -> None:
        with contextlib.closing(connect(spool.file)) as connection, transaction(connection):
            holding.set()
            assert released.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    assert holding.wait(10)
    threading.Timer(0.2, released.set).start()
    spool.commit(group(b"1"), NOW)
    holder.join()
    assert ledger(tmp_path)["waiting"] == 1
    spool.close()


def test_a_heartbeat_is_seen_and_a_file_without_a_worker_counts_as_beaten(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, ROOMY)
    with contextlib.closing(Backlog(spool.file)) as backlog:
        assert not backlog.is_beaten_since(NOW)
        spool.beat(NOW + 1)
        assert backlog.is_beaten_since(NOW)
        assert not backlog.is_beaten_since(NOW + 1)
        spool.close()
        assert backlog.is_beaten_since(NOW + 1)


def test_the_files_can_be_read_by_their_owner_alone(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool", ROOMY)
    spool.commit(group(b"1"), NOW)
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
    assert {file.name: file.stat().st_mode & 0o077 for file in (tmp_path / "spool").iterdir()} == dict.fromkeys(
        ["spool-0.sqlite", "spool-0.sqlite-shm", "spool-0.sqlite-wal", "spool-0.lock"], 0
    )
    spool.close()


def test_every_commit_is_synced(tmp_path: Path) -> None:
    spool: Spool = open_spool(tmp_path, ROOMY)
    with contextlib.closing(connect(spool.file)) as connection:
        pragmas = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")}
    assert pragmas == {"journal_mode": "wal", "synchronous": 2}
    assert sqlite3.sqlite_version_info >= (3, 35)
    spool.close()


# --- the order of things, as the kernel sees it ---------------------------------------------------------------------

CALL = re.compile(r"^(\d+) +(?:\d+\.\d+ )?(\w+)\((\d+)(?:<([^>]*)>)?")


def traced_calls(file: Path) -> list[tuple[str, str, str]]:
    """(call, what its descriptor is, the line) of each traced system call, in the order of their ends."""
    calls = []
    for line in file.read_text(errors="replace").splitlines():
        found = CALL.match(line)
        if found:
            calls.append((found[2], found[4] or "", line))
    return calls


def test_the_write_ahead_log_is_synced_before_the_answer_is_written(tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    trace = tmp_path / "trace"
    calls = "trace=fdatasync,fsync,write,writev,pwrite64,sendto,sendmsg"
    watched = (strace, "-f", "-y", "-s", "400", "-o", str(trace), "-e", calls)
    with running(Collector(tmp_path, command=watched)) as collector:
        assert collector.event({"u": "https://example.com/traced"}).footfall == "accepted"
        assert collector.event({"c": 0, "u": "https://example.com/traced"}).footfall.startswith("dropped")

        def answers() -> list[int]:
            return [place for place, (_, _, line) in enumerate(traced_calls(trace)) if "HTTP/1.1 202" in line]

        until(lambda: len(answers()) >= 2, "both answers are in the trace")
    found = traced_calls(trace)
    places = answers()
    earlier = next(place for place, (_, _, line) in enumerate(found) if "HTTP/1.1 200" in line)  # /readyz
    for place in places:
        between = [(call, target) for call, target, _ in found[earlier:place] if target.endswith("-wal")]
        written = max(index for index, (call, _) in enumerate(between) if call == "pwrite64")
        synced = max(index for index, (call, _) in enumerate(between) if call in {"fdatasync", "fsync"})
        assert written < synced, between
        earlier = place


# --- withdrawals and arrivals ---------------------------------------------------------------------------------------


def withdrawal(visitor: int, at: float = NOW) -> Group:
    made = Group()
    made.withdrawals[Withdrawn(DAY.isoformat(), "UTC", "example.com", 2**64 - 1, visitor)] = at
    return made


def withdrawals(spool: Spool) -> list[tuple[int, float]]:
    """Visitor and time of each, in the order of their ids."""
    with contextlib.closing(Backlog(spool.file)) as backlog:
        return [(each.visitor, each.at) for each in backlog.withdrawals(DAY, "UTC", NOW * 2, 100)]


def test_equal_withdrawals_are_one_with_the_later_time(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, ROOMY)
    for visitor, at in ((2**64 - 1, NOW), (7, NOW), (2**64 - 1, NOW + 5)):
        spool.commit(withdrawal(visitor, at), at)
    assert withdrawals(spool) == [(7, NOW), (2**64 - 1, NOW + 5)]
    spool.close()


def test_an_equal_withdrawal_with_an_earlier_time_takes_nothing_back(tmp_path: Path) -> None:
    """As of a clock that was set back."""
    spool = open_spool(tmp_path, ROOMY)
    for at in (NOW + 5, NOW):
        spool.commit(withdrawal(7, at), NOW + 9)
    assert withdrawals(spool) == [(7, NOW + 5)]
    whole = withdrawal(8, NOW + 5)
    whole.merge(withdrawal(8, NOW))
    spool.commit(whole, NOW)
    assert withdrawals(spool) == [(7, NOW + 5), (8, NOW + 5)]
    spool.close()


def test_a_withdrawal_asked_for_again_meanwhile_is_not_forgotten(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, ROOMY)
    spool.commit(withdrawal(7), NOW)
    with contextlib.closing(Backlog(spool.file)) as backlog:
        carried_out = backlog.withdrawals(DAY, "UTC", NOW, 100)
        spool.commit(withdrawal(7, NOW + 1), NOW + 1)
        backlog.forget_withdrawals(carried_out)
    assert withdrawals(spool) == [(7, NOW + 1)]
    spool.close()


def test_a_full_spool_takes_no_withdrawal(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, 1)
    with pytest.raises(SpoolFullError):
        spool.commit(withdrawal(7), NOW)
    assert withdrawals(spool) == []
    spool.close()


def test_withdrawals_and_arrivals_are_forgotten_when_nothing_of_their_time_is_open(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, ROOMY)
    given = withdrawal(7)
    given.arrivals["example.com"] = Arrived(NOW, "accepted", "", False)
    spool.commit(given, NOW)
    spool.beat(NOW + ANSWER_LIFE_S)
    with contextlib.closing(Backlog(spool.file)) as backlog:
        assert backlog.arrivals_since(0) == ([("example.com", Arrived(NOW, "accepted", "", False))], 1)
        spool.beat(NOW + ANSWER_LIFE_S + 1)
        assert backlog.arrivals_since(0) == ([], 0)
    spool.beat(NOW + WITHDRAWAL_LIFE_S)
    assert withdrawals(spool) == [(7, NOW)]
    spool.beat(NOW + WITHDRAWAL_LIFE_S + 1)
    assert withdrawals(spool) == []
    spool.close()


def test_the_last_request_of_a_site_is_told_once_and_again_when_it_changes(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, ROOMY)
    with contextlib.closing(Backlog(spool.file)) as backlog:
        for number, site in enumerate(("example.com", "example.org", "example.com"), 1):
            given = Group()
            given.arrivals[site] = Arrived(NOW + number, "dropped", "bot", True)
            spool.commit(given, NOW)
        told, commit = backlog.arrivals_since(1)
        assert {site: arrived.at - NOW for site, arrived in told} == {"example.com": 3, "example.org": 2}
        assert backlog.arrivals_since(commit) == ([], commit)
    spool.close()


def test_a_file_of_an_earlier_version_is_read_and_loses_nothing(tmp_path: Path) -> None:
    """Its worker is gone, so nobody but the drainer opens it."""
    spool = open_spool(tmp_path, ROOMY)
    spool.commit(group(b'{"a":1}'), NOW)
    spool.close()
    with contextlib.closing(connect(spool.file)) as connection:
        connection.executescript("DROP TABLE withdrawals; DROP TABLE arrivals")
    with opened(tmp_path) as (backlog,):
        assert backlog.withdrawal_days() == []
        assert backlog.arrivals_since(0) == ([], 0)
        assert backlog.ledger()["waiting"] == 1


def test_a_file_of_version_1_is_renewed_in_place_and_its_rows_go_on(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, ROOMY)
    spool.commit(group(b'{"a":1}', b'{"a":2}'), NOW)
    spool.close()
    with contextlib.closing(connect(spool.file)) as connection:
        connection.executescript("ALTER TABLE rows DROP COLUMN crc; UPDATE rows SET version = 1")
    (tmp_path / "spool-0.lock").write_bytes(b"")  # Which had nothing in it.
    again = open_spool(tmp_path, ROOMY)
    assert again.file == spool.file
    again.commit(group(b'{"a":3}'), NOW)
    with opened(tmp_path) as (backlog,):
        batch = backlog.record(DAY, "UTC", 100)
        assert batch is not None
        assert b"".join(backlog.lines(batch)).count(b"\n") == batch.events == 3
    again.close()


# --- damage: what SQLite passes over in silence ---------------------------------------------------------------------


def killed(folder: Path) -> Path:
    """A folder with a spool as a killed worker leaves it: its commits are in the log."""
    spool = open_spool(folder / "alive", ROOMY)
    for number in range(5):
        spool.commit(group(b'{"a":%d}' % number), NOW)
    (folder / "killed").mkdir(mode=0o700)
    for file in (folder / "alive").iterdir():
        shutil.copy(file, folder / "killed")
    spool.close()
    return folder / "killed"


def flip(file: Path, offset: int) -> None:
    content = bytearray(file.read_bytes())
    content[offset] ^= 1
    file.write_bytes(content)


def test_a_killed_workers_file_is_taken_over_and_no_id_is_used_again(tmp_path: Path) -> None:
    folder = killed(tmp_path)
    spool = open_spool(folder, ROOMY)
    assert spool.file.name == "spool-0.sqlite"
    spool.commit(group(b'{"a":5}'), NOW)
    with contextlib.closing(connect(spool.file)) as connection:
        ids = [row for (row,) in connection.execute("SELECT id FROM rows ORDER BY id")]
    assert ids[:5] == [1, 2, 3, 4, 5]
    assert ids[5] > 1 << 32, "what a log has lost without a trace may have had the ids before"
    spool.close()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda folder: flip(folder / "spool-0.sqlite-wal", 32 + 24 + 2_000), id="a page of the log"),
        pytest.param(lambda folder: flip(folder / "spool-0.sqlite-wal", 3), id="the log's header"),
        pytest.param(lambda folder: os.truncate(folder / "spool-0.sqlite-wal", 32 + 4_120), id="the log's end"),
        pytest.param(lambda folder: os.truncate(folder / "spool-0.sqlite", 0), id="the file"),
        pytest.param(lambda folder: flip(folder / "spool-0.sqlite", 19), id="the file's version"),
    ],
)
def test_a_damaged_file_is_noted_and_left_alone_as_it_is(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    folder = killed(tmp_path)
    damage(folder)
    before = {file.name: file.read_bytes() for file in folder.glob("spool-0.sqlite*") if file.suffix != ".sqlite-shm"}
    spool = open_spool(folder, ROOMY)
    assert spool.file.name == "spool-1.sqlite"
    assert (folder / "spool-0.damaged").exists()
    assert {name: (folder / name).read_bytes() for name in before} == before
    spool.close()


def of_another_boot(folder: Path) -> Path:
    """The folder, where the machine has come up anew since."""
    lock = folder / "spool-0.lock"
    identity, boot, _ = lock.read_text().split()
    other = "0" * len(boot)
    lock.write_text(f"{identity} {other} {zlib.crc32(f'{identity} {other}'.encode()):08x}\n")
    return folder


def last_transactions(log: Path, number: int) -> int:
    """Where in a write-ahead log so many last transactions begin."""
    frames = Frames(log, 4_096)
    ends = [place for place, header in enumerate(frames.headers) if frames.ends_transaction(header)]
    return 32 + 4_120 * (ends[-1 - number] + 1)


def test_a_torn_end_of_a_log_after_a_power_cut_is_no_damage(tmp_path: Path) -> None:
    """The last transaction may be torn, as nobody was told that it is done: the machine is another boot's."""
    folder = of_another_boot(killed(tmp_path))
    log = folder / "spool-0.sqlite-wal"
    flip(log, log.stat().st_size - 5_000)
    spool = open_spool(folder, ROOMY)
    assert spool.file.name == "spool-0.sqlite"
    assert ledger(folder)["waiting"] == 4
    spool.close()


def test_a_log_torn_before_two_commits_is_damage_after_a_power_cut_too(tmp_path: Path) -> None:
    """Each commit was synced before the next one began."""
    folder = of_another_boot(killed(tmp_path))
    flip(folder / "spool-0.sqlite-wal", last_transactions(folder / "spool-0.sqlite-wal", 2) + 2_000)
    spool = open_spool(folder, ROOMY)
    assert spool.file.name == "spool-1.sqlite"
    spool.close()


@pytest.mark.parametrize("torn", range(1, 9))
def test_deletions_of_drained_rows_that_a_power_cut_tore_are_no_damage_and_are_done_again(
    tmp_path: Path, torn: int
) -> None:
    """A drainer does not sync them one by one; to save such a file would count its batch twice."""
    spool = open_spool(tmp_path / "alive", ROOMY)
    for _ in range(8):
        spool.commit(group(b"%100000d" % 7), NOW)
    with contextlib.closing(Backlog(spool.file)) as backlog:
        batch = backlog.record(DAY, "UTC", 100)
        assert batch is not None
        backlog.end(batch, "drained")
        shutil.copytree(tmp_path / "alive", tmp_path / "cut")
    spool.close()
    folder = of_another_boot(tmp_path / "cut")
    log = folder / "spool-0.sqlite-wal"
    flip(log, last_transactions(log, torn) + 2_000)
    again = open_spool(folder, ROOMY)
    assert again.file.name == "spool-0.sqlite"
    with contextlib.closing(Backlog(again.file)) as backlog:
        backlog.clear()
    assert ledger(folder) == {"accepted": 8, "drained": 8, "waiting": 0}
    again.close()


def test_a_worker_leaves_a_file_that_somebody_else_found_damaged(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, ROOMY)
    note_damage(spool.file, "for a test")
    with pytest.raises(SpoolDamagedError):
        spool.beat(NOW)
    spool.close()
    assert open_spool(tmp_path, ROOMY).file.name == "spool-1.sqlite"


def test_damage_that_cannot_be_noted_is_a_fault_of_the_spool_like_any_other(tmp_path: Path) -> None:
    """A disk that fails at everything: the request is told 503, and nothing that nobody expected escapes."""
    (tmp_path / "spool-0.sqlite").write_bytes(b"not a database" * 1_000)
    (tmp_path / "spool-0.damaged").mkdir()
    with pytest.raises(SpoolError, match=r"cannot note that the spool spool-0\.sqlite is damaged"):
        Answers(tmp_path).to(b"key", now=1_000.0)
