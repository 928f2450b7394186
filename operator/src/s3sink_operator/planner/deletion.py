"""Deleting a sink: it stays until its volumes are empty, or are to be kept, or their data isn't wanted. Pure.

| whenDeleted | before the pods go | then the volumes |
| --- | --- | --- |
| ``DrainThenDelete`` | all volumes are proven to be empty | are deleted |
| ``DrainThenRetain`` | all volumes are proven to be empty | are kept |
| ``Retain`` | nothing but what pods do when they end | are kept |
| ``DiscardData`` | nothing | are deleted with what is on them |

A drain that can't go on waits and says so; changing ``whenDeleted`` or the annotation ``force-release`` ends the wait.
Deleted in the foreground, the sink loses its pods at once: Jobs empty the volumes. If it is deleted with
``--cascade=orphan`` its children were to stay, and nothing is done to them. Volumes that are being deleted by somebody
else (a namespace that ends) are only waited for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from s3sink_operator import names
from s3sink_operator.planner.fleet import (
    Fleet,
    controller_of,
    is_terminating,
    label,
    uid_of,
)
from s3sink_operator.planner.scaling import Phase, Verdict
from s3sink_operator.state import (
    STATEFUL_SET,
    Action,
    Apply,
    Delete,
    Object,
    Observed,
    Ref,
    Resource,
    SetFinalizer,
    ref_of,
)

_NEEDED_BY_JOBS: Final = (Resource("v1", "ServiceAccount"), Resource("v1", "ConfigMap"))
"""What a drain Job uses and is the sink's child: gone when the sink is deleted in the foreground."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """What is to be done, in order, after the marks of the verdicts."""

    actions: tuple[Action, ...]
    message: str
    """What it waits for."""
    is_draining: bool = False
    """The verdicts' marks and actions are to be carried out as well."""


def is_orphaning(sink: Object) -> bool:
    """The garbage collector is taking the sink's name off its children (``--cascade=orphan``)."""
    return "orphan" in (sink["metadata"].get("finalizers") or ())


def is_foreground(sink: Object) -> bool:
    """The garbage collector deletes the sink's children before the sink (``--cascade=foreground``)."""
    return "foregroundDeletion" in (sink["metadata"].get("finalizers") or ())


def dismantle(
    fleet: Fleet,
    observed: Observed,
    when_deleted: str,
    verdicts: tuple[Verdict, ...],
    rendered: Iterable[Object],
) -> Deletion:
    """Decide. ``verdicts``: of a scaling to none. ``rendered``: the children, as far as the spec can be used."""
    meta = observed.sink["metadata"]
    if names.FINALIZER not in (meta.get("finalizers") or ()):
        return Deletion(actions=(), message="the sink is free to go")
    if is_orphaning(observed.sink):
        return Deletion(actions=(), message="children are being made independent")
    if _was_orphaned(observed):
        return Deletion(actions=_release("its children were to stay"), message="children stay")
    if (meta.get("annotations") or {}).get(names.FORCE_RELEASE) == "true":
        actions = (
            *_jobs(fleet),
            *_helpers(observed),
            *_release("force-release: its volumes are kept as they are"),
        )
        return Deletion(actions=actions, message="released by force; volumes are kept")
    if when_deleted.startswith("Drain"):
        undrained = [one for one in verdicts if not one.is_released and one.phase is not Phase.ORPHANED]
        if undrained:
            return Deletion(
                actions=_help_jobs(observed, verdicts, rendered),
                message=f"{len(undrained)} of {len(verdicts)} volumes aren't empty yet",
                is_draining=True,
            )
    return _end(fleet, observed, when_deleted, verdicts)


def _end(fleet: Fleet, observed: Observed, when_deleted: str, verdicts: tuple[Verdict, ...]) -> Deletion:
    """Pods and Jobs go, then volumes, then the sink: each once those before it are gone."""
    running = (*_stateful_set(fleet), *_pods(fleet), *_jobs(fleet))
    is_there = fleet.stateful_set is not None
    if is_there or any(slot.pod is not None or slot.job is not None for slot in fleet.slots.values()):
        return Deletion(actions=running, message="pods and Jobs are ending")
    unwanted = _unwanted(verdicts, when_deleted)
    if unwanted:
        # A sink of the same name that is applied a moment later must not get a claim that is about to vanish.
        message = f"{len(unwanted)} volumes are being deleted"
        return Deletion(actions=_delete_claims(unwanted, when_deleted), message=message)
    actions = (*_helpers(observed), *_release(f"whenDeleted is {when_deleted}, which is done"))
    return Deletion(actions=actions, message="the sink is free to go")


