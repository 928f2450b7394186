"""The volume: the only way to files, so that every write, sync and rename can be observed, failed or lost in a test.

Admission rule: code outside this package and ``objects/files.py`` never imports ``os`` for files. All paths are
relative to the root of the store. ``real.py`` is the kernel; ``fake.py`` is a disk in memory that forgets what
was not synced. Every method may raise ``OSError`` (ENOSPC, EIO, ...); none of them swallows one.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Protocol, TypeAlias

FULL_DISK = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What an ``OSError`` says when there is no room: it may go away, and nothing that was written is in doubt."""

SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""What a failed read says of the process or the machine, and not of the file: nothing to give the file up for."""

Buffer: TypeAlias = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes of the file system: ``total`` that we may ever use, ``free`` now."""

    total: int
    free: int


class File(Protocol):
    """An open file. Writes are whole: they put every byte or raise ``OSError``."""

    def append(self, data: Buffer) -> None:
        """Write at the position after the last append (0 in a created file, the end in an opened one)."""

    def pwrite(self, data: Buffer, offset: int) -> None:
        """Write at ``offset`` bytes; the append position stays."""

    def sync(self) -> None:
        """Return when the content is on stable storage (fdatasync). A failure is final for this descriptor."""

    def truncate(self, size: int) -> None:
        """Cut to ``size`` bytes; appends go on there."""

    def close(self) -> None:
        """Give the descriptor back. Implies no sync."""


class Reader(Protocol):
    """A file that is read in many pieces, while others may write to it."""

    def read(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset``; fewer where the file ends."""

    def close(self) -> None:
        """Let go of the file."""


class Lock(Protocol):
    """An exclusive hold on a path, until closed or the process ends."""

    def close(self) -> None:
        """Let go."""


class Disk(Protocol):
    """A directory tree on one file system."""

    def create(self, path: str, size: int = 0) -> File:
        """Create exclusively; ``size`` bytes are reserved at once, so that ENOSPC shows here and not later."""

    def open(self, path: str) -> File:
        """Open an existing file for writing."""

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Up to ``length`` bytes (all when None) from ``offset``."""

    def view(self, path: str) -> memoryview:
        """The whole file, read only, without holding it in memory where the system can map it.

        A place that can't be read is an error here: in a mapping it would be the end of the process.
        """

    def reader(self, path: str) -> Reader:
        """An existing file, for many reads."""

    def rename(self, source: str, target: str) -> None:
        """Replace ``target`` atomically. Durable after ``sync_dir`` of both parents."""

    def unlink(self, path: str, *, missing_ok: bool = False) -> None:
        """Remove a file."""

    def mkdir(self, path: str) -> None:
        """Create a directory if it isn't there, and make its entry durable."""

    def listdir(self, path: str) -> dict[str, int]:
        """Files (not directories) of a directory: name to size in bytes."""

    def size(self, path: str) -> int | None:
        """Bytes of a file, None when there is none."""

    def sync_dir(self, path: str) -> None:
        """Make the entries of a directory durable."""

    def sync_fs(self) -> None:
        """Make everything written so far durable: one call instead of one sync a file (syncfs)."""

    def usage(self) -> Usage:
        """Room on the file system."""

    def lock(self, path: str) -> Lock:
        """Take the exclusive lock. Raises ``VolumeLocked`` when another process has it."""

    def locate(self, path: str) -> str:
        """The path as the operating system knows it, for messages and for libraries that open files themselves."""


def write_atomically(disk: Disk, path: str, data: bytes) -> None:
    """Create or replace a small file so that a crash leaves the old or the new content, never a mix."""
    temporary = path + ".tmp"
    disk.unlink(temporary, missing_ok=True)
    file = disk.create(temporary)
    try:
        file.append(data)
        file.sync()
    finally:
        file.close()
    disk.rename(temporary, path)
    disk.sync_dir(parent(path))


def parent(path: str) -> str:
    """Directory of a path relative to the root; '' is the root itself."""
    return path.rpartition("/")[0]
