"""What frames say: snapshots and groups, as values and as bytes. Pure; layouts in docs/format.md."""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from s3sink_ingester.objects import SealedObject
from s3sink_ingester.records import Kind

_GROUP = struct.Struct("<IIII")  # sealed, uploaded, definitions, appends
_SNAPSHOT = struct.Struct("<QQQQII")  # next chunk id, accepted, uploaded, quarantined, open, sealed
_DEFINITION = struct.Struct("<QqqBH")  # chunk id, window start s, opened at ms, kind, name length
_APPEND = struct.Struct("<QQII")  # chunk id, offset, length, records
_OPEN = struct.Struct("<QQ")  # durable length, records
_SEALED = struct.Struct(
    "<QQQQqqB32sH"
)  # id, size, records, raw bytes, sealed ms, oldest ms, kind, sha256, key length
_DONE = struct.Struct("<QB")  # chunk id, outcome

OBJECT_SUFFIX = ".obj"


@dataclass(frozen=True, slots=True)
class Definition:
    """What a chunk is: its partition and window. Written once, with the chunk's first append."""

    chunk_id: int
    name: str
    kind: Kind
    window_start: int
    """Epoch seconds."""
    opened_at: int
    """Epoch milliseconds."""

    def encode(self) -> bytes:
        """Definition as bytes."""
        name = self.name.encode()
        return _DEFINITION.pack(self.chunk_id, self.window_start, self.opened_at, self.kind, len(name)) + name


@dataclass(frozen=True, slots=True)
class Append:
    """``length`` bytes with ``records`` records go to a chunk at ``offset``."""

    chunk_id: int
    offset: int
    length: int
    records: int
    position: int
    """Where the payload lies in the journal, as ``spans`` counts."""

    @property
    def end(self) -> int:
        """The offset behind it."""
        return self.offset + self.length


@dataclass(frozen=True, slots=True)
class Done:
    """A sealed object needs no more work: uploaded, or (``quarantined``) put aside because its bytes were bad."""

    chunk_id: int
    quarantined: bool = False


