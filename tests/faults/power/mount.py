"""The simulated disk as a FUSE file system: `python -m tests.faults.power.mount FOLDER`, in a process of its own.

The switch is at the other end of standard input and output: a line `{"do": ...}` gets a line back. Where standard input
ends, the file system is unmounted and the process ends.

- `cut` (with `seed` and `order`): from now on every operation fails with EIO, but for reading files that are open; what
  survives is decided at this moment.
- `cut`, with `name` and `operations` besides: the same, so many operations after something whose name begins with
  `name` was made. It is answered then; a second `cut`, without them, does it at once where it has not happened yet.
- `revive`: what survived is there again, under inodes of new numbers, and the kernel is told to forget the names of
  before: no page of a file of before the cut is seen after it.
- `format`: the same with an empty disk, without a cut.
- `fail`: the next sync of the file `name` fails, and no name that ends with `refused` can be made from now on.

An answer names what was done, so that one which nobody has read does no harm.

Every write reaches the model at once (no write-back cache in the kernel), but for pages of shared mappings, which the
kernel writes back when it likes and at a sync, as it does on any disk. Locks are the kernel's own: nothing here.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

import pyfuse3
import trio
from pyfuse3 import EntryAttributes, FileHandleT, FileInfo, FileNameT, FlagT, FUSEError, InodeT, ModeT, RequestContext

from tests.faults.power.disk import ROOT, Disk, DiskError, File, Folder, Inode, Link, Loss, Order

# The kernel is the only door to the disk, and is told of each cut, so what it has seen it may believe.
BELIEVED_S = 3_600
BLOCK_BYTES = 4_096
BLOCKS = 1 << 24
OFF = FUSEError(errno.EIO)


@dataclass
class Planned:
    """A cut that comes `operations` after the making of something whose name begins with `name`."""

    seed: int
    order: Order
    name: bytes
    operations: int
    is_met: bool = False


class FileSystem(pyfuse3.Operations):
    """One disk behind the kernel's calls. A file's handle is its inode's number: the disk keeps what is open."""

    def __init__(self, tell: Callable[[Loss], None]) -> None:
        super().__init__()
        self.disk = Disk()
        self.survived: Disk | None = None
        self._tell = tell
        self._planned: Planned | None = None
        self._failing, self._refused = b"", b""

    # --- the switch ------------------------------------------------------------------------------------------------

    def plan(self, planned: Planned) -> None:
        """Nothing has to be waited for where it names nothing."""
        self._planned = replace(planned, is_met=not planned.name)

    def cut(self, seed: int, order: Order, *, was_met: bool = False) -> None:
        """Does nothing where a planned cut was faster."""
        self._planned = None
        if self.survived is None:
            self.survived, loss = self.disk.after_cut(seed, order)
            self._tell(replace(loss, was_met=was_met))

    def fail(self, name: bytes, refused: bytes) -> None:
        self._failing, self._refused = name, refused

    async def revive(self) -> None:
        if self.survived is not None:
            await self._replace(self.survived)

    async def format(self) -> None:
        await self._replace((self.survived or self.disk).emptied())

    async def _replace(self, disk: Disk) -> None:
        """The kernel asks for each name anew, and for the inodes of before it gets EIO."""
        self._failing, self._refused = b"", b""
        names = list(self.disk.folder(ROOT).seen)
        self.disk, self.survived, self._planned = disk, None, None
        for name in names:
            await trio.to_thread.run_sync(partial(_forget, name))

    @property
    def _on(self) -> Disk:
        """The disk, for one more operation."""
        planned = self._planned
        if planned is not None and planned.is_met:
            planned.operations -= 1
            if planned.operations < 0:
                self.cut(planned.seed, planned.order, was_met=True)
        if self.survived is not None:
            raise OFF
        return self.disk

    def _named(self, name: bytes) -> None:
        if self._planned is not None and name.startswith(self._planned.name):
            self._planned.is_met = True

    # --- names -----------------------------------------------------------------------------------------------------

    async def lookup(self, parent_inode: InodeT, name: FileNameT, ctx: RequestContext) -> EntryAttributes:
        with _told():
            return _attributes(self._on.look_up(parent_inode, name))

    async def mkdir(self, parent_inode: InodeT, name: FileNameT, mode: ModeT, ctx: RequestContext) -> EntryAttributes:
        with _told():
            self._named(name)
            made = self._on.make(parent_inode, name, Folder, stat.S_IFDIR | (mode & ~ctx.umask))
            return _attributes(made)

    async def mknod(
        self, parent_inode: InodeT, name: FileNameT, mode: ModeT, rdev: int, ctx: RequestContext
    ) -> EntryAttributes:
        if not stat.S_ISREG(mode):
            raise FUSEError(errno.EPERM)
        if self._refused and name.endswith(self._refused):
            raise OFF
        with _told():
            self._named(name)
            return _attributes(self._on.make(parent_inode, name, File, mode & ~ctx.umask))

    async def create(
        self, parent_inode: InodeT, name: FileNameT, mode: ModeT, flags: FlagT, ctx: RequestContext
    ) -> tuple[FileInfo, EntryAttributes]:
        made = await self.mknod(parent_inode, name, ModeT(stat.S_IFREG | mode), 0, ctx)
        return _handle(made.st_ino), made

    async def symlink(
        self, parent_inode: InodeT, name: FileNameT, target: FileNameT, ctx: RequestContext
    ) -> EntryAttributes:
        with _told():
            made = self._on.make(parent_inode, name, Link, stat.S_IFLNK | 0o777)
            made.target = target
            return _attributes(made)

    async def readlink(self, inode: InodeT, ctx: RequestContext) -> FileNameT:
        with _told():
            return FileNameT(self._on.link_target(inode))

    async def link(
        self, inode: InodeT, new_parent_inode: InodeT, new_name: FileNameT, ctx: RequestContext
    ) -> EntryAttributes:
        with _told():
            return _attributes(self._on.link(inode, new_parent_inode, new_name))

    async def unlink(self, parent_inode: InodeT, name: FileNameT, ctx: RequestContext) -> None:
        with _told():
            self._on.unlink(parent_inode, name)

    async def rmdir(self, parent_inode: InodeT, name: FileNameT, ctx: RequestContext) -> None:
        with _told():
            self._on.remove_folder(parent_inode, name)

    async def rename(
        self,
        parent_inode_old: InodeT,
        name_old: FileNameT,
        parent_inode_new: InodeT,
        name_new: FileNameT,
        flags: FlagT,
        ctx: RequestContext,
    ) -> None:
        names = (parent_inode_old, name_old, parent_inode_new, name_new)
        with _told():
            self._named(name_new)
            if flags & pyfuse3.RENAME_EXCHANGE:
                self._on.exchange(*names)
            else:
                self._on.rename(*names, may_replace=not flags & pyfuse3.RENAME_NOREPLACE)

    async def opendir(self, inode: InodeT, ctx: RequestContext) -> FileHandleT:
        with _told():
            return FileHandleT(self._on.folder(inode).number)

    async def readdir(self, fh: FileHandleT, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """By inode: a number that stays while others come and go; a second name of an inode follows the first."""
        with _told():
            names = sorted((number, name) for name, number in self._on.folder(fh).seen.items())
            for place, (number, name) in enumerate(names):
                cookie = (number << 8) + sum(other == number for other, _ in names[:place][-255:]) + 1
                if cookie <= start_id:
                    continue
                if not pyfuse3.readdir_reply(token, FileNameT(name), _attributes(self._on.inode(number)), cookie):
                    return

    async def fsyncdir(self, fh: FileHandleT, datasync: bool) -> None:
        await self.fsync(fh, datasync)

    # --- bytes -----------------------------------------------------------------------------------------------------

    async def open(self, inode: InodeT, flags: FlagT, ctx: RequestContext) -> FileInfo:
        with _told():
            if flags & os.O_TRUNC and self._on.file(inode).seen:
                self._on.resize(inode, 0)
            return _handle(self._on.file(inode).number)

    async def read(self, fh: FileHandleT, off: int, size: int) -> bytes:
        """Answered after a cut, too: the page of a mapping that cannot be read would kill who looks at it (SIGBUS)."""
        with _told():
            return self.disk.read(fh, off, size)

    async def write(self, fh: FileHandleT, off: int, buf: bytes) -> int:
        with _told():
            self._on.write(fh, off, bytes(buf))
            return len(buf)

    async def fsync(self, fh: FileHandleT, datasync: bool) -> None:
        with _told():
            if self._failing and fh in self._on.named(self._failing):
                self._failing = b""
                self._on.fail_sync(fh)
            self._on.sync(fh)

    # --- what is told of a file ------------------------------------------------------------------------------------

    async def getattr(self, inode: InodeT, ctx: RequestContext) -> EntryAttributes:
        with _told():
            return _attributes(self._on.inode(inode))

    async def setattr(
        self,
        inode: InodeT,
        attr: EntryAttributes,
        fields: pyfuse3.SetattrFields,
        fh: FileHandleT | None,
        ctx: RequestContext,
    ) -> EntryAttributes:
        with _told():
            found = self._on.inode(inode)
            if fields.update_size:
                self._on.resize(inode, attr.st_size)
            if fields.update_mode:
                found.mode = stat.S_IFMT(found.mode) | stat.S_IMODE(attr.st_mode)
            if fields.update_uid:
                found.owner = attr.st_uid
            if fields.update_gid:
                found.group = attr.st_gid
            if fields.update_mtime:
                found.modified_ns = attr.st_mtime_ns
            return _attributes(found)

    async def access(self, inode: InodeT, mode: ModeT, ctx: RequestContext) -> bool:
        return True

    async def statfs(self, ctx: RequestContext) -> pyfuse3.StatvfsData:
        told = pyfuse3.StatvfsData()
        told.f_bsize = told.f_frsize = BLOCK_BYTES
        told.f_blocks = told.f_bfree = told.f_bavail = BLOCKS
        told.f_files = told.f_ffree = told.f_favail = BLOCKS
        told.f_namemax = 255
        return told


class _told:  # noqa: N801  a word of the sentences above
    """The model's refusals as the kernel's. A class, because a generator's context manager takes ten times as long."""

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, fault: BaseException | None, trace: object) -> None:
        if isinstance(fault, DiskError):
            raise FUSEError(fault.number) from None


