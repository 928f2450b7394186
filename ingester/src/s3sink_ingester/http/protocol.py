"""HTTP/1.1 requests out of bytes. Sans-IO and pure: bytes in, events out, the same however the bytes are cut.

Two ways through, which must agree (the tests hold them to it):

- `whole(data)`: the straight way, for bytes that are exactly one request of known length, whose head was seen
  before. It compares bytes and slices.
- `receive(data)`, then `next_event()` until None: everything. Events are a `Head` (the body may still be on its
  way, so the request can be refused before it is read) and then `bytes`, its whole body.

After an error the parser is of no more use: the framing is lost and the connection must be closed.
"""

from __future__ import annotations

from enum import Enum, auto

from s3sink_ingester.errors import RequestError
from s3sink_ingester.http.chunked import ChunkedDecoder
from s3sink_ingester.http.heads import (
    CHUNKED,
    MAX_HEAD_BYTES,
    MAX_REQUEST_LINE_BYTES,
    NO_HEAD,
    NOT_HTTP,
    Head,
    HeadCache,
    malformed,
)

_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


class Phase(Enum):
    """Where a connection's incoming bytes stand."""

    IDLE = auto()
    """Between requests; nothing of the next one is here."""
    HEAD = auto()
    """Part of a head is here."""
    BODY = auto()
    """The head was handed out, its body not yet."""


class RequestParser:
    """The requests of one connection.

    `heads`: parsed heads, shared by all connections. `max_body`: most bytes of a chunked body (a body with a
    Content-Length is judged by whoever sees the Head). `head`: the head of the latest request.
    """

    __slots__ = (
        "_body",
        "_buffer",
        "_chunked",
        "_get",
        "_heads",
        "_left",
        "_max_body",
        "_position",
        "_scanned",
        "head",
    )

    def __init__(self, heads: HeadCache, max_body: int) -> None:
        self.head: Head = NO_HEAD
        self._heads = heads
        self._get = heads.known.get
        self._max_body = max_body
        self._buffer = b""
        self._position = 0
        # How far the buffer is known to hold no empty line, so that a slow head isn't searched again and again.
        self._scanned = 0
        # The body being read: with a Content-Length, `_left` bytes of it are missing (-1: none is being read).
        self._left = -1
        self._body = bytearray()
        self._chunked: ChunkedDecoder | None = None

    @property
    def phase(self) -> Phase:
        if self._left >= 0 or self._chunked is not None:
            return Phase.BODY
        return Phase.HEAD if self._position < len(self._buffer) else Phase.IDLE

    @property
    def held(self) -> int:
        """Bytes in memory here: those not yet parsed and the body so far."""
        body = len(self._body) if self._chunked is None else len(self._chunked.body)
        return len(self._buffer) - self._position + body

    @property
    def body_begun(self) -> bool:
        """Part of the latest Head's body is here, or there is none to wait for."""
        return self._position < len(self._buffer) or self._left == 0

    @property
    def body_received(self) -> int:
        """Bytes of the body being read that have come."""
        return len(self._body) if self._chunked is None else len(self._chunked.body)

    def whole(self, data: bytes) -> bytes | None:
        """The body, if `data` is one complete request with a known head and nothing came before it.

        Then `head` is its head. Otherwise None, and nothing has been consumed: go on with `receive`.
        """
        if self._buffer or self._left >= 0 or self._chunked is not None:
            return None
        head = self.head
        # A head ends in its first empty line, so bytes that begin with a known head have exactly that head.
        if not data.startswith(head.raw):
            known = self._get(data[: data.find(b"\r\n\r\n") + 4])
            if known is None:
                return None
            head = known
        if len(data) != head.total:
            return None
        self.head = head
        return data[head.size :]

    def receive(self, data: bytes) -> None:
        """Take bytes from the network; ask `next_event` what they are."""
        if self._position == len(self._buffer):
            self._buffer = data
            self._scanned = 0
        else:
            self._buffer = self._buffer[self._position :] + data
            self._scanned = max(0, self._scanned - self._position)
        self._position = 0

    def next_event(self) -> Head | bytes | None:
        """The next Head, or the body of the latest Head, or None: more bytes are needed.

        Raises RequestError (with `close`) as `parse_head` and `ChunkedDecoder` do, 414 and 431.
        """
        if self._left >= 0:
            return self._next_body()
        if self._chunked is not None:
            return self._next_chunked(self._chunked)
        return self._next_head()

    def skip_body(self) -> bool:
        """Drop the latest Head's body. False: it isn't all here, and the connection is of no more use."""
        if self._left < 0 or self._body or len(self._buffer) - self._position < self._left:
            return False
        self._advance(self._left)
        self._left = -1
        return True

    def _next_head(self) -> Head | None:
        buffer = self._buffer
        # RFC 9112, 2.2: empty lines before a request are to be ignored.
        while buffer.startswith(b"\r\n", self._position):
            self._advance(2)
            buffer = self._buffer
        start = self._position
        if start == len(buffer):
            return None
        end = buffer.find(b"\r\n\r\n", max(start, self._scanned - 3))
        size = end + 4 - start
        if end < 0 or size > MAX_REQUEST_LINE_BYTES:  # else the head's grammar says it all
            self._check(end)
            if end < 0:
                self._scanned = len(buffer)
                return None
        head = self._heads.parse(buffer[start : start + size])
        self.head = head
        self._advance(size)
        if head.length == CHUNKED:
            self._chunked = ChunkedDecoder(self._max_body)
        else:
            self._left = max(head.length, 0)
        return head

    def _check(self, end: int) -> None:
        """Refuse what can't become a head, complete (its empty line at `end`) or not (-1), as soon as it shows."""
        buffer, start = self._buffer, self._position
        if buffer[start] not in _TOKEN and buffer[start:] != b"\r":
            raise malformed(NOT_HTTP)
        line_end = buffer.find(b"\r\n", start, start + MAX_REQUEST_LINE_BYTES)
        if line_end < 0 and len(buffer) - start >= MAX_REQUEST_LINE_BYTES:
            raise RequestError(
                414, f"the request line is longer than {MAX_REQUEST_LINE_BYTES} bytes", close=True
            )
        if end + 4 - start > MAX_HEAD_BYTES or (end < 0 and len(buffer) - start >= MAX_HEAD_BYTES):
            raise RequestError(431, f"the headers are longer than {MAX_HEAD_BYTES} bytes", close=True)

    def _next_body(self) -> bytes | None:
        buffer, start = self._buffer, self._position
        here = len(buffer) - start
        if here >= self._left and not self._body:
            body = buffer[start : start + self._left]
            self._advance(self._left)
            self._left = -1
            return body
        # One growing buffer, not a list of pieces: a client that sends byte by byte must not cost an object each.
        taken = min(here, self._left)
        self._body += buffer[start : start + taken]
        self._advance(taken)
        self._left -= taken
        if self._left:
            return None
        body = bytes(self._body)
        self._body = bytearray()
        self._left = -1
        return body

    def _next_chunked(self, decoder: ChunkedDecoder) -> bytes | None:
        self._advance(decoder.feed(self._buffer, self._position) - self._position)
        if not decoder.done:
            return None
        self._chunked = None
        return bytes(decoder.body)

    def _advance(self, count: int) -> None:
        self._position += count
        if self._position == len(self._buffer):
            self._buffer = b""
            self._position = self._scanned = 0
