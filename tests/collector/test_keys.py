"""Keys: random, shared within a machine, in memory alone, destroyed on time for whoever holds them (P3, P11, P12)."""

from __future__ import annotations

import ipaddress
import mmap
import os
import shutil
import stat
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import date, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from collector.days import ends_at, first_of, starts_at
from collector.keys import FAIL_SAFE_S, SIZE, Keys, KeyStorageError, Tokens, file_system_of, prepared_folder
from tests.clock import SetClock
from tests.collector.collecting import MEMORY, Collector, running, until

DAY = date(2026, 3, 10)
BERLIN = "Europe/Berlin"
GRACE_S = 900.0


@pytest.fixture
def folder() -> Iterator[Path]:
    """A key folder on the machine's tmpfs."""
    folder = Path(tempfile.mkdtemp(prefix="footfall-test-", dir=MEMORY))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def noon() -> SetClock:
    """Noon of `DAY` in Berlin."""
    return SetClock(starts_at(DAY, BERLIN) + 12 * 3_600)


def visitor(keys: Keys, day: date = DAY, timezone: str = BERLIN, site: str = "example.com") -> Tokens:
    return keys.tokens(day, timezone, site, "192.0.2.0", "192.0.2.0/24", "Firefox")


# --- where they lie -------------------------------------------------------------------------------------------------


def test_a_folder_that_is_not_memory_backed_is_refused(tmp_path: Path) -> None:
    if file_system_of(tmp_path) in {"tmpfs", "ramfs"}:
        pytest.skip("the temporary folder of this machine is memory-backed itself")
    (tmp_path / "keys").mkdir(mode=0o700)
    with pytest.raises(KeyStorageError, match=r"is not memory-backed; set privacy\.key_dir"):
        prepared_folder(tmp_path / "keys")


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o777])
def test_a_folder_that_others_can_enter_is_refused(folder: Path, mode: int) -> None:
    folder.chmod(mode)
    with pytest.raises(KeyStorageError, match="must belong to this user with mode 0700"):
        prepared_folder(folder)