def _handle(number: int) -> FileInfo:
    return FileInfo(fh=FileHandleT(number), keep_cache=True)


def _attributes(inode: Inode) -> EntryAttributes:
    """A file's times stand still: one that moved with each write would make the kernel drop what it has of the file."""
    told = EntryAttributes()
    size = len(inode.seen) if isinstance(inode, File) else len(inode.target) if isinstance(inode, Link) else 0
    told.st_ino, told.st_mode, told.st_nlink = InodeT(inode.number), ModeT(inode.mode), max(0, inode.links)
    told.st_uid, told.st_gid = inode.owner, inode.group
    told.st_size, told.st_blksize, told.st_blocks = size, BLOCK_BYTES, (size + 511) // 512
    told.st_atime_ns = told.st_mtime_ns = told.st_ctime_ns = inode.modified_ns
    told.entry_timeout = told.attr_timeout = BELIEVED_S
    return told


def _forget(name: bytes) -> None:
    """The kernel may have forgotten it already."""
    try:
        pyfuse3.invalidate_entry(InodeT(ROOT), FileNameT(name))
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise


async def _orders() -> AsyncIterator[dict[str, object]]:
    """One order to a line of standard input, until it ends."""
    rest = b""
    async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as stream:
        async for chunk in stream:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield json.loads(line)


