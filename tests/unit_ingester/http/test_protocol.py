"""The parser says the same however the bytes are cut, whichever way they take, and never less strictly than llhttp."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from s3sink_ingester.errors import RequestError
from s3sink_ingester.http.chunked import MAX_SIZE_LINE_BYTES, MAX_TRAILER_BYTES
from s3sink_ingester.http.heads import MAX_HEAD_BYTES, MAX_REQUEST_LINE_BYTES, Head, HeadCache
from s3sink_ingester.http.protocol import Phase, RequestParser

from tests.unit_ingester.http.events import (
    MAX_BODY,
    describe,
    events_of,
    events_with_straight_way,
)
from tests.unit_ingester.http.oracle import llhttp_messages
from tests.unit_ingester.http.streams import cut, damaged, streams

ONE = b"POST /ingest HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n"
)
EMPTY = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
PIPELINE = ONE + CHUNKED + b"\r\n" + EMPTY + ONE

STREAMS = {
    "one": ONE,
    "chunked": CHUNKED,
    "pipeline": PIPELINE,
    "error behind good ones": ONE + EMPTY + b"POST / HTTP/1.1\r\nHost : h\r\n\r\n",
    "bad chunk": CHUNKED.replace(b"A;x", b"G;x"),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "long line": b"POST /" + b"a" * MAX_REQUEST_LINE_BYTES + b" HTTP/1.1\r\n\r\n",
    "long head": b"POST / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * MAX_HEAD_BYTES + b"\r\n\r\n",
}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS.keys())
def test_cut_anywhere(stream: bytes) -> None:
    expected = events_of([stream])
    assert expected
    step = max(1, len(stream) // 500)
    for place in range(1, len(stream), step):
        assert events_of([stream[:place], stream[place:]]) == expected
    assert events_of([stream[place : place + 1] for place in range(len(stream))]) == expected


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_equal_streams_give_equal_events(data: st.DataObject) -> None:
    stream = data.draw(damaged())
    expected = events_of([stream])
    pieces = data.draw(cut(stream))
    assert events_of(pieces) == expected
    # Heads that are known already, and taken the straight way where that fits, change nothing.
    heads = HeadCache()
    for _ in range(3):
        assert events_with_straight_way(pieces, heads) == expected


@given(streams)
@settings(max_examples=200, deadline=None)
def test_good_streams_are_read_as_llhttp_reads_them(stream: bytes) -> None:
    expected, refusal = llhttp_messages(stream)
    assert refusal is None
    assert _messages(stream) == expected


@given(damaged())
@example(b"GET / HTTP/1.0\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")
@example(CHUNKED.replace(b"X-T", b"Content-Length"))
@example(CHUNKED.replace(b"x=y", b" x"))
@settings(max_examples=600, deadline=None)
def test_what_is_taken_is_taken_alike_by_llhttp(stream: bytes) -> None:
    """The property that rules out smuggling: a front that uses llhttp sees the same messages as we do, or fewer."""
    ours = _messages(stream)
    theirs, refusal = llhttp_messages(stream)
    if refusal is not None and ("InvalidMethod" in refusal or "Upgrade" in refusal):
        return  # it knows only some methods, and stops where another protocol could begin
    assert theirs[: len(ours)] == ours


def _messages(stream: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Complete messages up to the connection's last, with the target as it was sent."""
    parser = RequestParser(HeadCache(), MAX_BODY)
    parser.receive(stream)
    messages: list[tuple[bytes, bytes, bytes]] = []
    head: Head | None = None
    try:
        while (event := parser.next_event()) is not None:
            if isinstance(event, Head):
                head = event
            elif head is not None:
                method, target, _ = head.raw.split(b" ", 2)
                messages.append((method, target, event))
                if not head.persistent:
                    break
    except RequestError:
        pass
    return messages


def test_the_straight_way_needs_a_known_head() -> None:
    heads = HeadCache()
    parser = RequestParser(heads, MAX_BODY)
    assert parser.whole(ONE) is None
    parser.receive(ONE)
    head = parser.next_event()
    assert isinstance(head, Head)
    assert parser.next_event() == b"hello"
    assert parser.whole(ONE) == b"hello"
    assert parser.head is head


@pytest.mark.parametrize(
    "data",
    [ONE[:-1], ONE + b"x", ONE + ONE, ONE[:20], b"\r\n" + ONE, CHUNKED],
    ids=["short", "long", "two", "head cut", "empty line before", "chunked"],
)
def test_the_straight_way_leaves_the_rest_alone(data: bytes) -> None:
    heads = HeadCache()
    parser = RequestParser(heads, MAX_BODY)
    for stream in (ONE, CHUNKED, ONE):
        parser.receive(stream)
        while parser.next_event() is not None:
            pass
    assert parser.whole(data) is None
    assert parser.phase is Phase.IDLE
    parser.receive(data)
    assert parser.phase is not Phase.IDLE


def test_the_straight_way_is_closed_within_a_message() -> None:
    heads = HeadCache()
    events_of([ONE, ONE], heads)
    for begun in (b"POST", ONE[:-2], CHUNKED[:-3]):
        parser = RequestParser(heads, MAX_BODY)
        parser.receive(begun)
        while parser.next_event() is not None:
            pass
        assert parser.whole(ONE) is None


