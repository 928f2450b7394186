"""The operator at work, between being woken and reconciling: which sinks there are, when each is looked at, what came
of it. Nothing here decides about a sink."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from s3sink_operator import names
from s3sink_operator.errors import ClusterError, Conflict, Refused, Unavailable
from s3sink_operator.kube import paths
from s3sink_operator.kube.apiserver import ApiServer
from s3sink_operator.reconcile import Outcome
from s3sink_operator.runtime import logs
from s3sink_operator.runtime.logs import Key
from s3sink_operator.runtime.metrics import Metrics
from s3sink_operator.runtime.upgrades import Turns
from s3sink_operator.runtime.workqueue import WorkQueue
from s3sink_operator.state import Ref

RECONCILE_SECONDS: Final = 120.0
"""A reconcile that takes longer hangs."""
_SWEEP_RESYNCS: Final = 5
_SWEEP_PAGE: Final = 500
_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

log = logging.getLogger(__name__)


class Reconcile(Protocol):
    """``reconcile.reconcile`` with its edges."""

    def __call__(self, sink: Ref, *, may_upgrade: bool) -> Awaitable[Outcome]:
        """Raises Unavailable or Conflict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds."""

    resync: float = 60.0
    reconcile: float = RECONCILE_SECONDS


class Service:
    """One queue of sinks, and the workers on it."""

    def __init__(
        self,
        reconcile: Reconcile,
        metrics: Metrics,
        *,
        workers: int,
        pace: Pace,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._reconcile = reconcile
        self._metrics = metrics
        self._pace = pace
        self._chance = chance
        self._turns: Turns[Key] = Turns()
        self._known: set[Key] = set()
        self.queue: WorkQueue[Key] = WorkQueue(self._work, workers=workers, chance=chance)
        metrics.follow_queue(
            lambda: self.queue.depth, lambda: self.queue.running, lambda: self.queue.oldest(_now())
        )

    def found(self, key: Key) -> None:
        """A sink is new, is gone, or was changed by somebody."""
        self._known.add(key)
        self.queue.wake(key)

    def touched(self, key: Key, delay: float) -> None:
        """Something of a sink changed. Of no sink that is known: what is left of one that is gone."""
        if key in self._known:
            self.queue.wake(key, delay)

    def wake_all(self) -> None:
        """Look at all sinks, not all at once."""
        for key in self._known:
            self.queue.wake(key, self._chance() * min(30.0, self._pace.resync / 2))

    async def sweep(self, api: ApiServer, namespaces: tuple[str, ...]) -> None:
        """For ever: find sinks that no event told of. There should be none."""
        while True:
            await asyncio.sleep(self._pace.resync * _SWEEP_RESYNCS)
            try:
                for namespace in namespaces or ("",):
                    for key in await _sinks(api, namespace):
                        if key not in self._known:
                            log.warning("no event told of this sink", extra={"key": key})
                            self.found(key)
            except ClusterError as error:
                log.warning("the S3Sinks can't be listed: %s", error)

    async def _work(self, key: Key) -> float | None:
        logs.sink.set(key)
        started = _now()
        may_upgrade = self._turns.take(key, started)
        try:
            outcome = await self._bounded(key, may_upgrade)
        except Exception as error:
            self._metrics.reconciled(_now() - started, result_of(error))
            raise
        finally:
            logs.sink.set(None)
        result = "done" if outcome.refused is None else "refused"
        self._metrics.reconciled(_now() - started, result, outcome.actions)
        self._metrics.conditions(key, outcome.conditions)
        following = self._turns.settle(key, _now(), outcome.is_upgrading, outcome.rolling_seconds)
        if following is not None:
            self.queue.wake(following)
        if not outcome.conditions:
            self._known.discard(key)
            self.queue.forget(key)
            return None
        resync = self._pace.resync * (0.9 + 0.2 * self._chance())
        return resync if outcome.requeue_after is None else min(resync, outcome.requeue_after)

    async def _bounded(self, key: Key, may_upgrade: bool) -> Outcome:
        try:
            async with asyncio.timeout(self._pace.reconcile):
                return await self._reconcile(sink_ref(key), may_upgrade=may_upgrade)
        except TimeoutError as error:
            raise Unavailable(f"the reconcile took more than {self._pace.reconcile:.0f} s") from error


def result_of(error: Exception) -> str:
    """Label of a reconcile that raised."""
    if isinstance(error, Conflict):
        return "conflict"
    if isinstance(error, Refused):
        return "refused"
    return "unavailable" if isinstance(error, Unavailable) else "failed"


def sink_ref(key: Key) -> Ref:
    """A sink's reference."""
    return Ref(names.API_VERSION, names.KIND, *key)


async def _sinks(api: ApiServer, namespace: str) -> list[Key]:
    query = {"limit": str(_SWEEP_PAGE)}
    found: list[Key] = []
    while True:
        page = await api.request("GET", paths.collection(paths.SINK, namespace), query=query, accept=_LIST)
        metas = [item["metadata"] for item in page.get("items") or ()]
        found += [(meta["namespace"], meta["name"]) for meta in metas]
        if not page["metadata"].get("continue"):
            return found
        query["continue"] = page["metadata"]["continue"]


def _now() -> float:
    return asyncio.get_running_loop().time()
