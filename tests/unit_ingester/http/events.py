"""What a parser says to a stream of bytes, in a form that can be compared."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from s3sink_ingester.errors import RequestError
from s3sink_ingester.http.heads import Head, HeadCache
from s3sink_ingester.http.protocol import RequestParser

Event: TypeAlias = tuple[object, ...]
MAX_BODY = 1000


def describe(head: Head) -> Event:
    return (
        "head",
        head.method,
        head.target,
        tuple(head.headers.items()),
        head.length,
        head.persistent,
        head.expects_continue,
    )


def events_of(pieces: Iterable[bytes], heads: HeadCache | None = None) -> list[Event]:
    """By the general way."""
    parser = RequestParser(heads or HeadCache(), MAX_BODY)
    events: list[Event] = []
    for piece in pieces:
        parser.receive(piece)
        if not drain(parser, events):
            break
    return events


def drain(parser: RequestParser, events: list[Event]) -> bool:
    """Take every event there is; False: the last one is an error."""
    try:
        while (event := parser.next_event()) is not None:
            events.append(describe(event) if isinstance(event, Head) else ("body", event))
    except RequestError as error:
        events.append(("error", error.status, error.detail))
        return False
    return True


def events_with_straight_way(pieces: Iterable[bytes], heads: HeadCache) -> list[Event]:
    """As a server does it: the straight way if it can be gone, the general way otherwise."""
    parser = RequestParser(heads, MAX_BODY)
    events: list[Event] = []
    for piece in pieces:
        body = parser.whole(piece)
        if body is not None:
            events += [describe(parser.head), ("body", body)]
            continue
        parser.receive(piece)
        if not drain(parser, events):
            break
    return events
