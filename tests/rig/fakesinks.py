"""S3Sinks for tests on the fake cluster, and an operator on it that can be killed after any of its actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from s3sink_operator import names
from s3sink_operator.errors import Conflict
from s3sink_operator.reconcile import Edges, Outcome, reconcile
from s3sink_operator.state import (
    Delete,
    Drain,
    Event,
    Object,
    Ref,
    Report,
    Resource,
    Resume,
)

from tests.rig.fakecluster import NAMESPACE, Json
from tests.rig.fakecontrollers import World

IMAGE = "example.org/s3sink-ingester:1"
NAME = "events"
SINK = Ref(names.API_VERSION, names.KIND, NAMESPACE, NAME)
CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "fast", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "allowVolumeExpansion": True,
}
MOST_ROUNDS = 60


def sink(**spec: Any) -> Json:
    """A manifest. `spec`: fields beside those that have to be there."""
    least = {
        "destination": {"bucket": "the-output-bucket", "region": "us-east-1"},
        "partitioning": {"urlPath": True},
    }
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {"replicas": 2, **least, **spec},
    }


def secret(name: str, **data: str) -> Json:
    """A Secret. Values aren't decoded by anybody here."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "data": data,
    }


def new_world() -> World:
    """With a default StorageClass that expands volumes."""
    world = World()
    world.cluster.create(CLASS)
    return world


class Killed(BaseException):
    """The operator got SIGKILL."""


class Operator:
    """Reconciles, and dies once: right after the change number `dies_after` (from 1; 0: right before the first), for
    `away` ticks of the cluster."""

    def __init__(self, world: World, dies_after: int | None = None, away: int = 0) -> None:
        self.world = world
        self._away = away
        self.changes = 0
        self.image = IMAGE
        self._dies_after = dies_after
        self.log: list[str] = []

    async def reconcile(self) -> Outcome | None:
        """Once; None if it was killed or has to try again."""
        edges = Edges(self, self, self.image, lambda: self.world.cluster.now)
        try:
            return await reconcile(SINK, edges)
        except Killed:
            for _ in range(self._away):
                self.world.tick()
        except Conflict as error:
            self.log.append(f"conflict: {error}")
        return None

    async def work(self, rounds: int) -> None:
        """Reconcile so many times."""
        for _ in range(rounds):
            await self.reconcile()
            self.world.tick()

    async def converge(self) -> None:
        """Until nothing changes any more, neither by the operator nor by anything else in the cluster. Raises
        AssertionError if that never happens."""
        quiet = 0
        for _ in range(MOST_ROUNDS):
            before = self.world.cluster.changes
            outcome = await self.reconcile()
            self.world.tick()
            is_quiet = outcome is not None and before == self.world.cluster.changes
            quiet = quiet + 1 if is_quiet else 0
            if quiet == 2:
                assert outcome is not None
                assert outcome.actions == 0 or outcome.refused is not None, self.log[-5:]
                return
        raise AssertionError(f"it never comes to rest: {self.log[-12:]}")

    # ---- state.Cluster and state.Ingesters, counting changes

    async def get(self, ref: Ref) -> Object | None:
        """Reads are no changes."""
        return await self.world.cluster.get(ref)

    async def list(self, resource: Resource, namespace: str, labels: Mapping[str, str]) -> list[Object]:
        """Reads are no changes."""
        return await self.world.cluster.list(resource, namespace, labels)

    async def serves(self, resource: Resource) -> bool:
        """Reads are no changes."""
        return await self.world.cluster.serves(resource)

    async def report(self, pod: Object) -> Report | None:
        """Reads are no changes."""
        return await self.world.report(pod)

    async def apply(self, manifest: Object, *, subresource: Literal["", "status"] = "") -> Object:
        """A change."""
        self._note(f"apply {manifest['kind']} {manifest['metadata']['name']} {subresource}")
        applied = await self.world.cluster.apply(manifest, subresource=subresource)
        self._changed()
        return applied

    async def delete(self, action: Delete) -> None:
        """A change."""
        self._note(f"delete {action.ref.kind} {action.ref.name}: {action.reason}")
        await self.world.cluster.delete(action)
        self._changed()

    async def emit(self, sink: Object, event: Event) -> None:
        """A change."""
        self._note(f"emit {event.reason}")
        await self.world.cluster.emit(sink, event)
        self._changed()

    async def drain(self, action: Drain) -> None:
        """A change."""
        self._note(f"drain {action.pod}")
        await self.world.drain(action)
        self._changed()

    async def resume(self, action: Resume) -> None:
        """A change."""
        self._note(f"resume {action.pod}")
        await self.world.resume(action)
        self._changed()

    def _note(self, what: str) -> None:
        self.log.append(what)
        if self._dies_after == 0 == self.changes:
            self._dies_after = None
            raise Killed

    def _changed(self) -> None:
        self.changes += 1
        if self.changes == self._dies_after:
            self._dies_after = None
            raise Killed


_ONLY_WHETHER = (names.DRAIN, names.DRAINED, "deletionTimestamp")
_VARIES = frozenset(
    {
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "observedGeneration",
        "lastTransitionTime",
        "volumeName",
        "bytes",
        "bufferedBytes",
        "used",
        "oldestRecordTime",
        names.SINK_UID_LABEL,
        names.DRAIN,
    }
)


def final_state(world: World) -> dict[str, Any]:
    """What is there in the end, without what may differ from run to run: UIDs, versions, times, figures."""
    return {
        f"{ref.kind}/{ref.name}": _plain(obj)
        for ref, obj in sorted(world.cluster.objects.items())
        if ref.kind != "StorageClass"
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if key not in _VARIES} | {
            key: "..." for key in _ONLY_WHETHER if key in value
        }
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
