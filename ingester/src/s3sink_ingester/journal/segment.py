"""One segment file: has all its room from the start, is written at a position, and is read as a whole.

A segment that isn't needed any more becomes a *spare* and is used again under a new name. Its blocks are written
already, so a sync of it has no metadata to write: it doesn't wait for the file system's own journal, and for the chunk
files that this would flush first. Old frames in it carry another salt and mean nothing.
"""

from __future__ import annotations

import errno
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from isal.isal_zlib import crc32

from s3sink_ingester.disk import FULL_DISK, Buffer, Disk, File
from s3sink_ingester.errors import S3SinkError
from s3sink_ingester.journal.frame import Damage, Frame, FrameType, Tail, encode, find_salt, scan

DIRECTORY = "journal"
SUFFIX = ".seg"
SPARE_SUFFIX = ".spare"
HEADER_BYTES = 64

LARGEST_SPARE = 2
"""Times what is needed: a larger one is from before the settings asked for small segments. Segments count as buffer
that is used up, so it would keep a buffer that was made small full for ever."""

_MAGIC = b"S3SINKJ\n"
_HEADER = struct.Struct("<8sII16sQ")  # magic, format version, salt, store id, segment id
_CHECKSUM = struct.Struct("<I")
_ZEROS = bytes(1 << 20)
_PAGE = 4096
_ID = re.compile("[0-9a-f]{16}")


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


def spare_path(segment_id: int) -> str:
    """Where a segment lies that is kept for its blocks."""
    return f"{DIRECTORY}/{segment_id:016x}{SPARE_SUFFIX}"


def ids_of(names: Iterable[str], suffix: str = SUFFIX) -> list[int]:
    """Ids of the segments (or spares) among the names of the journal's directory, oldest first."""
    stems = (name.removesuffix(suffix) for name in names if name.endswith(suffix))
    return sorted(int(stem, 16) for stem in stems if _ID.fullmatch(stem))


class NotCreated(S3SinkError):
    """There is no room for the file; nothing was written."""


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

    @property
    def room(self) -> int:
        """Bytes that are left."""
        return self.size - self._position

    def sync(self) -> None:
        """Return when everything written is durable. Raises ``OSError``, finally."""
        self._file.sync()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass(frozen=True, slots=True)
class Spare:
    """A file of ``size`` bytes that may become a segment."""

    segment_id: int
    """Of the segment that it was."""
    size: int


def create(
    disk: Disk,
    header: SegmentHeader,
    sequence: int,
    snapshot: Sequence[bytes],
    spare: Spare | None,
    *,
    size: int,
    room: int,
) -> Segment:
    """A durable new segment that begins with ``snapshot`` (an encoded body in parts).

    It is ``size`` bytes long, or longer if ``room`` bytes behind the snapshot need it. ``spare`` is used if its size
    fits, else removed. A segment of that id that never became durable (an earlier attempt failed) is replaced.
    Raises ``NotCreated`` when there is no room, and ``OSError`` for other failures; what is left of it then
    holds no group, so recovery passes over it.
    """
    first = encode(FrameType.SNAPSHOT, sequence, snapshot, header.salt)
    size = max(size, HEADER_BYTES + len(first) + room)
    file, size = _file(disk, path_of(header.segment_id), size, spare)
    try:
        segment = Segment(file, header, size)
        segment.write(header.encode() + first)
        segment.sync()
        disk.sync_dir(DIRECTORY)
    except OSError as error:
        file.close()
        if error.errno not in FULL_DISK:
            raise
        # The file system copies on write: blocks that the file has need room once more.
        disk.unlink(path_of(header.segment_id), missing_ok=True)
        raise NotCreated(str(error)) from error
    return segment


def make_spare(disk: Disk, spare: Spare) -> None:
    """A new spare, written with zeros once. Raises ``OSError``; a part of one is removed by recovery."""
    path = spare_path(spare.segment_id)
    temporary = f"{path}.tmp"
    disk.unlink(temporary, missing_ok=True)
    file = disk.create(temporary, spare.size)
    try:
        left = spare.size
        while left > 0:
            file.append(_ZEROS[:left])
            left -= len(_ZEROS)
        file.sync()
    except OSError:
        disk.unlink(temporary, missing_ok=True)
        raise
    finally:
        file.close()
    disk.rename(temporary, path)


def _file(disk: Disk, path: str, size: int, spare: Spare | None) -> tuple[File, int]:
    """The file of a new segment and its size."""
    try:
        disk.unlink(path, missing_ok=True)
        if spare is not None and size <= spare.size <= LARGEST_SPARE * size:
            disk.rename(spare_path(spare.segment_id), path)
            return disk.open(path), spare.size
        if spare is not None:
            disk.unlink(spare_path(spare.segment_id), missing_ok=True)
        return disk.create(path, size), size
    except OSError as error:
        if error.errno not in FULL_DISK:
            raise
        raise NotCreated(str(error)) from error


@dataclass(frozen=True, slots=True)
class SegmentContent:
    """A segment as found.

    ``header`` is None when it is unreadable. It names another segment when the file was about to be used again.
    ``unreadable``: bytes that the disk doesn't give, for which zeros stand in ``data``.
    """

    segment_id: int
    header: SegmentHeader | None
    data: memoryview
    unreadable: int = 0

    def items(self) -> Iterator[Frame | Damage | Tail]:
        """Frames, damage between them, and the tail. Without a header they may be those that the file had before."""
        salt = find_salt(self.data, HEADER_BYTES) if self.header is None else self.header.salt
        if salt is not None:
            yield from scan(self.data, HEADER_BYTES, salt)


def read(disk: Disk, segment_id: int) -> SegmentContent:
    """Open a segment for reading. Raises ``OSError``, but not for places that can't be read."""
    path = path_of(segment_id)
    try:
        data, unreadable = disk.view(path), 0
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        data, unreadable = _what_can_be_read(disk, path)
    return SegmentContent(segment_id, decode_header(data), data, unreadable)


def _what_can_be_read(disk: Disk, path: str) -> tuple[memoryview, int]:
    """A file page by page, with zeros for those that can't be read this time either, and how many bytes these are."""
    size = disk.size(path) or 0
    data = bytearray(size)
    unreadable = 0
    for start in range(0, size, _PAGE):
        end = min(start + _PAGE, size)
        try:
            data[start:end] = disk.read(path, start, end - start)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            unreadable += end - start
    return memoryview(data), unreadable
