"""What llhttp, Node.js's parser, says to a stream of bytes."""

from __future__ import annotations

from typing import TypeAlias

import httptools

Message: TypeAlias = tuple[bytes, bytes, bytes]


class _Collector:
    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.complete = True
        self._target = b""
        self._body = b""
        self.parser = httptools.HttpRequestParser(self)

    def on_message_begin(self) -> None:
        self._target = self._body = b""
        self.complete = False

    def on_url(self, target: bytes) -> None:
        self._target += target

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self.messages.append((self.parser.get_method(), self._target, self._body))
        self.complete = True


def llhttp_messages(stream: bytes) -> tuple[list[Message], str | None]:
    """(complete messages as (method, target, body), why it refused the rest)."""
    collector = _Collector()
    try:
        collector.parser.feed_data(stream)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
        return collector.messages, f"{type(error).__name__}: {error}"
    return collector.messages, None
