"""What is sent: the checked parts of a sealed file, and a file-like body over the volume."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from s3sink_ingester.disk import SHORTAGES
from s3sink_ingester.errors import ObjectCorrupt, ObjectUnreadable, StoreUnavailable

if TYPE_CHECKING:
    from s3sink_ingester.disk import Disk
    from s3sink_ingester.objects import SealedObject

_BLOCK: Final = 1 << 20
_BODY_BUFFER: Final = (
    256 << 10
)  # HTTP clients read 16 KiB at a time; this is how much is taken from the volume

# What a file is, never how it was packed for the way: see content_type.
_CONTENT_TYPES: Final = {
    "gz": "application/gzip",
    "zst": "application/zstd",
    "parquet": "application/vnd.apache.parquet",
    "txt": "text/plain",
}


@dataclass(frozen=True, slots=True)
class Part:
    """``size`` bytes of a sealed file from ``offset``, and their SHA-256 (32 bytes)."""

    offset: int
    size: int
    sha256: bytes


def checked_parts(disk: Disk, obj: SealedObject, part_size: int) -> list[Part]:
    """The file in parts of ``part_size`` bytes (the last may be shorter), read once and found to be whole.

    Raises ObjectCorrupt when the file is missing or is not what was sealed; ObjectUnreadable when the disk doesn't give
    it back; StoreUnavailable when the process is short of something that it needs to read anything.
    """
    try:
        found = disk.size(obj.path)
        if found != obj.size:
            raise ObjectCorrupt(f"{obj.path} has {found} bytes, {obj.size} were sealed")
        whole = hashlib.sha256()
        parts = [
            _part(disk, obj, offset, part_size, whole) for offset in range(0, max(obj.size, 1), part_size)
        ]
    except FileNotFoundError as error:
        raise ObjectCorrupt(f"{obj.path} is gone from the volume") from error
    except OSError as error:
        why = f"{obj.path} can't be read: {error}"
        if error.errno in SHORTAGES:
            raise StoreUnavailable("volume", why) from error
        raise ObjectUnreadable(why) from error
    if whole.digest() != obj.sha256:
        raise ObjectCorrupt(f"{obj.path} has SHA-256 {whole.hexdigest()}, {obj.sha256.hex()} was sealed")
    return parts


def blocks(disk: Disk, path: str, offset: int, size: int) -> Iterator[bytes]:
    """The bytes of a file from ``offset``, at most ``size``, in blocks of at most 1 MiB. Raises OSError."""
    end = offset + size
    while offset < end:
        block = disk.read(path, offset, min(_BLOCK, end - offset))
        if not block:
            return
        yield block
        offset += len(block)


def body(disk: Disk, path: str, offset: int, size: int) -> io.BufferedReader:
    """A seekable binary file over ``size`` bytes of a file of the volume; holds no descriptor."""
    return io.BufferedReader(_Range(disk, path, offset, size), _BODY_BUFFER)


def content_type(key: str) -> str:
    """The media type of an object by the extension of its key.

    There is deliberately no Content-Encoding beside it. With ``Content-Encoding: gzip`` browsers, proxies and
    several HTTP clients unpack the bytes on the way while the name still ends in ``.gz``; Athena, Spark and
    DuckDB unpack by that name, and then fail on text or unpack nothing. The object is a gzip file.
    """
    return _CONTENT_TYPES.get(key.rpartition(".")[2], "application/octet-stream")


def metadata(obj: SealedObject) -> dict[str, str]:
    """User metadata: lets a person (or a test) count records with HEAD requests instead of downloads."""
    return {
        "records": str(obj.records),
        "raw-bytes": str(obj.raw_bytes),
        "sha256": obj.sha256.hex(),
    }


def _part(disk: Disk, obj: SealedObject, offset: int, part_size: int, whole: Any) -> Part:
    digest = hashlib.sha256()
    size = 0
    for block in blocks(disk, obj.path, offset, min(part_size, obj.size - offset)):
        digest.update(block)
        whole.update(block)
        size += len(block)
    return Part(offset, size, digest.digest())


class _Range(io.RawIOBase):
    def __init__(self, disk: Disk, path: str, offset: int, size: int) -> None:
        self._disk = disk
        self._path = path
        self._offset = offset
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, position: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + position)
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        wanted = min(len(buffer), self._size - self._position)
        if wanted <= 0:
            return 0
        block = self._disk.read(self._path, self._offset + self._position, wanted)
        buffer[: len(block)] = block
        self._position += len(block)
        return len(block)
