"""From a request's body to records: content codings, then framing.

A body that was sent to fill the memory must not: output is bounded while it is made, codings are at most two,
gzip members and zstd frames are counted, and so are the records of one request, since a Python object costs far
more than the two bytes of an empty-looking line.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from enum import Enum
from typing import Protocol, cast

import msgspec
import zstandard
from isal import isal_zlib

from s3sink_ingester.errors import RequestError

MAX_CODINGS = 2
MAX_MEMBERS = 10_000
"""gzip members or zstd frames in one body; each costs a decoder."""
MAX_RECORDS = 1_000_000
"""Records in one request."""
MAX_JSON_COMMAS = 4 * MAX_RECORDS
"""Commas in a JSON array: elements can only be counted once all of them exist as objects of 70 bytes."""
ZSTD_WINDOW_BYTES = 8 * 1024 * 1024
"""Largest window a zstd frame may ask memory for; RFC 9659 forbids larger ones in HTTP."""

_IsalError = cast("type[Exception]", isal_zlib.error)  # its stub says it is an instance
_BLOCK_BYTES = 64 * 1024
_BOM = b"\xef\xbb\xbf"
_ARRAY = re.compile(rb"[ \t\r\n]*\[")


class Framing(Enum):
    """How a body holds records."""

    SINGLE = "single"
    """The body is one record, byte for byte."""
    LINES = "lines"
    """A record a line. Lines end in LF or CR LF; empty ones are skipped and not counted."""
    JSON = "json"
    """One document, or an array of which each element is a record (its JSON text, on one line)."""


class _Decoder(Protocol):
    """A decoder of one gzip member, zlib stream or zstd frame, as in ``zlib.decompressobj``."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def decode_body(body: bytes, encodings: str, limit: int) -> bytes:
    """Undoes ``Content-Encoding``: gzip (also x-gzip), zstd, deflate, identity, or a list of them.

    ``limit``: bytes that the result and each step may have. Several gzip members or zstd frames in a row are one
    body. Peak memory beside ``body``: about ``limit`` a step. Raises ``RequestError``: 413 past the limit,
    400 if the body is corrupt or truncated, 415 for another coding or more than two.
    """
    codings = [coding for coding in (part.strip().lower() for part in encodings.split(",")) if coding]
    codings = [coding for coding in codings if coding != "identity"]
    unknown = [coding for coding in codings if coding not in _CODINGS]
    if unknown:
        raise RequestError(
            415, f"Content-Encoding {unknown[0]!r} is not supported; use gzip, zstd or deflate"
        )
    if len(codings) > MAX_CODINGS:
        raise RequestError(415, f"at most {MAX_CODINGS} content codings can be applied, not {len(codings)}")
    for coding in reversed(codings):
        body = _CODINGS[coding](body, limit)
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> RequestError:
    return RequestError(413, f"the body is more than {limit} bytes decoded; send it in parts")


def _corrupt(coding: str, what: object) -> RequestError:
    return RequestError(400, f"the {coding} body can't be decoded: {what}")


