"""Replies as bytes. Pure: the time is told to it, and connection handling is put on at the end by `closing`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from s3sink_ingester.errors import Overloaded, RequestError

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
MAX_RECORDS_NAMED: Final = 100
"""How many bad records a reply names; it always gives their number."""
MAX_REASON_CHARACTERS: Final = 300

_BY_STATUS: Final[Mapping[int, Mapping[str, str]]] = {
    401: {"WWW-Authenticate": "Bearer"},
    405: {"Allow": "POST"},
}
_REMEMBERED = 1024


class Replies:
    """Makes replies; remembers those that are given thousands of times a second until the Date changes."""

    def __init__(self, now: float) -> None:
        """`now`: Unix time in seconds."""
        self._date = ""
        self._accepted: dict[int, bytes] = {}
        self._overloaded: tuple[Overloaded | None, bytes] = (None, b"")
        self.tick(now)

    def tick(self, now: float) -> None:
        """Tell it the Unix time, about once a second."""
        date = formatdate(now, usegmt=True)
        if date != self._date:
            self._date = date
            # New objects, not cleared ones: a thread that is routing may be filling the old.
            self._accepted = {}
            self._overloaded = (None, b"")

    def accepted(self, count: int) -> bytes:
        """200 for a request of `count` records, all durable."""
        reply = self._accepted.get(count)
        if reply is None:
            reply = self.reply(200, "application/json", b'{"accepted": %d}' % count)
            if len(self._accepted) < _REMEMBERED:
                self._accepted[count] = reply
        return reply

    def problem(self, error: RequestError | Overloaded) -> bytes:
        """An error as `application/problem+json` (RFC 9457)."""
        if isinstance(error, Overloaded):
            return self._overload(error)
        members: dict[str, object] = {}
        if error.records:
            members["records"] = [
                {"index": record.index, "reason": record.reason[:MAX_REASON_CHARACTERS]}
                for record in error.records[:MAX_RECORDS_NAMED]
            ]
            members["recordsTotal"] = len(error.records)
        return self._problem(error.status, error.detail, members, _BY_STATUS.get(error.status, {}))

    def reply(
        self, status: int, content_type: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """A whole reply with these headers besides Content-Type, Content-Length and Date."""
        lines = [
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            f"Content-Type: {content_type}",
            f"Content-Length: {len(body)}",
            f"Date: {self._date}",
        ]
        if headers:
            lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body

    def _overload(self, error: Overloaded) -> bytes:
        # The intake refuses with the same object until its reason changes, to every request of every client.
        known, reply = self._overloaded
        if known is not error:
            reply = self._problem(
                503, error.detail, {"reason": error.reason}, {"Retry-After": str(error.retry_after)}
            )
            self._overloaded = (error, reply)
        return reply

    def _problem(
        self, status: int, detail: str, members: Mapping[str, object], headers: Mapping[str, str]
    ) -> bytes:
        document = {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
            **members,
        }
        return self.reply(status, "application/problem+json", json.dumps(document).encode(), headers)


def closing(reply: bytes) -> bytes:
    """The reply with the announcement that it is the connection's last."""
    return reply.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)


def without_body(reply: bytes) -> bytes:
    """The reply as HEAD gets it."""
    return reply[: reply.index(b"\r\n\r\n") + 4]
