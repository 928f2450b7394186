"""A pod's status as a kubelet writes it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from tests.rig.kubeapi import Object

_READY_FOR: Final = timedelta(seconds=15)
"""Pods are told to have been ready for so long already, so that ``minReadySeconds`` holds up no rollout."""


def now(ago: timedelta = timedelta()) -> str:
    """As the API server writes times."""
    return (datetime.now(UTC) - ago).isoformat(timespec="seconds").replace("+00:00", "Z")


def waiting(reason: str, message: str = "") -> Object:
    """State of a container that isn't started."""
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def terminated(code: int, started_at: str) -> Object:
    """State of a container that ended: ``code`` is its exit code, or minus the signal that ended it."""
    code = code if code >= 0 else 128 - code
    reason = {0: "Completed", 137: "Error"}.get(code, "Error")
    return {
        "terminated": {"exitCode": code, "reason": reason, "startedAt": started_at, "finishedAt": now()},
    }


@dataclass(frozen=True, slots=True)
class Facts:
    """What a node knows of a pod."""

    phase: str = "Pending"
    state: Object | None = None
    last_state: Object | None = None
    restarts: int = 0
    started: bool = False
    ready: bool = False


def ended(facts: Facts, state: Object) -> Facts:
    """The same after the container has ended."""
    return replace(facts, state=state, started=False, ready=False)


def status(pod: Object, facts: Facts) -> Object:
    """For a strategic merge patch; times of transitions are those of ``pod`` where nothing changed."""
    container = pod["spec"]["containers"][0]
    address = pod["status"]["podIP"]
    over = facts.phase in ("Succeeded", "Failed")
    reason = "PodCompleted" if over else "" if facts.ready else "ContainersNotReady"
    running = facts.phase != "Pending"
    conditions = {
        "PodReadyToStartContainers": (True, ""),
        "Initialized": (True, ""),
        "ContainersReady": (facts.ready, reason),
        "Ready": (facts.ready, reason),
    }
    return {
        "phase": facts.phase,
        "hostIP": "127.0.0.1",
        "hostIPs": [{"ip": "127.0.0.1"}],
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": pod["status"].get("startTime") or now(),
        "observedGeneration": pod["metadata"].get("generation", 0),
        "conditions": [_condition(pod, name, *value) for name, value in conditions.items()],
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": f"hollow://{container['image']}" if running else "",
                "state": facts.state or {},
                "lastState": facts.last_state or {},
                "restartCount": facts.restarts,
                "started": facts.started,
                "ready": facts.ready,
            }
        ],
    }


def _condition(pod: Object, kind: str, holds: bool, reason: str) -> Object:
    before: Object = next((c for c in pod["status"].get("conditions", []) if c["type"] == kind), {})
    wanted = "True" if holds else "False"
    since = before.get("lastTransitionTime") if before.get("status") == wanted else None
    begun = since or now(_READY_FOR if holds and kind == "Ready" else timedelta())
    made = {"type": kind, "status": wanted, "lastTransitionTime": begun}
    return {**made, "reason": reason or None}
