"""Puts the operator together, and takes it apart in the right order."""

from __future__ import annotations

import asyncio
import logging
import signal
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import Any, Final

from aiohttp import web

from s3sink_operator import names
from s3sink_operator.errors import ClusterError
from s3sink_operator.ingesters import HttpIngesters
from s3sink_operator.kube import paths
from s3sink_operator.kube.apiserver import ApiServer
from s3sink_operator.kube.cluster import KubernetesCluster
from s3sink_operator.kube.leader import Elector, lease_ref
from s3sink_operator.reconcile import Edges, reconcile
from s3sink_operator.runtime import handlers, health
from s3sink_operator.runtime.health import Vitals
from s3sink_operator.runtime.logs import Key
from s3sink_operator.runtime.metrics import Metrics
from s3sink_operator.runtime.service import RECONCILE_SECONDS, Pace, Service
from s3sink_operator.runtime.settings import Settings
from s3sink_operator.runtime.watching import Hooks, Watches

GRACE_SECONDS: Final = 10.0
"""For reconciles that run when the operator is told to end. Without it nothing is lost: the next one goes on."""
_WATCH_SILENCE_SECONDS: Final = 600.0
"""Longer than any pause between two tries of a watch."""
_KOPF_SILENCE_SECONDS: Final = 120.0
_STUCK_SECONDS: Final = 2 * RECONCILE_SECONDS
_RETRY_SECONDS: Final = 5.0
_TELL_EVERY: Final = 12
_KOPF: Final = "watch of S3Sinks"

log = logging.getLogger(__name__)


async def run(settings: Settings) -> int:
    """Until SIGTERM, SIGINT or the loss of the lease. Returns the exit status. Raises NotConfigured, or OSError when
    it can't listen."""
    stop = _stop_signal()
    metrics, vitals = Metrics(version("s3sink-operator")), Vitals()
    async with AsyncExitStack() as stack:
        api = await ApiServer.connect(settings.kubeconfig, settings.context)
        stack.push_async_callback(api.close)
        await stack.enter_async_context(_listening(settings, vitals, metrics))
        log.info("operator %s on %s", version("s3sink-operator"), api.address)
        status = await Operator(settings, api, vitals, metrics).run(stop)
        log.info("ended with exit status %d", status)
        return status


class Operator:
    """One process' part, from the first look at the cluster to the last."""

    def __init__(self, settings: Settings, api: ApiServer, vitals: Vitals, metrics: Metrics) -> None:
        self._settings = settings
        self._api = api
        self._vitals = vitals
        self._metrics = metrics

    async def run(self, stop: asyncio.Event) -> int:
        """Until ``stop`` is set, or it can't go on. Returns the exit status."""
        if not await _unless(stop, wait_for_kind(self._api, self._vitals)):
            return 0
        if not self._settings.elect:
            return await self._lead(stop, None)
        identity = f"{self._settings.identity}_{uuid.uuid4().hex[:8]}"
        lease = lease_ref(self._settings.lease_namespace, self._settings.lease_name)
        elector = Elector(self._api, lease, identity)

        def told(trouble: str | None) -> None:
            # Standing by is as it should be; not to be able to take over isn't.
            self._vitals.waiting_for = None if trouble is None else f"the lease {lease.name}: {trouble}"

        self._vitals.waiting_for = f"the lease {lease.name}"
        try:
            if not await _unless(stop, elector.acquire(told)):
                return 0
            return await self._lead(stop, elector)
        finally:
            self._metrics.leader.set(0)
            await elector.release()

    async def _lead(self, stop: asyncio.Event, elector: Elector | None) -> int:
        self._metrics.leader.set(1)
        cluster = KubernetesCluster(self._api, self._settings.identity)
        async with HttpIngesters() as ingesters:
            edges = Edges(
                cluster,
                ingesters,
                self._settings.image,
                lambda: datetime.now(UTC),
                release=version("s3sink-operator"),
            )
            service = Service(
                partial(reconcile, edges=edges),
                self._metrics,
                workers=self._settings.workers,
                pace=Pace(resync=self._settings.resync),
            )
            self._vitals.check(lambda: _stuck(service))
            self._vitals.waiting_for = None
            endings: dict[str, Coroutine[Any, Any, int]] = {
                "stop": _stopped(stop, service),
                "workers": _ends(service.queue.run()),
                "watches": _ends(
                    Watches(self._api, self._settings.namespaces, self._hooks(service, cluster)).run()
                ),
                "sweep": _ends(service.sweep(self._api, self._settings.namespaces)),
                "sinks": _ends(self._follow_sinks(service)),
            }
            if elector is not None:
                endings["lease"] = _ends(elector.keep())
            return await _first_of(endings)

    async def _follow_sinks(self, service: Service) -> None:
        loop = asyncio.get_running_loop()

        def changed(key: Key) -> None:
            loop.call_soon_threadsafe(service.found, key)

        def alive() -> None:
            loop.call_soon_threadsafe(self._vitals.heard, _KOPF)

        self._vitals.expect(_KOPF, _KOPF_SILENCE_SECONDS)
        hooks = handlers.Hooks(changed=changed, alive=alive)
        while True:
            try:
                await handlers.Watcher(self._settings.namespaces, hooks, self._api.credentials).run()
                log.warning("%s ended; it begins anew", _KOPF)
            except Exception as error:  # noqa: BLE001 -- of kopf, on which nothing else depends
                log.warning("%s ended: %s; it begins anew", _KOPF, str(error) or type(error).__name__)
            self._vitals.heard(_KOPF)
            await asyncio.sleep(_RETRY_SECONDS)
            await wait_for_kind(self._api, self._vitals)

    def _hooks(self, service: Service, cluster: KubernetesCluster) -> Hooks:
        return Hooks(
            wake=service.touched,
            wake_all=service.wake_all,
            kinds_changed=cluster.forget_served,
            expect=lambda part: self._vitals.expect(part, _WATCH_SILENCE_SECONDS),
            alive=self._vitals.heard,
        )


