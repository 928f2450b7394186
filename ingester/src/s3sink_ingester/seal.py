"""Raw chunk → object file: compressed in blocks, in constant memory, in one pass. Blocking; called in a thread.

The file appears whole or not at all: it is written as ``<path>.tmp``, synced, renamed, and the directory is
synced. The same input gives the same bytes with the same library, but nothing relies on it: once sealed, a file
is never made again.

gzip is **one member** with no name and mtime 0: some readers stop after the first member, and a header with the
time in it would make equal data unequal. Its levels 0 to 3 are igzip's (ISA-L): about ten times as fast as zlib
at the same size. zstd is one frame that knows its content size (readers allocate once) and has a checksum.

A new format or compression is an ``Encoder`` and an entry in ``_ENCODERS``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

import zstandard
from isal import isal_zlib

from s3sink_ingester.config import Compression
from s3sink_ingester.disk import SHORTAGES, parent
from s3sink_ingester.errors import ChunkUnreadable

if TYPE_CHECKING:
    from s3sink_ingester.disk import Disk, File

TEMPORARY_SUFFIX: Final = ".tmp"
_BLOCK: Final = 1 << 20
_GZIP_WINDOW: Final = 31  # 15 bits of window, +16: a gzip header instead of zlib's


@dataclass(frozen=True, slots=True)
class Encoded:
    """An object file: its ``size`` in bytes and SHA-256 (32 bytes)."""

    size: int
    sha256: bytes


class Encoder(Protocol):
    """Takes raw bytes in order, gives back encoded ones, at its own pace."""

    def compress(self, data: bytes, /) -> bytes:
        """Encoded bytes that are ready after ``data``; may be none."""

    def flush(self) -> bytes:
        """The rest. Called once."""


class _Plain:
    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


def _gzip(level: int, raw_size: int) -> Encoder:
    encoder: Encoder = isal_zlib.compressobj(level, isal_zlib.DEFLATED, _GZIP_WINDOW)
    return encoder


def _zstd(level: int, raw_size: int) -> Encoder:
    return zstandard.ZstdCompressor(level=level, write_checksum=True).compressobj(size=raw_size)


def _plain(level: int, raw_size: int) -> Encoder:
    return _Plain()


_ENCODERS: Final[Mapping[Compression, Callable[[int, int], Encoder]]] = MappingProxyType(
    {Compression.GZIP: _gzip, Compression.ZSTD: _zstd, Compression.NONE: _plain}
)


def encode(
    disk: Disk,
    raw_path: str | None,
    raw_length: int,
    tail: Sequence[bytes],
    out_path: str,
    compression: Compression,
    level: int = 1,
) -> Encoded:
    """Make the object file ``out_path`` of the first ``raw_length`` bytes of ``raw_path``, then of ``tail``.

    ``raw_path`` None: there is only the tail. ``level``: 0 to 3 for gzip, 1 to 19 for zstd. A file of that name
    is replaced: it is what a crash left of the same seal. On return the file is durable.

    Raises OSError (a part-written file is removed), ChunkUnreadable when the raw file can't be read or is too short.
    """
    raw_size = raw_length + sum(map(len, tail))
    encoder = _ENCODERS[compression](level, raw_size)
    temporary = out_path + TEMPORARY_SUFFIX
    disk.unlink(temporary, missing_ok=True)
    file = disk.create(temporary)
    try:
        try:
            encoded = _write(file, encoder, _blocks(disk, raw_path, raw_length, tail))
            file.sync()
        finally:
            file.close()
        disk.rename(temporary, out_path)
    except BaseException:
        with suppress(OSError):  # the first error is the one to report; recovery removes what is left
            disk.unlink(temporary, missing_ok=True)
        raise
    disk.sync_dir(parent(out_path))
    return encoded


def _write(file: File, encoder: Encoder, raw: Iterator[bytes]) -> Encoded:
    digest = hashlib.sha256()
    size = 0
    for data in _encoded(encoder, raw):
        digest.update(data)
        file.append(data)
        size += len(data)
    return Encoded(size, digest.digest())


def _encoded(encoder: Encoder, raw: Iterator[bytes]) -> Iterator[bytes]:
    for block in raw:
        if data := encoder.compress(block):
            yield data
    if data := encoder.flush():
        yield data


def _blocks(disk: Disk, raw_path: str | None, raw_length: int, tail: Sequence[bytes]) -> Iterator[bytes]:
    offset = 0
    while raw_path is not None and offset < raw_length:
        try:
            block = disk.read(raw_path, offset, min(_BLOCK, raw_length - offset))
        except OSError as error:
            if error.errno in SHORTAGES:
                raise
            raise ChunkUnreadable(f"{raw_path} can't be read: {error}") from error
        if not block:
            raise ChunkUnreadable(
                f"{raw_path} ends after {offset} bytes of {raw_length} that the journal counts"
            )
        yield block
        offset += len(block)
    yield from _gathered(tail)


def _gathered(parts: Sequence[bytes]) -> Iterator[bytes]:
    """Small parts joined into blocks: a call of the encoder costs more than a few hundred bytes do."""
    pending: list[bytes] = []
    size = 0
    for part in parts:
        pending.append(part)
        size += len(part)
        if size >= _BLOCK:
            yield b"".join(pending)
            pending.clear()
            size = 0
    if pending:
        yield b"".join(pending)
