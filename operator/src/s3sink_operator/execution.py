"""Carries out actions: each becomes one request, to the API server or to an ingester.

They are done in order and the first that fails ends them, since later ones may build on it; the next reconcile starts
from what is there then. Only what an ingester doesn't do holds up nothing else.
"""

from __future__ import annotations

import logging
from typing import Any

from s3sink_operator import names
from s3sink_operator.errors import IngesterError, Refused
from s3sink_operator.state import (
    Action,
    Apply,
    Cluster,
    Delete,
    Drain,
    Ingesters,
    Mark,
    Object,
    Resume,
    SetFinalizer,
)

log = logging.getLogger(__name__)


async def carry_out(
    actions: tuple[Action, ...], sink: Object, cluster: Cluster, ingesters: Ingesters
) -> str | None:
    """What the API server says to the first action that it refuses; None if it refuses none. Raises ``Unavailable``
    and ``Conflict``."""
    for action in actions:
        log.info("%s", describe(action))
        try:
            await execute(action, sink, cluster, ingesters)
        except IngesterError as error:
            log.warning("%s: %s", describe(action), error)
        except Refused as error:
            return f"{describe(action)}: {error}"
    return None


async def execute(action: Action, sink: Object, cluster: Cluster, ingesters: Ingesters) -> None:
    """Raises what ``Cluster`` and ``Ingesters`` raise; Refused also where a finalizer stays."""
    match action:
        case Apply():
            await cluster.apply(action.manifest)
        case Mark():
            await cluster.apply(_claim(action))
        case Delete():
            await cluster.delete(action)
        case Drain():
            await ingesters.drain(action)
        case Resume():
            await ingesters.resume(action)
        case SetFinalizer():
            await _set_finalizer(action, sink, cluster)


async def _set_finalizer(action: SetFinalizer, sink: Object, cluster: Cluster) -> None:
    finalizers = {"finalizers": [names.FINALIZER]} if action.present else {}
    applied = await cluster.apply(_part_of(sink, finalizers))
    if not action.present and names.FINALIZER in (applied["metadata"].get("finalizers") or ()):
        # Server-side apply leaves what somebody else wants as well: a backup that was restored, a manifest with it.
        raise Refused(
            f"another field manager has put {names.FINALIZER} into metadata.finalizers; take it out there"
        )


async def write_status(status: Object, sink: Object, cluster: Cluster) -> None:
    """The whole status. Raises what ``Cluster`` raises."""
    await cluster.apply({**_part_of(sink, {}), "status": status}, subresource="status")


def is_release(action: Action) -> bool:
    """After it there may be no sink any more."""
    return isinstance(action, SetFinalizer) and not action.present


def describe(action: Action) -> str:
    """In a few words, for logs and messages."""
    match action:
        case Apply():
            what = f"apply {action.manifest['kind']} {action.manifest['metadata']['name']}"
        case Mark() | Delete():
            what = f"{type(action).__name__.lower()} {action.ref.kind} {action.ref.name}"
        case Drain() | Resume():
            what = f"{type(action).__name__.lower()} {action.pod}"
        case SetFinalizer():
            what = "set the finalizer" if action.present else "take the finalizer off"
    return f"{what}: {action.reason}"


def _part_of(sink: Object, metadata: dict[str, Any]) -> dict[str, Any]:
    """What is applied to the sink itself. The UID keeps a sink that is gone from being made again, without a spec."""
    meta = sink["metadata"]
    known = {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]}
    return {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {**known, **metadata}}


def _claim(mark: Mark) -> Object:
    return {
        "apiVersion": mark.ref.api_version,
        "kind": mark.ref.kind,
        "metadata": {
            "name": mark.ref.name,
            "namespace": mark.ref.namespace,
            "uid": mark.uid,
            "resourceVersion": mark.resource_version,
            "labels": dict(mark.labels),
            "annotations": dict(mark.annotations),
        },
        "spec": {"resources": {"requests": {"storage": mark.storage}}},
    }
