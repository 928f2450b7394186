"""A disk in memory with a page cache that a power loss empties.

What POSIX promises and no more: a write is durable after ``sync`` of its file or ``sync_fs``; a created, renamed or
removed name is durable after ``sync_dir`` of its directory or ``sync_fs``. ``after_power_loss`` gives the disk
that a machine could find afterwards: of the writes that were not synced any subset survives, each whole or torn;
of the name changes any prefix (file systems journal them in order).
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from s3sink_ingester.disk import Buffer, Usage, parent
from s3sink_ingester.errors import VolumeLocked


@dataclass(eq=False, slots=True)
class _Inode:
    content: bytearray = field(default_factory=bytearray)  # what reads see
    durable: bytearray = field(default_factory=bytearray)  # what a power loss leaves
    unsynced: list[tuple[int, bytes]] = field(default_factory=list)  # writes since the last sync
    truncated: bool = False

    def sync(self) -> None:
        if self.unsynced or self.truncated:
            self.durable = bytearray(self.content)
            self.unsynced.clear()
            self.truncated = False

    def survivor(self, rng: random.Random) -> bytearray:
        if self.truncated and rng.random() < 0.5:
            return bytearray(self.content)
        found = bytearray(self.durable)
        for offset, data in self.unsynced:
            fate = rng.random()
            if fate < 0.4:
                continue
            kept = data if fate < 0.8 else data[: rng.randrange(len(data) + 1)]
            _put(found, offset, kept)
        return found


@dataclass(frozen=True, slots=True)
class _NameChange:
    directory: str
    path: str
    inode: _Inode | None  # None: removed


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
        self._disk.before("write", self._path)
        growth = offset + len(data) - len(self._inode.content)
        if growth > self._disk.usage().free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)
        _put(self._inode.content, offset, data)
        self._inode.unsynced.append((offset, bytes(data)))

    def sync(self) -> None:
        self._disk.before("sync", self._path)
        self._inode.sync()

    def truncate(self, size: int) -> None:
        self._disk.before("truncate", self._path)
        del self._inode.content[size:]
        self._inode.truncated = True
        self._position = size

    def close(self) -> None:
        """Nothing: it is the syncs that count, and a close promises none."""


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
        return self._found({path: inode.survivor(rng) for path, inode in names.items()})

    def after_kill(self) -> FakeDisk:
        """A new disk as the next process finds it after this one was killed: the page cache is still there."""
        return self._found({path: bytearray(inode.content) for path, inode in self._names.items()})

    def create(self, path: str, size: int = 0) -> FakeFile:
        self.before("create", path)
        if path in self._names:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        if parent(path) not in self._directories:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if size > self.usage().free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        inode = _Inode(content=bytearray(size))
        inode.truncated = bool(size)
        self._rename_entry(path, inode)
        return FakeFile(self, path, inode, 0)

    def open(self, path: str) -> FakeFile:
        self.before("open", path)
        inode = self._inode(path)
        return FakeFile(self, path, inode, len(inode.content))

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        self.before("read", path)
        end = None if length is None else offset + length
        return bytes(self._inode(path).content[offset:end])

    def view(self, path: str) -> memoryview:
        return memoryview(self.read(path))

    def rename(self, source: str, target: str) -> None:
        self.before("rename", target)
        inode = self._inode(source)
        self._rename_entry(target, inode)
        self._rename_entry(source, None)

    def unlink(self, path: str, *, missing_ok: bool = False) -> None:
        self.before("unlink", path)
        if path not in self._names:
            if missing_ok:
                return
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        self._rename_entry(path, None)

    def mkdir(self, path: str) -> None:
        self.before("mkdir", path)
        self._directories.add(path)

    def listdir(self, path: str) -> dict[str, int]:
        if path not in self._directories:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        prefix = f"{path}/" if path else ""
        return {
            name.removeprefix(prefix): len(inode.content)
            for name, inode in self._names.items()
            if parent(name) == path
        }

    def size(self, path: str) -> int | None:
        inode = self._names.get(path)
        return None if inode is None else len(inode.content)

    def sync_dir(self, path: str) -> None:
        self.before("sync_dir", path)
        kept = []
        for change in self._name_changes:
            if change.directory == path:
                _apply(self._durable_names, change)
            else:
                kept.append(change)
        self._name_changes = kept

    def sync_fs(self) -> None:
        self.before("sync_fs", "")
        for inode in self._names.values():
            inode.sync()
        self._durable_names = dict(self._names)
        self._name_changes.clear()

    def usage(self) -> Usage:
        used = sum(len(inode.content) for inode in self._names.values())
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
        for content in (self._inode(path).content, self._inode(path).durable):
            _put(content, offset, data)

    def _found(self, contents: dict[str, bytearray]) -> FakeDisk:
        found = FakeDisk(self.capacity)
        found._directories = set(self._directories)
        for path, content in contents.items():
            found._names[path] = _Inode(content=content, durable=bytearray(content))
        found._durable_names = dict(found._names)
        return found

    def _inode(self, path: str) -> _Inode:
        inode = self._names.get(path)
        if inode is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return inode

    def _rename_entry(self, path: str, inode: _Inode | None) -> None:
        change = _NameChange(parent(path), path, inode)
        self._name_changes.append(change)
        _apply(self._names, change)


def _apply(names: dict[str, _Inode], change: _NameChange) -> None:
    if change.inode is None:
        names.pop(change.path, None)
    else:
        names[change.path] = change.inode


def _put(content: bytearray, offset: int, data: Buffer) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data
