"""Streams of requests for property tests: good ones, and good ones that were damaged."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st

_NAMES = st.sampled_from(["X-A", "Accept", "traceparent", "User-Agent", "Content-Type", "x_y!"])
_VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12)
_TARGETS = st.sampled_from(["/", "/ingest", "/a.b?c=d", "/ingest/%41", "http://h/x"])
_BODIES = st.binary(max_size=40)


_JUNK = st.sampled_from(
    [b"", b"\r", b"\n", b"\r\n", b" ", b"\t", b"\0", b":", b"0", b"f", b";", b",", b"\xff", b"chunked"]
) | st.sampled_from(
    [
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"GET / HTTP/1.1\r\n",
    ]
)


@st.composite
def chunked(draw: st.DrawFn, body: bytes) -> bytes:
    parts: list[bytes] = []
    while body:
        size = draw(st.integers(1, len(body)))
        extension = draw(st.sampled_from([b"", b"", b";a", b";a=b", b';a="b c";d']))
        number = draw(st.sampled_from([b"%x", b"%X", b"0%x"])) % size
        parts.append(number + extension + b"\r\n" + body[:size] + b"\r\n")
        body = body[size:]
    trailer = draw(st.sampled_from([b"", b"", b"X-T: 1\r\n"]))
    return b"".join(parts) + b"0\r\n" + trailer + b"\r\n"


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    headers = draw(st.lists(st.tuples(_NAMES, _VALUES), max_size=4, unique_by=lambda pair: pair[0]))
    lines = [f"{name}: {value}" for name, value in headers]
    lines.insert(draw(st.integers(0, len(lines))), "Host: h")
    body = draw(_BODIES)
    framing = draw(st.sampled_from(["length", "length", "chunked", "none"]))
    if framing == "length":
        lines.append(f"content-length: {len(body)}")
    elif framing == "chunked":
        lines.append("Transfer-Encoding: chunked")
        body = draw(chunked(body))
    else:
        body = b""
    method = draw(st.sampled_from(["POST", "POST", "POST", "GET", "PUT"]))
    head = "\r\n".join([f"{method} {draw(_TARGETS)} HTTP/1.1", *lines]) + "\r\n\r\n"
    return head.encode() + body


streams = st.lists(requests(), min_size=1, max_size=4).map(b"".join)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A stream of which some bytes were replaced, removed or put in; more often around line ends."""
    data = bytearray(draw(streams))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        junk = draw(_JUNK)
        data[place : place + draw(st.integers(0, 2))] = junk
    return bytes(data)


@st.composite
def cut(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The stream in pieces."""
    places = sorted(draw(st.sets(st.integers(0, len(data)), max_size=8)))
    edges = [0, *places, len(data)]
    return [data[start:end] for start, end in pairwise(edges) if end > start]
