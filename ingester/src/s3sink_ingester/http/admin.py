"""The admin port: probes, metrics, status, drain. Without authentication, so clients shouldn't reach it.

| request | answer |
| --- | --- |
| `GET /livez` | 200 while the event loop runs |
| `GET /readyz` | 200 when records are taken; else 503 and why (never for an S3 outage with room left) |
| `GET /metrics` | Prometheus' text format; see docs/metrics.md |
| `GET /status` | JSON; see `status.Document` |
| `POST /drain` | `{"epoch": "..."}` or no body: take no more records, upload all. 202, or 200 once nothing is left |
| `POST /resume` | take records again. This and the one before answer with the status |

A process that only empties its volume answers 409 to `/resume`, and to `/drain` for another epoch than it has.
Errors are `application/problem+json`. What is behind it (one process, or a supervisor of several) is a `Control`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final, Protocol

from aiohttp import web

from s3sink_ingester.errors import Overloaded, RequestError, S3SinkError
from s3sink_ingester.volume import MAX_EPOCH_CHARACTERS, is_epoch

_log = logging.getLogger(__name__)

MANUAL_EPOCH: Final = "manual"
"""The epoch of a drain that names none."""

_MAX_BODY_BYTES: Final = 64 * 1024
_SHUTDOWN_SECONDS: Final = 1.0
_METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_PROBLEM_TYPE: Final = "application/problem+json"

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Control(Protocol):
    """What the admin port shows and steers. Everything may raise S3SinkError (503) or OSError (500).

    ``drain`` and ``resume`` may raise RequestError, which says its status.
    """

    async def readiness(self) -> str | None:
        """None: records are taken. Else why they aren't, in a few words."""

    async def status(self) -> Mapping[str, object]:
        """A `status.Document`."""

    async def metrics(self) -> bytes:
        """Prometheus' text format."""

    async def drain(self, epoch: str) -> None:
        """Begin to drain, or go on with it. Returns when that is durable, not when it is done."""

    async def resume(self) -> None:
        """End a drain; records are taken again."""


class AdminServer:
    """Listens on the running loop."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._runner = web.AppRunner(
            _application(control), access_log=None, handle_signals=False, shutdown_timeout=_SHUTDOWN_SECONDS
        )

    @property
    def port(self) -> int:
        """The port that is listened on, also where 0 was asked for. Raises RuntimeError if not started."""
        if not self._runner.addresses:
            raise RuntimeError("the server isn't started")
        port: int = self._runner.addresses[0][1]
        return port

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises OSError: the address is in use or isn't ours."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError:
            await self._runner.cleanup()
            raise

    async def stop(self) -> None:
        """Stop listening; what is being answered gets a second. Stopping twice is stopping."""
        await self._runner.cleanup()


def _application(control: Control) -> web.Application:
    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def readyz(_: web.Request) -> web.Response:
        reason = await control.readiness()
        if reason is None:
            return web.Response(text="ready\n")
        return _problem(HTTPStatus.SERVICE_UNAVAILABLE, reason)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=await control.metrics(), headers={"Content-Type": _METRICS_TYPE})

    async def status(_: web.Request) -> web.Response:
        return _json(HTTPStatus.OK, await control.status())

    async def drain(request: web.Request) -> web.Response:
        await control.drain(await _epoch(request))
        now = await control.status()
        return _json(HTTPStatus.OK if now["drained"] else HTTPStatus.ACCEPTED, now)

    async def resume(_: web.Request) -> web.Response:
        await control.resume()
        return _json(HTTPStatus.OK, await control.status())

    application = web.Application(middlewares=[_problems], client_max_size=_MAX_BODY_BYTES)
    application.add_routes(
        [
            web.get("/livez", livez),
            web.get("/readyz", readyz),
            web.get("/metrics", metrics),
            web.get("/status", status),
            web.post("/drain", drain),
            web.post("/resume", resume),
        ]
    )
    return application


async def _epoch(request: web.Request) -> str:
    body = await request.read()
    if not body.strip():
        return MANUAL_EPOCH
    try:
        given = json.loads(body)
    except ValueError as error:
        raise RequestError(
            400, f'the body isn\'t JSON ({error}); send {{"epoch": "..."}} or nothing'
        ) from None
    epoch = given.get("epoch", MANUAL_EPOCH) if isinstance(given, dict) else None
    if not isinstance(epoch, str) or not is_epoch(epoch):
        raise RequestError(
            400, f'send {{"epoch": "..."}} with 1 to {MAX_EPOCH_CHARACTERS} printable characters, or nothing'
        )
    return epoch


@web.middleware
async def _problems(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Errors become problem documents here and nowhere else."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        detail = f"nothing is at {request.path}" if error.status == HTTPStatus.NOT_FOUND else error.reason
        kept = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return _problem(error.status, detail, kept)
    except RequestError as error:
        return _problem(error.status, error.detail)
    except Overloaded as error:
        return _problem(HTTPStatus.SERVICE_UNAVAILABLE, error.detail, {"Retry-After": str(error.retry_after)})
    except S3SinkError as error:
        return _problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"Retry-After": "2"})
    except OSError as error:
        _log.error("%s %s failed: %s", request.method, request.path, error)
        return _problem(HTTPStatus.INTERNAL_SERVER_ERROR, f"the volume's disk failed: {error}")


def _json(status: int, document: Mapping[str, object]) -> web.Response:
    return web.Response(status=status, text=json.dumps(document) + "\n", content_type="application/json")


def _problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> web.Response:
    document = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return web.Response(
        status=status, text=json.dumps(document) + "\n", content_type=_PROBLEM_TYPE, headers=headers
    )
