"""Asks ingesters for their status and tells them to drain or to resume. The only HTTP client."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Protocol, Self

import aiohttp

from s3sink_operator.errors import IngesterError
from s3sink_operator.names import ADMIN_PORT
from s3sink_operator.state import Drain, Object, Report, Resume

STATUS_SECONDS: Final = 3.0
ORDER_SECONDS: Final = 10.0
"""A drain is answered when it is durable."""
_AT_ONCE: Final = 64
_MOST_BYTES: Final = 4 << 20

log = logging.getLogger(__name__)


class Locate(Protocol):
    """Where the admin port of a pod is: its IP → ``host:port``."""

    def __call__(self, address: str) -> str:
        """IPv6 in brackets."""


def admin_port(address: str) -> str:
    """Where it is in a cluster."""
    return f"[{address}]:{ADMIN_PORT}" if ":" in address else f"{address}:{ADMIN_PORT}"


class HttpIngesters:
    """As ``state.Ingesters`` says. Needs a running event loop; is a context manager."""

    def __init__(self, locate: Locate = admin_port, *, seconds: float | None = None) -> None:
        """``seconds``: how long to wait for any answer, instead of the usual times."""
        self._locate = locate
        self._seconds = seconds
        self._slots = asyncio.Semaphore(_AT_ONCE)
        # A pod that is gone must not hold a connection, and proxies of the operator's environment aren't for pods.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_AT_ONCE, keepalive_timeout=5.0), trust_env=False
        )

    async def report(self, pod: Object) -> Report | None:
        """What the pod says of itself; None if it has no address yet, doesn't answer, or answers nonsense."""
        address = pod.get("status", {}).get("podIP")
        if not address:
            return None
        meta = pod["metadata"]
        try:
            document = await self._ask("GET", address, "/status", STATUS_SECONDS)
            return report_of(document, meta["name"], meta["uid"])
        except IngesterError as error:
            log.info("%s can't be asked: %s", meta["name"], error)
            return None

    async def drain(self, action: Drain) -> None:
        """Raises IngesterError unless the ingester has this epoch, durably."""
        document = await self._ask("POST", action.address, "/drain", ORDER_SECONDS, {"epoch": action.epoch})
        _check_pod(document, action.pod, action.pod_uid)
        if document.get("drainEpoch") != action.epoch:
            raise IngesterError(
                f"{action.pod} has drain {document.get('drainEpoch')!r}, not {action.epoch!r}"
            )

    async def resume(self, action: Resume) -> None:
        """Raises IngesterError unless it takes records again."""
        document = await self._ask("POST", action.address, "/resume", ORDER_SECONDS)
        _check_pod(document, action.pod, action.pod_uid)
        if document.get("drainEpoch") is not None:
            raise IngesterError(f"{action.pod} still has drain {document['drainEpoch']!r}")

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _ask(
        self, method: str, address: str, path: str, seconds: float, body: object = None
    ) -> Mapping[str, Any]:
        url = f"http://{self._locate(address)}{path}"
        try:
            async with (
                self._slots,
                self._session.request(
                    method,
                    url,
                    json=body,
                    timeout=aiohttp.ClientTimeout(total=self._seconds or seconds),
                    allow_redirects=False,
                ) as response,
            ):
                data = await _read(response)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise IngesterError(f"{method} {url}: {str(error) or type(error).__name__}") from error
        if response.status >= 300:
            raise IngesterError(
                f"{method} {url}: HTTP {response.status} {data[:200].decode(errors='replace')}"
            )
        return _document(data)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    data = bytearray()
    async for part in response.content.iter_chunked(1 << 16):
        data += part
        if len(data) > _MOST_BYTES:
            raise IngesterError("the answer has no end")
    return bytes(data)


def _document(data: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(data)
    except ValueError as error:
        raise IngesterError(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise IngesterError("not a status document")
    return document


def report_of(document: Mapping[str, Any], pod: str, pod_uid: str) -> Report:
    """A status document as a report. Fields that it doesn't know are left out; raises IngesterError on wrong ones, and
    on the document of another pod."""
    _check_pod(document, pod, pod_uid)
    uploads, destination = _part(document, "uploads"), _part(document, "destination")
    damage = _typed(document, "damage", list, optional=False)
    return Report(
        pod=pod,
        pod_uid=pod_uid,
        ready=_typed(document, "ready", bool, optional=False),
        state=_typed(document, "state", str, optional=False),
        reason=_typed(document, "reason", str, optional=False),
        capacity_bytes=_typed(document, "capacityBytes", int),
        buffer_bytes=_typed(document, "bufferBytes", int),
        disk_bytes=_typed(document, "diskBytes", int),
        oldest_record_age=_typed(document, "oldestRecordAgeSeconds", float),
        drain_epoch=_typed(document, "drainEpoch", str),
        drained=_typed(document, "drained", bool, optional=False),
        last_success=_typed(uploads, "lastSuccess", str),
        upload_failures=_typed(uploads, "failures", int, optional=False),
        destination_ok=_typed(destination, "ok", bool),
        last_error=_typed(destination, "lastError", str),
        last_error_reason=_typed(destination, "lastErrorReason", str),
        format_version=_typed(document, "formatVersion", int),
        damage=tuple(str(one) for one in damage),
    )


def _check_pod(document: Mapping[str, Any], pod: str, pod_uid: str) -> None:
    """After a node's restart the API server has a pod's old address for a while, and another pod may have it by now,
    even one of the same name in another namespace: that one's word is no proof. Raises IngesterError."""
    uid = _typed(document, "podUid", str)
    if uid != pod_uid:
        raise IngesterError(f"at the address of {pod} answers {document.get('name')}, the pod with UID {uid}")


def _part(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part: Mapping[str, Any] = _typed(document, key, dict, optional=False)
    return part


def _typed(document: Mapping[str, Any], key: str, wanted: type, *, optional: bool = True) -> Any:
    value = document.get(key)
    if value is None and optional:
        return None
    if wanted is float and type(value) is int:
        value = float(value)
    if type(value) is not wanted:  # not isinstance: true is no number
        raise IngesterError(f"{key} is {value!r}, not of type {wanted.__name__}")
    return value
