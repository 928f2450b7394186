"""A data port on a loopback socket, with an intake in memory and a clock that tests turn."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from s3sink_ingester.errors import Overloaded, S3SinkError
from s3sink_ingester.http.access import Access
from s3sink_ingester.http.endpoint import Resolve, Waiter
from s3sink_ingester.http.limits import Limits
from s3sink_ingester.http.native import NativeApi
from s3sink_ingester.http.responses import Replies
from s3sink_ingester.http.server import HttpServer
from s3sink_ingester.records import Batch, Layout, Partitioning, Router

PATIENCE = 30.0
"""Seconds after which what must happen is taken to be stuck."""

REGEX = Partitioning(regex=r"^(?P<path>\S+) (?P<content>.+)$")


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


class MemoryIntake:
    """Commits on the loop's next turn, or when told to if `manual`."""

    def __init__(self) -> None:
        self.refusal: Overloaded | None = None
        self.open_partitions: dict[str, object] = {}
        self.manual = False
        self.refuse_submit: S3SinkError | None = None
        self.taken: list[Batch] = []
        self.waiting: list[Waiter] = []

    def submit(self, batches: list[Batch], waiter: Waiter) -> None:
        if self.refuse_submit is not None:
            raise self.refuse_submit
        self.taken += batches
        self.waiting.append(waiter)
        if not self.manual:
            asyncio.get_running_loop().call_soon(self.commit)

    def commit(self, count: int | None = None, error: S3SinkError | None = None) -> None:
        told, self.waiting = self.waiting[:count], self.waiting[len(self.waiting[:count]) :]
        for waiter in told:
            if error is None:
                waiter.committed()
            else:
                waiter.failed(error)

    @property
    def payloads(self) -> list[bytes]:
        return [payload for _, payload, _ in self.taken]


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        document = json.loads(self.body)
        assert isinstance(document, dict)
        return document

    @property
    def closes(self) -> bool:
        return self.headers.get("connection") == "close"


class Client:
    """One connection, byte for byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self, *, body: bool = True) -> Reply:
        """The next reply; fails if none comes. `body`: False for the reply to HEAD."""
        async with asyncio.timeout(PATIENCE):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head[:-4].split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            length = int(headers.get("content-length", "0")) if body else 0
            return Reply(int(first.split()[1]), headers, await self.reader.readexactly(length))

    async def ask(self, data: bytes) -> Reply:
        await self.send(data)
        return await self.reply()

    async def rest(self) -> bytes:
        """All that comes until the server closes its side."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read()

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Be gone as after a crash; a mere close would look like the end of the requests."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclass
class Rig:
    server: HttpServer
    intake: MemoryIntake
    clock: Clock
    clients: list[Client] = field(default_factory=list)
    trust: ssl.SSLContext | None = None
    """How clients speak TLS; None: they don't."""

    async def client(self, trust: ssl.SSLContext | None = None) -> Client:
        """A new connection. `trust`: instead of the rig's."""
        client = Client(
            *await asyncio.open_connection("127.0.0.1", self.server.port, ssl=trust or self.trust)
        )
        self.clients.append(client)
        return client

    def pass_time(self, seconds: float) -> None:
        self.clock.time += seconds
        self.server.sweep()

    async def received(self, count: int) -> None:
        """Let the loop run until the server has read so many bytes."""
        await self.until(lambda: self.server.stats.bytes_received == count)

    async def until(self, condition: Callable[[], object]) -> None:
        """Let the loop run until something has happened."""
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110 - the condition is any fact about the server
                await asyncio.sleep(0.001)


@asynccontextmanager
async def running(
    limits: Limits | None = None,
    *,
    partitioning: Partitioning = REGEX,
    resolve: Resolve | None = None,
    access: Access | None = None,
    trust: ssl.SSLContext | None = None,
    port: int = 0,
    reuse_port: bool = False,
) -> AsyncIterator[Rig]:
    """`resolve`: instead of the native API's. `access`, `trust`: both sides of TLS, and keys."""
    intake, clock = MemoryIntake(), Clock()
    limits = limits or Limits()
    replies = Replies(0.0)
    api = NativeApi(
        Router(partitioning, Layout(prefix="p/"), 1_000_000),
        intake,
        replies,
        max_request_bytes=limits.max_request_bytes,
        key_header=partitioning.header,
        key_in_path=partitioning.url_path,
    )
    server = HttpServer(
        resolve or api.resolve,
        intake,
        replies,
        limits,
        access=access,
        clock=clock,
        now=lambda: 1_000_000_000.0,
    )
    await server.start("127.0.0.1", port, reuse_port=reuse_port)
    rig = Rig(server, intake, clock, trust=trust)
    try:
        yield rig
    finally:
        for client in rig.clients:
            client.close()
        intake.manual = False
        intake.commit()
        await server.stop(1)
        assert server.bytes_in_flight == 0, "every byte that was counted in was counted out"
        assert server.stats.connections == 0


def post(body: bytes, *headers: str, target: str = "/ingest") -> bytes:
    lines = [f"POST {target} HTTP/1.1", "Host: h", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