def test_phases_and_what_is_held() -> None:
    parser = RequestParser(HeadCache(), MAX_BODY)
    assert (parser.phase, parser.held) == (Phase.IDLE, 0)
    parser.receive(ONE[:10])
    assert parser.next_event() is None
    assert (parser.phase, parser.held) == (Phase.HEAD, 10)
    parser.receive(ONE[10:-3])
    assert isinstance(parser.next_event(), Head)
    assert parser.body_begun
    assert parser.next_event() is None
    assert (parser.phase, parser.held, parser.body_received) == (Phase.BODY, 2, 2)
    parser.receive(ONE[-3:] + ONE[:7])
    assert parser.next_event() == b"hello"
    assert (parser.phase, parser.held) == (Phase.HEAD, 7)


def test_a_body_that_is_all_here_can_be_skipped() -> None:
    parser = RequestParser(HeadCache(), MAX_BODY)
    parser.receive(ONE + EMPTY)
    assert isinstance(parser.next_event(), Head)
    assert parser.skip_body()
    following = parser.next_event()
    assert isinstance(following, Head)
    assert following.method == "GET"


@pytest.mark.parametrize("stream", [ONE[:-1], CHUNKED], ids=["incomplete", "chunked"])
def test_other_bodies_can_not(stream: bytes) -> None:
    parser = RequestParser(HeadCache(), MAX_BODY)
    parser.receive(stream)
    assert isinstance(parser.next_event(), Head)
    assert not parser.skip_body()


def _chunked(body: bytes) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + body


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"5\nhello\r\n0\r\n\r\n", 400),
        (b"5 \r\nhello\r\n0\r\n\r\n", 400),
        (b" 5\r\nhello\r\n0\r\n\r\n", 400),
        (b"+5\r\nhello\r\n0\r\n\r\n", 400),
        (b"0x5\r\nhello\r\n0\r\n\r\n", 400),
        (b"-5\r\nhello\r\n0\r\n\r\n", 400),
        (b"\r\nhello\r\n0\r\n\r\n", 400),
        (b"g\r\n", 400),
        (b"5; a\r\nhello\r\n0\r\n\r\n", 400),
        (b"5;\r\nhello\r\n0\r\n\r\n", 400),
        (b"5;a\nb\r\nhello\r\n0\r\n\r\n", 400),
        (b"5;a\rb\r\nhello\r\n0\r\n\r\n", 400),
        (b"5;\0\r\nhello\r\n0\r\n\r\n", 400),
        (b"5\r\nhelloX0\r\n\r\n", 400),
        (b"5\r\nhello\n0\r\n\r\n", 400),
        (b"123456789\r\n", 400),
        (b"FFFFFFFF\r\n", 413),
        (b"%x\r\n" % (MAX_BODY + 1), 413),
        (b"1\r\na\r\n%x\r\n" % MAX_BODY, 413),
        (b"5;" + b"a" * MAX_SIZE_LINE_BYTES, 400),
        (b"0\r\nX: a\nY: b\r\n\r\n", 400),
        (b"0\r\n folded\r\n\r\n", 400),
        (b"0\r\ncontent-Length: 3\r\n\r\n", 400),
        (b"0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"0\r\nX : a\r\n\r\n", 400),
        (b"0\r\nX: " + b"a" * MAX_TRAILER_BYTES, 431),
        (b"0\r\n" + b"X: a\r\n" * (MAX_TRAILER_BYTES // 6 + 1), 431),
    ],
)
def test_bad_chunks(body: bytes, status: int) -> None:
    stream = _chunked(body)
    events = events_of([stream])
    assert [event[:2] for event in events[1:]] == [("error", status)]
    assert events_of([stream[place : place + 1] for place in range(len(stream))]) == events


def test_the_largest_chunked_body() -> None:
    body = b"x" * MAX_BODY
    events = events_of([_chunked(b"%x\r\n%s\r\n0\r\n\r\n" % (MAX_BODY, body))])
    assert events[1] == ("body", body)


def test_the_largest_head_and_request_line() -> None:
    head = b"POST / HTTP/1.1\r\nHost: h\r\nX: "
    head += b"a" * (MAX_HEAD_BYTES - len(head) - 4) + b"\r\n\r\n"
    assert events_of([head])[0][0] == "head"
    line = b"POST /%s HTTP/1.1\r\n"
    line %= b"a" * (MAX_REQUEST_LINE_BYTES - len(line) + 2)
    assert len(line) == MAX_REQUEST_LINE_BYTES
    assert events_of([line + b"Host: h\r\n\r\n"])[0][0] == "head"
    assert events_of([line.replace(b"/", b"/a") + b"Host: h\r\n\r\n"])[0][1] == 414


def test_a_slow_head_is_not_searched_from_its_beginning() -> None:
    head = b"POST / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 15_000 + b"\r\n\r\n"
    assert describe(HeadCache().parse(head)) == events_of([head[i : i + 1] for i in range(len(head))])[0]
