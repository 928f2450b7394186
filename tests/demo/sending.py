"""Sends messages to the ingester over several connections, as a service would."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SINGLE = "text/plain"
LINES = "application/x-ndjson"


class RefusedError(Exception):
    """The ingester answered with an error; the message is its own."""


@dataclass(frozen=True)
class Request:
    """One POST: `records` messages in `body`."""

    content_type: str
    records: int
    body: bytes


async def send(
    url: str, requests: Iterator[Request], connections: int, acknowledged: Callable[[int], object]
) -> None:
    """POST every request and report the records of each 2xx. Raises RefusedError.

    A 503 stored nothing, so its request is sent again after the time that it names.
    """
    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(_work(session, url, requests, acknowledged) for _ in range(connections)))


async def _work(
    session: aiohttp.ClientSession,
    url: str,
    requests: Iterator[Request],
    acknowledged: Callable[[int], object],
) -> None:
    for request in requests:  # shared by all workers: each takes the next one
        while not await _post(session, url, request):
            pass
        acknowledged(request.records)


async def _post(session: aiohttp.ClientSession, url: str, request: Request) -> bool:
    """True once it is acknowledged; False if it was turned away, after the wait that the server asked for."""
    headers = {"Content-Type": request.content_type}
    async with session.post(url, data=request.body, headers=headers) as response:
        if response.status == 503:
            await asyncio.sleep(float(response.headers.get("Retry-After", "1")))
            return False
        if response.status != 200:
            raise RefusedError(f"{response.status}: {await response.text()}")
        accepted = (await response.json())["accepted"]
        if accepted != request.records:
            raise RefusedError(f"sent {request.records} records, but {accepted} were accepted")
        return True
