"""The model of a disk: what programs see, what is on the medium, and what a power cut leaves of the difference.

What a sync does:

- of a file: its bytes and its size are on the medium; the name by which it is found is not;
- of a folder: its entries are on the medium; the files and folders behind them are not.

Everything else (create, link, unlink, rename, truncate, write) is in memory until then. Nothing is written back in the
background: that would only forgive.

What a cut leaves, chosen at random:

- **names**: the operations on names survive in the order in which they were made, up to some point. With the order
  "journal" that is one point for the whole disk, as ext4 and XFS leave it, whose journals are written in order: but
  unlike theirs a sync here takes nothing along but what it names. With the order "folders" each folder has a point of
  its own, a freedom that no journaling file system takes and POSIX gives. A rename is whole or not there, also between
  two folders.
- **bytes**: of each file's unsynced writes and truncations any subset, each write torn at sectors of 512 bytes; across
  files nothing is in order. Where a file had grown and its bytes did not arrive, there are zeros or garbage, or it is
  as short as before.

A sync that fails drops what it should have written: programs go on to see it, no later sync writes it, and a cut takes
it, but for what is written over it meanwhile (as ext4 and XFS do; see `collector.failed_write`).

Permissions and times are on the medium at once: nothing here rests on them.
"""

from __future__ import annotations

import errno
import itertools
import random
import stat
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeVar

SECTOR_BYTES = 512
ROOT = 1
Order = Literal["journal", "folders"]


class DiskError(Exception):
    """What a system call would answer: `number` is of `errno`."""

    def __init__(self, number: int) -> None:
        super().__init__(errno.errorcode[number])
        self.number = number


class Write(NamedTuple):
    offset: int
    data: bytes


class Resize(NamedTuple):
    size: int


@dataclass(slots=True)
class Inode:
    """What a file, a folder and a symbolic link have in common."""

    number: int
    mode: int
    made_ns: int = field(default_factory=time.time_ns)
    modified_ns: int = field(default_factory=time.time_ns)
    owner: int = 0
    group: int = 0
    links: int = 1


@dataclass(slots=True)
class File(Inode):
    """`pending` is what leads from the bytes on the medium to those that programs see."""

    seen: bytearray = field(default_factory=bytearray)
    medium: bytearray = field(default_factory=bytearray)
    pending: list[Write | Resize] = field(default_factory=list)

    def change(self, change: Write | Resize) -> None:
        _apply(self.seen, change)
        self.pending.append(change)

    def sync(self) -> None:
        for change in self.pending:
            _apply(self.medium, change)
        self.pending.clear()

    def drop(self) -> None:
        """A sync that failed."""
        self.pending.clear()


@dataclass(slots=True)
class Folder(Inode):
    seen: dict[bytes, int] = field(default_factory=dict)
    medium: dict[bytes, int] = field(default_factory=dict)


@dataclass(slots=True)
class Link(Inode):
    """A symbolic link: as it is made, so it stays."""

    target: bytes = b""


class Naming(NamedTuple):
    """One operation on names. Each change is (folder, name, inode or None for none); all survive or none does."""

    changes: tuple[tuple[int, bytes, int | None], ...]

    @property
    def folders(self) -> set[int]:
        return {folder for folder, _, _ in self.changes}


@dataclass(frozen=True)
class Loss:
    """What was not synced at a cut, and how much of it is gone. `was_met`: the moment that was waited for had come."""

    namings: int = 0
    namings_lost: int = 0
    sectors: int = 0
    sectors_lost: int = 0
    was_met: bool = False


Kind = TypeVar("Kind", bound=Inode)


