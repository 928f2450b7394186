"""What is wrong with a pod, in a word and a sentence. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from s3sink_operator import names
from s3sink_operator.planner import managed
from s3sink_operator.planner.fleet import Fleet, condition, is_pod_ready, is_terminating, time_of
from s3sink_operator.state import Object, Report

FORMAT_DOWNGRADE: Final = "FormatDowngrade"
PATIENCE: Final = timedelta(minutes=1)
"""What takes longer doesn't pass by itself: a pod that is to be made, or to end beyond its grace period."""

_MOST_TOLD: Final = 3
"""Pods that a message names."""
_NEWER_FORMAT_EXIT: Final = 4
"""What an ingester ends with on a volume that a newer version wrote."""
_STUCK: Final = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
    }
)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a pod takes no records. ``needs_help``: it won't pass by itself."""

    reason: str
    message: str
    needs_help: bool


def trouble_of(pod: Object, report: Report | None, now: datetime) -> Trouble | None:
    """None: it is ready."""
    if is_pod_ready(pod) and not is_terminating(pod):
        return None
    name = pod["metadata"]["name"]
    if is_terminating(pod):
        return _of_ending(pod, now)
    for container in pod.get("status", {}).get("containerStatuses") or ():
        if (found := _of_container(name, container)) is not None:
            return found
    scheduled = condition(pod, "PodScheduled")
    if scheduled is not None and scheduled["status"] == "False":
        text = scheduled.get("message") or scheduled.get("reason", "")
        return Trouble("Unschedulable", f"{name} has no node: {text}", needs_help=False)
    if report is not None and report.state == "full":
        return Trouble("BufferFull", f"{name}: {report.reason or 'its buffer is full'}", needs_help=False)
    if report is not None and not report.ready:
        return Trouble("PodsNotReady", f"{name}: {report.reason or report.state}", needs_help=False)
    return Trouble("PodsNotReady", f"{name} is starting", needs_help=False)


def not_made(fleet: Fleet, now: datetime) -> Trouble | None:
    """Pods that the StatefulSet's controller can't make, or doesn't. Only its events say why, which the operator has no
    right to read. How long: since its controller had the last news of any of its pods, or longer."""
    live = fleet.stateful_set
    if live is None or is_terminating(live):
        return None
    replicas = (live.get("status") or {}).get("replicas", 0)
    since = managed.status_at(live)
    if not is_seen(live) or replicas >= fleet.replicas or since is None or now - since < PATIENCE:
        return None
    name = live["metadata"]["name"]
    pods = [
        f"{name}-{slot.ordinal}" for slot in fleet.slots.values() if slot.has_replica and slot.pod is None
    ]
    if not pods:
        return None
    text = (
        f"{_some(pods)} can't be made, since {since:%Y-%m-%dT%H:%M:%SZ} or longer: kubectl describe statefulset "
        f"{name} says why under Events, such as a quota, an admission webhook or Pod Security that refuses pods"
    )
    return Trouble("PodsNotCreated", text, needs_help=True)


def _some(pods: list[str]) -> str:
    """Their names, as far as a message has room for them."""
    told, more = pods[:_MOST_TOLD], len(pods) - _MOST_TOLD
    return ", ".join(told) + (f" and {more} more" if more > 0 else "")


def is_seen(stateful_set: Object) -> bool:
    """Its status is about its spec as it is now."""
    seen: int = (stateful_set.get("status") or {}).get("observedGeneration", 0)
    generation: int = stateful_set["metadata"].get("generation", 1)
    return seen >= generation


def is_node_lost(pod: Object) -> bool:
    """It is to end, since its node doesn't answer (or has a taint): nobody there may be left to end it."""
    disruption = condition(pod, "DisruptionTarget") or {}
    return is_terminating(pod) and disruption.get("reason") == "DeletionByTaintManager"


def is_hanging(pod: Object, now: datetime) -> bool:
    """It should have ended by now, and nobody may be left to end it."""
    return is_node_lost(pod) or _is_overdue(pod, now)


def _is_overdue(pod: Object, now: datetime) -> bool:
    """A pod's ``deletionTimestamp`` is when its grace period ends."""
    ends = pod["metadata"].get("deletionTimestamp")
    return ends is not None and now - time_of(ends) > PATIENCE


def _of_ending(pod: Object, now: datetime) -> Trouble:
    """How long it has been so is told as a time: a figure would change with each look."""
    meta = pod["metadata"]
    name, node = meta["name"], pod["spec"].get("nodeName", "its node")
    help_ = (
        f"only if that machine is off for good, kubectl delete pod {name} --force --grace-period=0, or taint the node "
        "node.kubernetes.io/out-of-service"
    )
    if is_node_lost(pod):
        return Trouble(
            "NodeLost", f"{name} can't end on {node}, which doesn't answer: {help_}", needs_help=False
        )
    if not _is_overdue(pod, now):
        return Trouble("PodEnding", f"{name} is ending", needs_help=False)
    text = f"{name} is Terminating on {node} though its grace period ended at {meta['deletionTimestamp']}"
    # Once its containers have ended, the kubelet deletes a pod with no grace; those of Jobs have finalizers all along.
    if meta.get("finalizers") and not meta.get("deletionGracePeriodSeconds"):
        text += f": it is held by its finalizers {', '.join(meta['finalizers'])}; see who set them"
    else:
        text += f", as when that node is lost: {help_}"
    return Trouble("PodStuckTerminating", text, needs_help=False)


def _of_container(pod: str, container: Mapping[str, Any]) -> Trouble | None:
    """Of a sidecar that somebody injected, too: a pod is ready if all are. But only the ingester's exit codes mean
    anything here."""
    is_ours = container["name"] == names.CONTAINER
    ended = container.get("lastState", {}).get("terminated") or container.get("state", {}).get("terminated")
    if (
        is_ours
        and ended is not None
        and ended.get("exitCode") == _NEWER_FORMAT_EXIT
        and not container.get("ready")
    ):
        return Trouble(
            FORMAT_DOWNGRADE,
            f"{pod}: its volume was written by a newer version than {container.get('image', 'this image')}; "
            "go back to the newer operator",
            needs_help=True,
        )
    waiting = container.get("state", {}).get("waiting")
    if waiting is None or waiting.get("reason") not in _STUCK:
        return None
    text = waiting.get("message") or "see its log"
    if ended is not None and ended.get("message"):
        text = f"{text}: {ended['message'].strip()}"
    where = pod if is_ours else f"{pod}, container {container['name']}"
    return Trouble(waiting["reason"], f"{where}: {waiting['reason']}: {text}", needs_help=True)
