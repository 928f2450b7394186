"""A request's head: everything up to and including the empty line, parsed once for all its repetitions.

Clients on keep-alive connections send the same head bytes again and again, so a parsed `Head` is kept by its
bytes (`HeadCache`): the hot path compares bytes and parses nothing. That is safe because a head's meaning
depends on its bytes alone. Heads that carry a trace id or a signature are never the same twice, so parsing must
be fast too: the grammar is one regular expression, which takes half of what llhttp's callbacks into Python take.

It is RFC 9112's grammar with nothing forgiven, since two parsers that forgive differently can be made to
disagree about where a message ends: no bare CR or LF, no folded lines, no blank before a colon, exactly one way
to say the length, exactly one Host. The tests hold it to llhttp: what is taken here, llhttp takes alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from s3sink_ingester.errors import RequestError

if TYPE_CHECKING:
    from s3sink_ingester.http.endpoint import Endpoint

MAX_HEAD_BYTES: Final = 16 * 1024
MAX_REQUEST_LINE_BYTES: Final = 4096
MAX_HEADERS: Final = 100

CHUNKED: Final = -1
"""`Head.length` of a body in chunks."""
NO_LENGTH: Final = -2
"""`Head.length` where nothing announces a body: there is none."""

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_REQUEST_LINE = rf"({_TOKEN}) ((?:/|\*|https?://)[\x21-\x7e]*+) HTTP/([0-9])\.([0-9])\r\n"
_HEADER = rf"{_TOKEN}:[\t\x20-\x7e\x80-\xff]*+\r\n"
_HEAD = re.compile(rf"{_REQUEST_LINE}((?:{_HEADER})*+)\r\n", re.ASCII)
_ABSOLUTE_FORM = re.compile(r"https?://[^/?#]+")
_ONLY_ONCE = frozenset({"host", "content-length", "transfer-encoding", "content-type", "expect"})


class Head:
    """A parsed request head. Only `endpoint` ever changes after it is made.

    `raw`: its bytes with the closing empty line; `size`: their number. `method`: upper case. `target`: path and
    query as sent, in origin form. `headers`: names in lower case, values as latin-1 text without outer blanks,
    repeated headers joined by ", ". `length`: bytes of the body, or CHUNKED or NO_LENGTH. `total`: bytes of the
    whole request, -1 if only reading on can tell. `persistent`: the connection may be used again.
    `expects_continue`: the client waits for a 100 before it sends the body.
    `endpoint`: the server's note of where requests with this head go; None until it has decided, and for heads
    that need more than the straight path.
    """

    __slots__ = (
        "endpoint",
        "expects_continue",
        "headers",
        "length",
        "method",
        "persistent",
        "raw",
        "size",
        "target",
        "total",
    )

    def __init__(
        self,
        raw: bytes,
        method: str,
        target: str,
        headers: Mapping[str, str],
        length: int,
        *,
        persistent: bool,
        expects_continue: bool,
    ) -> None:
        self.raw = raw
        self.size = len(raw)
        self.method = method
        self.target = target
        self.headers = headers
        self.length = length
        self.total = -1 if length == CHUNKED else self.size + max(length, 0)
        self.persistent = persistent
        self.expects_continue = expects_continue
        self.endpoint: Endpoint | None = None


NO_HEAD: Final = Head(b"\0", "", "", {}, CHUNKED, persistent=True, expects_continue=False)
"""What a parser holds before the first head; equal to no bytes that a request can begin with."""


class HeadCache:
    """Parsed heads by their bytes, bounded in number and bytes; emptied when full, since hot heads soon return.

    `known` is the same dict for ever, so that a parser may keep its bound `get`.
    """

    MAX_ENTRIES: Final = 8192
    MAX_BYTES: Final = 4 * 1024 * 1024
    MAX_KEPT_BYTES: Final = 2048
    """Longer heads aren't kept at all."""

    __slots__ = ("_bytes", "_seen_once", "known")

    def __init__(self) -> None:
        self.known: dict[bytes, Head] = {}
        self._bytes = 0
        # Hashes of heads seen once. A head is kept when it comes again: those with a trace id never do, and keeping
        # thousands of them would cost more (memory, garbage collections) than parsing.
        self._seen_once: set[int] = set()

    def parse(self, raw: bytes) -> Head:
        """The head of these bytes, parsed if need be. Raises RequestError as `parse_head` does."""
        head = self.known.get(raw)
        if head is None:
            head = parse_head(raw)
            key = hash(raw)
            if key in self._seen_once:
                self._keep(head)
            else:
                if len(self._seen_once) >= self.MAX_ENTRIES:
                    self._seen_once.clear()
                self._seen_once.add(key)
        return head

    def forget_endpoints(self) -> None:
        """Every head that is kept has to be resolved again."""
        for head in self.known.values():
            head.endpoint = None

    def _keep(self, head: Head) -> None:
        if head.size > self.MAX_KEPT_BYTES:
            return
        if len(self.known) >= self.MAX_ENTRIES or self._bytes >= self.MAX_BYTES:
            self.known.clear()
            self._bytes = 0
        self.known[head.raw] = head
        self._bytes += head.size


