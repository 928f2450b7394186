"""A disk in memory with a page cache that a power loss empties.

What POSIX promises and no more: a write is durable after ``sync`` of its file or ``sync_fs``; a created, renamed or
removed name is durable after ``sync_dir`` of its directory or ``sync_fs``. ``after_power_loss`` gives the disk
that a machine could find afterwards: of the changes to a file that were not synced any subset survives, each whole or
torn; of the name changes any prefix (file systems journal them in order). ``after_kill`` gives what the next process
finds: everything, and still nothing of it more durable than before. What a sync failed for is never made durable by
a later one, only by being written again.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from s3sink_ingester.disk import Buffer, Usage, parent
from s3sink_ingester.errors import VolumeLocked


class CutShort(Exception):
    """Raised by ``FakeDisk.before`` to have ``fraction`` (0 to 1) of a write done and then ``error`` raised."""

    def __init__(self, fraction: float, error: BaseException) -> None:
        super().__init__(fraction)
        self.fraction = fraction
        self.error = error


class _Content:
    """Bytes of a file. Zeros at its end take up no memory: preallocated files would take it all."""

    __slots__ = ("_data", "size")

    def __init__(self) -> None:
        self._data = bytearray()
        self.size = 0

    def copy(self) -> _Content:
        made = _Content()
        made._data[:] = self._data
        made.size = self.size
        return made

    def read(self, offset: int, length: int | None = None) -> bytes:
        end = self.size if length is None else min(self.size, offset + length)
        return bytes(self._data[offset:end]).ljust(end - offset, b"\0")

    def put(self, offset: int, data: bytes) -> None:
        end = offset + len(data)
        if offset < len(self._data) or data.count(0) < len(data):
            self._data.extend(bytes(max(0, offset - len(self._data))))
            self._data[offset:end] = data
        self.size = max(self.size, end)

    def resize(self, size: int) -> None:
        del self._data[size:]
        self.size = size


@dataclass(frozen=True, slots=True)
class _Write:
    offset: int
    data: bytes

    def apply(self, content: _Content) -> None:
        content.put(self.offset, self.data)

    def survive(self, content: _Content, rng: random.Random) -> None:
        fate = rng.random()
        if fate < 0.35:
            return
        if fate < 0.75:
            content.put(self.offset, self.data)
        elif fate < 0.85:
            content.put(self.offset, self.data[: rng.randrange(len(self.data) + 1)])
        else:  # the size was written and only some of the blocks
            content.resize(max(content.size, self.offset + len(self.data)))
            block = rng.choice((16, 64, 512))
            for start in range(0, len(self.data), block):
                if rng.random() < 0.5:
                    content.put(self.offset + start, self.data[start : start + block])


@dataclass(frozen=True, slots=True)
class _Resize:
    size: int

    def apply(self, content: _Content) -> None:
        content.resize(self.size)

    def survive(self, content: _Content, rng: random.Random) -> None:
        if rng.random() < 0.6:
            self.apply(content)


@dataclass(eq=False, slots=True)
class _Inode:
    content: _Content = field(default_factory=_Content)  # what reads see
    durable: _Content = field(default_factory=_Content)  # what a power loss leaves
    unsynced: list[_Write | _Resize] = field(default_factory=list)
    unreadable: list[range] = field(default_factory=list)  # bytes of bad sectors

    def change(self, change: _Write | _Resize) -> None:
        change.apply(self.content)
        self.unsynced.append(change)

    def sync(self) -> None:
        for change in self.unsynced:
            change.apply(self.durable)
        self.unsynced.clear()

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        end = self.content.size if length is None else offset + length
        if any(offset < bad.stop and bad.start < end for bad in self.unreadable):
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return self.content.read(offset, length)

    def survivor(self, rng: random.Random) -> _Content:
        found = self.durable.copy()
        for change in self.unsynced:
            change.survive(found, rng)
        return found


@dataclass(frozen=True, slots=True)
class _NameChange:
    directory: str
    names: tuple[tuple[str, _Inode | None], ...]  # path to inode; None: removed. They become durable together


class FakeFile:
    """A handle on an inode of a FakeDisk."""

    __slots__ = ("_disk", "_inode", "_path", "_position")

    def __init__(self, disk: FakeDisk, path: str, inode: _Inode, position: int) -> None:
        self._disk = disk
        self._path = path
        self._inode = inode
        self._position = position

    def append(self, data: Buffer) -> None:
        self.pwrite(data, self._position)
        self._position += len(data)

    def pwrite(self, data: Buffer, offset: int) -> None:
        try:
            self._disk.before("write", self._path)
        except CutShort as cut:
            self._put(bytes(data[: round(cut.fraction * len(data))]), offset)
            raise cut.error from None
        self._put(bytes(data), offset)

    def sync(self) -> None:
        try:
            self._disk.before("sync", self._path)
        except OSError:
            self._inode.unsynced.clear()  # as Linux does: the pages are clean then, and the next sync succeeds
            raise
        self._inode.sync()

    def truncate(self, size: int) -> None:
        self._disk.before("truncate", self._path)
        self._inode.change(_Resize(size))
        self._position = size

    def close(self) -> None:
        """Nothing: it is the syncs that count, and a close promises none."""

    def _put(self, data: bytes, offset: int) -> None:
        growth = offset + len(data) - self._inode.content.size
        if growth > self._disk.usage().free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)
        self._inode.change(_Write(offset, data))


class FakeReader:
    """Reads what is there now."""

    __slots__ = ("_disk", "_inode", "_path")

    def __init__(self, disk: FakeDisk, path: str, inode: _Inode) -> None:
        self._disk = disk
        self._path = path
        self._inode = inode

    def read(self, offset: int, length: int) -> bytes:
        self._disk.before("read", self._path)
        return self._inode.read(self._path, offset, length)

    def close(self) -> None:
        """Nothing: it holds nothing."""


class FakeLock:
    """Held until closed; a power loss drops it."""

    def __init__(self, locks: set[str], path: str) -> None:
        self._locks = locks
        self._path = path

    def close(self) -> None:
        self._locks.discard(self._path)


class FakeDisk:
    """See the module. ``before(operation, path)`` is called ahead of every operation and may raise to fail it."""

    def __init__(self, capacity: int = 1 << 40) -> None:
        self.capacity = capacity
        self.before: Callable[[str, str], None] = lambda operation, path: None
        self._names: dict[str, _Inode] = {}
        self._durable_names: dict[str, _Inode] = {}
        self._name_changes: list[_NameChange] = []
        self._directories: set[str] = {""}
        self._locks: set[str] = set()

    def after_power_loss(self, rng: random.Random) -> FakeDisk:
        """A new disk as the machine finds it after the power came back; this one must not be used again."""
        names = dict(self._durable_names)
        for change in self._name_changes[: rng.randrange(len(self._name_changes) + 1)]:
            _apply(names, change)
        found = self._successor()
        survivors = {id(inode): inode.survivor(rng) for inode in names.values()}
        bad = {id(inode): inode.unreadable for inode in names.values()}
        inodes = {one: _Inode(content, content.copy(), [], bad[one]) for one, content in survivors.items()}
        found._names = {path: inodes[id(inode)] for path, inode in names.items()}
        found._durable_names = dict(found._names)
        return found

    def after_kill(self) -> FakeDisk:
        """The disk as the next process finds it: the page cache is still there. This one must not be used again."""
        found = self._successor()
        found._names = self._names
        found._durable_names = self._durable_names
        found._name_changes = self._name_changes
        return found

    def create(self, path: str, size: int = 0) -> FakeFile:
        self.before("create", path)
        if path in self._names:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        if parent(path) not in self._directories:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if size > self.usage().free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        inode = _Inode()
        if size:
            inode.change(_Resize(size))
        self._change_names((path, inode))
        return FakeFile(self, path, inode, 0)

    def open(self, path: str) -> FakeFile:
        self.before("open", path)
        inode = self._inode(path)
        return FakeFile(self, path, inode, inode.content.size)

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        self.before("read", path)
        return self._inode(path).read(path, offset, length)

    def view(self, path: str) -> memoryview:
        return memoryview(self.read(path))

    def reader(self, path: str) -> FakeReader:
        return FakeReader(self, path, self._inode(path))

    def rename(self, source: str, target: str) -> None:
        self.before("rename", target)
        inode = self._inode(source)
        if parent(source) == parent(target):
            self._change_names((target, inode), (source, None))
        else:
            self._change_names((target, inode))
            self._change_names((source, None))

    def unlink(self, path: str, *, missing_ok: bool = False) -> None:
        self.before("unlink", path)
        if path not in self._names:
            if missing_ok:
                return
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        self._change_names((path, None))

    def mkdir(self, path: str) -> None:
        self.before("mkdir", path)
        if path not in self._directories:
            self._directories.add(path)
            self._make_names_durable(parent(path))

    def listdir(self, path: str) -> dict[str, int]:
        if path not in self._directories:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        prefix = f"{path}/" if path else ""
        return {
            name.removeprefix(prefix): inode.content.size
            for name, inode in list(self._names.items())
            if parent(name) == path
        }

    def size(self, path: str) -> int | None:
        inode = self._names.get(path)
        return None if inode is None else inode.content.size

    def sync_dir(self, path: str) -> None:
        self.before("sync_dir", path)
        self._make_names_durable(path)

    def sync_fs(self) -> None:
        try:
            self.before("sync_fs", "")
        except OSError:
            for inode in list(self._names.values()):
                inode.unsynced.clear()
            raise
        for inode in list(self._names.values()):
            inode.sync()
        self._durable_names = dict(self._names)
        self._name_changes.clear()

    def usage(self) -> Usage:
        used = sum(inode.content.size for inode in list(self._names.values()))
        return Usage(total=self.capacity, free=max(0, self.capacity - used))

    def lock(self, path: str) -> FakeLock:
        if path in self._locks:
            raise VolumeLocked("the fake disk is in use by another process")
        self._locks.add(path)
        return FakeLock(self._locks, path)

    def locate(self, path: str) -> str:
        return f"fake:/{path}"

    def corrupt(self, path: str, offset: int, data: bytes) -> None:
        """Change bytes behind everybody's back, as a bad disk does."""
        inode = self._inode(path)
        inode.change(_Write(offset, data))
        inode.sync()

    def make_unreadable(self, path: str, offset: int, length: int) -> None:
        """Lose bytes behind everybody's back, as a bad sector does: reading any of them fails."""
        self._inode(path).unreadable.append(range(offset, offset + length))

    def mend(self, path: str) -> None:
        """All of the file can be read again."""
        self._inode(path).unreadable.clear()

    def _successor(self) -> FakeDisk:
        found = FakeDisk(self.capacity)
        found._directories = set(self._directories)
        return found

    def _inode(self, path: str) -> _Inode:
        inode = self._names.get(path)
        if inode is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return inode

    def _change_names(self, *names: tuple[str, _Inode | None]) -> None:
        change = _NameChange(parent(names[0][0]), names)
        self._name_changes.append(change)
        _apply(self._names, change)

    def _make_names_durable(self, directory: str) -> None:
        kept = []
        for change in self._name_changes:
            if change.directory == directory:
                _apply(self._durable_names, change)
            else:
                kept.append(change)
        self._name_changes = kept


def _apply(names: dict[str, _Inode], change: _NameChange) -> None:
    for path, inode in change.names:
        if inode is None:
            names.pop(path, None)
        else:
            names[path] = inode
