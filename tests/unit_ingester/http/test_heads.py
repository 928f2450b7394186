"""What a head means, and which ones are refused."""

from __future__ import annotations

import pytest
from s3sink_ingester.errors import RequestError
from s3sink_ingester.http.heads import CHUNKED, MAX_HEADERS, NO_LENGTH, HeadCache, parse_head


def _head(*lines: str, first: str = "POST / HTTP/1.1", host: bool = True) -> bytes:
    return "\r\n".join([first, *(["Host: h"] if host else []), *lines, "", ""]).encode("latin-1")


def test_fields() -> None:
    head = parse_head(
        _head("X-Key:  a \t", "Accept: a", "accept: b", "Content-Length: 07", first="PUT /a?b HTTP/1.1")
    )
    assert (head.method, head.target, head.length, head.total) == ("PUT", "/a?b", 7, head.size + 7)
    assert head.headers == {"host": "h", "x-key": "a", "accept": "a, b", "content-length": "07"}
    assert (head.persistent, head.expects_continue, head.endpoint) == (True, False, None)


@pytest.mark.parametrize(
    ("line", "length"),
    [("Content-Length: 0", 0), ("X: y", NO_LENGTH), ("transfer-encoding: Chunked", CHUNKED)],
)
def test_lengths(line: str, length: int) -> None:
    assert parse_head(_head(line)).length == length


@pytest.mark.parametrize(
    ("first", "line", "persistent"),
    [
        ("POST / HTTP/1.1", "X: close", True),
        ("POST / HTTP/1.1", "Connection: keep-alive", True),
        ("POST / HTTP/1.1", "Connection: Upgrade, HTTP2-Settings", True),
        ("POST / HTTP/1.1", "Connection: Close", False),
        ("POST / HTTP/1.1", "Connection: x, close", False),
        ("POST / HTTP/1.0", "X: y", False),
        ("POST / HTTP/1.0", "Connection: keep-alive", False),
    ],
)
def test_persistence(first: str, line: str, persistent: bool) -> None:
    assert parse_head(_head(line, first=first)).persistent is persistent


@pytest.mark.parametrize(
    ("target", "origin"),
    [
        ("/a/b?c", "/a/b?c"),
        ("*", "*"),
        ("http://host/a?b", "/a?b"),
        ("https://host", "/"),
        ("http://host?q", "/?q"),
    ],
)
def test_targets(target: str, origin: str) -> None:
    assert parse_head(_head(first=f"POST {target} HTTP/1.1")).target == origin


def test_an_http_1_0_client_needs_no_host_and_gets_no_100() -> None:
    head = parse_head(_head("Expect: 100-continue", first="POST / HTTP/1.0", host=False))
    assert not head.expects_continue
    assert parse_head(_head("Expect: 100-Continue")).expects_continue