@dataclass(frozen=True, slots=True)
class OpenChunk:
    """A chunk in a snapshot: the chunk file is durable up to ``length`` bytes when the snapshot is the base."""

    definition: Definition
    length: int
    records: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Records since the volume was made; accepted = uploaded + quarantined + what is still buffered."""

    accepted: int = 0
    uploaded: int = 0
    quarantined: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole state at the start of a segment."""

    next_chunk_id: int = 1
    totals: Totals = field(default_factory=Totals)
    open: tuple[OpenChunk, ...] = ()
    sealed: tuple[SealedObject, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """What was committed by one sync."""

    sealed: tuple[SealedObject, ...] = ()
    done: tuple[Done, ...] = ()
    definitions: tuple[Definition, ...] = ()
    appends: tuple[Append, ...] = ()


def encode_open(definition: bytes, length: int, records: int) -> bytes:
    """One open chunk of a snapshot, from its already encoded definition."""
    return definition + _OPEN.pack(length, records)


def encode_sealed(sealed: SealedObject) -> bytes:
    """A sealed object as bytes. The path isn't stored: it follows from the id."""
    key = sealed.key.encode()
    return (
        _SEALED.pack(
            sealed.chunk_id,
            sealed.size,
            sealed.records,
            sealed.raw_bytes,
            round(sealed.sealed_at * 1000),
            round(sealed.oldest_at * 1000),
            sealed.kind,
            sealed.sha256,
            len(key),
        )
        + key
    )


def encode_snapshot(
    next_chunk_id: int, totals: Totals, open_chunks: Sequence[bytes], sealed: Sequence[bytes]
) -> list[bytes]:
    """Body of a snapshot frame in parts, from ``encode_open`` and ``encode_sealed`` pieces."""
    head = _SNAPSHOT.pack(
        next_chunk_id, totals.accepted, totals.uploaded, totals.quarantined, len(open_chunks), len(sealed)
    )
    return [head, *open_chunks, *sealed]


def encode_appends(words: Sequence[int]) -> bytes:
    """The fixed parts of appends; their payloads follow behind all of them.

    Three words each: chunk id, offset, and records * 2**32 + length in bytes. In one go: there may be ten thousand.
    """
    packed = array("Q", words)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def encode_done(done: Done) -> bytes:
    """A finished object as bytes."""
    return _DONE.pack(done.chunk_id, done.quarantined)


def encode_group(
    sealed: Sequence[bytes],
    done: Sequence[bytes],
    definitions: Sequence[bytes],
    appends: bytes,
    payloads: Sequence[bytes],
) -> list[bytes]:
    """Body of a group frame in parts. ``payloads`` are those of ``appends`` (``encode_appends``) in their order."""
    head = _GROUP.pack(len(sealed), len(done), len(definitions), len(appends) // _APPEND.size)
    return [head, *sealed, *done, *definitions, appends, *payloads]


def decode_snapshot(body: memoryview) -> Snapshot:
    """The inverse of ``encode_snapshot``."""
    next_id, accepted, uploaded, quarantined, open_count, sealed_count = _SNAPSHOT.unpack_from(body, 0)
    position = _SNAPSHOT.size
    chunks = []
    for _ in range(open_count):
        definition, position = _decode_definition(body, position)
        length, records = _OPEN.unpack_from(body, position)
        position += _OPEN.size
        chunks.append(OpenChunk(definition, length, records))
    sealed = []
    for _ in range(sealed_count):
        one, position = _decode_sealed(body, position)
        sealed.append(one)
    return Snapshot(next_id, Totals(accepted, uploaded, quarantined), tuple(chunks), tuple(sealed))


def decode_group(body: memoryview, start: int) -> Group:
    """The inverse of ``encode_group``, without the payloads. ``start``: position of the body, as ``spans`` counts."""
    sealed_count, done_count, definition_count, append_count = _GROUP.unpack_from(body, 0)
    position = _GROUP.size
    sealed = []
    for _ in range(sealed_count):
        one, position = _decode_sealed(body, position)
        sealed.append(one)
    done = []
    for _ in range(done_count):
        chunk_id, quarantined = _DONE.unpack_from(body, position)
        position += _DONE.size
        done.append(Done(chunk_id, bool(quarantined)))
    definitions = []
    for _ in range(definition_count):
        definition, position = _decode_definition(body, position)
        definitions.append(definition)
    appends = _decode_appends(body, position, append_count, start)
    return Group(tuple(sealed), tuple(done), tuple(definitions), appends)


def object_path(chunk_id: int) -> str:
    """Where the sealed object of a chunk lies on the volume."""
    return f"objects/{chunk_id:016x}{OBJECT_SUFFIX}"


def _decode_appends(body: memoryview, position: int, count: int, start: int) -> tuple[Append, ...]:
    payload = start + position + count * _APPEND.size
    appends = []
    for _ in range(count):
        chunk_id, offset, length, records = _APPEND.unpack_from(body, position)
        position += _APPEND.size
        appends.append(Append(chunk_id, offset, length, records, payload))
        payload += length
    return tuple(appends)


def _decode_definition(body: memoryview, position: int) -> tuple[Definition, int]:
    chunk_id, window_start, opened_at, kind, name_length = _DEFINITION.unpack_from(body, position)
    position += _DEFINITION.size
    name = bytes(body[position : position + name_length]).decode()
    return Definition(chunk_id, name, Kind(kind), window_start, opened_at), position + name_length


def _decode_sealed(body: memoryview, position: int) -> tuple[SealedObject, int]:
    chunk_id, size, records, raw, sealed_ms, oldest_ms, kind, sha256, key_length = _SEALED.unpack_from(
        body, position
    )
    position += _SEALED.size
    sealed = SealedObject(
        chunk_id=chunk_id,
        key=bytes(body[position : position + key_length]).decode(),
        path=object_path(chunk_id),
        size=size,
        sha256=sha256,
        records=records,
        raw_bytes=raw,
        kind=Kind(kind),
        sealed_at=sealed_ms / 1000,
        oldest_at=oldest_ms / 1000,
    )
    return sealed, position + key_length
