"""An HTTP server that answers as it is told to, in order: an API server, or an ingester, on a bad day."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Script:
    """``answers``: one for each request; the last one is for all that follow. ``asked``: requests so far."""

    answers: deque[Answer] = field(default_factory=deque)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Method, path and query."""
    bodies: list[str] = field(default_factory=list)
    address: str = ""
    """``host:port``."""
    _more: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def requests(self, count: int) -> None:
        """Returns when there were so many."""
        async with self._more:
            await self._more.wait_for(lambda: len(self.asked) >= count)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """For the server."""
        self.asked.append((request.method, request.path_qs))
        self.bodies.append(await request.text())
        async with self._more:
            self._more.notify_all()
        answer = self.answers.popleft() if len(self.answers) > 1 else self.answers[0]
        return await answer(request)


@asynccontextmanager
async def scripted(*answers: Answer) -> AsyncIterator[Script]:
    """A server on loopback."""
    script = Script(deque(answers))
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", script.handle)
    async with TestServer(app) as server:
        script.address = f"{server.host}:{server.port}"
        yield script


def kubeconfig(directory: Path, script: Script) -> str:
    """Path of a kubeconfig for it."""
    path = directory / "kubeconfig"
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "it", "cluster": {"server": f"http://{script.address}"}}],
                "users": [{"name": "it", "user": {"token": "secret"}}],
                "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
                "current-context": "it",
            }
        )
    )
    return str(path)


def says(body: Any, status: int = 200, **headers: str) -> Answer:
    """JSON, or a text as it is."""

    async def answer(_: web.Request) -> web.StreamResponse:
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text, content_type="application/json", headers=headers)

    return answer


def refuses(status: int, message: str = "", **details: Any) -> Answer:
    """A Status, as the API server says no."""
    return says({"kind": "Status", "code": status, "message": message, "details": details}, status)


def streams(*lines: Any, then_waits: bool = False, then_breaks: bool = False) -> Answer:
    """A watch: each line as JSON (a text as it is), then the end, nothing for ever, or a broken connection."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        for line in lines:
            text = line if isinstance(line, str) else json.dumps(line)
            await response.write(text.encode() + b"\n")
        if then_waits:
            await asyncio.Event().wait()
        if then_breaks:
            assert request.transport is not None
            request.transport.abort()
        return response

    return answer


async def hangs(_: web.Request) -> web.StreamResponse:
    """Takes the request and never answers."""
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def hangs_up(request: web.Request) -> web.StreamResponse:
    """Closes the connection instead of an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()