class Disk:
    """Inodes by number; the root folder is there from the start. Methods raise `DiskError` as system calls fail.

    `first` is the number of the first inode made: no two generations of a disk share one but the root's.
    """

    def __init__(self, first: int = ROOT + 1) -> None:
        self.inodes: dict[int, Inode] = {ROOT: Folder(ROOT, stat.S_IFDIR | 0o755)}
        self.pending: list[Naming] = []
        self._numbers = itertools.count(first)

    # --- what programs do ------------------------------------------------------------------------------------------

    def inode(self, number: int) -> Inode:
        """Raises EIO for an inode of before the cut."""
        found = self.inodes.get(number)
        if found is None:
            raise DiskError(errno.EIO)
        return found

    def folder(self, number: int) -> Folder:
        return self._of(Folder, number, errno.ENOTDIR)

    def file(self, number: int) -> File:
        return self._of(File, number, errno.EISDIR)

    def named(self, name: bytes) -> set[int]:
        """The inodes that have this name in any folder."""
        folders = (each for each in self.inodes.values() if isinstance(each, Folder))
        return {each.seen[name] for each in folders if name in each.seen}

    def link_target(self, number: int) -> bytes:
        return self._of(Link, number, errno.EINVAL).target

    def look_up(self, folder: int, name: bytes) -> Inode:
        number = self.folder(folder).seen.get(name)
        if number is None:
            raise DiskError(errno.ENOENT)
        return self.inode(number)

    def make(self, folder: int, name: bytes, kind: type[Kind], mode: int) -> Kind:
        """A new file, folder or symbolic link, whose target the caller sets."""
        self._refuse_taken(folder, name)
        inode = kind(next(self._numbers), mode)
        self.inodes[inode.number] = inode
        self._name((folder, name, inode.number))
        return inode

    def link(self, number: int, folder: int, name: bytes) -> Inode:
        """A second name for a file."""
        self._refuse_taken(folder, name)
        inode = self.inode(number)
        inode.links += 1
        self._name((folder, name, number))
        return inode

    def unlink(self, folder: int, name: bytes) -> None:
        inode = self.look_up(folder, name)
        if isinstance(inode, Folder):
            raise DiskError(errno.EISDIR)
        inode.links -= 1
        self._name((folder, name, None))

    def remove_folder(self, folder: int, name: bytes) -> None:
        inode = self.look_up(folder, name)
        if not isinstance(inode, Folder):
            raise DiskError(errno.ENOTDIR)
        if inode.seen:
            raise DiskError(errno.ENOTEMPTY)
        self._name((folder, name, None))

    def rename(self, old: int, name: bytes, new: int, new_name: bytes, *, may_replace: bool = True) -> int | None:
        """Returns the inode that was replaced, if any."""
        moved, replaced = self.look_up(old, name), self.folder(new).seen.get(new_name)
        if replaced is not None:
            if not may_replace:
                raise DiskError(errno.EEXIST)
            over = self.inode(replaced)
            if isinstance(over, Folder) and over.seen:
                raise DiskError(errno.ENOTEMPTY)
            over.links -= 1
        self._name((old, name, None), (new, new_name, moved.number))
        return replaced

    def exchange(self, old: int, name: bytes, new: int, new_name: bytes) -> None:
        one, other = self.look_up(old, name), self.look_up(new, new_name)
        self._name((old, name, other.number), (new, new_name, one.number))

    def read(self, number: int, offset: int, size: int) -> bytes:
        return bytes(self.file(number).seen[offset : offset + size])

    def write(self, number: int, offset: int, data: bytes) -> None:
        self.file(number).change(Write(offset, data))

    def resize(self, number: int, size: int) -> None:
        self.file(number).change(Resize(size))

    def sync(self, number: int) -> None:
        """fsync of a file or of a folder."""
        inode = self.inode(number)
        if isinstance(inode, File):
            inode.sync()
        elif isinstance(inode, Folder):
            self._sync_folder(number)

    def fail_sync(self, number: int) -> None:
        """fsync of a file that cannot be written; raises EIO."""
        self.file(number).drop()
        raise DiskError(errno.EIO)

    def sync_all(self) -> None:
        """sync(2): a clean stop of the machine."""
        for naming in self.pending:
            self._settle(naming)
        self.pending.clear()
        for inode in self.inodes.values():
            if isinstance(inode, File):
                inode.sync()

    def emptied(self) -> Disk:
        """An empty disk whose inodes get numbers that no inode of this one had."""
        return Disk(next(self._numbers))

    # --- the cut ---------------------------------------------------------------------------------------------------

    def after_cut(self, seed: int, order: Order = "journal") -> tuple[Disk, Loss]:
        """The disk as it comes up again, with inodes of new numbers, and what was lost; by the seed alone."""
        chance = random.Random(seed)
        survived = self._surviving_names(chance, order)
        loss = Loss(len(self.pending), len(self.pending) - len(survived))
        for naming in survived:
            self._settle(naming)
        revived = self.emptied()
        carried: dict[int, int] = {ROOT: ROOT}
        sectors = lost = 0
        for number in self._reached():
            old = self.inodes[number]
            if isinstance(old, File):
                more, gone = _cut(old, chance)
                sectors, lost = sectors + more, lost + gone
            if number != ROOT:
                carried[number] = revived._take(old)
        for number, new in carried.items():
            old = self.inodes[number]
            if isinstance(old, Folder):
                revived._fill(new, {name: carried[each] for name, each in old.medium.items()})
        return revived, Loss(loss.namings, loss.namings_lost, sectors, lost)

    def _surviving_names(self, chance: random.Random, order: Order) -> Sequence[Naming]:
        everywhere = _point(len(self.pending), chance)
        points: dict[int, int] = {}
        ended: set[int] = set()
        survived = []
        for place, naming in enumerate(self.pending):
            for folder in naming.folders:
                if order == "folders":
                    points.setdefault(folder, _point(len(self.pending), chance))
                if place >= points.get(folder, everywhere):
                    ended.add(folder)
            if naming.folders & ended:
                ended |= naming.folders
            else:
                survived.append(naming)
        return survived

    def _reached(self) -> Iterable[int]:
        """Every inode with a name on the medium, each once."""
        reached = {ROOT: None}
        todo = [ROOT]
        while todo:
            inode = self.inodes[todo.pop()]
            if isinstance(inode, Folder):
                new = [number for number in inode.medium.values() if number not in reached]
                reached.update(dict.fromkeys(new))
                todo += new
        return reached

    def _take(self, old: Inode) -> int:
        """Carries an inode of the generation before over, names aside; a file has what is on the medium."""
        number = next(self._numbers)
        kept = (number, old.mode, old.made_ns, old.modified_ns, old.owner, old.group, 0)
        if isinstance(old, File):
            self.inodes[number] = File(*kept, seen=bytearray(old.medium), medium=old.medium)
        elif isinstance(old, Link):
            self.inodes[number] = Link(*kept, target=old.target)
        else:
            self.inodes[number] = Folder(*kept)
        return number

    def _fill(self, number: int, names: Mapping[bytes, int]) -> None:
        folder = self.folder(number)
        folder.seen, folder.medium = dict(names), dict(names)
        for each in names.values():
            self.inodes[each].links += 1

    # --- names -----------------------------------------------------------------------------------------------------

    def _name(self, *changes: tuple[int, bytes, int | None]) -> None:
        for number, name, inode in changes:
            folder = self.folder(number)
            _set(folder.seen, name, inode)
            folder.modified_ns = time.time_ns()
        self.pending.append(Naming(changes))

    def _settle(self, naming: Naming) -> None:
        for folder, name, number in naming.changes:
            _set(self.folder(folder).medium, name, number)

    def _sync_folder(self, number: int) -> None:
        """What has been done in this folder; with a rename from another one, what had been done there before it."""
        needed = {number}
        kept: list[Naming] = []
        settled: list[Naming] = []
        for naming in reversed(self.pending):
            if naming.folders & needed:
                needed |= naming.folders
                settled.append(naming)
            else:
                kept.append(naming)
        for naming in reversed(settled):
            self._settle(naming)
        self.pending = kept[::-1]

    def _refuse_taken(self, folder: int, name: bytes) -> None:
        if name in self.folder(folder).seen:
            raise DiskError(errno.EEXIST)

    def _of(self, kind: type[Kind], number: int, otherwise: int) -> Kind:
        inode = self.inode(number)
        if not isinstance(inode, kind):
            raise DiskError(otherwise)
        return inode


