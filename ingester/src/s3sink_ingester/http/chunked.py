"""The chunked transfer coding (RFC 9112, 7.1), as strict as a receiver may be. Pure.

Chunk extensions and trailers are checked for form and dropped; a trailer that says where a message ends is refused.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final

from s3sink_ingester.errors import RequestError

MAX_SIZE_LINE_BYTES: Final = 256
MAX_TRAILER_BYTES: Final = 4096

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_EXTENSION = rb";" + _TOKEN + rb"(?:=(?:" + _TOKEN + rb'|"[\t \x21\x23-\x5b\x5d-\x7e]*+"))?'
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:" + _EXTENSION + rb")*+")
_FRAMING = rb"(?i:content-length|transfer-encoding|host)"
_TRAILER = re.compile(rb"(?!" + _FRAMING + rb":)" + _TOKEN + rb":[\x20-\x7e\t\x80-\xff]*+")


class _Expect(Enum):
    SIZE = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILER = auto()
    NOTHING = auto()


class ChunkedDecoder:
    """Decodes one body. `limit`: most bytes of content; `body`: the content so far; `done`: it is complete."""

    __slots__ = ("_expect", "_left", "_limit", "_trailer_bytes", "body")

    def __init__(self, limit: int) -> None:
        self.body = bytearray()
        self._limit = limit
        self._expect = _Expect.SIZE
        self._left = 0
        self._trailer_bytes = 0

    @property
    def done(self) -> bool:
        return self._expect is _Expect.NOTHING

    def feed(self, buffer: bytes, position: int) -> int:
        """Decode from `position` on as far as `buffer` goes; the position of the first byte not used.

        Unused bytes are to be given again with more behind them, unless `done`: then they are the next request.
        Raises RequestError, with `close`: 400 (malformed), 413 (content longer than the limit), 431 (trailers).
        """
        while True:
            before = self._expect, position
            if self._expect is _Expect.DATA:
                position = self._data(buffer, position)
            elif self._expect is _Expect.DATA_END:
                position = self._data_end(buffer, position)
            elif self._expect is _Expect.SIZE:
                position = self._size_line(buffer, position)
            elif self._expect is _Expect.TRAILER:
                position = self._trailer_line(buffer, position)
            if (self._expect, position) == before:
                return position

    def _size_line(self, buffer: bytes, position: int) -> int:
        end = buffer.find(b"\r\n", position, position + MAX_SIZE_LINE_BYTES + 2)
        if end < 0:
            # The last byte may be the CR, hence one more.
            if len(buffer) - position > MAX_SIZE_LINE_BYTES + 1:
                raise _malformed()
            return position
        match = _SIZE_LINE.fullmatch(buffer, position, end)
        if match is None:
            raise _malformed()
        size = int(match[1], 16)
        if len(self.body) + size > self._limit:
            raise RequestError(413, f"the body is longer than {self._limit} bytes", close=True)
        self._left = size
        self._expect = _Expect.DATA if size else _Expect.TRAILER
        return end + 2

    def _data(self, buffer: bytes, position: int) -> int:
        piece = buffer[position : position + self._left]
        self.body += piece
        self._left -= len(piece)
        if not self._left:
            self._expect = _Expect.DATA_END
        return position + len(piece)

    def _data_end(self, buffer: bytes, position: int) -> int:
        if len(buffer) - position < 2:
            return position
        if not buffer.startswith(b"\r\n", position):
            raise _malformed()
        self._expect = _Expect.SIZE
        return position + 2

    def _trailer_line(self, buffer: bytes, position: int) -> int:
        room = MAX_TRAILER_BYTES - self._trailer_bytes
        end = buffer.find(b"\r\n", position, position + max(room, 2))
        if end < 0:
            if len(buffer) - position >= max(room, 2):
                raise RequestError(431, f"more than {MAX_TRAILER_BYTES} bytes of trailers", close=True)
            return position
        if end == position:
            self._expect = _Expect.NOTHING
        elif _TRAILER.fullmatch(buffer, position, end) is None:
            raise _malformed()
        self._trailer_bytes += end + 2 - position
        return end + 2


def _malformed() -> RequestError:
    return RequestError(400, "malformed request: the chunked body can't be decoded", close=True)