class _Output:
    """Decoded bytes up to a limit. BytesIO hands its buffer over without a copy."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = io.BytesIO()
        self._size = 0

    @property
    def room(self) -> int:
        """Bytes to ask a decoder for: one more than may come, so that too much is seen."""
        return self._limit - self._size + 1

    def add(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._limit:
            raise _too_large(self._limit)
        self._buffer.write(data)

    def getvalue(self) -> bytes:
        return self._buffer.getvalue()


def _feed(body: bytes, position: int, decoder: _Decoder, output: _Output) -> int:
    """Decodes one stream from ``position``; returns where it ends. Raises EOFError if it doesn't.

    In blocks: decoders copy what follows their stream, which for many small members must not be the rest
    of the body each time.
    """
    while not decoder.eof:
        block = body[position : position + _BLOCK_BYTES]
        if not block:
            raise EOFError("it is truncated")
        position += len(block)
        output.add(decoder.decompress(block, output.room))
    return position - len(decoder.unused_data)


def _members(body: bytes, limit: int, new_decoder: Callable[[], _Decoder], padding: bytes = b"") -> bytes:
    """Decodes the members that ``body`` is made of, and any ``padding`` bytes behind them."""
    output = _Output(limit)
    position = 0
    for _ in range(MAX_MEMBERS):
        position = _feed(body, position, new_decoder(), output)
        if position == len(body):
            return output.getvalue()
        if body[position : position + 1] == padding and not body[position:].strip(padding):
            return output.getvalue()
    raise EOFError(f"it has more than {MAX_MEMBERS} members")


def _gzip(body: bytes, limit: int) -> bytes:
    try:
        return _members(body, limit, lambda: isal_zlib.decompressobj(31), padding=b"\0")
    except (_IsalError, EOFError) as error:
        raise _corrupt("gzip", error) from error


def _deflate(body: bytes, limit: int) -> bytes:
    """RFC 9110 means zlib's format, some clients send the bare one. No encoder's bare stream passes as zlib's
    header: its first byte would begin a stored block with padding bits that are not zero."""
    wrapped = len(body) >= 2 and body[0] & 0x0F == 8 and int.from_bytes(body[:2]) % 31 == 0
    output = _Output(limit)
    try:
        end = _feed(body, 0, isal_zlib.decompressobj(15 if wrapped else -15), output)
    except (_IsalError, EOFError) as error:
        raise _corrupt("deflate", error) from error
    if end != len(body):
        raise _corrupt("deflate", f"{len(body) - end} bytes follow its end")
    return output.getvalue()


class _ZstdFrame:
    """A decoder of one frame. It has no bound of its own: ``_measure`` first."""

    def __init__(self, decompressor: zstandard.ZstdDecompressor) -> None:
        self._decoder = decompressor.decompressobj()

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data

    def decompress(self, data: bytes, _max_length: int, /) -> bytes:
        return self._decoder.decompress(data)


def _zstd(body: bytes, limit: int) -> bytes:
    decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)
    try:
        if 0 < zstandard.frame_content_size(body) <= limit:
            # One frame that says its size: by far the most frequent. The output buffer has just that size.
            return decompressor.decompress(body, allow_extra_data=False)
    except zstandard.ZstdError:
        pass  # several frames, or corrupt: told apart below
    try:
        _measure(decompressor, body, limit)
        return _members(body, limit, lambda: _ZstdFrame(decompressor))
    except (zstandard.ZstdError, EOFError) as error:
        raise _corrupt("zstd", error) from error


def _measure(decompressor: zstandard.ZstdDecompressor, body: bytes, limit: int) -> None:
    """Raises 413 if the output passes the limit. The decoder that can tell where frames end has no bound of its
    own, and the one with a bound takes a truncated frame for a whole one; so both look."""
    buffer = bytearray(_BLOCK_BYTES)
    size = 0
    with decompressor.stream_reader(body, read_across_frames=True) as reader:
        while count := reader.readinto(buffer):
            size += count
            if size > limit:
                raise _too_large(limit)


_CODINGS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "zstd": _zstd,
    "deflate": _deflate,
}


def split_lines(body: bytes) -> list[bytes]:
    """The records of ``Framing.LINES``. A byte order mark at the start is dropped.

    Raises ``RequestError`` 413 for too many records.
    """
    body = body.removeprefix(_BOM)
    if len(body) > MAX_RECORDS and body.count(b"\n") >= MAX_RECORDS:
        raise _too_many_records()
    if b"\r" in body:
        body = body.replace(b"\r\n", b"\n").removesuffix(b"\r")
    lines = body.split(b"\n")
    if not lines[-1]:
        del lines[-1]
    return lines if all(lines) else [line for line in lines if line]


def split_json(body: bytes) -> list[bytes]:
    """The records of ``Framing.JSON``: valid JSON texts, none of which holds a line end.

    Raises ``RequestError``: 400 with the position if the body isn't JSON, 413 for too many records.
    """
    body = body.removeprefix(_BOM)
    is_array = _ARRAY.match(body)
    if is_array and body.count(b",") > MAX_JSON_COMMAS:
        raise RequestError(413, f"more than {MAX_JSON_COMMAS} commas in one JSON array; send it in parts")
    try:
        if not body.isascii():
            body.decode()
        if is_array:
            records = [bytes(element) for element in msgspec.json.decode(body, type=list[msgspec.Raw])]
        else:
            records = [bytes(msgspec.json.decode(body, type=msgspec.Raw))]
        if b"\n" in body or b"\r" in body:
            records = [_one_line(record) for record in records]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(400, f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise RequestError(400, "the JSON body is nested too deeply") from error
    if len(records) > MAX_RECORDS:
        raise _too_many_records()
    return records


def _one_line(record: bytes) -> bytes:
    # A lone CR too: Hadoop's readers, thus Athena's, end a line there.
    return msgspec.json.format(record, indent=-1) if b"\n" in record or b"\r" in record else record


def _too_many_records() -> RequestError:
    return RequestError(413, f"more than {MAX_RECORDS} records in one request; send them in parts")
