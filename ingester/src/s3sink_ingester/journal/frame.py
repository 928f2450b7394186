"""Frames of the journal: header, checksum, and the search for the next good frame behind a bad one. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from isal.isal_zlib import crc32

MAGIC = b"S3fr"
HEADER_BYTES = 28
MAX_BODY_BYTES = (1 << 32) - 1

_HEADER = struct.Struct("<4sIIBxxxQ")  # magic, body length, body checksum, type, sequence
_HEADER_CHECKSUM = struct.Struct("<I")  # of the 24 bytes before it
_NO_HEADER = bytes(HEADER_BYTES)


class FrameType(IntEnum):
    """What a frame's body is."""

    SNAPSHOT = 1
    GROUP = 2


_TYPES = frozenset(FrameType)


@dataclass(frozen=True, slots=True)
class Frame:
    """A good frame. ``offset`` and ``end`` are bytes in the segment; ``body`` is a view into it."""

    type: FrameType
    sequence: int
    body: memoryview
    offset: int
    end: int


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes ``offset`` to ``end`` of a segment that are no frame, followed by one that is."""

    offset: int
    end: int


@dataclass(frozen=True, slots=True)
class Tail:
    """Where the frames end. Behind it stands nothing, a frame that was begun, or what the file held before."""

    offset: int


def encode(kind: FrameType, sequence: int, parts: Sequence[bytes], salt: int) -> bytearray:
    """A whole frame; ``parts`` joined are its body. Raises ``ValueError`` for a body over 4 GiB."""
    frame = bytearray().join((_NO_HEADER, *parts))  # one copy: the header is filled in afterwards
    length = len(frame) - HEADER_BYTES
    if length > MAX_BODY_BYTES:
        raise ValueError(f"a frame of {length} bytes doesn't fit a 32-bit length")
    with memoryview(frame) as view:
        _HEADER.pack_into(frame, 0, MAGIC, length, crc32(view[HEADER_BYTES:], salt), kind, sequence)
        _HEADER_CHECKSUM.pack_into(frame, _HEADER.size, crc32(view[: _HEADER.size], salt))
    return frame


def scan(data: memoryview, start: int, salt: int) -> Iterator[Frame | Damage | Tail]:
    """All frames of a segment in order, each ``Damage`` between good ones, and one ``Tail`` at the end."""
    position = start
    last_sequence = -1
    while True:
        frame = _frame_at(data, position, salt)
        if frame is None:
            frame = _next_frame(data, position + 1, salt, last_sequence)
            if frame is None:
                yield Tail(position)
                return
            yield Damage(position, frame.offset)
        yield frame
        last_sequence = frame.sequence
        position = frame.end


def find_salt(data: memoryview, start: int) -> int | None:
    """The salt of the first whole frame from ``start`` on: for a segment whose header is lost.

    A CRC can be run backwards: a frame header and its checksum give the one salt that goes with them, and the
    checksum of the body tells whether that was a frame at all.
    """
    position = start
    while (position := _find_magic(data, position)) >= 0:
        if position + HEADER_BYTES > len(data):
            return None
        _, length, checksum, kind, _ = _HEADER.unpack_from(data, position)
        end = position + HEADER_BYTES + length
        if kind in _TYPES and end <= len(data):
            (header_checksum,) = _HEADER_CHECKSUM.unpack_from(data, position + _HEADER.size)
            salt = _crc32_began_with(header_checksum, bytes(data[position : position + _HEADER.size]))
            if crc32(data[position + HEADER_BYTES : end], salt) == checksum:
                return salt
        position += 1
    return None


def _crc32_began_with(checksum: int, data: bytes) -> int:
    """The x for which ``crc32(data, x) == checksum``."""
    table = _crc32_table()
    by_top_byte = {entry >> 24: index for index, entry in enumerate(table)}
    state = checksum ^ 0xFFFFFFFF
    for byte in reversed(data):
        index = by_top_byte[state >> 24]
        state = ((state ^ table[index]) << 8 & 0xFFFFFFFF) | (index ^ byte)
    return state ^ 0xFFFFFFFF


def _crc32_table() -> list[int]:
    table = []
    for entry in range(256):
        for _ in range(8):
            entry = entry >> 1 ^ (0xEDB88320 if entry & 1 else 0)
        table.append(entry)
    return table


def _frame_at(data: memoryview, position: int, salt: int) -> Frame | None:
    """The frame that begins at ``position``, if there is a good one.

    The header has a checksum of its own, so that bytes which only look like a header cost nothing: a body is read
    for its checksum only behind a header that was written by whoever knew the salt.
    """
    if position + HEADER_BYTES > len(data):
        return None
    magic, length, checksum, kind, sequence = _HEADER.unpack_from(data, position)
    if magic != MAGIC:
        return None
    (header_checksum,) = _HEADER_CHECKSUM.unpack_from(data, position + _HEADER.size)
    end = position + HEADER_BYTES + length
    if header_checksum != crc32(data[position : position + _HEADER.size], salt) or end > len(data):
        return None
    body = data[position + HEADER_BYTES : end]
    if crc32(body, salt) != checksum:
        return None
    return Frame(FrameType(kind), sequence, body, position, end)


def _next_frame(data: memoryview, position: int, salt: int, after: int) -> Frame | None:
    """The first good frame from ``position`` on with a sequence greater than ``after``."""
    while (position := _find_magic(data, position)) >= 0:
        frame = _frame_at(data, position, salt)
        if frame is not None and frame.sequence > after:
            return frame
        position += 1
    return None


def _find_magic(data: memoryview, position: int) -> int:
    """Where the next magic is from ``position`` on; -1 when there is none. Never copies much at once."""
    window = 1 << 20
    while position < len(data):
        found = bytes(data[position : position + window + len(MAGIC) - 1]).find(MAGIC)
        if found >= 0:
            return position + found
        position += window
    return -1
