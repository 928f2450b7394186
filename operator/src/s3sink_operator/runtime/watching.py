"""Watches of everything but the sinks: their children, so that drift is repaired at once, and the definition of an
optional kind, so that it is used as soon as it is there."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from s3sink_operator import names
from s3sink_operator.kube import paths, watch
from s3sink_operator.kube.apiserver import ApiServer
from s3sink_operator.kube.watch import Metadata, Watched
from s3sink_operator.runtime.logs import Key
from s3sink_operator.state import JOB, POD, SERVICE_MONITOR, STATEFUL_SET, VOLUME_CLAIM, Resource

_DELAYS: Final = {
    STATEFUL_SET: 0.2,
    POD: 0.5,
    VOLUME_CLAIM: 0.5,
    JOB: 0.2,
    paths.SERVICE: 1.0,
    paths.CONFIG_MAP: 1.0,
    paths.SERVICE_ACCOUNT: 1.0,
    paths.NETWORK_POLICY: 1.0,
    SERVICE_MONITOR: 1.0,
    # Their controllers write their status again and again.
    paths.DISRUPTION_BUDGET: 5.0,
    paths.AUTOSCALER: 15.0,
}
"""Seconds from a change to the look at its sink: changes come in bursts, and one look is enough for each."""
_SETTLING: Final = (0.0, 5.0, 15.0)
"""Seconds after which the API server is asked again for a kind whose definition changed: it is served some time after
it is there, and answers for some time after it is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Who is told."""

    wake: Callable[[Key, float], None]
    """Look at a sink, after so many seconds."""
    wake_all: Callable[[], None]
    """Look at all of them: something may have been missed."""
    kinds_changed: Callable[[], None]
    """What is known of optional kinds is out of date."""
    expect: Callable[[str], None]
    """A watch began; from now on it is heard or trying, now and then."""
    alive: Callable[[str], None]
    """A watch was heard, or tries."""


@dataclass(slots=True)
class Watches:
    """All watches of one operator. ``namespaces`` empty: of the whole cluster."""

    api: ApiServer
    namespaces: tuple[str, ...]
    hooks: Hooks
    _optional: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for namespace in self.namespaces or ("",):
                for resource in _DELAYS:
                    if resource != SERVICE_MONITOR:
                        group.create_task(self._children(resource, namespace))
            for namespace in self.namespaces or ("",):
                self._follow_optional(group, namespace)
            group.create_task(self._definition(group, SERVICE_MONITOR))

    async def _children(self, resource: Resource, namespace: str) -> None:
        delay = _DELAYS[resource]

        def changed(meta: Metadata) -> None:
            sink = (meta.get("labels") or {}).get(names.SINK_LABEL)
            if sink:
                self.hooks.wake((meta["namespace"], sink), delay)

        watched = Watched(path=paths.collection(resource, namespace), labels=names.SINK_LABEL)
        await self._follow(watched, changed, self.hooks.wake_all)

    async def _definition(self, group: asyncio.TaskGroup, resource: Resource) -> None:
        name = f"{paths.plural(resource)}.{resource.api_version.partition('/')[0]}"
        watched = Watched(path=paths.collection(paths.CUSTOM_RESOURCE), fields=f"metadata.name={name}")
        loop = asyncio.get_running_loop()

        def again() -> None:
            self.hooks.kinds_changed()
            for namespace in self.namespaces or ("",):
                self._follow_optional(group, namespace)
            self.hooks.wake_all()

        def changed(_: Metadata) -> None:
            for delay in _SETTLING:
                loop.call_later(delay, again)

        await self._follow(watched, changed, self.hooks.kinds_changed)

    def _follow_optional(self, group: asyncio.TaskGroup, namespace: str) -> None:
        """Begin anew: a watch of a kind that isn't served tries only rarely."""
        if (old := self._optional.pop(namespace, None)) is not None:
            old.cancel()
        self._optional[namespace] = group.create_task(self._children(SERVICE_MONITOR, namespace))

    async def _follow(
        self, watched: Watched, changed: Callable[[Metadata], None], relisted: Callable[[], None]
    ) -> None:
        part = f"watch of {watched.path}"
        self.hooks.expect(part)

        def alive(_: Literal["trying", "heard"]) -> None:
            self.hooks.alive(part)

        await watch.follow(self.api, watched, watch.Hooks(changed=changed, relisted=relisted, alive=alive))


def spread(chance: Callable[[], float] = random.random, over: float = 30.0) -> float:
    """Seconds to wait before a look at one of many sinks, so that not all are looked at at once."""
    return chance() * over
