"""S3 as it is on a bad day: a server that never answers, and a relay that lets little through."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tests.rig.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

BLOCK = 16384


@contextmanager
def refusing() -> Iterator[str]:
    """An endpoint where nobody listens."""
    yield f"http://127.0.0.1:{free_port()}"


@contextmanager
def hanging() -> Iterator[str]:
    """An endpoint that accepts every connection and answers nothing."""

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError, OSError):
            while await reader.read(BLOCK):
                pass
        writer.close()

    with _serve(swallow) as endpoint:
        yield endpoint


@contextmanager
def slow(port: int, bytes_per_second: float) -> Iterator[str]:
    """An endpoint in front of the loopback `port` that passes on so much a second for each connection."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while block := await reader.read(BLOCK):
            writer.write(block)
            await writer.drain()
            await asyncio.sleep(len(block) / bytes_per_second)
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = await asyncio.open_connection("127.0.0.1", port)
        with suppress(asyncio.CancelledError, OSError):  # the bench is over, or one side has gone
            await asyncio.gather(pump(reader, behind[1]), pump(behind[0], writer))

    with _serve(relay) as endpoint:
        yield endpoint


@contextmanager
def _serve(handler: Handler) -> Iterator[str]:
    """Run a TCP server in a thread with an event loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="stalls", daemon=True)
    thread.start()

    async def start() -> int:
        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        port: int = server.sockets[0].getsockname()[1]
        return port

    port = asyncio.run_coroutine_threadsafe(start(), loop).result(timeout=10)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result(timeout=10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)
        loop.close()


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
