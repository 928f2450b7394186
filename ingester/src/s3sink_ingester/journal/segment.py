"""One segment file: created with all its room at once, written at a position, read as a whole."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from isal.isal_zlib import crc32

from s3sink_ingester.disk import Buffer, Disk, File
from s3sink_ingester.errors import S3SinkError
from s3sink_ingester.journal.frame import Damage, Frame, FrameType, Tail, encode, scan

DIRECTORY = "journal"
SUFFIX = ".seg"
HEADER_BYTES = 64

_MAGIC = b"S3SINKJ\n"
_HEADER = struct.Struct("<8sII16sQ")  # magic, format version, salt, store id, segment id
_CHECKSUM = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """What a segment says of itself."""

    format_version: int
    salt: int
    store_id: UUID
    segment_id: int

    def encode(self) -> bytes:
        """``HEADER_BYTES`` bytes with a checksum of their own."""
        head = _HEADER.pack(_MAGIC, self.format_version, self.salt, self.store_id.bytes, self.segment_id)
        return (head + _CHECKSUM.pack(crc32(head))).ljust(HEADER_BYTES, b"\0")


def decode_header(data: bytes | memoryview) -> SegmentHeader | None:
    """The header, or None when the bytes are no good one."""
    if len(data) < HEADER_BYTES:
        return None
    magic, version, salt, store_id, segment_id = _HEADER.unpack_from(data, 0)
    (checksum,) = _CHECKSUM.unpack_from(data, _HEADER.size)
    if magic != _MAGIC or checksum != crc32(bytes(data[: _HEADER.size])):
        return None
    return SegmentHeader(version, salt, UUID(bytes=store_id), segment_id)


def path_of(segment_id: int) -> str:
    """Where a segment lies on the volume."""
    return f"{DIRECTORY}/{segment_id:016x}{SUFFIX}"


def segment_ids(names: dict[str, int]) -> list[int]:
    """Ids of the segments among the names of the journal's directory, oldest first."""
    return sorted(int(name.removesuffix(SUFFIX), 16) for name in names if name.endswith(SUFFIX))


class NotCreated(S3SinkError):
    """The file could not be created with its room (ENOSPC most likely); nothing was written."""


class Segment:
    """A segment that is being written. Not thread-safe: the log's thread owns it."""

    __slots__ = ("_file", "_position", "header", "size")

    def __init__(self, file: File, header: SegmentHeader, size: int) -> None:
        self._file = file
        self._position = 0
        self.header = header
        self.size = size

    def write(self, data: Buffer) -> None:
        """Put bytes behind the last ones. Raises ``OSError``; the segment must then not be used any more."""
        self._file.pwrite(data, self._position)
        self._position += len(data)

    def sync(self) -> None:
        """Return when everything written is durable. Raises ``OSError``, finally."""
        self._file.sync()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def create(disk: Disk, header: SegmentHeader, sequence: int, snapshot: Sequence[bytes], room: int) -> Segment:
    """A durable new segment that begins with ``snapshot`` (an encoded body in parts) and has ``room`` bytes behind it.

    A segment of that id that never became durable (an earlier attempt failed) is replaced. Raises ``NotCreated``
    when there is no room, and ``OSError`` when a write or sync failed; what is left of it then holds no group, so
    recovery drops it.
    """
    path = path_of(header.segment_id)
    first = encode(FrameType.SNAPSHOT, sequence, snapshot, header.salt)
    size = HEADER_BYTES + len(first) + room
    try:
        disk.unlink(path, missing_ok=True)
        file = disk.create(path, size)
    except OSError as error:
        raise NotCreated(str(error)) from error
    try:
        segment = Segment(file, header, size)
        segment.write(header.encode() + first)
        segment.sync()
        disk.sync_dir(DIRECTORY)
    except OSError:
        file.close()
        raise
    return segment


@dataclass(frozen=True, slots=True)
class SegmentContent:
    """A segment as found: ``header`` is None when it is unreadable, and then there are no ``items``."""

    segment_id: int
    header: SegmentHeader | None
    data: memoryview

    def items(self) -> Iterator[Frame | Damage | Tail]:
        """Frames, damage between them, and the tail."""
        if self.header is not None:
            yield from scan(self.data, HEADER_BYTES, self.header.salt)


def read(disk: Disk, segment_id: int) -> SegmentContent:
    """Open a segment for reading. Raises ``OSError``."""
    data = disk.view(path_of(segment_id))
    return SegmentContent(segment_id, decode_header(data), data)
