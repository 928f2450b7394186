"""A proxy before a real API server that now and then says no, says nothing, or breaks off: a control plane in trouble.

Every fault is one that clients see when API servers restart, are overloaded, or lose etcd.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import aiohttp
import yaml
from aiohttp import web

from tests.rig.controlplane import ControlPlane

FAULTS: Final = (
    "too_many",
    "internal",
    "unavailable",
    "conflict",
    "cut_before",
    "cut_after",
    "hang",
    "web_page",
)
_HANG_SECONDS: Final = 3.0
"""Then the connection is closed; a client that waits for minutes is tested elsewhere."""
_PASSED_ON: Final = ("Content-Type", "Retry-After")


class ApiProxy:
    """Passes requests on, in plain HTTP. ``share``: of requests that meet a fault; may be changed at any time."""

    def __init__(self, plane: ControlPlane, seed: int) -> None:
        self.share = 0.0
        self.met: Counter[str] = Counter()
        """Faults so far, by name."""
        self.requests = 0
        self._plane = plane
        self._chance = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._port = 0
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def kubeconfig(self, path: Path) -> Path:
        """One that leads through it, with an administrator's rights; written to ``path``."""
        config = yaml.safe_load(self._plane.kubeconfig.read_text())
        for cluster in config["clusters"]:
            cluster["cluster"] = {"server": f"http://127.0.0.1:{self._port}"}
        path.write_text(yaml.safe_dump(config))
        return path

    def start(self) -> None:
        """Returns when it listens."""
        self._thread.start()
        self._started.wait()

    def stop(self) -> None:
        """Close every connection."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        runner = self._loop.run_until_complete(self._listen())
        self._started.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.run_until_complete(self._session.close())
        self._loop.close()

    async def _listen(self) -> web.AppRunner:
        trust = ssl.create_default_context(cafile=str(self._plane.ca))
        self._session = aiohttp.ClientSession(
            self._plane.url, connector=aiohttp.TCPConnector(ssl=trust, limit=0), auto_decompress=False
        )
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._port = runner.addresses[0][1]
        return runner

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        body = await request.read()
        fault = self._chance.choice(FAULTS) if self._chance.random() < self.share else ""
        if fault:
            self.met[fault] += 1
        match fault:
            case "too_many":
                return _status(429, "TooManyRequests", {"Retry-After": "1"})
            case "internal":
                return _status(500, "InternalError")
            case "unavailable":
                return _status(503, "ServiceUnavailable")
            case "conflict" if request.method != "GET":
                return _status(409, "Conflict")
            case "web_page":
                return web.Response(status=502, text="<html>Bad Gateway</html>", content_type="text/html")
            case "cut_before":
                return _cut(request)
            case "hang":
                await asyncio.sleep(_HANG_SECONDS)
                return _cut(request)
        return await self._pass_on(request, body, cut=fault == "cut_after")

    async def _pass_on(self, request: web.Request, body: bytes, *, cut: bool) -> web.StreamResponse:
        headers = {key: value for key, value in request.headers.items() if key.lower() != "host"}
        try:
            async with self._session.request(
                request.method,
                request.rel_url,
                headers=headers,
                data=body or None,
                timeout=aiohttp.ClientTimeout(total=None),
            ) as answer:
                kept = {key: answer.headers[key] for key in _PASSED_ON if key in answer.headers}
                response = web.StreamResponse(status=answer.status, headers=kept)
                if cut and "watch=true" not in request.query_string:
                    await answer.read()
                    return _cut(request)
                await response.prepare(request)
                async for part in answer.content.iter_any():
                    await response.write(part)
                    if cut:
                        return _cut(request)
                await response.write_eof()
                return response
        except (aiohttp.ClientError, ConnectionError):
            return _cut(request)


def _status(code: int, reason: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
    return web.json_response({**body, "message": f"made up: {reason}"}, status=code, headers=headers)


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


@contextmanager
def api_proxy(plane: ControlPlane, seed: int) -> Iterator[ApiProxy]:
    """A running one."""
    proxy = ApiProxy(plane, seed)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
