"""What is wrong with a pod, in a word and a sentence. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from s3sink_operator.planner.fleet import condition, is_pod_ready, is_terminating
from s3sink_operator.state import Object, Report

FORMAT_DOWNGRADE: Final = "FormatDowngrade"

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


def trouble_of(pod: Object, report: Report | None) -> Trouble | None:
    """None: it is ready."""
    if is_pod_ready(pod) and not is_terminating(pod):
        return None
    name = pod["metadata"]["name"]
    if is_terminating(pod):
        return _of_ending(pod)
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


def is_node_lost(pod: Object) -> bool:
    """It is to end, since its node doesn't answer (or has a taint): nobody there may be left to end it."""
    disruption = condition(pod, "DisruptionTarget") or {}
    return is_terminating(pod) and disruption.get("reason") == "DeletionByTaintManager"


def _of_ending(pod: Object) -> Trouble:
    name = pod["metadata"]["name"]
    if not is_node_lost(pod):
        return Trouble("PodEnding", f"{name} is ending", needs_help=False)
    node = pod["spec"].get("nodeName", "its node")
    help_ = f"if that node is off for good, taint it node.kubernetes.io/out-of-service or delete {name} with --force"
    return Trouble("NodeLost", f"{name} can't end on {node}, which doesn't answer: {help_}", needs_help=False)


def _of_container(pod: str, container: Mapping[str, Any]) -> Trouble | None:
    ended = container.get("lastState", {}).get("terminated") or container.get("state", {}).get("terminated")
    if ended is not None and ended.get("exitCode") == _NEWER_FORMAT_EXIT and not container.get("ready"):
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
    return Trouble(waiting["reason"], f"{pod}: {waiting['reason']}: {text}", needs_help=True)
