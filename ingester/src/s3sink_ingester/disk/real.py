"""The kernel's files. Nothing here decides anything; it only turns calls into system calls."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
from collections.abc import Callable
from contextlib import suppress

from s3sink_ingester.disk import Buffer, Usage
from s3sink_ingester.errors import VolumeLocked

_libc = ctypes.CDLL(None, use_errno=True)
_READ_BLOCK = 1 << 20


class RealFile:
    """A descriptor and the position of the next append."""

    __slots__ = ("_fd", "_position")

    def __init__(self, fd: int, position: int) -> None:
        self._fd = fd
        self._position = position

    def append(self, data: Buffer) -> None:
        self.pwrite(data, self._position)
        self._position += len(data)

    def pwrite(self, data: Buffer, offset: int) -> None:
        written = os.pwrite(self._fd, data, offset)
        if written == len(data):
            return
        view = memoryview(data)
        while written < len(view):  # a full disk may take a part first and refuse the rest at the next call
            written += os.pwrite(self._fd, view[written:], offset + written)

    def sync(self) -> None:
        os.fdatasync(self._fd)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._fd, size)
        self._position = size

    def close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


class RealReader:
    """A descriptor. Not a mapping: there a page that can't be read ends the process instead of raising an error."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def read(self, offset: int, length: int) -> bytes:
        block = os.pread(self._fd, length, offset)
        if len(block) == length:
            return block
        return block + _read_all(self._fd, offset + len(block), length - len(block))

    def close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


class RealLock:
    """A flock held through an open descriptor: the kernel lets go of it however the process ends."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


class RealDisk:
    """Files below ``root``, which is created if it is missing."""

    def __init__(self, root: str) -> None:
        self._root = os.path.abspath(root)
        _make_directory(self._root)

    def create(self, path: str, size: int = 0) -> RealFile:
        full = self.locate(path)
        fd = os.open(full, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o640)
        try:
            if size:
                os.posix_fallocate(fd, 0, size)
        except OSError:
            os.close(fd)
            os.unlink(full)
            raise
        return RealFile(fd, 0)

    def open(self, path: str) -> RealFile:
        fd = os.open(self.locate(path), os.O_RDWR | os.O_CLOEXEC)
        return RealFile(fd, os.fstat(fd).st_size)

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        fd = os.open(self.locate(path), os.O_RDONLY | os.O_CLOEXEC)
        try:
            if length is not None and length <= _READ_BLOCK:
                block = os.pread(fd, length, offset)
                if len(block) == length:
                    return block
            return _read_all(fd, offset, length)
        finally:
            os.close(fd)

    def view(self, path: str) -> memoryview:
        fd = os.open(self.locate(path), os.O_RDONLY | os.O_CLOEXEC)
        try:
            if os.fstat(fd).st_size == 0:
                return memoryview(b"")
            _read_through(fd)
            return memoryview(mmap.mmap(fd, 0, prot=mmap.PROT_READ))
        finally:
            os.close(fd)

    def reader(self, path: str) -> RealReader:
        return RealReader(os.open(self.locate(path), os.O_RDONLY | os.O_CLOEXEC))

    def rename(self, source: str, target: str) -> None:
        os.rename(self.locate(source), self.locate(target))

    def unlink(self, path: str, *, missing_ok: bool = False) -> None:
        try:
            os.unlink(self.locate(path))
        except FileNotFoundError:
            if not missing_ok:
                raise

    def mkdir(self, path: str) -> None:
        _make_directory(self.locate(path))

    def listdir(self, path: str) -> dict[str, int]:
        with os.scandir(self.locate(path)) as entries:
            return {e.name: e.stat().st_size for e in entries if e.is_file(follow_symlinks=False)}

    def size(self, path: str) -> int | None:
        try:
            return os.stat(self.locate(path)).st_size
        except FileNotFoundError:
            return None

    def sync_dir(self, path: str) -> None:
        _sync_directory(self.locate(path))

    def sync_fs(self) -> None:
        fd = os.open(self._root, os.O_RDONLY | os.O_CLOEXEC)
        try:
            syncfs: Callable[[int], int] | None = getattr(_libc, "syncfs", None)
            if syncfs is None:  # not Linux: the whole machine is synced instead, which is slower and as safe
                os.sync()
            elif syncfs(fd) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), self._root)
        finally:
            os.close(fd)

    def usage(self) -> Usage:
        stat = os.statvfs(self._root)
        # f_bavail, not f_bfree: the blocks reserved for root are not ours.
        reserved = (stat.f_bfree - stat.f_bavail) * stat.f_frsize
        return Usage(total=stat.f_blocks * stat.f_frsize - reserved, free=stat.f_bavail * stat.f_frsize)

    def lock(self, path: str) -> RealLock:
        fd = os.open(self.locate(path), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise VolumeLocked(
                f"{self._root} is in use by another process (pid {holder} in its own process namespace); "
                "stop it first: two processes on one volume would lose records"
            ) from None
        with suppress(OSError):  # a full disk: the lock holds, it just doesn't say whose it is
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        return RealLock(fd)

    def locate(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root


def _read_all(fd: int, offset: int, length: int | None) -> bytes:
    blocks = []
    while length is None or length > 0:
        block = os.pread(fd, _READ_BLOCK if length is None else min(_READ_BLOCK, length), offset)
        if not block:
            break
        blocks.append(block)
        offset += len(block)
        if length is not None:
            length -= len(block)
    return b"".join(blocks)


def _read_through(fd: int) -> None:
    """Read a file and keep nothing: what can't be read is an error here, and the end of the process in a mapping."""
    with memoryview(bytearray(_READ_BLOCK)) as block:
        offset = 0
        while count := os.preadv(fd, [block], offset):
            offset += count


def _make_directory(full: str) -> None:
    """Create a directory and those above it that are missing; all of the new names are durable."""
    if os.path.isdir(full):
        return
    above = os.path.dirname(full)
    _make_directory(above)
    with suppress(FileExistsError):  # another process made it just now
        os.mkdir(full)
    with suppress(PermissionError):  # writable and not readable: then its owner answers for it
        _sync_directory(above)


def _sync_directory(full: str) -> None:
    fd = os.open(full, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