async def _serve(files: FileSystem) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pyfuse3.main)
        _answer("mount")
        async for order in _orders():
            match order:
                case {"do": "cut", "seed": int(seed), "order": ("journal" | "folders") as kind, "name": str(name)}:
                    files.plan(Planned(seed, kind, name.encode(), int(str(order["operations"]))))
                case {"do": "cut", "seed": int(seed), "order": ("journal" | "folders") as kind}:
                    files.cut(seed, kind)
                case {"do": "fail", "name": str(name), "refused": str(refused)}:
                    files.fail(name.encode(), refused.encode())
                    _answer("fail")
                case {"do": "revive"}:
                    await files.revive()
                    _answer("revive")
                case {"do": "format"}:
                    await files.format()
                    _answer("format")
        pyfuse3.terminate()


def _answer(did: str, loss: Loss | None = None) -> None:
    print(json.dumps({"did": did, **({} if loss is None else asdict(loss))}), flush=True)


def main(arguments: Sequence[str]) -> None:
    files = FileSystem(partial(_answer, "cut"))
    options = {*pyfuse3.default_options, "fsname=footfall-power"}
    pyfuse3.init(files, arguments[0], options)
    try:
        trio.run(_serve, files)
    finally:
        pyfuse3.close(unmount=True)


if __name__ == "__main__":
    main(sys.argv[1:])
