"""Every byte beneath a folder, as it is and decompressed: what a search for something deleted looks through.

ClickHouse's compressed files are blocks of 16 bytes of checksum, one of method, four each of the compressed size (these
nine bytes included) and the plain one, then the data. What is no such block is searched as it is alone.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import lz4.block  # type: ignore[import-untyped]  # it comes with clickhouse-connect, and has no types
from backports import zstd

HEADER = struct.Struct("<16xBII")
INNER = struct.Struct("<BII")
NONE, LZ4, ZSTD, SEVERAL = 0x02, 0x82, 0x90, 0x91
LARGEST_BLOCK = 1 << 28


def holders(folders: Iterable[Path], sought: re.Pattern[bytes]) -> set[str]:
    """Files that hold what is sought in their bytes, plain or compressed, or in their names."""
    found = set()
    for folder in folders:
        # os.walk passes over folders that go away, Path.rglob does not.
        for inner, _, files in os.walk(folder):
            for file in (Path(inner) / name for name in files):
                with contextlib.suppress(FileNotFoundError):  # It went meanwhile.
                    content = file.read_bytes()
                    if any(sought.search(each) for each in (os.fsencode(file.name), content, *plain_blocks(content))):
                        found.add(str(file.relative_to(folder)))
    return found


def forms(texts: Iterable[str] = (), tokens: Iterable[int] = ()) -> re.Pattern[bytes]:
    """Texts as they are, tokens as text and as eight bytes either way round."""
    numbers = list(tokens)
    spelled = [text.encode() for text in texts] + [str(number).encode() for number in numbers]
    spelled += [number.to_bytes(8, order) for number in numbers for order in ("little", "big")]
    return re.compile(b"|".join(re.escape(each) for each in spelled))


def plain_blocks(content: bytes) -> Iterator[bytes]:
    """The blocks of a compressed file, decompressed, up to the first place that is none."""
    place = 0
    while place + HEADER.size < len(content):
        method, size, plain = HEADER.unpack_from(content, place)
        if not INNER.size < size <= len(content) - place - 16 or plain > LARGEST_BLOCK:
            return
        try:
            yield _plain(method, content[place + HEADER.size : place + 16 + size], plain)
        except (lz4.block.LZ4BlockError, zstd.ZstdError, ValueError):
            return
        place += 16 + size


def _plain(method: int, data: bytes, size: int) -> bytes:
    if method == LZ4:
        return bytes(lz4.block.decompress(data, uncompressed_size=size))
    if method == ZSTD:
        return zstd.decompress(data)
    if method == SEVERAL:  # The number of codecs and their names, then a block of the last one without a checksum.
        start = 1 + data[0]
        inner, _, inner_size = INNER.unpack_from(data, start)
        return _plain(inner, data[start + INNER.size :], inner_size)
    if method == NONE:
        return data
    raise ValueError(f"method {method:#x}")