REFUSED = {
    # Two ways to say where the message ends.
    "length and chunked": (_head("Content-Length: 5", "Transfer-Encoding: chunked"), 400),
    "chunked and length": (_head("Transfer-Encoding: chunked", "Content-Length: 5"), 400),
    "two lengths": (_head("Content-Length: 5", "Content-Length: 6"), 400),
    "one length twice": (_head("Content-Length: 5", "content-length: 5"), 400),
    "list of lengths": (_head("Content-Length: 5, 5"), 400),
    "two codings": (_head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), 400),
    # Lengths that some parser would take.
    "signed": (_head("Content-Length: +5"), 400),
    "negative": (_head("Content-Length: -5"), 400),
    "hexadecimal": (_head("Content-Length: 0x5"), 400),
    "underscore": (_head("Content-Length: 1_0"), 400),
    "fraction": (_head("Content-Length: 5.0"), 400),
    "no digits": (_head("Content-Length:"), 400),
    "superscript": (_head("Content-Length: \xb2"), 400),
    "overflow": (_head("Content-Length: 99999999999999999999"), 400),
    # Codings that hide chunked from somebody.
    "gzip, chunked": (_head("Transfer-Encoding: gzip, chunked"), 501),
    "identity": (_head("Transfer-Encoding: identity"), 501),
    "xchunked": (_head("Transfer-Encoding: xchunked"), 501),
    "chunked;": (_head("Transfer-Encoding: chunked;q=1"), 501),
    "vertical tab": (_head("Transfer-Encoding: \x0bchunked"), 400),
    "chunked over 1.0": (_head("Transfer-Encoding: chunked", first="POST / HTTP/1.0"), 400),
    # Lines that aren't lines.
    "folded": (_head("X: a", " b"), 400),
    "folded with a tab": (_head("X: a", "\tContent-Length: 5"), 400),
    "bare LF": (_head("X: a\nContent-Length: 5"), 400),
    "bare CR": (_head("X: a\rContent-Length: 5"), 400),
    "NUL": (_head("X: a\0b"), 400),
    "blank before the colon": (_head("Content-Length : 5"), 400),
    "blank before the name": (b"POST / HTTP/1.1\r\n Host: h\r\n\r\n", 400),
    "no colon": (_head("nonsense"), 400),
    "no name": (_head(": a"), 400),
    "strange name": (_head("X@Y: a"), 400),
    "name beyond ASCII": (_head("X\xe9: a"), 400),
    # The request line.
    "no host": (_head(host=False), 400),
    "two hosts": (_head("Host: i"), 400),
    "HTTP/0.9": (_head(first="POST / HTTP/0.9"), 505),
    "HTTP/1.2": (_head(first="POST / HTTP/1.2"), 505),
    "HTTP/2": (_head(first="PRI * HTTP/2.0", host=False), 505),
    "other protocol": (_head(first="POST / RTSP/1.0"), 400),
    "no version": (_head(first="POST /"), 400),
    "two blanks": (_head(first="POST  / HTTP/1.1"), 400),
    "trailing blank": (_head(first="POST / HTTP/1.1 "), 400),
    "tab": (_head(first="POST\t/ HTTP/1.1"), 400),
    "no target": (_head(first="POST foo HTTP/1.1"), 400),
    "authority": (_head(first="CONNECT h:80 HTTP/1.1"), 400),
    "scheme without host": (_head(first="POST http:///a HTTP/1.1"), 400),
    "target beyond ASCII": (_head(first="POST /\xe9 HTTP/1.1"), 400),
    "method beyond tokens": (_head(first="PO(ST / HTTP/1.1"), 400),
    # Others.
    "too many headers": (_head(*(f"X{number}: a" for number in range(MAX_HEADERS))), 431),
    "expectation": (_head("Expect: 200-ok"), 417),
}


@pytest.mark.parametrize(("raw", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(raw: bytes, status: int) -> None:
    with pytest.raises(RequestError) as caught:
        HeadCache().parse(raw)
    assert (caught.value.status, caught.value.close) == (status, True)


def test_a_head_is_kept_from_its_second_time_on() -> None:
    heads = HeadCache()
    raw = _head("Content-Length: 5")
    first = heads.parse(raw)
    assert raw not in heads.known
    second = heads.parse(raw)
    assert heads.parse(raw) is second is heads.known[raw]
    assert first is not second


def test_the_cache_is_bounded() -> None:
    heads = HeadCache()
    hot = _head("X: hot")
    for number in range(HeadCache.MAX_ENTRIES + 10):
        raw = _head(f"X: {number}")
        heads.parse(raw)
        heads.parse(raw)
        heads.parse(hot)
        assert len(heads.known) <= HeadCache.MAX_ENTRIES
    assert hot in heads.known
    long = _head("X: " + "a" * HeadCache.MAX_KEPT_BYTES)
    heads.parse(long)
    heads.parse(long)
    assert long not in heads.known
    for number in range(3000):
        raw = _head(f"X: {number}" + "a" * 1900)
        heads.parse(raw)
        heads.parse(raw)
        assert sum(map(len, heads.known)) <= HeadCache.MAX_BYTES + HeadCache.MAX_KEPT_BYTES