def _set(names: dict[bytes, int], name: bytes, number: int | None) -> None:
    if number is None:
        names.pop(name, None)
    else:
        names[name] = number


def _apply(content: bytearray, change: Write | Resize) -> None:
    if isinstance(change, Write):
        _grow(content, change.offset)
        content[change.offset : change.offset + len(change.data)] = change.data
    else:
        del content[change.size :]
        _grow(content, change.size)


def _grow(content: bytearray, size: int) -> None:
    content.extend(bytes(max(0, size - len(content))))


def _point(length: int, chance: random.Random) -> int:
    """Where the surviving ends: nothing, everything, or anywhere between, each as often."""
    return chance.choice((0, length, chance.randint(0, length)))


def _cut(file: File, chance: random.Random) -> tuple[int, int]:
    """Leaves on the medium what a cut leaves of a file; returns the sectors that were not synced and those gone."""
    survives, filler = chance.choice((0.0, 0.5, 0.9, 1.0)), chance.choice((bytes, chance.randbytes))
    sectors = lost = 0
    for change in file.pending:
        if isinstance(change, Resize):
            if chance.random() < survives:
                _apply(file.medium, change)
            continue
        pieces = _pieces(change)
        arrived = [piece for piece in pieces if chance.random() < survives]
        sectors, lost = sectors + len(pieces), lost + len(pieces) - len(arrived)
        end = change.offset + len(change.data)
        if len(file.medium) < end and (arrived or chance.random() < 0.5):
            file.medium.extend(filler(end - len(file.medium)))
        for piece in arrived:
            _apply(file.medium, piece)
    file.pending.clear()
    return sectors, lost


def _pieces(write: Write) -> list[Write]:
    """The sectors that a write touches."""
    end = write.offset + len(write.data)
    first = write.offset - write.offset % SECTOR_BYTES
    starts = [max(start, write.offset) for start in range(first, end, SECTOR_BYTES)]
    return [
        Write(start, write.data[start - write.offset : min(following, end) - write.offset])
        for start, following in itertools.pairwise([*starts, end])
    ]
