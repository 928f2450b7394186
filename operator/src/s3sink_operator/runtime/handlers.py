"""What kopf is for: to tell which S3Sinks came, changed or went. No reconcile happens here, and no state of kopf's
gets into the cluster: no finalizer, no annotations, no events of its own.

kopf gets a thread and an event loop of its own. When it ends, it cancels every task of its loop; and it does end, on
any answer of the API server that it doesn't expect. It is then started again, and nothing else notices.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import kopf
from kopf._cogs.structs.references import Insights  # what it watches is told nowhere else
from kopf._core.engines.peering import Identity  # the type of an argument of kopf.operator

from s3sink_operator import names
from s3sink_operator.errors import OperatorError
from s3sink_operator.kube.apiserver import CONNECT_SECONDS, REQUEST_SECONDS, WATCH_SECONDS, Credentials
from s3sink_operator.runtime.logs import Key

_TICK_SECONDS: Final = 2.0
_BACKOFFS: Final = (0.5, 1.0, 2.0, *[5.0] * 20)
_STOP_SECONDS: Final = 5.0
_PAGE: Final = 100
_PREFIX: Final = f"kopf.{names.GROUP}"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Who is told; from kopf's thread."""

    changed: Callable[[Key], None]
    """A sink is new, is gone, or differs in what decides anything."""
    alive: Callable[[], None]
    """kopf's event loop turns."""


class Sightings:
    """Tells changes that matter from the operator's own writes of status, by a digest for each sink."""

    def __init__(self) -> None:
        self._seen: dict[Key, int] = {}

    def is_news(self, key: Key, kind: str | None, meta: Any) -> bool:
        """Whether the event says something that wasn't known. ``kind``: as in a watch, None in a list."""
        if kind == "DELETED":
            self._seen.pop(key, None)
            return True
        digest = hash(
            (
                meta.get("uid"),
                meta.get("generation"),
                meta.get("deletionTimestamp"),
                tuple(meta.get("finalizers") or ()),
                tuple(sorted((meta.get("labels") or {}).items())),
                tuple(sorted((meta.get("annotations") or {}).items())),
            )
        )
        is_listed = kind is None  # a list follows a break, in which something may have been missed
        is_new = self._seen.get(key) != digest
        self._seen[key] = digest
        return is_new or is_listed


def registry(hooks: Hooks, login: Callable[[], Awaitable[Credentials]]) -> kopf.OperatorRegistry:
    """The handlers."""
    made = kopf.OperatorRegistry()
    sightings = Sightings()

    @kopf.on.event(names.GROUP, names.VERSION, names.PLURAL, registry=made)
    def changed(namespace: str | None, name: str | None, type: str | None, meta: Any, **_: Any) -> None:  # noqa: A002 -- kopf calls with these names
        key = namespace or "", name or ""
        if sightings.is_news(key, type, meta):
            hooks.changed(key)

    @kopf.on.login(registry=made)
    async def log_in(**_: Any) -> kopf.ConnectionInfo:
        return connection(await login())

    return made


class Connection(kopf.ConnectionInfo):
    """It verifies the API server as the client does: what Python asks for since 3.13 is not asked for."""

    def as_ssl_context(self) -> ssl.SSLContext:
        context = super().as_ssl_context()
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context


def connection(found: Credentials) -> Connection:
    """The client's credentials as kopf takes them."""
    scheme, _, token = (found.authorization or "").partition(" ")
    return Connection(
        server=found.server,
        ca_path=found.ca_path,
        ca_data=found.ca_data,
        insecure=found.insecure,
        username=found.username,
        password=found.password,
        scheme=scheme or None,
        token=token or None,
        certificate_path=found.certificate_path,
        private_key_path=found.key_path,
        proxy_url=found.proxy,
    )


def settings() -> kopf.OperatorSettings:
    """kopf as a watch and nothing else."""
    made = kopf.OperatorSettings()
    made.posting.enabled = False
    # It would list and watch all CRDs, with their schemas, and all namespaces. That the kind is served is known.
    made.scanning.disabled = True
    # Without handlers that need one, kopf takes its finalizer off: so it mustn't be the operator's.
    made.persistence.finalizer = f"{_PREFIX}/finalizer"
    made.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=_PREFIX)
    made.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=_PREFIX)
    made.networking.connect_timeout = CONNECT_SECONDS
    made.networking.request_timeout = REQUEST_SECONDS
    made.networking.error_backoffs = _BACKOFFS
    made.watching.connect_timeout = CONNECT_SECONDS
    made.watching.server_timeout = WATCH_SECONDS
    made.watching.client_timeout = WATCH_SECONDS + 10
    made.watching.chunk_size = _PAGE
    made.queueing.idle_timeout = 1.0  # objects' events stay in memory for so long
    return made


class NothingWatchedError(OperatorError):
    """kopf runs and watches nothing."""


class Watcher:
    """kopf in its thread, one run of it."""

    def __init__(
        self, namespaces: tuple[str, ...], hooks: Hooks, login: Callable[[], Awaitable[Credentials]]
    ) -> None:
        self._namespaces = namespaces
        self._hooks = hooks
        self._login = login
        self._stop: Callable[[], object] = lambda: None
        self._ended = asyncio.Event()
        self._error: BaseException | None = None

    async def run(self) -> None:
        """Until cancelled. Returns, or raises what kopf raised, when kopf ends by itself."""
        loop = asyncio.get_running_loop()
        thread = threading.Thread(target=self._main, args=(loop,), name="kopf", daemon=True)
        thread.start()
        try:
            await self._ended.wait()
        finally:
            self._stop()
            with suppress(TimeoutError):
                async with asyncio.timeout(_STOP_SECONDS):
                    await self._ended.wait()
        if self._error is not None:
            raise self._error

    def _main(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            asyncio.run(self._watch())
        except BaseException as error:  # noqa: BLE001 -- raised again in the other thread
            self._error = error
        finally:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._ended.set)

    async def _watch(self) -> None:
        loop, stop, insights = asyncio.get_running_loop(), asyncio.Event(), Insights()
        # Of this loop, not of threads: for one of those kopf has a thread wait that would never end.
        self._stop = lambda: None if loop.is_closed() else loop.call_soon_threadsafe(stop.set)
        checking = asyncio.create_task(self._check(insights))
        checking.add_done_callback(lambda _: stop.set())
        await kopf.operator(
            registry=registry(self._hooks, self._login),
            settings=settings(),
            insights=insights,
            standalone=True,
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
            stop_flag=stop,
            # Of peers, of which there are none. By itself kopf would ask for the user's name: a container's has none.
            identity=Identity(names.FIELD_MANAGER),
        )
        if checking.done():
            checking.result()
        checking.cancel()

    async def _check(self, insights: Insights) -> None:
        """kopf looks once for the kinds that it is to watch. Where an API server that has just started doesn't serve
        them yet, it watches nothing, for ever, and is content."""
        while True:
            if insights.ready_resources.is_set() and not insights.watched_resources:
                raise NothingWatchedError("kopf found no S3Sinks to watch")
            self._hooks.alive()
            await asyncio.sleep(_TICK_SECONDS)