async def wait_for_kind(
    api: ApiServer, vitals: Vitals, pause: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> None:
    """Returns when the API server can be reached and has S3Sinks; says once a minute what is missing."""
    cluster = KubernetesCluster(api, "")
    tries = 0
    while True:
        try:
            if await cluster.serves(paths.SINK):
                vitals.waiting_for = None
                return
            missing = f"the CRD {names.PLURAL}.{names.GROUP}: install it, it comes with the Helm chart"
        except ClusterError as error:
            missing = f"the API server at {api.address}: {error}"
        cluster.forget_served()
        vitals.waiting_for = missing
        vitals.heard(_KOPF)
        if tries % _TELL_EVERY == 0:
            log.warning("waiting for %s", missing)
        tries += 1
        await pause(_RETRY_SECONDS)


def _stuck(service: Service) -> str | None:
    silent = service.queue.silent(asyncio.get_running_loop().time())
    if silent < _STUCK_SECONDS:
        return None
    return f"reconciles: none came to its end for {silent:.0f} s, though there are sinks that wait"


async def _stopped(stop: asyncio.Event, service: Service) -> int:
    await stop.wait()
    log.info("stopping")
    if not await service.queue.stop(GRACE_SECONDS):
        log.warning(
            "some reconciles didn't end in %.0f s; the next operator goes on with them", GRACE_SECONDS
        )
    return 0


async def _ends(work: Coroutine[Any, Any, None]) -> int:
    """Of work that goes on for ever: that it ended is a failure."""
    await work
    return 1


async def _first_of(endings: dict[str, Coroutine[Any, Any, int]]) -> int:
    """What the one that ends first returns; 1 if it raises. The others are cancelled."""
    tasks = [asyncio.create_task(work, name=name) for name, work in endings.items()]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    status = 0
    for task in done:
        if (error := task.exception()) is not None:
            log.error("%s failed", task.get_name(), exc_info=error)
            status = 1
        else:
            status = max(status, task.result())
    return status


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do the work, unless ``stop`` is set first. Whether it was done; raises what it raises."""
    doing, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not doing.done():
            doing.cancel()
    if doing.cancelled() or not doing.done():
        return False
    doing.result()
    return True


def _stop_signal() -> asyncio.Event:
    """Set by SIGTERM or SIGINT. A second one ends the process at once."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def told(number: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told, number)
    return stop


@asynccontextmanager
async def _listening(settings: Settings, vitals: Vitals, metrics: Metrics) -> AsyncIterator[None]:
    runner = web.AppRunner(health.application(vitals, metrics.text), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host, settings.port)
        await site.start()
        log.info("health and metrics at %s", site.name)
        yield
    finally:
        await runner.cleanup()