def _unwanted(verdicts: tuple[Verdict, ...], when_deleted: str) -> tuple[Object, ...]:
    """Claims of ours that are to go, or are going."""
    if when_deleted not in ("DrainThenDelete", "DiscardData"):
        return ()
    ours = (one.slot.claim for one in verdicts if one.phase is not Phase.ORPHANED)
    return tuple(claim for claim in ours if claim is not None)


def _delete_claims(claims: tuple[Object, ...], when_deleted: str) -> tuple[Action, ...]:
    """Where drained ones only may go, just as they were observed."""
    is_discarding = when_deleted == "DiscardData"
    return tuple(
        Delete(
            ref_of(claim),
            uid_of(claim),
            "whenDeleted is DiscardData" if is_discarding else "nothing is left on it",
            resource_version=None if is_discarding else claim["metadata"]["resourceVersion"],
        )
        for claim in claims
        if not is_terminating(claim)
    )


def _stateful_set(fleet: Fleet) -> tuple[Action, ...]:
    if fleet.stateful_set is None or is_terminating(fleet.stateful_set):
        return ()
    return (Delete(ref_of(fleet.stateful_set), uid_of(fleet.stateful_set), "the sink is deleted"),)


def _pods(fleet: Fleet) -> tuple[Action, ...]:
    """Pods go with their StatefulSet, but for those that have none (it was being made again)."""
    return tuple(
        Delete(ref_of(slot.pod), uid_of(slot.pod), "the sink is deleted")
        for slot in fleet.slots.values()
        if slot.pod is not None and slot.has_live_pod and controller_of(slot.pod) is None
    )


def _jobs(fleet: Fleet) -> tuple[Action, ...]:
    return tuple(
        Delete(ref_of(slot.job), uid_of(slot.job), "the sink is deleted", propagation="Foreground")
        for slot in fleet.slots.values()
        if slot.job is not None and not is_terminating(slot.job)
    )


def _help_jobs(
    observed: Observed, verdicts: tuple[Verdict, ...], rendered: Iterable[Object]
) -> tuple[Action, ...]:
    """Make again what drain Jobs use, without an owner, so that the garbage collector leaves it."""
    if not any(one.needs_job for one in verdicts):
        return ()
    actions = []
    for manifest in rendered:
        ref = ref_of(manifest)
        if ref.resource in _NEEDED_BY_JOBS and ref not in observed.children:
            actions.append(Apply(_without_owner(manifest), "drain Jobs use it, and the sink's own is gone"))
    return tuple(actions)


def _helpers(observed: Observed) -> tuple[Action, ...]:
    """What was made for drain Jobs."""
    sink: str = observed.sink["metadata"]["name"]
    return tuple(
        Delete(ref, uid_of(live), "it was made for drain Jobs")
        for ref, live in observed.children.items()
        if ref.resource in _NEEDED_BY_JOBS
        and controller_of(live) is None
        and label(live, names.SINK_LABEL) == sink
        and not is_terminating(live)
    )


def _was_orphaned(observed: Observed) -> bool:
    """Somebody took the sink's name off a StatefulSet that is still there."""
    meta = observed.sink["metadata"]
    ref = Ref(STATEFUL_SET.api_version, STATEFUL_SET.kind, meta["namespace"], names.child(meta["name"]))
    live = observed.children.get(ref)
    return live is not None and controller_of(live) is None and label(live, names.SINK_LABEL) == meta["name"]


def _release(reason: str) -> tuple[Action, ...]:
    return (SetFinalizer(False, reason),)


def _without_owner(manifest: Object) -> Object:
    meta = {key: value for key, value in manifest["metadata"].items() if key != "ownerReferences"}
    return {**manifest, "metadata": meta}