def test_a_folder_of_another_user_is_refused(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    os.chown(folder, 12_345, -1)
    with pytest.raises(KeyStorageError, match="must belong to this user"):
        prepared_folder(folder)


def test_a_folder_below_a_file_cannot_be_made(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(KeyStorageError, match="cannot make the key folder"):
        prepared_folder(folder / "file" / "keys")


def test_the_folder_and_the_key_are_readable_by_their_owner_alone(folder: Path, noon: SetClock) -> None:
    visitor(Keys(folder / "keys", GRACE_S, noon))
    (file,) = (folder / "keys").iterdir()
    assert stat.S_IMODE((folder / "keys").stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.stat().st_size == SIZE
    assert file_system_of(file.parent) in {"tmpfs", "ramfs"}


def test_a_key_is_locked_into_memory(folder: Path, noon: SetClock) -> None:
    keys = Keys(folder, GRACE_S, noon)
    visitor(keys)
    mapped = Path("/proc/self/smaps").read_text().partition(str(folder))[2]
    flags = next(line for line in mapped.splitlines() if line.startswith("VmFlags"))
    assert " lo" in flags


def test_a_symbolic_link_in_place_of_a_key_is_not_followed(folder: Path, tmp_path: Path, noon: SetClock) -> None:
    planted = tmp_path / "planted"
    planted.write_bytes(b"\x01" + bytes(SIZE - 1))
    (folder / f"{DAY}@Europe%2FBerlin").symlink_to(planted)
    with pytest.raises(OSError, match="symbolic"):
        visitor(Keys(folder, GRACE_S, noon))


# --- one key per day and zone, for all workers of a machine ---------------------------------------------------------


def test_each_day_and_each_zone_has_a_key_of_its_own(folder: Path, noon: SetClock) -> None:
    keys = Keys(folder, GRACE_S, noon)
    found = [visitor(keys, day, zone) for day in (DAY, DAY + timedelta(1)) for zone in (BERLIN, "Asia/Kolkata", "UTC")]
    assert len({tokens.generation for tokens in found}) == 6
    assert len({tokens.visitor for tokens in found}) == 6
    assert len({tokens.network for tokens in found}) == 6
    contents = {file.read_bytes()[1:33] for file in folder.iterdir()}
    assert len(contents) == 6


def tokens_of_a_worker(folder: str) -> Tokens:
    """What a process of its own makes of the visitor; at module level, for it is sent there."""
    return visitor(Keys(Path(folder), GRACE_S, SetClock(starts_at(DAY, BERLIN) + 43_200)))


def test_processes_that_start_together_share_one_key(folder: Path) -> None:
    with ProcessPoolExecutor(8, get_context("spawn")) as pool:
        found = set(pool.map(tokens_of_a_worker, [str(folder)] * 16))
    assert len(found) == 1
    assert [file.name for file in folder.iterdir()] == [f"{DAY}@Europe%2FBerlin"]


def test_two_installations_that_share_no_folder_share_no_generation(folder: Path, noon: SetClock) -> None:
    one, other = visitor(Keys(folder / "one", GRACE_S, noon)), visitor(Keys(folder / "other", GRACE_S, noon))
    assert one.generation != other.generation
    assert one.visitor != other.visitor


def test_the_same_visitor_on_two_sites_and_two_days_has_no_token_in_common(folder: Path, noon: SetClock) -> None:
    keys = Keys(folder, GRACE_S, noon)
    tokens: Counter[int] = Counter()
    for number in range(200):
        for site in ("example.com", "example.org"):
            for day in (DAY, DAY + timedelta(1)):
                found = keys.tokens(day, BERLIN, site, f"198.51.{number}.0", f"198.51.{number}.0/24", "Firefox")
                tokens.update((found.visitor, found.network))
    assert len(tokens) == 200 * 2 * 2 * 2
    assert set(tokens.values()) == {1}


def test_a_token_is_never_0_which_means_none(folder: Path, noon: SetClock) -> None:
    keys = Keys(folder, GRACE_S, noon)
    assert all((visitor(keys, DAY + timedelta(days)).generation or 0) > 0 for days in range(100))


# --- destroyed on time ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", [BERLIN, "Asia/Kolkata", "America/Los_Angeles"])
@pytest.mark.parametrize("day", [DAY, date(2026, 3, 29), date(2026, 10, 25), date(2026, 3, 8)])
def test_a_key_lives_until_its_day_plus_grace_is_over_and_no_longer(folder: Path, day: date, zone: str) -> None:
    clock = SetClock(starts_at(day, zone))
    keys = Keys(folder, GRACE_S, clock)
    visitor(keys, day, zone)
    clock.wall_s = ends_at(day, zone) + GRACE_S - 1
    assert keys.destroy_overdue() == []
    clock.wall_s = ends_at(day, zone) + GRACE_S
    assert keys.destroy_overdue() == [(day, zone)]
    assert list(folder.iterdir()) == []


def test_whoever_still_maps_a_destroyed_key_sees_zeros(folder: Path, noon: SetClock) -> None:
    keys = Keys(folder, GRACE_S, noon)
    visitor(keys)
    (file,) = folder.iterdir()
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), SIZE) as mapped:
        assert mapped[1:33] != bytes(32)
        keys.destroy(DAY, BERLIN)
        assert bytes(mapped[:]) == bytes(SIZE)


def test_another_worker_gives_no_token_under_a_destroyed_key(folder: Path, noon: SetClock) -> None:
    one, other = Keys(folder, GRACE_S, noon), Keys(folder, GRACE_S, noon)
    before = visitor(one)
    assert visitor(other) == before
    one.destroy(DAY, BERLIN)
    after = visitor(other)
    assert after.generation != before.generation
    assert (after.visitor, after.network) != (before.visitor, before.network)
    assert visitor(one) == after


def test_a_key_lost_with_its_folder_begins_a_new_generation(folder: Path, noon: SetClock) -> None:
    before = visitor(Keys(folder, GRACE_S, noon))
    for file in folder.iterdir():
        file.unlink()
    assert visitor(Keys(folder, GRACE_S, noon)).generation != before.generation


def test_a_key_survives_the_worker_that_made_it(folder: Path, noon: SetClock) -> None:
    assert visitor(Keys(folder, GRACE_S, noon)) == visitor(Keys(folder, GRACE_S, noon))


def test_the_key_of_a_day_already_over_waits_for_its_seal(folder: Path, noon: SetClock) -> None:
    keys = Keys(folder, GRACE_S, noon)
    late = DAY - timedelta(30)
    visitor(keys, late)
    noon.wall_s += 3_600
    assert keys.destroy_overdue() == []
    keys.destroy(late, BERLIN)
    assert keys.days() == []


def test_the_key_of_a_day_already_over_does_not_outlive_the_fail_safe(folder: Path, noon: SetClock) -> None:
    keys = Keys(folder, GRACE_S, noon)
    late = DAY - timedelta(30)
    visitor(keys, late)
    noon.wall_s += FAIL_SAFE_S - 1
    assert keys.destroy_overdue() == []
    noon.wall_s += 1
    assert keys.destroy_overdue() == [(late, BERLIN)]


def test_the_key_of_a_week_lives_for_the_week_and_not_longer(folder: Path, noon: SetClock) -> None:
    calendar = f"{BERLIN}/week"
    keys, monday = Keys(folder, GRACE_S, noon), first_of(DAY, calendar)
    before = visitor(keys, monday, calendar)
    noon.wall_s = starts_at(monday + timedelta(7), BERLIN) + GRACE_S - 1
    assert visitor(keys, monday, calendar) == before
    assert keys.destroy_overdue() == []
    noon.wall_s += 1
    assert keys.destroy_overdue() == [(monday, calendar)]


def test_destroying_what_is_not_there_is_harmless(folder: Path, noon: SetClock) -> None:
    keys = Keys(folder, GRACE_S, noon)
    keys.destroy(DAY, BERLIN)
    visitor(keys)
    keys.destroy(DAY, BERLIN)
    keys.destroy(DAY, BERLIN)
    assert keys.destroy_overdue() == []


def test_a_running_collector_destroys_an_overdue_key_though_no_request_comes(tmp_path: Path) -> None:
    collector = Collector(tmp_path)
    collector.keys.mkdir(mode=0o700)
    file = collector.keys / "2020-01-01@UTC"
    file.write_bytes(b"\x01" + b"k" * (SIZE - 1))
    file.chmod(0o600)
    os.utime(file, (starts_at(date(2020, 1, 1), "UTC"),) * 2)
    with running(collector):
        until(lambda: not file.exists(), "the overdue key is gone")


# --- through the public door ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def behind_a_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """Two workers behind a proxy on the loopback, which may name the client."""
    trusting = 'trusted_proxies = ["127.0.0.1/32"]'
    with running(Collector(tmp_path_factory.mktemp("keys"), settings=trusting, workers=2)) as collector:
        yield collector


def from_address(collector: Collector, address: str, site: str = "example.com") -> dict[str, Any]:
    """The event that one page view from `address` becomes."""
    marker = f"/{len(collector.events())}"
    answer = collector.event({"d": site, "u": f"https://{site}{marker}"}, {"X-Forwarded-For": address})
    assert answer.footfall == "accepted"
    (event,) = [event for event in collector.events() if event["path"] == marker]
    return event


def forms_of(address: str) -> list[str]:
    """All ways to write an IPv4 address on the way (RFC 4291, 3056, 4380, 6052)."""
    packed = ipaddress.IPv4Address(address).packed
    inverted = bytes(octet ^ 0xFF for octet in packed)
    six_to_four = ipaddress.IPv6Address(b"\x20\x02" + packed + bytes(9) + b"\x01")
    teredo = ipaddress.IPv6Address(b"\x20\x01" + bytes(2) + b"\xc0\x00\x02\x01" + bytes(4) + inverted)
    return [
        address,
        f"{address}:4711",
        f"::ffff:{address}",
        f"[::ffff:{address}]:4711",
        str(six_to_four),
        str(teredo),
        f"64:ff9b::{address}",
    ]


def test_all_forms_of_two_addresses_in_one_24_are_one_visitor_in_one_network(behind_a_proxy: Collector) -> None:
    forms = [*forms_of("192.0.2.7"), *forms_of("192.0.2.200")]
    found = {
        (event["generation"], event["visitor"], event["network"], event["country"])
        for event in (from_address(behind_a_proxy, form) for form in forms)
    }
    assert len(forms) == 14
    assert len(found) == 1
    assert from_address(behind_a_proxy, "192.0.3.7")["network"] not in {network for _, _, network, _ in found}


def test_the_country_is_that_of_the_truncated_address(behind_a_proxy: Collector) -> None:
    assert {from_address(behind_a_proxy, address)["country"] for address in ("8.8.8.8", "8.8.8.0", "8.8.8.255")} == {
        "US"
    }


def test_addresses_of_one_48_are_one_visitor_and_of_one_40_one_network(behind_a_proxy: Collector) -> None:
    first, same, neighbour, stranger = (
        from_address(behind_a_proxy, address)
        for address in ("2a00:1450:4001:1::1", "2a00:1450:4001:ffff::2", "2a00:1450:40ff::1", "2a00:1450:4101::1")
    )
    assert first["visitor"] == same["visitor"] != neighbour["visitor"]
    assert first["network"] == same["network"] == neighbour["network"] != stranger["network"]


def test_one_visitor_on_two_sites_has_no_token_in_common_in_the_spool(behind_a_proxy: Collector) -> None:
    one = from_address(behind_a_proxy, "203.0.113.7", "example.com")
    other = from_address(behind_a_proxy, "203.0.113.7", "example.org")
    assert {one["visitor"], one["network"]}.isdisjoint({other["visitor"], other["network"]})


def test_both_workers_give_one_visitor_one_token(behind_a_proxy: Collector) -> None:
    tokens = {from_address(behind_a_proxy, "198.51.100.9")["visitor"] for _ in range(24)}
    assert len(tokens) == 1
    assert len([file for file in behind_a_proxy.keys.iterdir() if file.name.endswith("@UTC")]) in {1, 2}


def test_without_a_trusted_proxy_the_header_moves_nobody(tmp_path: Path) -> None:
    with running(Collector(tmp_path)) as collector:
        visitors = {from_address(collector, address)["visitor"] for address in ("192.0.2.7", "198.51.100.7", "8.8.8.8")}
    assert len(visitors) == 1


def test_workers_cannot_be_dumped(behind_a_proxy: Collector) -> None:
    workers = [
        pid
        for pid in behind_a_proxy.worker_pids()
        if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    assert len(workers) == 2
    for pid in workers:
        # proc(5): the files of a process that is not dumpable belong to root, and its core limit is 0.
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert "Max core file size        0                    0" in limits


@pytest.mark.parametrize("back_s", [3_600.0, 86_400.0, 30 * 86_400.0])
def test_a_wall_clock_set_back_lets_no_key_live_on(folder: Path, back_s: float) -> None:
    clock = SetClock(starts_at(DAY, BERLIN) + 43_200)
    keys = Keys(folder, GRACE_S, clock)
    visitor(keys)
    left_s = ends_at(DAY, BERLIN) + GRACE_S - clock.wall()
    clock.set_wall(clock.wall() - back_s)
    clock.pass_time(left_s)
    assert keys.destroy_overdue() == []
    clock.pass_time(121.0)  # What NTP may have slewed meanwhile.
    assert keys.destroy_overdue() == [(DAY, BERLIN)]


def test_a_wall_clock_set_forward_ends_a_key_and_the_next_is_of_another_generation(folder: Path) -> None:
    clock = SetClock(starts_at(DAY, BERLIN) + 43_200)
    keys = Keys(folder, GRACE_S, clock)
    before = visitor(keys)
    clock.set_wall(clock.wall() + 86_400)
    assert keys.destroy_overdue() == [(DAY, BERLIN)]
    clock.set_wall(clock.wall() - 86_400)
    assert visitor(keys).generation != before.generation


def test_a_key_of_the_version_before_is_used_and_destroyed_on_time(folder: Path) -> None:
    clock = SetClock(starts_at(DAY, BERLIN) + 43_200)
    keys = Keys(folder, GRACE_S, clock)
    before = visitor(keys)
    (file,) = folder.iterdir()
    file.write_bytes(file.read_bytes()[:41])
    os.utime(file, times=(clock.wall(), clock.wall()))
    assert visitor(Keys(folder, GRACE_S, clock)) == before
    clock.move_to(ends_at(DAY, BERLIN) + GRACE_S)
    assert keys.destroy_overdue() == [(DAY, BERLIN)]
    assert list(folder.iterdir()) == []