def parse_head(raw: bytes) -> Head:
    """Parse one complete head, which ends in its first empty line.

    Raises RequestError, always with `close`: 400 (malformed or ambiguous), 417 (an expectation other than
    100-continue), 431 (too many headers), 501 (a transfer coding other than chunked), 505 (not HTTP/1).
    """
    text = raw.decode("latin-1")
    match = _HEAD.fullmatch(text)
    if match is None:
        raise malformed(_what_is_wrong(text))
    method, target, major, minor, lines = match.groups()
    if major != "1" or minor not in "01":
        raise RequestError(505, "this port speaks HTTP/1.1 (and 1.0) only", close=True)
    headers = _headers(lines)
    modern = minor == "1"
    if modern and "host" not in headers:
        raise malformed("an HTTP/1.1 request needs a Host header")
    expect = headers.get("expect")
    if expect is not None and expect.lower() != "100-continue":
        raise RequestError(417, "the only expectation that can be met is 100-continue", close=True)
    return Head(
        raw,
        method,
        target if target[0] != "h" else _origin_form(target),
        headers,
        _body_length(headers, modern),
        # An HTTP/1.0 client may ask for keep-alive; it isn't worth a second way of doing it.
        persistent=modern and not _has_close(headers.get("connection", "")),
        expects_continue=modern and expect is not None,
    )


def malformed(detail: str) -> RequestError:
    """A 400 after which nothing on the connection can be trusted."""
    return RequestError(400, f"malformed request: {detail}", close=True)


NOT_HTTP: Final = (
    "it doesn't begin with `METHOD target HTTP/1.1` (no HTTP/2 here; TLS only with source.tls.path)"
)


def _what_is_wrong(text: str) -> str:
    if re.match(_REQUEST_LINE, text, re.ASCII) is None:
        return NOT_HTTP
    return "a header line isn't `Name: value` and CR LF"


def _headers(lines: str) -> dict[str, str]:
    split = lines.split("\r\n")
    split.pop()
    if len(split) > MAX_HEADERS:
        raise RequestError(431, f"more than {MAX_HEADERS} headers", close=True)
    pairs = [line.partition(":") for line in split]
    headers = {name.lower(): value.strip(" \t") for name, _, value in pairs}
    return headers if len(headers) == len(pairs) else _joined(pairs)


def _joined(pairs: Sequence[tuple[str, str, str]]) -> dict[str, str]:
    """Headers of which some are repeated."""
    headers: dict[str, str] = {}
    for name, _, value in pairs:
        key = name.lower()
        if key in headers:
            if key in _ONLY_ONCE:
                raise malformed(f"more than one {key} header")
            headers[key] += ", " + value.strip(" \t")
        else:
            headers[key] = value.strip(" \t")
    return headers


def _origin_form(target: str) -> str:
    """A proxy's `http://host/path` as a client of our own would send it."""
    match = _ABSOLUTE_FORM.match(target)
    if match is None:
        raise malformed("the target has no host")
    path = target[match.end() :]
    return path if path.startswith("/") else f"/{path}"


def _has_close(connection: str) -> bool:
    return connection != "" and "close" in [token.strip().lower() for token in connection.split(",")]


def _body_length(headers: Mapping[str, str], modern: bool) -> int:
    coding = headers.get("transfer-encoding")
    length = headers.get("content-length")
    if coding is not None:
        if length is not None:
            raise malformed("both Content-Length and Transfer-Encoding")
        if not modern:
            raise malformed("Transfer-Encoding needs HTTP/1.1")
        if coding.lower() != "chunked":
            raise RequestError(501, "the only transfer coding here is chunked", close=True)
        return CHUNKED
    if length is None:
        return NO_LENGTH
    # isdigit alone would let other scripts' digits through.
    if not (length.isascii() and length.isdigit() and len(length) <= 18):
        raise malformed("Content-Length isn't a number of bytes")
    return int(length)
