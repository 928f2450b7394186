"""Clients that post over HTTP/1.1 and write into the ledger what they were told. They never send an id again."""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import dataclass, field
from random import Random
from typing import Final

from tests.crash.ledger import Fate, Ledger

# 503s after which the records may be there all the same: they were written when the journal failed.
_UNDECIDED: Final = (b"made durable", b"the journal failed")
_ANSWER_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Shape:
    """What requests look like. ``size``: bytes of filler in a record, at most."""

    partitions: int = 12
    batch: int = 24
    """Records of a batch, at most."""
    singles: float = 0.6
    """Share of requests with a single record."""
    size: int = 120
    pipelined: int = 4
    """Requests that every other connection sends at once, at most."""


@dataclass(slots=True)
class Answers:
    """What came back, in requests. ``refusals``: by status and detail."""

    acked: int = 0
    refused: int = 0
    unknown: int = 0
    hung: int = 0
    """No answer in half a minute, on a connection that stayed open."""
    refusals: dict[tuple[int, str], int] = field(default_factory=dict)
    retry_after: bool = True
    """Whether every 503 had a Retry-After."""


class Load:
    """``connections`` clients that send as fast as they are answered until ``stop``."""

    def __init__(
        self,
        ledger: Ledger,
        rng: Random,
        shape: Shape | None = None,
        pause: float = 0.0,
        key: str | None = None,
    ) -> None:
        """``pause``: seconds between a client's requests. ``key``: an API key that they send."""
        self.ledger = ledger
        self._key = key
        self.answers = Answers()
        self.pause = pause
        self._shape = shape or Shape()
        self._rng = rng
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, port: int, connections: int = 6) -> None:
        """Begin to send, on the running loop."""
        self._stopping = False
        self._tasks = [
            asyncio.create_task(self._connection(port, self._shape.pipelined if number % 2 else 1))
            for number in range(connections)
        ]

    async def stop(self) -> None:
        """No new requests; returns when those that were sent have their answer, or can't have one any more."""
        self._stopping = True
        tasks, self._tasks = self._tasks, []
        for one in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(one, BaseException):
                raise one

    async def send(self, port: int, requests: int, connections: int = 3) -> None:
        """Send so many requests, each once, and return when all were answered or lost."""
        self._stopping = False
        left = iter(range(requests))

        async def some() -> None:
            while next(left, None) is not None:
                await self._session(port, 1, once=True)

        await asyncio.gather(*(some() for _ in range(connections)))

    async def send_until_acked(self, port: int, requests: int, seconds: float = 60.0) -> None:
        """Send until so many requests were acked. Raises TimeoutError."""
        wanted = self.answers.acked + requests
        async with asyncio.timeout(seconds):
            while self.answers.acked < wanted:
                await self.send(port, 3)

    async def _connection(self, port: int, pipelined: int) -> None:
        while not self._stopping:
            await self._session(port, pipelined, once=False)
            await asyncio.sleep(0.005)

    async def _session(self, port: int, pipelined: int, *, once: bool) -> None:
        """One connection until it ends."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return
        try:
            going = True
            while going and not self._stopping:
                going = await self._exchange(reader, writer, self._rng.randint(1, pipelined)) and not once
                if self.pause:
                    await asyncio.sleep(self.pause)
        finally:
            writer.transport.abort()

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, requests: int
    ) -> bool:
        """Send requests and read their answers; whether the connection can be used again."""
        owed = []
        for _ in range(requests):
            request, head_and_body = self._request()
            owed.append(request)
            writer.write(head_and_body)
        for number, request in enumerate(owed):
            try:
                status, closing = await asyncio.wait_for(self._answer(reader, request), _ANSWER_SECONDS)
            except TimeoutError:
                self.answers.hung += 1
                return False
            except (OSError, EOFError):
                self.answers.unknown += len(owed) - number
                return False
            if closing:
                self.answers.unknown += len(owed) - number - 1
                return False
            if status == 503:
                await asyncio.sleep(0.01)
        return True

    def _request(self) -> tuple[int, bytes]:
        rng, shape = self._rng, self._shape
        single = rng.random() < shape.singles
        records = 1 if single else rng.randint(2, shape.batch)
        request, lines = self.ledger.open(rng, shape.partitions, records, shape.size)
        headers = "" if single else "Content-Type: application/x-ndjson\r\n"
        body = b"\n".join(lines)
        if not single and rng.random() < 0.3:
            body = gzip.compress(body, 1)
            headers += "Content-Encoding: gzip\r\n"
        if self._key is not None:
            headers += f"Authorization: Bearer {self._key}\r\n"
        head = f"POST / HTTP/1.1\r\nHost: sink\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        return request, head.encode() + body

    async def _answer(self, reader: asyncio.StreamReader, request: int) -> tuple[int, bool]:
        """Read one answer into the ledger; its status and whether it is the connection's last."""
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head.split(b" ", 2)[1])
        length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        body = await reader.readexactly(length)
        closing = b"connection: close" in head
        if status == 200:
            assert json.loads(body)["accepted"] == self.ledger.sent[request].records
            self.ledger.known(request, Fate.ACKED)
            self.answers.acked += 1
            return status, closing
        if not any(words in body for words in _UNDECIDED):
            self.ledger.known(request, Fate.REFUSED)
        self.answers.refused += 1
        why = (status, str(json.loads(body)["detail"]))
        self.answers.refusals[why] = self.answers.refusals.get(why, 0) + 1
        if status == 503 and b"retry-after:" not in head:
            self.answers.retry_after = False
        return status, closing
