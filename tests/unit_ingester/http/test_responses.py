"""Replies, byte for byte."""

from __future__ import annotations

from s3sink_ingester.errors import BadRecord, Overloaded, RequestError
from s3sink_ingester.http.responses import (
    MAX_REASON_CHARACTERS,
    MAX_RECORDS_NAMED,
    Replies,
    closing,
    without_body,
)

ACCEPTED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n"
    b'Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n{"accepted": 3}'
)


def test_accepted() -> None:
    replies = Replies(0.0)
    assert replies.accepted(3) == ACCEPTED
    assert replies.accepted(3) is replies.accepted(3)
    replies.tick(0.9)
    assert replies.accepted(3) == ACCEPTED
    replies.tick(1.0)
    assert replies.accepted(3) == ACCEPTED.replace(b"00:00:00", b"00:00:01")


def test_what_is_remembered_is_bounded() -> None:
    replies = Replies(0.0)
    for count in range(5000):
        assert replies.accepted(count).endswith(b"%d}" % count)
    assert replies.accepted(4999) is not replies.accepted(4999)


def test_closing_and_without_body() -> None:
    assert closing(ACCEPTED) == ACCEPTED.replace(b" OK\r\n", b" OK\r\nConnection: close\r\n")
    assert without_body(ACCEPTED) == ACCEPTED[:-15]


def test_problem() -> None:
    reply = Replies(0.0).problem(RequestError(404, 'nothing is at /"ä"'))
    head, body = reply.split(b"\r\n\r\n")
    assert head == (
        b"HTTP/1.1 404 Not Found\r\nContent-Type: application/problem+json\r\n"
        b"Content-Length: %d\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT" % len(body)
    )
    assert body == (
        b'{"type": "about:blank", "title": "Not Found", "status": 404, "detail": "nothing is at /\\"\\u00e4\\""}'
    )


def test_headers_that_go_with_a_status() -> None:
    replies = Replies(0.0)
    assert b"\r\nAllow: POST\r\n" in replies.problem(RequestError(405, ""))
    assert b"\r\nWWW-Authenticate: Bearer\r\n" in replies.problem(RequestError(401, ""))
    overloaded = replies.problem(Overloaded("full", "no room", retry_after=5))
    assert overloaded.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"\r\nRetry-After: 5\r\n" in overloaded
    assert b'"reason": "full"' in overloaded


def test_bad_records_are_bounded() -> None:
    records = [BadRecord(index, "x" * 10_000) for index in range(1000)]
    reply = Replies(0.0).problem(RequestError(400, "bad", records=records))
    assert reply.count(b'"index"') == MAX_RECORDS_NAMED
    assert len(reply) < MAX_RECORDS_NAMED * (MAX_REASON_CHARACTERS + 100)
    assert b'"recordsTotal": 1000' in reply


def test_one_refusal_is_made_once_a_second() -> None:
    replies = Replies(0.0)
    full, other = Overloaded("full", "no room"), Overloaded("full", "no room")
    assert replies.problem(full) is replies.problem(full)
    assert replies.problem(other) == replies.problem(full)
    replies.tick(1.0)
    assert b"00:00:01" in replies.problem(full)
