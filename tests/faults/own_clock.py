"""Clocks of their own for real processes, ClickHouse among them: a test sets the wall clock, or lets both run on.

libfaketime cannot do it, as chDB asks the kernel's vDSO (vdso(7)) past the C library. So the three functions of the
vDSO that tell the wall clock are overwritten in each process while Python starts in it: they make the system call, and
add what the test has left in a page of memory that all of these processes share. Timers and timeouts go by the
monotonic clock, which is left alone, as it is when somebody sets a clock.

Only where the vDSO is that of Linux on x86-64 (`IS_POSSIBLE`); elsewhere the tests are skipped, and say so.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import struct
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VARIABLE = "TESTS_OWN_CLOCK"
PAGE_BYTES = mmap.PAGESIZE
# Seconds that are added to the wall clock, then to the boot clock.
OFFSETS = struct.Struct("<qq")
IS_POSSIBLE = platform.system() == "Linux" and platform.machine() == "x86_64"

# The machine code; `{}` is the address of the page, which the function loads into rcx. System V calling convention.
CODE = {
    # push rdi, rsi; the system call clock_gettime; pop them; for CLOCK_REALTIME, its coarse form and CLOCK_BOOTTIME
    # add the wall's or the boot clock's offset to the seconds.
    "__vdso_clock_gettime": (
        "57 56 b8e4000000 0f05 5e 5f 48b9{} 85ff 7410 83ff05 740b 83ff07 750c 488b4908 eb03 488b09 48010e c3"
    ),
    "__vdso_gettimeofday": "57 b860000000 0f05 5f 48b9{} 488b09 4885ff 7403 48010f c3",
    "__vdso_time": "57 b8c9000000 0f05 5f 48b9{} 480301 4885ff 7403 488907 c3",
}


class OwnClock:
    """The clocks of all processes that have `environment`; a `Clock` itself, for what runs in this one."""

    def __init__(self, file: Path) -> None:
        """`file` holds the shared page: on a tmpfs."""
        file.write_bytes(bytes(PAGE_BYTES))
        with file.open("r+b") as opened:
            self._page = mmap.mmap(opened.fileno(), PAGE_BYTES)
        self._file = file

    @property
    def environment(self) -> Mapping[str, str]:
        """For processes that shall have these clocks."""
        return {VARIABLE: str(self._file), "PYTHONPATH": f"{ROOT / 'tests' / 'faults' / 'clocks'}{os.pathsep}{ROOT}"}

    def wall(self) -> float:
        return time.time() + self._offsets()[0]

    def boot(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME) + self._offsets()[1]

    def pass_time(self, seconds: float) -> None:
        """As when the machine is suspended: both clocks go on by so much."""
        wall, boot = self._offsets()
        OFFSETS.pack_into(self._page, 0, wall + round(seconds), boot + round(seconds))

    def step(self, seconds: float) -> None:
        """Somebody sets the wall clock, by so much."""
        wall, boot = self._offsets()
        OFFSETS.pack_into(self._page, 0, wall + round(seconds), boot)

    def set_wall(self, at: float) -> None:
        """Somebody sets the wall clock to `at` (Unix seconds)."""
        self.step(at - self.wall())

    def move_to(self, at: float) -> None:
        """Both clocks go on until the wall clock says `at`."""
        self.pass_time(at - self.wall())

    def close(self) -> None:
        self._page.close()
        self._file.unlink()

    def _offsets(self) -> tuple[int, int]:
        wall, boot = OFFSETS.unpack_from(self._page, 0)
        return int(wall), int(boot)


def put_on(file: Path) -> None:
    """Gives this process the clocks of the page in `file`, for its life."""
    with file.open("r+b") as opened:
        page = mmap.mmap(opened.fileno(), PAGE_BYTES)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    _KEPT.append(page)
    start, end = _vdso()
    libc = ctypes.CDLL(None, use_errno=True)
    everything = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    if libc.mprotect(ctypes.c_void_p(start), ctypes.c_size_t(end - start), everything):
        raise OSError(ctypes.get_errno(), "the vDSO cannot be written")
    symbols = _symbols(ctypes.string_at(start, end - start))
    for name, text in CODE.items():
        code = bytes.fromhex(text.format(struct.pack("<Q", address).hex()))
        place, size = symbols[name]
        assert len(code) <= size, f"{name} has {size} bytes"
        ctypes.memmove(start + place, code, len(code))


# The pages that overwritten functions read from: they must live as long as the process.
_KEPT: list[mmap.mmap] = []


def _vdso() -> tuple[int, int]:
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith("[vdso]"):
            start, _, end = line.split()[0].partition("-")
            return int(start, 16), int(end, 16)
    raise OSError("this process has no vDSO")


def _symbols(image: bytes) -> dict[str, tuple[int, int]]:
    """Offset and size of each function of an ELF image (elf(5)), by its dynamic symbols."""
    (table,) = struct.unpack_from("<Q", image, 0x28)
    size, count = struct.unpack_from("<HH", image, 0x3A)
    sections = [struct.unpack_from("<IIQQQQIIQQ", image, table + number * size) for number in range(count)]
    found: dict[str, tuple[int, int]] = {}
    for _, kind, _, _, offset, length, link, _, _, entry in sections:
        if kind != 11:  # SHT_DYNSYM
            continue
        names = sections[link][4]
        for place in range(offset, offset + length, entry):
            name, _, _, _, value, extent = struct.unpack_from("<IBBHQQ", image, place)
            start = names + name
            found[image[start : image.index(b"\0", start)].decode()] = (value, extent)
    return found
